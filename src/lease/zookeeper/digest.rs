//! How ZooKeeper writes a `user:password` into an ACL: `user:base64(sha1(user:password))`.
//!
//! SHA-1 is here only because the server computes the same; nothing of Meridian rests on its strength.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha1::{Digest, Sha1};

/// The id of an identity under the `digest` scheme, as `DigestAuthenticationProvider` makes it by default.
pub(super) fn digest_id(user: &str, password: &str) -> String {
    format!("{user}:{}", BASE64_STANDARD.encode(Sha1::digest(format!("{user}:{password}"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_zookeeper_guide() {
        assert_eq!(digest_id("super", "test"), "super:D/InIHSb7yEEbrWz8b9l71RjZJU=");
    }
}
