//! ZooKeeper: the only module that knows its client crate, and what that crate and the server really do.
//!
//! Everything here translates, nothing decides: a request becomes one ZooKeeper request (or one `multi`), an answer
//! becomes one of the keeper's words. A refusal is said only when the server said it; whatever else happened is unknown.

mod digest;
mod ensemble;
mod foundation;
mod lookout;
mod rights;
mod session;

pub use self::ensemble::{Ensemble, InvalidEnsemble};
pub use self::rights::{Credentials, Identity};
pub use self::session::Session;

use super::coordination::{Expected, Failure, OpenError, Refusal};
use super::znode::{self, Tree};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zookeeper_client::Error;

/// What a failed request means to the protocol. Only these five answers say that nothing was applied.
fn failure(error: Error) -> Failure {
    match error {
        Error::BadVersion => Failure::Refused(Refusal::BadVersion),
        Error::NodeExists => Failure::Refused(Refusal::NodeExists),
        Error::NoNode => Failure::Refused(Refusal::NoNode),
        Error::NoAuth => Failure::Refused(Refusal::NoAuth),
        Error::NotEmpty => Failure::Refused(Refusal::NotEmpty),
        Error::SessionExpired | Error::ClientClosed | Error::AuthFailed => Failure::SessionOver(error.to_string()),
        _ => Failure::Unknown(error.to_string()),
    }
}

fn encode(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("payloads are plain structs: they always have a JSON form")
}

fn decode<T: DeserializeOwned>(path: &str, what: &str, bytes: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(bytes).map_err(|error| Failure::Unknown(format!("{path} holds no {what}: {error}")))
}

/// Reads the tree's own znode, and refuses one that is not the manifest's: no retry would help.
fn recognise(path: &str, bytes: &[u8], expected: &Expected) -> Result<Tree, OpenError> {
    let tree: Tree = serde_json::from_slice(bytes)
        .map_err(|error| OpenError::Mismatch(format!("{path} holds no tree of this version: {error}")))?;
    let fields = [
        ("v", tree.v.to_string(), znode::VERSION.to_string()),
        ("fleet", tree.fleet.clone(), expected.fleet.clone()),
        ("datacenter", tree.datacenter.to_string(), expected.datacenter.to_string()),
        ("epoch", tree.epoch.clone(), expected.epoch.clone()),
        ("layout", tree.layout.clone(), expected.layout.clone()),
    ];
    let differing: Vec<String> = fields
        .iter()
        .filter(|(_, there, here)| there != here)
        .map(|(field, there, here)| format!("{field} is \"{there}\" in the tree and \"{here}\" in the manifest"))
        .collect();
    if differing.is_empty() {
        return Ok(tree);
    }
    Err(OpenError::Mismatch(format!("{path} is another fleet's tree: {}", differing.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_of_the_server_is_a_refusal() {
        let unknown = [
            Error::ConnectionLoss,
            Error::Timeout,
            Error::SessionMoved,
            Error::UnexpectedErrorCode(-2),
            Error::UnexpectedError("x".into()),
            Error::QuotaExceeded,
            Error::Throttled,
        ];
        for error in unknown {
            assert!(matches!(failure(error.clone()), Failure::Unknown(_)), "{error:?}");
        }
        assert_eq!(failure(Error::BadVersion), Failure::Refused(Refusal::BadVersion));
        assert!(matches!(failure(Error::ClientClosed), Failure::SessionOver(_)));
    }

    #[test]
    fn a_foreign_tree_is_named_field_by_field() {
        let bytes = br#"{"v":1,"fleet":"north","datacenter":3,"epoch":"a","layout":"snowflake64","genesis":"00"}"#;
        let mut expected =
            Expected { fleet: "north".into(), datacenter: 3, epoch: "a".into(), layout: "snowflake64".into() };
        recognise("/t", bytes, &expected).unwrap();
        expected.fleet = "south".into();
        expected.epoch = "b".into();
        assert_eq!(
            recognise("/t", bytes, &expected).unwrap_err().to_string(),
            "/t is another fleet's tree: fleet is \"north\" in the tree and \"south\" in the manifest, \
             epoch is \"a\" in the tree and \"b\" in the manifest"
        );
        let broken = recognise("/t", b"{}", &expected).unwrap_err().to_string();
        assert!(broken.starts_with("/t holds no tree of this version: missing field"), "{broken}");
    }
}
