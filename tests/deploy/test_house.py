"""What keeps the chart honest: generated files are current, versions agree, bad objects are caught, files stay short."""
import copy
import re
import subprocess
import sys

import pytest
import yaml

import chart
import kubernetes
import semantics
from tools import CHART, ROOT


def test_generated_files_are_current():
    done = subprocess.run([sys.executable, ROOT / "scripts/chart-docs", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_versions_agree():
    version = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == version


def test_metrics_and_variables_are_the_binarys():
    """What rules and dashboard ask for is exported (docs/PROTOCOL.md), and what pods are given is read (src/cli.rs)."""
    protocol = (ROOT / "docs/PROTOCOL.md").read_text()
    rows = chart.values(**{"monitoring.rules.enabled": True, "monitoring.dashboard.enabled": True})
    text = "".join(part for part in chart.texts(rows) if "PrometheusRule" in part or "dashboard" in part)
    own = {"fleet", "region", "id_generation_latency_p99_seconds", "sequence_overflow_ratio"}
    asked = {re.sub("_(bucket|count)$", "", name) for name in re.findall(r"\bmeridian_([a-z0-9_]+)", text)} - own
    assert len(asked) > 15
    for name in asked:
        assert re.search(rf"[`{{,]{name}[`{{]", protocol), f"meridian_{name} is not in docs/PROTOCOL.md"
    cli = (ROOT / "src/cli.rs").read_text()
    given = set(re.findall(r"name: (MERIDIAN_[A-Z_]+)", (CHART / "templates/_pod.tpl").read_text()))
    assert len(given) > 12
    for name in given:
        assert f'env = "{name}"' in cli, f"{name} is not read"


def test_files_stay_short():
    for folder in (CHART, ROOT / "tests/deploy"):
        for file in folder.rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                assert len(file.read_text().splitlines()) <= 600, file


GOOD = chart.values(**{"zookeeper.enabled": True, "monitoring.rules.enabled": True, "monitoring.serviceMonitor.enabled": True})


def spoilt(kind, suffix, change):
    objects = copy.deepcopy(chart.objects(GOOD))
    change(chart.find(objects, kind, suffix))
    return [*[p for body in objects for p in [*kubernetes.problems(body), *semantics.of_one(body)]], *semantics.of_all(objects)]


def pod(body):
    return body["spec"]["template"]["spec"]


def container(body):
    return pod(body)["containers"][0]


BAD = [
    ("HorizontalPodAutoscaler", "", lambda b: b["spec"].update(minReplicas=0, metrics=b["spec"]["metrics"][:1]), "minReplicas 0"),
    ("HorizontalPodAutoscaler", "", lambda b: b["spec"]["scaleTargetRef"].update(name="x"), "scales what is not there"),
    ("PodDisruptionBudget", "-core", lambda b: b["spec"].update(minAvailable=1), "needs one of"),
    ("StatefulSet", "-core", lambda b: b["spec"]["selector"]["matchLabels"].update(x="y"), "does not match its own pods"),
    ("StatefulSet", "-core", lambda b: b["spec"]["selector"]["matchLabels"].pop("app.kubernetes.io/component"), "would adopt the pods"),
    ("Deployment", "-burst", lambda b: b["metadata"]["labels"].update(version="1+2"), "is not allowed"),
    ("Deployment", "-burst", lambda b: b["metadata"]["labels"].update(version="a" * 64), "is not allowed"),
    ("Deployment", "-burst", lambda b: b["spec"].update(replicas=3), "both own the replicas"),
    ("Service", "meridian-headless", lambda b: [p.update(name="http") for p in b["spec"]["ports"]], "two ports of one name"),
    ("Service", "meridian", lambda b: b["metadata"].update(name="a" * 64), "no DNS label"),
    ("Service", "meridian", lambda b: b["spec"]["ports"][0].update(port=70000), "port 70000"),
    ("Service", "meridian", lambda b: b["spec"]["selector"].update({"meridian-role": "x"}), "leads nowhere"),
    ("Deployment", "-standby", lambda b: container(b)["volumeMounts"].append({"name": "x", "mountPath": "/x"}), "has no volume"),
    ("Deployment", "-standby", lambda b: container(b)["resources"]["requests"].update(memory="1Gi"), "more memory than its limit"),
    ("Deployment", "-standby", lambda b: pod(b).update(terminationGracePeriodSeconds=30), "grace period"),
    ("Deployment", "-standby", lambda b: container(b).update(imagePullPolcy="Always"), "imagePullPolcy"),
    ("Deployment", "-standby", lambda b: container(b)["env"].append({"name": "POD_IP", "value": "x"}), "one variable twice"),
    ("ServiceMonitor", "", lambda b: b["spec"]["endpoints"][0].update(intervall="1s"), "intervall"),
    ("PrometheusRule", "", lambda b: b["spec"]["groups"][0]["rules"][0].update(expresion="1"), "expresion"),
]


@pytest.mark.parametrize("kind, suffix, change, said", BAD, ids=[case[3] for case in BAD])
def test_bad_objects_are_caught(kind, suffix, change, said):
    assert any(said in problem for problem in spoilt(kind, suffix, change)), "nobody noticed"


def test_a_missing_tool_names_its_remedy(monkeypatch, tmp_path):
    import tools
    monkeypatch.setenv("MERIDIAN_DEPLOY_TOOLS", str(tmp_path))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    with pytest.raises(pytest.fail.Exception, match="helm4 is not installed: run scripts/install-deploy"):
        tools.tool("helm4")
    with pytest.raises(pytest.fail.Exception, match="no-such-tool is not installed: run scripts/install"):
        tools.tool("no-such-tool")
