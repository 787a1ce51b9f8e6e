"""promtool holds the rules: they parse, and each alert fires when it should and is silent when it should not."""
import pytest
import yaml

import chart
from tools import run

ON = chart.values(**{"monitoring.rules.enabled": True})
NODE = 'namespace="ids",service="meridian-headless",meridian_fleet="global",meridian_region="us-east"'
CORE = NODE + ',pod="meridian-core-0"'
BURST = NODE + ',pod="meridian-burst-7d-x"'

# alert: (series while it must fire, series while it must not, labels that the alert carries besides its own)
# A series is (metric, labels, samples, one a minute).
CASES = {
    "MeridianAbsent": ([], [("meridian_build_info", CORE, "1x500")], {"namespace": "ids", "service": "meridian-headless"}),
    "MeridianRegionUnhealthy": ([("meridian_region_healthy", CORE, "0x500"), ("meridian_region_healthy", BURST, "0x500")],
                                [("meridian_region_healthy", CORE, "0x500"), ("meridian_region_healthy", BURST, "1x500")], {}),
    "MeridianRegionDrained": ([("meridian_region_drained", CORE, "1x500")], [("meridian_region_drained", CORE, "1x300 0x200")], {}),
    "MeridianWorkersShort": ([("meridian_region_workers_live", CORE, "6x500"), ("meridian_region_workers_needed", CORE, "6x500")],
                             [("meridian_region_workers_live", CORE, "7x500"), ("meridian_region_workers_needed", CORE, "6x500")], {}),
    "MeridianCoreNotReady": ([("meridian_ready", CORE, "0x500")], [("meridian_ready", BURST, "0x500"), ("meridian_ready", CORE, "1x500")], "core"),
    "MeridianNodeUnhealthy": ([("meridian_healthy", CORE, "0x500"), ("meridian_ready", CORE, "1x500")],
                              [("meridian_healthy", CORE, "0x500"), ("meridian_ready", CORE, "0x500")], "core"),
    "MeridianPeerDown": ([("meridian_peer_up", CORE + ',region="apac"', "0x500"), ("meridian_peer_up", BURST + ',region="apac"', "1x500")],
                         [("meridian_peer_up", CORE + ',region="apac"', "1x500")], {"region": "apac"}),
    "MeridianSurge": ([("meridian_region_surge", CORE, "1x500")], [("meridian_region_surge", CORE, "0x500")], {}),
    "MeridianLeaseShort": ([("meridian_lease_remaining_seconds", CORE, "11.9x500"), ("meridian_ready", CORE, "1x500")],
                           [("meridian_lease_remaining_seconds", CORE, "12.1x500"), ("meridian_ready", CORE, "1x500")], "core"),
    "MeridianTreeFell": ([("meridian_lease_events_total", CORE + ',event="version_fell"', "0+1x500")],
                         [("meridian_lease_events_total", CORE + ',event="extended"', "0+1x500"), ("meridian_lease_events_total", CORE + ',event="version_fell"', "3x500")], {"event": "version_fell"}),
    "MeridianHighWaterFailing": ([("meridian_high_water_failing", CORE, "1x500")], [("meridian_high_water_failing", CORE, "0x500")], "core"),
    "MeridianSequenceHalf": ([("meridian_sequence_utilization_ratio", CORE, "0.51x500")], [("meridian_sequence_utilization_ratio", CORE, "0.5x500")], "core"),
    "MeridianSequenceFull": ([("meridian_sequence_utilization_ratio", CORE, "0.81x500")], [("meridian_sequence_utilization_ratio", CORE, "0.8x500")], "core"),
    "MeridianOverflow": ([("meridian_sequence_overflow_total", CORE, "0+2x500"), ("meridian_id_generation_latency_seconds_count", CORE, "0+100x500"), ("meridian_ready", CORE, "1x500")],
                         [("meridian_sequence_overflow_total", CORE, "0+1x500"), ("meridian_id_generation_latency_seconds_count", CORE, "0+100x500"), ("meridian_ready", CORE, "1x500")], "core"),
    "MeridianQueue": ([("meridian_requests_queued", CORE, "600x500"), ("meridian_requests_queued", BURST, "600x500")],
                      [("meridian_requests_queued", CORE, "1000x500")], {}),
    "MeridianShedding": ([("meridian_requests_shed_total", CORE + ',why="in_flight"', "0+1x500")], [("meridian_requests_shed_total", CORE + ',why="in_flight"', "7x500")], {}),
    "MeridianManifestsDiffer": ([("meridian_manifest_info", CORE + ',sha256="a"', "1x500"), ("meridian_manifest_info", BURST.replace("us-east", "apac") + ',sha256="b"', "1x500")],
                                [("meridian_manifest_info", CORE + ',sha256="a"', "1x500"), ("meridian_manifest_info", BURST.replace("us-east", "apac") + ',sha256="a"', "1x500")], {}),
    "MeridianSlow": ([("meridian_id_generation_latency_seconds_bucket", CORE + ',le="0.32768"', "0+60x500"), ("meridian_id_generation_latency_seconds_bucket", CORE + ',le="0.08192"', "0+50x500"),
                      ("meridian_id_generation_latency_seconds_bucket", CORE + ',le="+Inf"', "0+60x500"), ("meridian_ready", CORE, "1x500")],
                     [("meridian_id_generation_latency_seconds_bucket", CORE + ',le="0.08192"', "0+60x500"),
                      ("meridian_id_generation_latency_seconds_bucket", CORE + ',le="+Inf"', "0+60x500"), ("meridian_ready", CORE, "1x500")], "core"),
    "MeridianClockDrift": ([("meridian_clock_drift_milliseconds", CORE, "-101x500")], [("meridian_clock_drift_milliseconds", CORE, "-99x500")], "core"),
}


