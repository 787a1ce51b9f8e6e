//! A pod template, as far as it decides how a process lives: what a kubelet reads of it. What this does not know is
//! refused, so that no part of the chart is passed over in silence.

use crate::chart::{name, number};
use serde_json::Value;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::Ipv4Addr;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Template {
    /// Of the whole text, annotations included: what a controller tells revisions by.
    pub revision: String,
    pub labels: BTreeMap<String, String>,
    pub args: Vec<String>,
    env: Vec<(String, Source)>,
    ports: BTreeMap<String, u16>,
    pub readiness: Option<Probe>,
    pub liveness: Option<Probe>,
    pub grace: Duration,
    pub mounts: Vec<Mount>,
    /// What a runtime that heeds the limit sees as processors.
    pub processors: usize,
    pub restart: Restart,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    Always,
    OnFailure,
}

#[derive(Clone, Debug)]
enum Source {
    Value(String),
    Field(String),
}

#[derive(Clone, Debug)]
pub struct Mount {
    pub path: String,
    pub volume: Volume,
}

#[derive(Clone, Debug)]
pub enum Volume {
    ConfigMap(String),
    EmptyDir,
}

#[derive(Clone, Debug)]
pub struct Probe {
    pub path: String,
    pub port: u16,
    pub period: Duration,
    pub timeout: Duration,
    pub failures: usize,
    pub successes: usize,
}

/// What a pod is, as its environment may ask for it.
#[derive(Clone, Debug)]
pub struct Identity {
    pub name: String,
    pub ip: Ipv4Addr,
    pub labels: BTreeMap<String, String>,
}

impl Template {
    pub fn read(value: &Value) -> Template {
        let spec = &value["spec"];
        let [container] = spec["containers"].as_array().expect("containers").as_slice() else {
            panic!("more than one container in a pod: {spec}")
        };
        assert!(spec["initContainers"].is_null() && container["lifecycle"].is_null() && container["command"].is_null());
        assert!(container["envFrom"].is_null(), "envFrom: {container}");
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let ports: BTreeMap<String, u16> = list(&container["ports"])
            .iter()
            .map(|port| (port["name"].as_str().expect("a name").to_owned(), number(&port["containerPort"]) as u16))
            .collect();
        let volumes = list(&spec["volumes"]);
        let mount = |mount: &Value| Mount {
            path: mount["mountPath"].as_str().expect("a path").to_owned(),
            volume: volume(volumes.iter().find(|volume| volume["name"] == mount["name"]).expect("its volume")),
        };
        let probe = |name: &str| (!container[name].is_null()).then(|| Probe::read(&container[name], &ports));
        let mut hasher = DefaultHasher::new();
        value.to_string().hash(&mut hasher);
        Template {
            revision: format!("{:08x}", hasher.finish() as u32),
            labels: labels(&value["metadata"]["labels"]),
            args: list(&container["args"]).iter().map(|arg| arg.as_str().expect("a text").to_owned()).collect(),
            env: list(&container["env"]).iter().map(variable).collect(),
            readiness: probe("readinessProbe"),
            liveness: probe("livenessProbe"),
            grace: Duration::from_secs(spec["terminationGracePeriodSeconds"].as_u64().unwrap_or(30)),
            mounts: list(&container["volumeMounts"]).iter().map(mount).collect(),
            processors: processors(&container["resources"]["limits"]["cpu"]),
            restart: match spec["restartPolicy"].as_str() {
                None | Some("Always") => Restart::Always,
                Some("OnFailure") => Restart::OnFailure,
                Some(other) => panic!("restartPolicy {other}"),
            },
            ports,
        }
    }

    pub fn port(&self, named: &str) -> u16 {
        self.ports[named]
    }

    /// The environment of the container, in order: what a kubelet does with values, fields and `$(NAME)`.
    pub fn environment(&self, pod: &Identity) -> Vec<(String, String)> {
        let mut known: BTreeMap<&str, String> = BTreeMap::new();
        let mut all = Vec::new();
        for (name, source) in &self.env {
            let value = match source {
                Source::Value(text) => expand(text, &known),
                Source::Field(path) => field(path, pod),
            };
            known.insert(name, value.clone());
            all.push((name.clone(), value));
        }
        all
    }

