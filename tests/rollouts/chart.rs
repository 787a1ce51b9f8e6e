//! What Helm makes of the chart, as the objects an API server would be given.

use meridian::drill::world::tool;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const RELEASE: &str = "meridian";

/// Helm itself: the one on PATH, as for people, or one of those that `scripts/install-deploy` brings.
#[derive(Clone, Debug)]
pub struct Helm(PathBuf);

impl Helm {
    /// # Panics
    /// Without Helm nothing here means anything.
    pub fn find() -> Helm {
        if let Some(helm) = tool("helm") {
            return Helm(helm);
        }
        let whereabouts = Command::new(Path::new(ROOT).join("scripts/install-deploy")).arg("--where").output();
        let folder = whereabouts.ok().map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        let helm = folder.map(|folder| Path::new(&folder).join("helm4")).filter(|helm| helm.is_file());
        Helm(
            helm.expect("helm is neither on PATH nor where scripts/install-deploy puts it: run scripts/install-deploy"),
        )
    }

    /// `helm template`, with the values files given, the later one winning.
    pub fn render(&self, region: &str, manifest: &Path, values: &[PathBuf]) -> Release {
        let mut command = Command::new(&self.0);
        command.args(["template", RELEASE]).arg(Path::new(ROOT).join("helm/meridian"));
        command.args(["--namespace", "ids", "--set", &format!("region={region}")]);
        command.arg("--set-file").arg(format!("manifest={}", manifest.display()));
        for file in values {
            command.arg("--values").arg(file);
        }
        let done = command.stdin(Stdio::null()).output().expect("helm runs");
        assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
        Release::read(&String::from_utf8(done.stdout).expect("helm writes UTF-8"))
    }
}

/// One revision of the release.
#[derive(Clone, Debug)]
pub struct Release {
    objects: Vec<Value>,
}

impl Release {
    fn read(text: &str) -> Release {
        let mut documents = vec![String::new()];
        for line in text.lines() {
            match line {
                "---" => documents.push(String::new()),
                _ => *documents.last_mut().expect("one at least") += &format!("{line}\n"),
            }
        }
        let parse = |text: &String| -> Value {
            serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("helm wrote no YAML: {error}\n{text}"))
        };
        let hook = |object: &Value| object["metadata"]["annotations"]["helm.sh/hook"].is_string();
        // `helm test` is a hook, and no part of what an upgrade applies.
        let objects = documents.iter().map(parse).filter(|object| object.is_object() && !hook(object)).collect();
        Release { objects }
    }

    pub fn of_kind<'a, 'k>(&'a self, kind: &'k str) -> impl Iterator<Item = &'a Value> + use<'a, 'k> {
        self.objects.iter().filter(move |object| object["kind"] == kind)
    }

    /// The one object of this kind whose name has this ending.
    pub fn object(&self, kind: &str, ending: &str) -> Option<&Value> {
        self.of_kind(kind).find(|object| name(object).ends_with(ending))
    }

    /// What a ConfigMap has under its only key: the key, which becomes a file's name, and the text.
    pub fn file_of(&self, config_map: &str) -> (String, String) {
        let map = self.of_kind("ConfigMap").find(|map| name(map) == config_map);
        let map = map.unwrap_or_else(|| panic!("no ConfigMap {config_map} is rendered, and a pod mounts it"));
        let data = map["data"].as_object().expect("data");
        let (file, text) = data.iter().next().expect("a file");
        (file.clone(), text.as_str().expect("a text").to_owned())
    }

    /// Who sets the number of burst nodes, and between what: an HPA, a ScaledObject, or nobody.
    pub fn autoscaler(&self) -> Option<(usize, usize)> {
        let bounds = |kind, least: &str, most: &str| {
            let spec = &self.of_kind(kind).next()?["spec"];
            Some((number(&spec[least]), number(&spec[most])))
        };
        bounds("HorizontalPodAutoscaler", "minReplicas", "maxReplicas")
            .or_else(|| bounds("ScaledObject", "minReplicaCount", "maxReplicaCount"))
    }
}

pub fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().expect("every object has a name")
}

pub fn number(value: &Value) -> usize {
    value.as_u64().unwrap_or_else(|| panic!("a number, and not {value}")) as usize
}
