//! Where every id goes that anybody was given: an exact count of those given twice.

use crate::census::{Bounds, Census, Tally};
use crate::id::{IdRange, Layout};
use anyhow::Context;
use std::io;
use std::path::PathBuf;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Ids on their way. When it is full, who draws waits.
const WAITING: usize = 10_000;

pub struct Ledger {
    counting: JoinHandle<io::Result<Tally>>,
}

impl Ledger {
    pub fn open(layout: Layout, folder: PathBuf) -> (Ledger, mpsc::Sender<u64>) {
        let (ids, mut drawn) = mpsc::channel(WAITING);
        let counting = tokio::task::spawn_blocking(move || {
            let mut census = Census::new(layout, Bounds::default(), folder);
            while let Some(id) = drawn.blocking_recv() {
                // What is no id of this fleet cannot be counted as one.
                if layout.decode(id).is_some() {
                    census.add(IdRange { first: id, count: 1 })?;
                }
            }
            census.finish()
        });
        (Ledger { counting }, ids)
    }

    /// Counts to the end. Everybody who draws must be gone.
    pub async fn close(self) -> anyhow::Result<Tally> {
        let tally = self.counting.await.context("the count of duplicates")?;
        tally.context("the count of duplicates ended, so nothing is known of them")
    }
}
