"""All derives from the manifest: another region is one entry, and every number moves what it should."""
import re

import pytest
import yaml

import chart
import kubernetes
import semantics
from tools import ROOT

# With other ports than the regions of the manifest.
FIFTH = (ROOT / "tests/fixtures/fifth.yaml").read_text().replace("zk-0.sa-east:2181", "zk-0.sa-east:2183").replace(":2181", ":2182")
FIVE = chart.manifest().rstrip("\n") + "\n" + FIFTH
ALL = chart.values(**{"monitoring.rules.enabled": True, "monitoring.serviceMonitor.enabled": True, "monitoring.dashboard.enabled": True})
BUILDS = {
    "hpa": {}, "monitored": ALL, "keda": chart.values(**{"burst.autoscaler": "keda", "burst.keda.serverAddress": "http://p:9090"}),
    "zookeeper": chart.values(**{"zookeeper.enabled": True}),
}


def judged(objects):
    found = [p for body in objects for p in [*kubernetes.problems(body), *semantics.of_one(body)]]
    assert found + list(semantics.of_all(objects)) == []
    return objects


@pytest.mark.parametrize("build", BUILDS)
def test_a_fifth_region_is_one_entry(build):
    for region in [*chart.regions(), "sa-east"]:
        objects = judged(chart.objects(BUILDS[build], region=region, text=FIVE))
        workers = yaml.safe_load(FIVE)["regions"][region]["workers"]
        assert chart.find(objects, "StatefulSet", "-core")["spec"]["replicas"] == workers["static"]
        if build == "hpa":
            scaler = chart.find(objects, "HorizontalPodAutoscaler")["spec"]
            assert scaler["maxReplicas"] == workers["surge"] - workers["static"]
    if build == "hpa":
        policy = chart.find(chart.objects({}, region="sa-east", text=FIVE), "NetworkPolicy", "meridian")
        ports = {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}
        assert ports == {53, 2182, 2183, 8080}


def test_it_joins_the_others():
    """The others know it: it may be named as a peer, and their manifests have one digest."""
    objects = chart.objects({"peers": {"sa-east": "http://203.0.113.5:8080"}}, region="apac", text=FIVE)
    env = chart.find(objects, "Deployment", "-burst")["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "MERIDIAN_PEER", "value": "sa-east=http://203.0.113.5:8080"} in env


@pytest.mark.parametrize("workers", ["quota: 4, static: 4, surge: 4", "quota: 4, static: 0, surge: 4", "quota: 32, static: 16, surge: 32", "quota: 1, static: 0, surge: 1"])
def test_regions_of_all_shapes(workers):
    text = FIVE.replace("quota: 5, static: 3, surge: 9", workers)
    for values in BUILDS.values():
        objects = judged(chart.objects(values, region="sa-east", text=text))
        kinds = {body["metadata"]["name"] for body in objects if body["kind"] in ("StatefulSet", "Deployment")}
        assert ("meridian-core" in kinds) == ("static: 0" not in workers)
        assert ("meridian-burst" in kinds) == (workers != "quota: 4, static: 4, surge: 4")


def test_nodes_of_several_workers_are_fewer():
    """The quotas count slots, the workloads nodes: as many as it takes to hold them."""
    text = FIVE.replace("quota: 5, static: 3, surge: 9 }", "quota: 8, static: 6, surge: 15 }\n    workers_per_node: 3")
    objects = judged(chart.objects(BUILDS["hpa"], region="sa-east", text=text))
    assert chart.find(objects, "StatefulSet", "-core")["spec"]["replicas"] == 2
    assert chart.find(objects, "HorizontalPodAutoscaler")["spec"]["maxReplicas"] == 3
    env = chart.find(objects, "StatefulSet")["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "MERIDIAN_STATIC_SLOT", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['apps.kubernetes.io/pod-index']"}}} in env


# What of the manifest the chart reads, and what it would be instead.
READ = [
    ("quota: 12", "quota: 13", {"burst.ceiling": "quota"}),
    ("static: 8", "static: 9", {}),
    ("surge: 24", "surge: 23", {}),
    ("static: [0, 15]", "static: [2, 15]", {}),
    ('zookeeper: "zk-0.us-east:2181,', 'zookeeper: "zk-0.us-east:2281,', {}),
    ("window_ms: 30000", "window_ms: 60000", ALL),
    ("response_time_ms: 100", "response_time_ms: 50", ALL),
    ("clock_drift_ms: 100 ", "clock_drift_ms: 50 ", ALL),
    ("fleet: global", "fleet: test", ALL),
]