def rules(values=ON, **how):
    return chart.find(chart.objects(values, **how), "PrometheusRule")["spec"]


def alerts(spec):
    return {rule["alert"]: rule for group in spec["groups"] for rule in group["rules"] if "alert" in rule}


def series(rows):
    return [{"series": f"{metric}{{{labels}}}", "values": values} for metric, labels, values in rows]


def minutes(rule):
    """When it must be firing: after its `for`, and once rates have their samples."""
    number, unit = int(rule["for"][:-1]), rule["for"][-1]
    return number * {"m": 1, "h": 60}[unit] + 8


def asked(spec, name, rows, fires, labels):
    rule = alerts(spec)[name]
    expected = []
    if fires:
        at = dict(part.split("=") for part in CORE.replace('"', "").split(",")) if labels == "core" or "event" in labels else {}
        extra = labels if isinstance(labels, dict) else {}
        expected = [{"exp_labels": at | extra | rule["labels"], "exp_annotations": rule["annotations"]}]
    return {"interval": "1m", "name": f"{name} {'fires' if fires else 'is silent'}", "input_series": series(rows),
            "alert_rule_test": [{"eval_time": f"{minutes(rule)}m", "alertname": name, "exp_alerts": expected}]}


@pytest.fixture
def promtool(tmp_path):
    def run_on(spec, tests=None):
        (tmp_path / "rules.yaml").write_text(yaml.safe_dump(spec))
        if tests is None:
            return run("promtool", "check", "rules", tmp_path / "rules.yaml", ok=False)
        file = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests}
        (tmp_path / "tests.yaml").write_text(yaml.safe_dump(file))
        return run("promtool", "test", "rules", tmp_path / "tests.yaml", ok=False)
    return run_on


@pytest.mark.parametrize("region", sorted(chart.regions()))
def test_rules_parse(promtool, region):
    done = promtool(rules(region=region))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(CASES) + 2} rules found" in done.stdout


def test_every_alert_has_a_case():
    assert set(alerts(rules())) == set(CASES)


def bare(spec):
    """Without annotations, whose templates promtool would have us expand: a test of its own looks at them."""
    for rule in alerts(spec).values():
        rule["annotations"] = {}
    return spec


def test_each_alert_fires_and_is_silent(promtool):
    spec = bare(yaml.safe_load(yaml.safe_dump(rules())))
    for name, (firing, silent, labels) in CASES.items():
        for fires, rows in ((True, firing), (False, silent)):
            done = promtool(spec, [asked(spec, name, rows, fires, labels)])
            assert done.returncode == 0, f"{name} should {'fire' if fires else 'be silent'}:\n{done.stdout}{done.stderr}"


def test_annotations_name_the_region_and_expand(promtool):
    spec = rules()
    for name, rule in alerts(spec).items():
        assert rule["annotations"]["summary"].startswith("us-east: "), name
    rule = alerts(spec)["MeridianSequenceFull"]
    test = asked(spec, "MeridianSequenceFull", CASES["MeridianSequenceFull"][0], True, "core")
    test["alert_rule_test"][0]["exp_alerts"][0]["exp_annotations"] = {
        "summary": "us-east: meridian-core-0 uses 81% of its sequence: add workers"}
    done = promtool(spec, [test])
    assert done.returncode == 0, done.stdout + done.stderr
    assert rule["labels"]["severity"] == "critical"


def test_what_the_autoscaler_reads_is_always_a_number(promtool):
    spec = rules()
    idle = series([("meridian_ready", CORE, "1x60"), ("meridian_id_generation_latency_seconds_bucket", CORE + ',le="0.1"', "5x60"),
                   ("meridian_id_generation_latency_seconds_bucket", CORE + ',le="+Inf"', "5x60"),
                   ("meridian_id_generation_latency_seconds_count", CORE, "5x60"), ("meridian_sequence_overflow_total", CORE, "1x60")])
    tests = [{"interval": "1m", "input_series": idle, "promql_expr_test": [
        {"expr": metric, "eval_time": "30m", "exp_samples": [{"labels": f"{metric}{{{CORE}}}", "value": 0}]}
        for metric in ("meridian_id_generation_latency_p99_seconds", "meridian_sequence_overflow_ratio")]}]
    done = promtool(spec, tests)
    assert done.returncode == 0, done.stdout + done.stderr


def test_criteria_that_are_off_have_no_alert():
    text = chart.manifest().replace("response_time_ms: 100", "response_time_ms: false").replace("clock_drift_ms: 100", "clock_drift_ms: false")
    assert set(CASES) - set(alerts(rules(text=text))) == {"MeridianSlow", "MeridianClockDrift"}
