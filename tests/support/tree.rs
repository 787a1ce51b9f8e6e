//! The tree as it is, read by a client of its own that knows nothing of Meridian.

use serde_json::Value;
use std::time::Duration;
use tokio::runtime::Runtime;
use zookeeper_client::{Client, Error, MultiReadResult, Stat};

pub const ROOT: &str = "/meridian/v1/dc/1";

/// Long: it reads, it holds nothing.
const SESSION: Duration = Duration::from_secs(30);

pub struct Tree {
    runtime: Runtime,
    client: Client,
}

impl Tree {
    pub fn open(connect: &str) -> Tree {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let client = runtime.block_on(Client::connector().with_session_timeout(SESSION).connect(connect)).unwrap();
        Tree { runtime, client }
    }

    /// A znode below the datacenter's, if it is there.
    pub fn read(&self, path: &str) -> Option<(Value, Stat)> {
        match self.runtime.block_on(self.client.get_data(&format!("{ROOT}{path}"))) {
            Ok((bytes, stat)) => Some((serde_json::from_slice(&bytes).expect("JSON"), stat)),
            Err(Error::NoNode) => None,
            Err(error) => panic!("{path}: {error}"),
        }
    }

    pub fn children(&self, path: &str) -> Vec<String> {
        let mut names = self.runtime.block_on(self.client.list_children(&format!("{ROOT}{path}"))).expect("a list");
        names.sort();
        names
    }

    pub fn slot(&self, slot: u16) -> (Value, Stat) {
        self.read(&format!("/slots/{slot:02}")).expect("slots never vanish")
    }

    pub fn owner(&self, slot: u16) -> Option<(Value, Stat)> {
        self.read(&format!("/slots/{slot:02}/owner"))
    }

    pub fn ceiling(&self, slot: u16) -> u64 {
        self.slot(slot).0["ceiling_ms"].as_u64().expect("a ceiling")
    }

    pub fn fence(&self, slot: u16) -> u64 {
        self.slot(slot).0["fence"].as_u64().expect("a fence")
    }

    /// Of the tree: part of the names of high-water files.
    pub fn genesis(&self) -> String {
        self.read("").expect("the tree").0["genesis"].as_str().expect("a guid").to_owned()
    }

    /// The slots that have an owner, all seen at one moment: read one by one, a slot that changes hands could be counted twice.
    pub fn owned(&self) -> Vec<u16> {
        let mut reader = self.client.new_multi_reader();
        for slot in 0..32 {
            reader.add_get_data(&format!("{ROOT}/slots/{slot:02}/owner")).expect("a path");
        }
        let owners = self.runtime.block_on(reader.commit()).expect("an answer");
        let there = |owner| match owner {
            MultiReadResult::Data { .. } => true,
            MultiReadResult::Error { err: Error::NoNode } => false,
            other => panic!("{other:?}"),
        };
        (0..32).zip(owners).filter_map(|(slot, owner)| there(owner).then_some(slot)).collect()
    }
}
