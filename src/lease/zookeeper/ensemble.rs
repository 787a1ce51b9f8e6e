//! Where the ensemble is and as whom to speak to it; opening a session on a tree, within a bound.

use super::rights::{Credentials, Identity, Rights};
use super::session::Session;
use super::{failure, foundation, recognise};
use crate::lease::coordination::{Blueprint, Expected, Initialised, OpenError};
use crate::lease::znode::Paths;
use std::fmt;
use std::time::Duration;
use zookeeper_client::{Client, Error};

/// The session of an `init`, which owns no ephemerals: long enough for a slow ensemble, short enough to wait for.
const INIT_SESSION: Duration = Duration::from_secs(6);
const INIT_BOUND: Duration = Duration::from_secs(15);

/// One ensemble, or one chroot of it.
#[derive(Clone)]
pub struct Ensemble {
    hosts: String,
    /// Empty, or `/a/path`.
    chroot: String,
    connection_timeout: Option<Duration>,
    credentials: Option<Credentials>,
    /// Sessions are opened as the admin.
    operator: bool,
}

/// A connect string that cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("zookeeper \"{connect}\": {problem}; write host:port,host:port or host:port,host:port/chroot")]
pub struct InvalidEnsemble {
    connect: String,
    problem: String,
}

impl Ensemble {
    /// Reads `host:port,host:port/chroot`; the port is 2181 where it is missing. Asks nobody.
    pub fn new(connect: &str) -> Result<Ensemble, InvalidEnsemble> {
        let invalid = |problem: String| InvalidEnsemble { connect: connect.to_owned(), problem };
        if connect.contains("://") {
            return Err(invalid("no scheme belongs here (TLS to the ensemble is not built in)".to_owned()));
        }
        let (hosts, chroot) = connect.find('/').map_or((connect, ""), |slash| connect.split_at(slash));
        for host in hosts.split(',') {
            check_host(host).map_err(invalid)?;
        }
        // A bare slash is ZooKeeper's way of saying "no chroot".
        let chroot = if chroot == "/" { "" } else { chroot };
        for name in chroot.split('/').skip(1) {
            check_name(name).map_err(invalid)?;
        }
        Ok(Ensemble {
            hosts: hosts.to_owned(),
            chroot: chroot.to_owned(),
            connection_timeout: None,
            credentials: None,
            operator: false,
        })
    }

    /// How long a server may be silent before another is tried. Without it, 2/5 of the session time-out; more than 3/5
    /// of that is not used.
    pub fn with_connection_timeout(mut self, timeout: Duration) -> Ensemble {
        self.connection_timeout = Some(timeout);
        self
    }

    pub fn with_credentials(mut self, credentials: Credentials) -> Ensemble {
        self.credentials = Some(credentials);
        self
    }

    /// Whoever opens sessions from now on is the admin, where there is one.
    pub fn as_operator(mut self) -> Ensemble {
        self.operator = true;
        self
    }