    /// The same template with another value of one variable.
    pub fn with(mut self, name: &str, value: &str) -> Template {
        let variable = self.env.iter_mut().find(|(known, _)| known == name);
        variable.unwrap_or_else(|| panic!("the chart does not set {name}")).1 = Source::Value(value.to_owned());
        self
    }
}

impl Probe {
    fn read(value: &Value, ports: &BTreeMap<String, u16>) -> Probe {
        let get = &value["httpGet"];
        assert!(get["scheme"].is_null() && value["initialDelaySeconds"].is_null(), "a probe of another kind: {value}");
        let port = get["port"].as_str().map_or_else(|| number(&get["port"]) as u16, |port| ports[port]);
        // Kubernetes' own defaults where the chart is silent.
        let whole = |key: &str, default: u64| value[key].as_u64().unwrap_or(default);
        Probe {
            path: get["path"].as_str().expect("a path").to_owned(),
            port,
            period: Duration::from_secs(whole("periodSeconds", 10)),
            timeout: Duration::from_secs(whole("timeoutSeconds", 1)),
            failures: whole("failureThreshold", 3) as usize,
            successes: whole("successThreshold", 1) as usize,
        }
    }
}

pub fn labels(value: &Value) -> BTreeMap<String, String> {
    let labels = value.as_object().into_iter().flatten();
    labels.map(|(name, value)| (name.clone(), value.as_str().expect("labels are texts").to_owned())).collect()
}

fn volume(value: &Value) -> Volume {
    if let Some(map) = value["configMap"]["name"].as_str() {
        return Volume::ConfigMap(map.to_owned());
    }
    assert!(value["emptyDir"].is_object(), "a volume of a kind that is not known here: {value}");
    Volume::EmptyDir
}

fn variable(value: &Value) -> (String, Source) {
    let source = match (&value["value"], &value["valueFrom"]) {
        (Value::String(text), Value::Null) => Source::Value(text.clone()),
        (Value::Null, Value::Object(from)) if from.keys().eq(["fieldRef"]) => {
            Source::Field(from["fieldRef"]["fieldPath"].as_str().expect("a path").to_owned())
        }
        _ => panic!("a variable from elsewhere: {value}"),
    };
    (value["name"].as_str().expect("a name").to_owned(), source)
}

fn field(path: &str, pod: &Identity) -> String {
    match path {
        "status.podIP" => pod.ip.to_string(),
        "metadata.name" => pod.name.clone(),
        _ => {
            let label = path.strip_prefix("metadata.labels['").and_then(|rest| rest.strip_suffix("']"));
            let label = label.unwrap_or_else(|| panic!("a field that is not known here: {path}"));
            // A label that is not there is an empty text.
            pod.labels.get(label).cloned().unwrap_or_default()
        }
    }
}

/// `$(NAME)` of what stands above it; `$$` is a dollar; what is not known stays as it is.
fn expand(text: &str, known: &BTreeMap<&str, String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out += &rest[..at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
            match known.get(name) {
                Some(value) => out += value,
                None => out += &format!("$({name})"),
            }
            rest = after;
        } else {
            out.push('$');
        }
    }
    out + rest
}

fn processors(limit: &Value) -> usize {
    let text = limit.as_str().map_or_else(|| limit.to_string(), str::to_owned);
    let milli = match text.strip_suffix('m') {
        Some(milli) => milli.parse::<f64>(),
        None => text.parse::<f64>().map(|whole| whole * 1_000.0),
    };
    milli.map_or(2, |milli| (milli / 1_000.0).ceil() as usize)
}

/// The template of a workload.
pub fn of(workload: &Value) -> Template {
    let template = Template::read(&workload["spec"]["template"]);
    let wanted = labels(&workload["spec"]["selector"]["matchLabels"]);
    let has = wanted.iter().all(|(label, value)| template.labels.get(label) == Some(value));
    assert!(has, "{} selects {wanted:?}, which its own pods are not", name(workload));
    template
}

/// What can be wrong here is checked before anything is started.
pub fn check() {
    let known = BTreeMap::from([("IP", "127.0.0.1".to_owned())]);
    for (text, expected) in [
        ("$(IP):8080", "127.0.0.1:8080"),
        ("[$(IP)]:$(PORT)", "[127.0.0.1]:$(PORT)"),
        ("$$(IP) $5", "$(IP) $5"),
        ("plain", "plain"),
    ] {
        assert_eq!(expand(text, &known), expected);
    }
}
