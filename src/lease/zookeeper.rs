//! ZooKeeper: the only file that knows its client crate.

use super::coordination::*;
use super::znode::*;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Ensemble {}

#[derive(Clone)]
pub struct Session {}

impl Ensemble {
    pub async fn open(&self, _expected: &Expected, _timeout: Duration) -> Result<Session, OpenError> {
        Err(OpenError::Unreachable("not built yet".into()))
    }
    pub async fn init(&self, _blueprint: &Blueprint) -> Result<Initialised, OpenError> {
        Err(OpenError::Unreachable("not built yet".into()))
    }
}

impl Session {
    pub fn id(&self) -> SessionId {
        unreachable!()
    }
    pub fn tree(&self) -> &Tree {
        unreachable!()
    }
    pub async fn register(&self, _value: &Registration) -> Result<Registered, Failure> {
        unreachable!()
    }
    pub async fn update_registration(&self, _name: &str, _value: &Registration) -> Result<ServerTime, Failure> {
        unreachable!()
    }
    pub async fn unregister(&self, _name: &str) -> Result<(), Failure> {
        unreachable!()
    }
    pub async fn look(&self) -> Result<View, Failure> {
        unreachable!()
    }
    pub async fn admission(&self) -> Result<AdmissionRead, Failure> {
        unreachable!()
    }
    pub async fn read_slot(&self, _slot: u16) -> Result<SlotRead, Failure> {
        unreachable!()
    }
    pub async fn write(&self, _write: &Write) -> Result<Written, Failure> {
        unreachable!()
    }
    pub async fn watch(&self, _interest: &Interest) -> Result<(), Failure> {
        unreachable!()
    }
    pub fn pulse(&self) -> tokio::sync::watch::Receiver<Pulse> {
        unreachable!()
    }
    pub async fn close(self) {
        unreachable!()
    }
}
