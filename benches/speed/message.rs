//! Messages of gRPC, of which as much is understood as they need.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Field 1, a number, with gRPC's five bytes before it.
pub fn message(count: u64) -> Bytes {
    let mut varint = Vec::new();
    let mut left = count;
    while left > 0x7f {
        varint.push(left as u8 | 0x80);
        left >>= 7;
    }
    varint.push(left as u8);
    let mut message = BytesMut::new();
    message.put_u8(0);
    message.put_u32(1 + varint.len() as u32);
    message.put_u8(1 << 3);
    message.put_slice(&varint);
    message.freeze()
}

/// Reads ids out of messages as their bytes come.
#[derive(Default)]
pub struct Reader {
    left: BytesMut,
    /// Bytes of ids still to come of the present message.
    body: usize,
    pub ids: u64,
}

impl Reader {
    pub fn take(&mut self, data: Bytes, mut id: impl FnMut(u64)) {
        self.left.extend_from_slice(&data);
        loop {
            while self.body >= 8 && self.left.len() >= 8 {
                let n = self.body.min(self.left.len()) / 8 * 8;
                for eight in self.left[..n].chunks_exact(8) {
                    id(u64::from_le_bytes(eight.try_into().expect("eight bytes")));
                }
                self.left.advance(n);
                self.body -= n;
                self.ids += n as u64 / 8;
            }
            if self.body > 0 || !self.head() {
                return;
            }
        }
    }

    /// Prefix, tag and length of the next message, once they are all there.
    fn head(&mut self) -> bool {
        let Some(digits) = self.left.get(6..).and_then(|rest| rest.iter().position(|byte| byte & 0x80 == 0)) else {
            return false;
        };
        assert_eq!((self.left[0], self.left[5]), (0, 1 << 3 | 2), "not compressed, field 1");
        let length = self.left[6..=6 + digits].iter().rev().fold(0, |sum, byte| sum << 7 | usize::from(byte & 0x7f));
        self.left.advance(7 + digits);
        self.body = length;
        true
    }
}
