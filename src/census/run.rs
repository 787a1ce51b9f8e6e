//! Sorted spans that do not touch, packed: for each the gap since the one before and its length, seven bits a byte.
//!
//! A run is written once from front to back and read any number of times from front to back, in memory or in a file.

use super::Span;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};

/// Read ahead from a file, for each of the files merged at once.
const READ_BYTES: usize = 1 << 16;

#[derive(Debug)]
pub enum Run {
    Memory(Box<[u8]>),
    File { file: File, bytes: u64 },
}

impl Run {
    pub fn bytes(&self) -> u64 {
        match self {
            Run::Memory(bytes) => bytes.len() as u64,
            Run::File { bytes, .. } => *bytes,
        }
    }

    /// From the front. One reader of a run at a time: a file has one position.
    pub fn spans(&self) -> io::Result<Spans<'_>> {
        let source = match self {
            Run::Memory(bytes) => Source::Memory(bytes),
            Run::File { file, .. } => {
                let mut file = file;
                file.rewind()?;
                Source::File(BufReader::with_capacity(READ_BYTES, file))
            }
        };
        Ok(Spans { source, left: self.bytes(), at: 0 })
    }
}

#[derive(Debug)]
enum Source<'a> {
    Memory(&'a [u8]),
    File(BufReader<&'a File>),
}

/// The spans of a run, ascending.
#[derive(Debug)]
pub struct Spans<'a> {
    source: Source<'a>,
    left: u64,
    at: u64,
}

impl Spans<'_> {
    pub fn next(&mut self) -> io::Result<Option<Span>> {
        if self.left == 0 {
            return Ok(None);
        }
        let from = self.at + self.number()?;
        let to = from + self.number()?;
        self.at = to;
        Ok(Some(Span { from, to }))
    }

    fn number(&mut self) -> io::Result<u64> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "a spilled file has changed"))
    }

    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        match &mut self.source {
            Source::Memory(bytes) => bytes.read_exact(&mut byte)?,
            Source::File(reader) => reader.read_exact(&mut byte)?,
        }
        self.left -= 1;
        Ok(byte[0])
    }
}

/// A run in the making.
#[derive(Debug)]
pub struct Pack {
    sink: Sink,
    bytes: u64,
    at: u64,
}

#[derive(Debug)]
enum Sink {
    Memory(Vec<u8>),
    File(BufWriter<File>),
}

impl Pack {
    /// `most`: how many bytes it will have at most, if that is known.
    pub fn in_memory(most: usize) -> Pack {
        Pack { sink: Sink::Memory(Vec::with_capacity(most)), bytes: 0, at: 0 }
    }

    /// `file` is empty, readable and writable.
    pub fn on_disk(file: File) -> Pack {
        Pack { sink: Sink::File(BufWriter::with_capacity(READ_BYTES, file)), bytes: 0, at: 0 }
    }

    /// Spans come in ascending order and do not overlap.
    pub fn push(&mut self, span: Span) -> io::Result<()> {
        self.number(span.from - self.at)?;
        self.number(span.len())?;
        self.at = span.to;
        Ok(())
    }

    pub fn finish(self) -> io::Result<Run> {
        match self.sink {
            Sink::Memory(bytes) => Ok(Run::Memory(bytes.into_boxed_slice())),
            Sink::File(writer) => Ok(Run::File { file: writer.into_inner()?, bytes: self.bytes }),
        }
    }

    fn number(&mut self, mut number: u64) -> io::Result<()> {
        let mut text = [0; 10];
        let mut length = 0;
        loop {
            let last = number < 0x80;
            text[length] = number as u8 & 0x7f | if last { 0 } else { 0x80 };
            length += 1;
            number >>= 7;
            if last {
                break;
            }
        }
        self.bytes += length as u64;
        match &mut self.sink {
            Sink::Memory(bytes) => bytes.extend_from_slice(&text[..length]),
            Sink::File(writer) => writer.write_all(&text[..length])?,
        }
        Ok(())
    }
}
