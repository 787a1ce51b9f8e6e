//! Many sorted runs read as one: their union, and every place that is in more than one of them.

use super::run::{Run, Spans};
use super::{Repeats, Span};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;

#[derive(Debug)]
pub struct Union<'a> {
    runs: Vec<Spans<'a>>,
    /// The next span of each run, and which run.
    heads: BinaryHeap<Reverse<(Span, usize)>>,
}

impl<'a> Union<'a> {
    pub fn of(runs: &'a [Run]) -> io::Result<Union<'a>> {
        let runs = runs.iter().map(Run::spans).collect::<io::Result<Vec<_>>>()?;
        let mut union = Union { heads: BinaryHeap::with_capacity(runs.len()), runs };
        for run in 0..union.runs.len() {
            union.advance(run)?;
        }
        Ok(union)
    }

    /// The next span that touches no other. What lay in it twice goes to `repeats`.
    pub fn next(&mut self, repeats: &mut Repeats) -> io::Result<Option<Span>> {
        let Some(Reverse((mut span, run))) = self.heads.pop() else { return Ok(None) };
        self.advance(run)?;
        while let Some(Reverse((next, run))) = self.heads.peek().copied() {
            if next.from > span.to {
                break;
            }
            self.heads.pop();
            self.advance(run)?;
            let shared = Span { from: next.from, to: next.to.min(span.to) };
            if shared.len() > 0 {
                repeats.found(shared);
            }
            span.to = span.to.max(next.to);
        }
        Ok(Some(span))
    }

    fn advance(&mut self, run: usize) -> io::Result<()> {
        if let Some(span) = self.runs[run].next()? {
            self.heads.push(Reverse((span, run)));
        }
        Ok(())
    }
}
