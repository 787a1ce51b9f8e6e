//! The world a drill plays in: namespaces of its own, and in them the addresses of regions and clients.
//!
//! The drill runs itself again inside `unshare`. In there it is process 1, so the kernel ends everything with it; and
//! its network has nothing but a loopback device, to which `ip` gives the manifest's own addresses. Packets to any other
//! address find the loopback device as default route, come back from it as nobody's, and are dropped without a word: an
//! address that is taken away is a black hole.

use crate::geodns::survey::subnet;
use crate::topology::{Region, Topology};
use anyhow::{Context, bail};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where Debian puts what only root has in its path.
const SYSTEM: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/local/sbin"];
/// Debian's ZooKeeper, and what it needs beside it.
pub const JARS: &str = "/usr/share/java";

/// A tool, and the Debian package that has it.
const TOOLS: [(&str, &str); 5] = [
    ("unshare", "util-linux"),
    ("ip", "iproute2"),
    ("gdnsd", "gdnsd"),
    ("unbound", "unbound"),
    ("java", "default-jre-headless"),
];
const LIBRARIES: [(&str, &str); 3] =
    [("zookeeper.jar", "zookeeper"), ("servlet-api.jar", "libservlet-api-java"), ("slf4j-simple.jar", "libslf4j-java")];

/// The program of this name.
pub fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(SYSTEM.iter().map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn tool_or_remedy(name: &str) -> anyhow::Result<PathBuf> {
    tool(name).with_context(|| format!("{name} is not there"))
}

/// Whether everything is there that a stage is built of; else what to install.
pub fn check_tools() -> anyhow::Result<()> {
    let tools = TOOLS.iter().filter(|(name, _)| tool(name).is_none());
    let libraries = LIBRARIES.iter().filter(|(name, _)| !Path::new(JARS).join(name).is_file());
    let missing: Vec<_> = tools.chain(libraries).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
    let packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    bail!("a drill needs {}, not found here: apt-get install {}", names.join(", "), packages.join(" "))
}

/// `unshare`, to be given a command: namespaces for the network and for processes, and for users unless we are root.
/// What runs in there dies when `unshare` does.
pub fn unshare() -> anyhow::Result<Command> {
    let mut command = Command::new(tool_or_remedy("unshare")?);
    // SAFETY: a plain system call that cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--net", "--pid", "--fork", "--kill-child"]);
    Ok(command)
}

/// Whether namespaces can be had here at all.
pub fn check_namespaces() -> anyhow::Result<()> {
    let tried = unshare()?.arg("true").stdin(Stdio::null()).output().context("running unshare")?;
    if !tried.status.success() {
        bail!(
            "a drill plays in namespaces of its own, and they cannot be had here ({}): run it as root, or allow \
             unprivileged ones (sysctl kernel.unprivileged_userns_clone=1, or user.max_user_namespaces above 0; in a \
             container, give it CAP_SYS_ADMIN)",
            String::from_utf8_lossy(&tried.stderr).trim()
        );
    }
    Ok(())
}

/// Brings up the network of this namespace: regions' and clients' addresses, and nothing behind them.
pub fn lay(topology: &Topology) -> anyhow::Result<()> {
    let mut lines = String::from("link set lo up\nroute add default dev lo\n");
    let mut ipv6 = String::from("route add default dev lo\n");
    for address in topology
        .regions
        .iter()
        .flat_map(|region| region.addresses.iter().copied())
        .chain(topology.regions.iter().filter_map(client))
    {
        match address {
            IpAddr::V4(_) => lines += &format!("address add {address}/32 dev lo\n"),
            IpAddr::V6(_) => ipv6 += &format!("address add {address}/128 dev lo nodad\n"),
        }
    }
    ip(&["-4"], &lines)?;
    match topology.regions.iter().any(|region| region.addresses.iter().any(IpAddr::is_ipv6)) {
        true => ip(&["-6"], &ipv6),
        false => Ok(()),
    }
}

/// Takes a region's addresses away, or gives them back.
pub fn reach(region: &Region, reachable: bool) -> anyhow::Result<()> {
    let verb = if reachable { "add" } else { "del" };
    for address in &region.addresses {
        match address {
            IpAddr::V4(_) => ip(&["-4"], &format!("address {verb} {address}/32 dev lo\n"))?,
            IpAddr::V6(_) if reachable => ip(&["-6"], &format!("address add {address}/128 dev lo nodad\n"))?,
            IpAddr::V6(_) => ip(&["-6"], &format!("address del {address}/128 dev lo\n"))?,
        }
    }
    Ok(())
}

/// Runs these commands of `ip`, one a line, until one fails.
fn ip(family: &[&str], lines: &str) -> anyhow::Result<()> {
    let mut command = Command::new(tool_or_remedy("ip")?);
    command.args(family).args(["-batch", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().context("running ip")?;
    if let Some(mut pipe) = child.stdin.take() {
        pipe.write_all(lines.as_bytes()).context("telling ip")?;
    }
    let ended = child.wait_with_output().context("waiting for ip")?;
    if !ended.status.success() {
        bail!("ip (iproute2) failed: {}", String::from_utf8_lossy(&ended.stderr).trim());
    }
    Ok(())
}

/// Where a client of a region sits: in the second subnet of its first network of IPv4.
pub fn client(region: &Region) -> Option<IpAddr> {
    let networks = region.networks.iter().filter_map(|network| subnet(network));
    networks.filter_map(|(base, length)| host(base, length)).next()
}

fn host(base: IpAddr, length: u8) -> Option<IpAddr> {
    let IpAddr::V4(base) = base else { return None };
    let address = if length < 32 { Ipv4Addr::from(u32::from(base) | 1) } else { base };
    let plain = !(address.octets()[0] == 0 || address.is_loopback() || address.is_multicast());
    plain.then_some(IpAddr::V4(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_sit_in_their_region_s_networks() {
        let topology = Topology::parse("shipped", include_bytes!("../../regions/meridian.yaml")).unwrap();
        let clients: Vec<String> = topology.regions.iter().filter_map(client).map(|at| at.to_string()).collect();
        assert_eq!(clients, ["10.0.1.1", "10.1.1.1", "10.2.1.1", "10.3.1.1"]);
        assert_eq!(host("192.0.2.7".parse().unwrap(), 32), Some("192.0.2.7".parse().unwrap()));
        for unusable in ["0.0.1.0", "127.0.1.0", "2001:db8::"] {
            assert_eq!(host(unusable.parse().unwrap(), 24), None);
        }
    }
}
