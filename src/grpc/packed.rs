//! Ids as protobuf: a `NextResponse` is one tag, one length, and eight little-endian bytes an id. The ids of a range are
//! consecutive, so they are counted straight into the chunk that is sent; no list of them is ever made.

use crate::issuer::{Issued, Ranges};
use bytes::{BufMut, Bytes, BytesMut};

/// The most one frame of an answer holds: a message of a stream as it comes unless the request says, so that it leaves at once.
const CHUNK_BYTES: usize = 16_384 * 8 + HEAD_BYTES;

/// Field 1, length-delimited.
const TAG: u8 = 1 << 3 | 2;

/// What comes before the ids, at its longest: five bytes of gRPC, the tag, the length.
const HEAD_BYTES: usize = 5 + 1 + 5;

/// A message, being written.
#[derive(Debug)]
pub struct Packed {
    head: bool,
    ranges: Ranges,
    range: std::ops::Range<u64>,
    /// Ids still to come.
    left: u64,
}

impl Packed {
    pub fn new(issued: &Issued) -> Packed {
        Packed { head: true, ranges: issued.ranges(), range: 0..0, left: issued.count() }
    }

    /// The next bytes of the message; `None` when all were given. They are put into `memory`, which is empty, and is used
    /// again when nobody holds the chunks from it: to allocate so much each time is to ask the kernel for it.
    pub fn chunk(&mut self, memory: &mut BytesMut) -> Option<Bytes> {
        if self.left == 0 {
            return None;
        }
        let bytes = self.left * 8;
        memory.reserve(CHUNK_BYTES.min(bytes as usize + HEAD_BYTES));
        if std::mem::take(&mut self.head) {
            let length = varint(bytes);
            memory.put_u8(0);
            memory.put_u32(1 + length.len() as u32 + bytes as u32);
            memory.put_u8(TAG);
            memory.put_slice(&length);
        }
        while self.left > 0 {
            if self.range.is_empty() {
                self.range = self.ranges.next()?.ids();
            }
            let room = (CHUNK_BYTES - memory.len()) / 8;
            let n = room.min((self.range.end - self.range.start) as usize);
            if n == 0 {
                break;
            }
            let at = memory.len();
            memory.resize(at + n * 8, 0);
            for (place, id) in memory[at..].chunks_exact_mut(8).zip(self.range.start..) {
                place.copy_from_slice(&id.to_le_bytes());
            }
            self.range.start += n as u64;
            self.left -= n as u64;
        }
        Some(memory.split().freeze())
    }
}

/// A message as gRPC sends it.
pub fn framed(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(5 + message.len());
    framed.put_u8(0);
    framed.put_u32(message.len() as u32);
    framed.put_slice(message);
    framed.freeze()
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(5);
    while number > 0x7f {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::proto::NextResponse;
    use crate::id::{Origin, SNOWFLAKE64, Tick};
    use crate::issuer::Claim;
    use crate::lease::grant::Ticks;
    use proptest::prelude::*;
    use prost::Message;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn prost_reads_the_same_ids_and_would_write_the_same_bytes(from in 0u64..1 << 53, n in 1u64..70_000, few in 1u64..20) {
            for n in [n, few] {
                let ticks = Ticks { from: Tick(from), to: Tick(from + n) };
                let claim = Claim { layout: SNOWFLAKE64, origin: Origin { datacenter: 1, worker: 2 }, ticks };
                let issued = Issued::from(claim);
                let mut packed = Packed::new(&issued);
                let mut bytes = Vec::new();
                let mut memory = BytesMut::new();
                while let Some(chunk) = packed.chunk(&mut memory) {
                    prop_assert!(!chunk.is_empty() && chunk.len() <= CHUNK_BYTES);
                    bytes.extend_from_slice(&chunk);
                }
                let response = NextResponse { ids: issued.ids().collect() };
                prop_assert_eq!(&NextResponse::decode(&bytes[5..]).unwrap(), &response);
                prop_assert_eq!(Bytes::from(bytes), framed(&response.encode_to_vec()));
            }
        }
    }
}
