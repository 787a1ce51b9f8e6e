//! What a frame of a body carries.

use bytes::{Buf, Bytes};

/// Some bytes of a body.
#[derive(Debug)]
pub enum Piece {
    Bytes(Bytes),
    Line(Line),
}

/// The longest line: an id of 20 digits as a JSON object.
const LINE_BYTES: usize = 29;

/// A short text that is where it stands, so that the answer to the commonest request allocates nothing for it.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    text: [u8; LINE_BYTES],
    from: u8,
    to: u8,
}

impl Line {
    /// These pieces, one after the other.
    ///
    /// # Panics
    /// If they are longer than an id as a JSON object.
    pub fn of(pieces: [&[u8]; 3]) -> Line {
        let mut text = [0; LINE_BYTES];
        let mut to = 0;
        for piece in pieces {
            text[to..to + piece.len()].copy_from_slice(piece);
            to += piece.len();
        }
        Line { text, from: 0, to: to as u8 }
    }
}

impl Piece {
    pub fn len(&self) -> usize {
        self.chunk().len()
    }
}

/// In one chunk, all of it.
impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.len()
    }

    #[inline]
    fn chunk(&self) -> &[u8] {
        match self {
            Piece::Bytes(bytes) => bytes,
            Piece::Line(Line { text, from, to }) => &text[usize::from(*from)..usize::from(*to)],
        }
    }

    #[inline]
    fn advance(&mut self, n: usize) {
        match self {
            Piece::Bytes(bytes) => bytes.advance(n),
            Piece::Line(line) => {
                assert!(n <= usize::from(line.to - line.from), "{n} bytes of {line:?}");
                line.from += n as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_the_longest_id_and_is_read_piece_by_piece() {
        let id = u64::MAX.to_string();
        let mut line = Piece::Line(Line::of([br#"{"id":""#, id.as_bytes(), br#""}"#]));
        assert_eq!(line.chunk(), format!(r#"{{"id":"{id}"}}"#).as_bytes());
        line.advance(7);
        assert_eq!((line.remaining(), &line.chunk()[..3]), (22, &b"184"[..]));
        assert_eq!(line.copy_to_bytes(22), format!(r#"{id}"}}"#));
        assert!(!line.has_remaining());
    }
}
