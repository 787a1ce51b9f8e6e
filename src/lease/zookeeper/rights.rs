//! Who may do what to which znode.
//!
//! ZooKeeper's DELETE right governs a znode's *children*. So a slot cannot vanish (`/slots` has no DELETE for a node)
//! while its `owner` comes and goes (each slot has it), and no node has ADMIN, with which it could help itself to more.

use super::digest::digest_id;
use std::fmt;
use zookeeper_client::{Acl, AuthId, Permission};

/// A user and a password under ZooKeeper's `digest` scheme.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    user: String,
    password: String,
}

impl Identity {
    /// Reads `user:password`; the password may hold colons.
    pub fn parse(text: &str) -> Result<Identity, String> {
        match text.split_once(':') {
            Some((user, password)) if !user.is_empty() && !password.is_empty() => {
                Ok(Identity { user: user.to_owned(), password: password.to_owned() })
            }
            // The text is a secret: it does not go into the message.
            _ => Err("zookeeper credentials must be user:password".to_owned()),
        }
    }

    pub(super) fn secret(&self) -> Vec<u8> {
        format!("{}:{}", self.user, self.password).into_bytes()
    }

    fn auth_id(&self) -> AuthId {
        AuthId::new("digest", &digest_id(&self.user, &self.password))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:…", self.user)
    }
}

/// As whom Meridian speaks to the ensemble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// What every node of the fleet authenticates as.
    pub node: Identity,
    /// What `init` authenticates as, where given: it has all rights, and the nodes have fewer.
    pub admin: Option<Identity>,
}

/// The access control lists of the tree's znodes.
#[derive(Clone, Debug)]
pub(super) struct Rights {
    nodes: AuthId,
    admin: Option<AuthId>,
}

const READ: Permission = Permission::READ;
const WRITE: Permission = Permission::WRITE;
const CREATE: Permission = Permission::CREATE;
const DELETE: Permission = Permission::DELETE;
const NONE: Permission = Permission::NONE;

impl Rights {
    pub fn new(credentials: Option<&Credentials>) -> Rights {
        match credentials {
            None => Rights { nodes: AuthId::anyone(), admin: None },
            Some(Credentials { node, admin }) => {
                Rights { nodes: node.auth_id(), admin: admin.as_ref().map(Identity::auth_id) }
            }
        }
    }

    /// `operator`: what only the admin needs, and what therefore falls to the nodes where there is no admin.
    fn list(&self, nodes: Permission, operator: Permission) -> Vec<Acl> {
        match &self.admin {
            None => vec![Acl::new(nodes | operator, self.nodes.clone())],
            Some(admin) => {
                vec![Acl::new(nodes, self.nodes.clone()), Acl::new(Permission::ALL, admin.clone())]
            }
        }
    }

    /// The chroot and `/meridian/v1/dc`: several fleets may share them, so anybody may add, nobody may take away.
    pub fn ancestor(&self) -> Vec<Acl> {
        let mut list = vec![Acl::new(READ | CREATE, AuthId::anyone())];
        list.extend(self.admin.iter().map(|admin| Acl::new(Permission::ALL, admin.clone())));
        list
    }

    /// Its children are `drain`, which an operator makes and removes, and znodes that only `init` makes.
    pub fn tree(&self) -> Vec<Acl> {
        self.list(READ, CREATE | DELETE)
    }

    /// Made by whoever may add to the tree, and so may take it away again.
    pub fn drain(&self) -> Vec<Acl> {
        self.list(READ, WRITE)
    }

    pub fn admission(&self) -> Vec<Acl> {
        self.list(READ | WRITE, NONE)
    }

    pub fn workers(&self) -> Vec<Acl> {
        self.list(READ | CREATE | DELETE, NONE)
    }

    pub fn registration(&self) -> Vec<Acl> {
        self.list(READ | WRITE, NONE)
    }

    /// No DELETE: a slot that vanished would forget its ceiling.
    pub fn slots(&self) -> Vec<Acl> {
        self.list(READ, CREATE)
    }

    pub fn slot(&self) -> Vec<Acl> {
        self.list(READ | WRITE | CREATE | DELETE, NONE)
    }

    pub fn owner(&self) -> Vec<Acl> {
        self.list(READ, NONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_keeps_its_secret() {
        let identity = Identity::parse("node:p:q").unwrap();
        assert_eq!(identity.secret(), b"node:p:q");
        assert_eq!(format!("{identity:?}"), "node:…");
        for wrong in ["node", ":p", "node:", ""] {
            assert!(!Identity::parse(wrong).unwrap_err().contains("node:p"), "{wrong}");
        }
    }

    #[test]
    fn no_node_may_delete_a_slot_or_change_a_list() {
        let identity = |text| Identity::parse(text).unwrap();
        let credentials = [
            None,
            Some(Credentials { node: identity("n:n"), admin: None }),
            Some(Credentials { node: identity("n:n"), admin: Some(identity("a:a")) }),
        ];
        for credentials in &credentials {
            let rights = Rights::new(credentials.as_ref());
            let of_nodes = |list: Vec<Acl>| {
                let mine = |acl: &&Acl| acl.auth_id() == &rights.nodes || acl.auth_id() == &AuthId::anyone();
                list.iter().filter(mine).fold(NONE, |all, acl| all | acl.permission())
            };
            assert!(!of_nodes(rights.slots()).has(DELETE));
            assert!(of_nodes(rights.slot()).has(READ | WRITE | CREATE | DELETE));
            let all = [
                rights.ancestor(),
                rights.tree(),
                rights.drain(),
                rights.admission(),
                rights.workers(),
                rights.registration(),
                rights.slots(),
                rights.slot(),
                rights.owner(),
            ];
            for list in all {
                assert!(!of_nodes(list.clone()).has(Permission::ADMIN), "{list:?}");
            }
        }
    }
}