@pytest.mark.parametrize("old, new, values", READ, ids=[row[0] for row in READ])
def test_every_number_moves_something(old, new, values):
    values = chart.values(**values) if values and "monitoring" not in values else values
    texts = chart.manifest(), chart.manifest().replace(old, new, 1)
    assert texts[0] != texts[1]
    before, after = ([without_manifest(body) for body in chart.objects(values, text=text)] for text in texts)
    assert before != after
    judged(chart.objects(values, text=texts[1]))


def without_manifest(body):
    """The object without the manifest's text and digest, which any change moves."""
    text = re.sub(r"[0-9a-f]{64}|init-[0-9a-f]{10}", "", repr(body))
    return None if "'meridian.yaml':" in text else text


def test_no_second_copy():
    """No value of the chart carries a name or a number of a region."""
    manifest = yaml.safe_load(chart.manifest())
    sources = "".join(f.read_text() for f in [*chart.CHART.glob("values.yaml"), *chart.CHART.rglob("templates/**/*.*")] if f.is_file())
    for name, region in manifest["regions"].items():
        for word in (region["endpoint"], region["zookeeper"], region["cloud"]["region"], *region["addresses"]):
            assert word not in sources
    assert manifest["epoch"] not in sources and manifest["dns"]["name"] not in sources


def test_slots_and_shutdown_of_the_core():
    objects = chart.objects({"shutdown": {"lameDuckSeconds": 30, "drainSeconds": 20}})
    pod = chart.find(objects, "StatefulSet")["spec"]["template"]["spec"]
    env = {e["name"]: e.get("value", e.get("valueFrom")) for e in pod["containers"][0]["env"]}
    assert pod["terminationGracePeriodSeconds"] == 60
    assert env["MERIDIAN_STATIC_SLOT"] == {"fieldRef": {"fieldPath": "metadata.labels['apps.kubernetes.io/pod-index']"}}
    assert env["MERIDIAN_LISTEN"] == "$(POD_IP):8080" and list(env)[0] == "POD_IP"
    burst = chart.find(objects, "Deployment", "-burst")["spec"]["template"]["spec"]["containers"][0]["env"]
    assert "MERIDIAN_STATIC_SLOT" not in {e["name"] for e in burst}


def test_the_autoscaler_is_the_briefs():
    spec = chart.find(chart.objects({}), "HorizontalPodAutoscaler")["spec"]
    assert spec["metrics"][0]["resource"] == {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}
    assert spec["metrics"][1]["pods"]["target"] == {"type": "AverageValue", "averageValue": "5m"}
    assert spec["behavior"] == {
        "scaleUp": {"stabilizationWindowSeconds": 60, "policies": [{"type": "Percent", "value": 50, "periodSeconds": 60}]},
        "scaleDown": {"stabilizationWindowSeconds": 300, "policies": [{"type": "Percent", "value": 10, "periodSeconds": 60}]}}


def test_ensemble_of_its_own():
    values = chart.values(**{"zookeeper.enabled": True, "zookeeper.replicas": 5})
    objects = judged(chart.objects(values, name="ids-eu", region="eu-west"))
    config = chart.find(objects, "ConfigMap", "ids-eu-zookeeper")["data"]["zoo.cfg"]
    servers = re.findall(r"^server\.(\d)=(\S+):2888:3888$", config, re.MULTILINE)
    env = chart.find(objects, "Deployment", "-standby")["spec"]["template"]["spec"]["containers"][0]["env"]
    hosts = next(e["value"] for e in env if e["name"] == "MERIDIAN_ZOOKEEPER")
    assert hosts == ",".join(f"{host}:2181" for _, host in servers)
    ensemble = chart.find(objects, "StatefulSet", "ids-eu-zookeeper")["spec"]
    assert ensemble["replicas"] == len(servers) == 5 and ensemble["ordinals"] == {"start": 1}
    assert servers[0] == ("1", "ids-eu-zookeeper-1.ids-eu-zookeeper-headless.ids.svc")


def test_long_names_do_not_meet():
    names = ["a" * 45 + "-us-east", "a" * 45 + "-us-west"]
    seen = [{body["metadata"]["name"] for body in judged(chart.objects(chart.values(**{"zookeeper.enabled": True}), name=name))} for name in names]
    assert not seen[0] & seen[1]


def test_notes_end_in_a_curl():
    for region in chart.regions():
        notes = chart.texts({}, region=region, notes=True)
        assert notes.strip().splitlines()[-1].strip() == (
            "curl http://127.0.0.1:8001/api/v1/namespaces/ids/services/meridian:http/proxy/api/v1/id")
