//! The shape of the code, held: imports point down the layers, each foreign system has one home, nothing is unfinished.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Which layer each module of `src/lib.rs` stands in (docs/ARCHITECTURE.md). A module may use its own layer's and lower.
const LAYERS: &[(u32, &[&str])] = &[
    (
        0,
        &[
            "atomic",
            "cli",
            "fetch",
            "histogram",
            "id",
            "load",
            "manifest",
            "memory",
            "metrics",
            "outcomes",
            "shutdown",
            "telemetry",
        ],
    ),
    (1, &["census", "clock", "topology"]),
    (2, &["lease", "render"]),
    (3, &["generator", "health"]),
    (4, &["client", "desk", "issuer", "peers"]),
    (5, &["drill", "geodns", "grpc", "http"]),
    (6, &["commands"]),
];

/// Foreign crates and the only places that may name them.
const HOMES: &[(&str, &str)] = &[
    ("zookeeper_client", "src/lease/zookeeper/"),
    ("serde_saphyr", "src/manifest/"),
    ("hickory_net", "src/geodns/"),
    ("hickory_proto", "src/geodns/"),
    ("hickory_resolver", "src/client/dns.rs|src/peers/probe.rs"),
    ("hyper", "src/http/|src/fetch.rs|src/client/line.rs"),
    ("hyper_util", "src/http/|src/fetch.rs|src/client/line.rs"),
    ("prost", "src/grpc/"),
    ("tonic", "src/grpc/"),
    ("tonic_health", "src/grpc/"),
    ("tonic_reflection", "src/grpc/"),
    ("clap_complete", "src/commands/completions.rs|src/cli.rs"),
    ("tracing_subscriber", "src/telemetry.rs"),
];

/// No I/O, no clock, no tasks in here: what decides is tested by values alone.
const PURE: &[&str] = &[
    "src/id.rs",
    "src/census/mod.rs",
    "src/census/union.rs",
    "src/client/budget.rs",
    "src/client/ejection.rs",
    "src/client/prefetch.rs",
    "src/client/span.rs",
    "src/client/stock.rs",
    "src/generator.rs",
    "src/issuer/slots.rs",
    "src/drill/dice.rs",
    "src/drill/goal.rs",
    "src/drill/picture.rs",
    "src/drill/record.rs",
    "src/drill/report.rs",
    "src/drill/script.rs",
    "src/drill/timing.rs",
    "src/drill/verdict/",
    "src/geodns/survey.rs",
    "src/lease/grant.rs",
    "src/lease/line.rs",
    "src/lease/state/",
    "src/lease/tree",
    "src/health/verdict.rs",
    "src/health/region.rs",
    "src/peers/verdict.rs",
    "src/clock/credible.rs",
    "src/render/",
    "src/topology/",
];

const IMPURE: &[&str] = &[
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "tokio::",
    "libc::",
    "Instant::now",
    "SystemTime",
    "getrandom",
    "clock::real_us",
];

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root).unwrap().to_owned(), text));
            }
        }
    }
    assert!(found.len() > 3, "{folder} looks empty");
    found.sort();
    found
}

/// The code of a file without comments and without the unit tests at its end.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| *line != "#[cfg(test)]")
        .map(|(number, line)| (number + 1, line.split("//").next().unwrap_or_default()))
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs")
}

#[test]
fn imports_point_down() {
    let layer_of: BTreeMap<&str, u32> =
        LAYERS.iter().flat_map(|(layer, modules)| modules.iter().map(move |module| (*module, *layer))).collect();
    let lib = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let declared: Vec<&str> = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    for module in &declared {
        assert!(layer_of.contains_key(module), "src/lib.rs declares {module}: give it a layer");
    }
    assert_eq!(declared.len(), layer_of.len(), "a layer names a module that src/lib.rs does not declare");

    let mut wrong = Vec::new();
    for (path, text) in sources("src") {
        let module = path.components().nth(1).unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs");
        let Some(own) = layer_of.get(module) else { continue }; // main.rs and lib.rs
        for (number, line) in code(&text) {
            for used in line.split("crate::").skip(1) {
                let name: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if layer_of.get(name.as_str()).is_some_and(|layer| layer > own) {
                    wrong.push(format!("{}:{number}: {module} (layer {own}) uses {name}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "imports that point up:\n{}", wrong.join("\n"));
}

#[test]
fn each_foreign_system_has_one_home() {
    let mut wrong = Vec::new();
    for (path, text) in sources("src") {
        let name = path.to_str().unwrap();
        for (number, line) in code(&text) {
            for (krate, homes) in HOMES {
                let named = line.contains(&format!("{krate}::")) || line.contains(&format!("use {krate}"));
                if named && !homes.split('|').any(|home| name.starts_with(home)) {
                    wrong.push(format!("{name}:{number}: {krate} is at home in {homes}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_decides_does_no_io() {
    let mut wrong = Vec::new();
    for (path, text) in sources("src") {
        let name = path.to_str().unwrap();
        if is_test(&path) || !PURE.iter().any(|pure| name.starts_with(pure)) {
            continue;
        }
        for (number, line) in code(&text) {
            for word in IMPURE {
                if line.contains(word) {
                    wrong.push(format!("{name}:{number}: {word}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Where the lease may be broken on purpose, and where that is asked for and told. (That what is broken stays behind its
/// feature, the compiler holds: without the feature its modules are not there.)
const BROKEN: &[&str] = &["src/lease/state/", "src/commands/", "src/lib.rs"];

#[test]
fn what_is_broken_on_purpose_keeps_to_its_rooms_and_is_off() {
    let (mut found, mut wrong) = (0, Vec::new());
    for (path, text) in sources("src") {
        let name = path.to_str().unwrap();
        for (number, _) in code(&text).filter(|(_, line)| line.contains("feature = \"broken\"")) {
            found += 1;
            if !BROKEN.iter().any(|room| name.starts_with(room)) {
                wrong.push(format!("{name}:{number}"));
            }
        }
    }
    assert!(wrong.is_empty(), "broken on purpose, elsewhere than in {BROKEN:?}:\n{}", wrong.join("\n"));
    assert!(found > BROKEN.len(), "nothing is broken anywhere: this test is blind");
    let package = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    assert!(!package.lines().any(|line| line.starts_with("default =")), "a default feature may bring `broken` along");
}

#[test]
fn nothing_is_unfinished_or_ignored() {
    let words = ["todo", "unimplemented"].map(|word| format!("{word}!("));
    let ignored = format!("#[{}", "ignore");
    let mut wrong = Vec::new();
    for (path, text) in sources("src").into_iter().chain(sources("tests")) {
        for (number, line) in text.lines().enumerate() {
            if words.iter().any(|word| line.contains(word)) || line.contains(&ignored) {
                wrong.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_are_named_for_a_noun() {
    let vague = ["util", "utils", "helper", "helpers", "common", "misc", "manager", "handler", "handlers"];
    let wrong: Vec<_> = sources("src")
        .into_iter()
        .map(|(path, _)| path)
        .filter(|path| vague.contains(&path.file_stem().unwrap().to_str().unwrap()))
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}
