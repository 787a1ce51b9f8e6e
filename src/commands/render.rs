//! `meridian render`: writes a target's files, and says what they cannot express.

use super::{Exit, Failed, fleet, table};
use crate::cli::{OutputArgs, PolicyArg, RenderArgs, ServerArgs, Target};
use crate::render::{self, Finding, MARK, NameServer, Rendering, Server};
use crate::topology::Topology;
use anyhow::Context;
use serde::Serialize;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// The mark stands at a file's beginning.
const MARK_WITHIN: u64 = 512;

pub fn run(args: &RenderArgs, out: &mut impl Write) -> anyhow::Result<Exit> {
    let (output, rendering) = match &args.target {
        Target::Gdnsd(args) => {
            let topology = fleet::read(&args.output.manifest)?;
            let server = server(&args.server, &topology, &args.output.output)?;
            (&args.output, (render::gdnsd(&topology, &server), topology))
        }
        Target::Powerdns(args) => {
            let topology = fleet::read(&args.output.manifest)?;
            let server = server(&args.server, &topology, &args.config_dir)?;
            (&args.output, (render::powerdns(&topology, &server), topology))
        }
        Target::Route53(args) => {
            let topology = fleet::read(&args.output.manifest)?;
            let policy = match args.policy {
                PolicyArg::Cidr => render::route53::Policy::Cidr,
                PolicyArg::Geoproximity => render::route53::Policy::Geoproximity,
                PolicyArg::Latency => render::route53::Policy::Latency,
            };
            (&args.output, (render::route53(&topology, policy, args.probe_port), topology))
        }
    };
    let (rendering, topology) = rendering;
    let rendering =
        rendering.map_err(|why| Failed::no(format!("{} cannot be rendered: {why}", output.manifest.path.display())))?;
    let stale = write(&output.output, &rendering)?;
    print(output, &topology, &rendering, &stale, out)?;
    Ok(Exit::Fine)
}

fn server(args: &ServerArgs, topology: &Topology, config_dir: &Path) -> anyhow::Result<Server> {
    let parse = |text: &String| {
        NameServer::parse(text, &topology.dns.name).map_err(|why| Failed::usage(format!("--nameserver: {why}")))
    };
    let mut nameservers = args.nameservers.iter().map(parse).collect::<anyhow::Result<Vec<_>>>()?;
    if nameservers.is_empty() {
        nameservers = NameServer::defaults(topology);
    }
    for folder in args.run_dir.iter().map(PathBuf::as_path).chain([config_dir]) {
        // Configuration files have lines, and words between spaces.
        if folder.to_str().is_none_or(|text| text.contains(|c: char| c.is_control() || c == '"' || c == ' ')) {
            let folder = folder.display();
            return Err(Failed::usage(format!("{folder:?}: name a folder without spaces and quotes, servers read it")));
        }
    }
    Ok(Server {
        listen: args.listen.clone(),
        nameservers,
        probe_port: args.probe_port,
        run_dir: args.run_dir.clone(),
        config_dir: config_dir.to_owned(),
    })
}

/// Writes all files or, if one that is not ours is in the way, none. Gives those of an earlier rendering that are no
/// longer part of it.
fn write(folder: &Path, rendering: &Rendering) -> anyhow::Result<Vec<String>> {
    let mut foreign = Vec::new();
    for (name, _) in &rendering.files {
        match is_ours(&folder.join(name)) {
            Ok(true) => {}
            Ok(false) => foreign.push(name.as_str()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let path = folder.join(name);
                return Err(error).with_context(|| format!("cannot look at {}", path.display()));
            }
        }
    }
    if !foreign.is_empty() {
        return Err(Failed::no(format!(
            "{} was not written by `meridian render` and is not overwritten; nothing was written: move it away, or name \
             another folder with --output",
            foreign.iter().map(|name| folder.join(name).display().to_string()).collect::<Vec<_>>().join(", ")
        )));
    }
    for (name, text) in &rendering.files {
        let path = folder.join(name);
        place(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(stale(folder, rendering))
}

/// Renamed into place: a server that reads meanwhile reads the old file or the new one.
fn place(path: &Path, text: &str) -> io::Result<()> {
    let (folder, name) = (path.parent().unwrap_or(Path::new(".")), path.file_name().unwrap_or_default());
    fs::create_dir_all(folder)?;
    let new = folder.join(format!(".{}.{}.new", name.to_string_lossy(), std::process::id()));
    let written = fs::write(&new, text).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}

fn is_ours(path: &Path) -> io::Result<bool> {
    let mut head = Vec::new();
    fs::File::open(path)?.take(MARK_WITHIN).read_to_end(&mut head)?;
    Ok(String::from_utf8_lossy(&head).contains(MARK))
}

/// A zone that was renamed would go on being served. Only this target's own files are looked for: folders may be shared.
fn stale(folder: &Path, rendering: &Rendering) -> Vec<String> {
    let mut found = Vec::new();
    for below in ["", "zones"] {
        for entry in fs::read_dir(folder.join(below)).into_iter().flatten().flatten() {
            let name = Path::new(below).join(entry.file_name()).display().to_string();
            let ours = entry.file_type().is_ok_and(|kind| kind.is_file()) && is_ours(&entry.path()).unwrap_or(false);
            if ours && !rendering.files.iter().any(|(written, _)| *written == name) {
                found.push(name);
            }
        }
    }
    found.sort();
    found
}

#[derive(Serialize)]
struct Report<'a> {
    target: &'a str,
    folder: String,
    files: Vec<&'a str>,
    stale: &'a [String],
    manifest_sha256: &'a str,
    fidelity: &'a [Finding],
}

fn print(
    args: &OutputArgs,
    topology: &Topology,
    rendering: &Rendering,
    stale: &[String],
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let folder = args.output.display().to_string();
    let files: Vec<&str> = rendering.files.iter().map(|(name, _)| name.as_str()).collect();
    let Rendering { target, fidelity, .. } = rendering;
    if args.json {
        let manifest_sha256 = &topology.digest;
        let report = Report { target, folder, files, stale, manifest_sha256, fidelity };
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
        return Ok(());
    }
    writeln!(out, "{target}: wrote {} to {folder}", files.join(", "))?;
    for name in stale {
        writeln!(out, "{name} is from an earlier rendering and no longer part of this one: remove it")?;
    }
    writeln!(out, "\nWhat {target} makes of the manifest:\n")?;
    let rows: Vec<_> = fidelity
        .iter()
        .map(|finding| {
            let Finding { aspect, verdict, manifest, target } = finding;
            [aspect.name().to_owned(), verdict.to_string(), manifest.clone(), target.clone()]
        })
        .collect();
    table::print(out, ["OF THE MANIFEST", "", "IT SAYS", "THE TARGET DOES"], &rows)?;
    Ok(())
}
