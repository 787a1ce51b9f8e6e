"""Every `fail` of the chart, with its sentence."""
import re

import helm_python
import pytest

import chart

M = chart.manifest()


def without(key):
    """The manifest without the first line of a key, at any depth."""
    return re.sub(rf"(?m)^\s*{key}:.*\n", "", M, count=1)


CASES = [
    ({}, {"text": ""}, "manifest is empty: pass the fleet's file with --set-file manifest=regions/meridian.yaml"),
    ({}, {"text": "regions: ["}, "manifest is not YAML (error converting YAML to JSON: yaml: line 1: did not find expected node content): run `meridian check`"),
    ({}, {"text": "[]"}, "manifest is not YAML ("),
    ({}, {"text": M.replace("meridian/v1", "meridian/v2")}, "manifest says schema meridian/v2: this chart reads meridian/v1"),
    ({}, {"text": "fleet: a"}, "manifest says schema nothing: this chart reads meridian/v1"),
    ({}, {"text": "schema: meridian/v1\nregions: 3\n"}, "manifest has no regions: run `meridian check`"),
    ({}, {"region": ""}, "region is empty: choose one of apac, eu-west, us-east, us-west"),
    ({}, {"region": "us-eats"}, "region us-eats is not in the manifest: choose one of apac, eu-west, us-east, us-west"),
    ({}, {"text": M.replace("quota: 12, ", "")}, "manifest: regions.us-east.workers.quota is missing: run `meridian check`"),
    ({}, {"text": without("zookeeper")}, "manifest: regions.us-east.zookeeper is missing: run `meridian check`"),
    ({}, {"text": without("workers")}, "manifest: regions.us-east.workers.quota is missing: run `meridian check`"),
    ({}, {"text": without("slots")}, "manifest: slots.static is missing: run `meridian check`"),
    ({}, {"text": re.sub(r"(static: 8.*\n)", r"\1    workers_per_node: 5\n", M)}, "manifest: regions.us-east.workers_per_node does not fit its workers: run `meridian check`"),
    ({}, {"text": without("window_ms")}, "manifest: lease.window_ms is missing: run `meridian check`"),
    ({"burst.replicas": 17}, {}, "burst.replicas 17 is more than the 16 that us-east leaves to burst nodes (its surge minus its static workers): lower it"),
    ({"burst.replicas": 5, "burst.ceiling": "quota"}, {}, "burst.replicas 5 is more than the 4 that us-east leaves to burst nodes (its quota minus its static workers): lower it"),
    ({"burst.replicas": 0}, {}, "burst.replicas 0 needs burst.autoscaler keda or none: an HPA does not scale from 0"),
    ({"burst.autoscaler": "keda", "burst.replicas": 0, "burst.latency.enabled": False, "burst.overflow.enabled": False}, {},
     "burst.replicas 0 needs burst.latency or burst.overflow: no CPU is used by nodes that are not there"),
    ({"standby.replicas": 7}, {"region": "apac"}, "standby.replicas 7 is more than the 6 that apac has room for (its surge minus its quota): lower it"),
    ({"shutdown.lameDuckSeconds": 8}, {}, "shutdown.lameDuckSeconds 8 is too short: the readiness probe and kube-proxy need 9 s until nobody sends requests any more"),
    ({"probes.readiness.periodSeconds": 10}, {}, "shutdown.lameDuckSeconds 15 is too short: the readiness probe and kube-proxy need 25 s until nobody sends requests any more"),
    ({"probes.liveness.timeoutSeconds": 11}, {}, "probes.liveness.timeoutSeconds 11 is longer than its periodSeconds 10: lower it"),
    ({"probes.readiness.timeoutSeconds": 3}, {}, "probes.readiness.timeoutSeconds 3 is longer than its periodSeconds 2: lower it"),
    ({"peers.us-east": "http://x"}, {}, "peers.us-east is not another region of the manifest: choose among apac, eu-west, us-west"),
    ({"peers.mars": "http://x"}, {}, "peers.mars is not another region of the manifest: choose among apac, eu-west, us-west"),
    ({"burst.autoscaler": "keda"}, {}, "burst.keda.serverAddress is empty: KEDA asks Prometheus for latency and overflow; give its URL, or switch both off"),
    ({"extraEnv": [{"name": "MERIDIAN_REGION", "value": "x"}]}, {}, "extraEnv sets MERIDIAN_REGION, which is the chart's own: there is a value for it"),
    ({"extraEnv": [{"name": "POD_IP", "value": "x"}]}, {}, "extraEnv sets POD_IP, which is the chart's own: there is a value for it"),
    ({"monitoring.rules.utilizationWarning": 0.8}, {}, "monitoring.rules.utilizationWarning 0.8 is not below utilizationCritical 0.8"),
    ({"serviceAccount.create": False}, {}, "serviceAccount.name is empty: name the one that exists, or let serviceAccount.create make it"),
    ({"zookeeper.enabled": True, "zookeeper.tickTime": 200}, {}, "zookeeper.tickTime 200 allows sessions of 400 to 4000 ms, and the manifest's lease.session_ms is 6000: change tickTime"),
    ({"zookeeper.enabled": True, "zookeeper.tickTime": 4000}, {}, "zookeeper.tickTime 4000 allows sessions of 8000 to 80000 ms, and the manifest's lease.session_ms is 6000: change tickTime"),
]


@pytest.mark.parametrize("flat, how, sentence", CASES, ids=[case[2][:50] for case in CASES])
def test_refused(flat, how, sentence):
    with pytest.raises(helm_python.HelmRenderError) as refused:
        chart.texts(chart.values(**flat), **how)
    assert sentence in str(refused.value).replace("\n", " ")


def test_every_fail_has_a_case():
    sources = "".join(file.read_text() for file in chart.CHART.rglob("templates/**/*") if file.is_file())
    sentences = re.findall(r'fail \(?(?:printf )?"((?:[^"\\]|\\.)*)"', sources)
    assert len(sentences) == sources.count("fail ")
    for sentence in sentences:
        pattern = "".join(".*" if part.startswith("%") else re.escape(part) for part in re.split(r"(%[a-z])", sentence))
        assert any(re.match(pattern, case[2]) or case[2] in sentence for case in CASES), f"no case: {sentence}"