    /// One bounded attempt: every server once, and all of it within the session time-out.
    pub async fn open(&self, expected: &Expected, session_timeout: Duration) -> Result<Session, OpenError> {
        let paths = Paths::new(expected.datacenter);
        let attempt = async {
            let identity = self.credentials.as_ref().map(|credentials| match &credentials.admin {
                Some(admin) if self.operator => admin,
                _ => &credentials.node,
            });
            let connect = format!("{}{}", self.hosts, self.chroot);
            let client = self.connect(&connect, identity, session_timeout).await?;
            let path = format!("{}{}", self.chroot, paths.root());
            match client.get_data(paths.root()).await {
                Ok((bytes, _)) => {
                    let tree = recognise(&path, &bytes, expected)?;
                    let granted = client.session_timeout();
                    if granted != session_timeout {
                        tracing::warn!(?session_timeout, ?granted, "the ensemble bounds session time-outs otherwise");
                    }
                    Ok(Session::new(client, tree, paths.clone(), Rights::new(self.credentials.as_ref())))
                }
                Err(Error::NoNode) => Err(OpenError::NoTree { path }),
                Err(error) => Err(self.refused("read", &path, error)),
            }
        };
        match tokio::time::timeout(session_timeout, attempt).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.unreachable(&format!("no answer within {session_timeout:?}"))),
        }
    }

    /// Makes what is missing of a datacenter's tree and brings its admission up to date, on a session of its own.
    pub async fn init(&self, blueprint: &Blueprint) -> Result<Initialised, OpenError> {
        let attempt = async {
            let identity =
                self.credentials.as_ref().map(|credentials| credentials.admin.as_ref().unwrap_or(&credentials.node));
            let client = self.connect(&self.hosts, identity, INIT_SESSION).await?;
            foundation::lay(&client, self, &Rights::new(self.credentials.as_ref()), blueprint).await
        };
        match tokio::time::timeout(INIT_BOUND, attempt).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.unreachable(&format!("init got no answer within {INIT_BOUND:?}"))),
        }
    }

    pub(super) fn chroot(&self) -> &str {
        &self.chroot
    }

    async fn connect(&self, to: &str, identity: Option<&Identity>, session: Duration) -> Result<Client, OpenError> {
        let mut connector = Client::connector().with_session_timeout(session).with_fail_eagerly();
        if let Some(timeout) = self.connection_timeout {
            connector = connector.with_connection_timeout(timeout);
        }
        if let Some(identity) = identity {
            connector = connector.with_auth("digest", &identity.secret());
        }
        connector.connect(to).await.map_err(|error| match error {
            Error::NoHosts => self.unreachable("no server accepts a session"),
            error => self.unreachable(&error.to_string()),
        })
    }

    fn unreachable(&self, why: &str) -> OpenError {
        OpenError::Unreachable(format!("zookeeper at {}: {why}", self.hosts))
    }

    /// What a failed request means to whoever opens or initialises: credentials do not get better by another try.
    pub(super) fn refused(&self, verb: &str, path: &str, error: Error) -> OpenError {
        match error {
            Error::NoAuth => OpenError::Mismatch(format!(
                "zookeeper at {}: not authorised to {verb} {path}: check the credentials against those of its `init`",
                self.hosts
            )),
            error => self.unreachable(&format!("cannot {verb} {path}: {}", failure(error))),
        }
    }
}

impl fmt::Debug for Ensemble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.hosts, self.chroot)
    }
}

impl fmt::Display for Ensemble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.hosts, self.chroot)
    }
}

fn check_host(text: &str) -> Result<(), String> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, "")) => (host, None),
            Some((host, rest)) => (host, Some(rest.strip_prefix(':').ok_or(format!("\"{text}\" is no address"))?)),
            None => return Err(format!("\"{text}\" lacks its \"]\"")),
        },
        None => match text.split_once(':') {
            Some((_, port)) if port.contains(':') => return Err(format!("\"{text}\": put IPv6 into brackets")),
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() {
        return Err(format!("\"{text}\" names no host"));
    }
    if host.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(format!("\"{text}\" has a space in it"));
    }
    match port.map(str::parse::<u16>) {
        None | Some(Ok(1..)) => Ok(()),
        Some(_) => Err(format!("\"{text}\": the port must be 1 to 65535")),
    }
}

fn check_name(name: &str) -> Result<(), String> {
    match name {
        "" => Err("the chroot has an empty name in it, or ends with a slash".to_owned()),
        "." | ".." => Err("the chroot must not be relative".to_owned()),
        "zookeeper" => Err("the chroot must not be ZooKeeper's own".to_owned()),
        _ if name.contains(',') => Err("only the last server may be followed by a chroot".to_owned()),
        _ if name.chars().any(|c| !c.is_ascii_graphic()) => Err("the chroot must be of printable ASCII".to_owned()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connect_strings() {
        for fine in ["zk", "zk:2181", "a:1,b:2,c:3", "a:1,b:2/x/y", "[::1]:2181", "[::1]", "zk:2181/"] {
            Ensemble::new(fine).unwrap();
        }
        let check = |connect: &str, expect: &str| {
            let message = Ensemble::new(connect).unwrap_err().to_string();
            assert!(message.starts_with(&format!("zookeeper \"{connect}\": {expect}")), "{message}");
        };
        check("", "\"\" names no host");
        check("a,,b", "\"\" names no host");
        check(":2181", "\":2181\" names no host");
        check("a:0", "\"a:0\": the port");
        check("a:x", "\"a:x\": the port");
        check("a:99999", "\"a:99999\": the port");
        check("a:", "\"a:\": the port");
        check("a b", "\"a b\" has a space");
        check("::1", "\"::1\": put IPv6");
        check("[::1", "\"[::1\" lacks");
        check("[::1]2", "\"[::1]2\" is no address");
        check("tcp://a", "no scheme");
        check("a/x/", "the chroot has an empty name");
        check("a//x", "the chroot has an empty name");
        check("a/../x", "the chroot must not be relative");
        check("a/x,b", "only the last server");
        check("a/ü", "the chroot must be of printable");
    }
}
