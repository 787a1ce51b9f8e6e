"""Helm 3, Helm 4 and the library agree on the supported values files; and so do linters and policies."""
import hashlib
import json

import pytest
import yaml

import chart
from tools import CHART, MANIFEST, ROOT, run

FILES = sorted((CHART / "ci").glob("*.yaml"))
REGIONS = sorted(chart.regions())


def template(helm, file, region, *more):
    return run(helm, "template", "meridian", CHART, "--namespace", "ids", "--values", file, "--set", f"region={region}",
               "--set-file", f"manifest={MANIFEST}", *more).stdout


def sorted_objects(text):
    bodies = [yaml.load(part, chart.Loader) for part in chart.SEPARATOR.split(text) if part.strip()]
    return sorted((body for body in bodies if body), key=lambda b: (b["kind"], b["metadata"]["name"]))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_agree(file):
    values = yaml.safe_load(file.read_text())
    for region in REGIONS:
        library = sorted_objects("\n---\n".join(chart.texts(values, region=region)))
        assert sorted_objects(template("helm4", file, region)) == library
        assert sorted_objects(template("helm3", file, region)) == library


@pytest.mark.parametrize("helm", ["helm3", "helm4"])
def test_lint_and_package(helm, tmp_path):
    more = ["--set", "region=apac", "--set-file", f"manifest={MANIFEST}"]
    said = run(helm, "lint", "--strict", CHART, *more).stdout
    assert "0 chart(s) failed" in said
    run(helm, "package", CHART, "--destination", tmp_path)
    packed = next(tmp_path.glob("meridian-*.tgz"))
    assert run(helm, "template", "meridian", packed, *more).stdout == run(helm, "template", "meridian", CHART, *more).stdout
    listed = run(helm, "dependency", "list", CHART).stdout
    assert "zookeeper" in listed and "unpacked" in listed


def test_misspelt_values_and_other_regions_are_refused_by_both():
    for helm in ("helm3", "helm4"):
        done = run(helm, "template", "meridian", CHART, "--set", "region=apac,standby.replica=2", "--set-file", f"manifest={MANIFEST}", ok=False)
        assert done.returncode != 0 and "replica" in done.stderr
        done = run(helm, "template", "meridian", CHART, "--set", "region=mars", "--set-file", f"manifest={MANIFEST}", ok=False)
        assert done.returncode != 0 and "choose one of apac, eu-west, us-east, us-west" in done.stderr


def test_the_digest_is_the_files():
    text = template("helm4", FILES[0], "apac")
    digest = hashlib.sha256(MANIFEST.read_bytes()).hexdigest()
    bodies = sorted_objects(text)
    shipped = chart.find(bodies, "ConfigMap", "-manifest")
    assert shipped["data"]["meridian.yaml"].encode() == MANIFEST.read_bytes()
    assert shipped["metadata"]["annotations"]["meridian/manifest-sha256"] == digest
    for kind in ("StatefulSet", "Deployment"):
        for body in (b for b in bodies if b["kind"] == kind):
            assert body["spec"]["template"]["metadata"]["annotations"]["meridian/manifest-sha256"] == digest


@pytest.mark.parametrize("text", ["a: 1", "a: \"\\u00e4 <&>\"\r\n", "a: |\n  b\n\n\n", "\n# only\na: 'x'\n  \n"])
def test_any_text_is_shipped_as_it_is(text):
    whole = chart.manifest() + "\n# " + text.replace("\n", "\n# ")
    shipped = chart.find(chart.objects({}, text=whole), "ConfigMap", "-manifest")
    assert shipped["data"]["meridian.yaml"] == whole
    assert shipped["metadata"]["annotations"]["meridian/manifest-sha256"] == hashlib.sha256(whole.encode()).hexdigest()


def test_policies(tmp_path):
    for file in FILES:
        for region in REGIONS:
            (tmp_path / f"{file.stem}-{region}.yaml").write_text(template("helm4", file, region))
    done = run("checkov", "--directory", tmp_path, "--framework", "kubernetes", "--skip-download", "--quiet", "--compact",
               "--output", "json", ok=False)
    report = json.loads(done.stdout)
    summary = report["summary"]
    failed = sorted({(f["check_id"], f["check_name"], f["resource"]) for f in report["results"]["failed_checks"]})
    print(f"\ncheckov {summary['checkov_version']} on {len(FILES)} values files in {len(REGIONS)} regions: "
          f"{summary['passed']} passed, {summary['failed']} failed, {summary['skipped']} skipped")
    assert not failed, failed
    assert summary["passed"] > 2_000 and summary["skipped"] == 0 and summary["parsing_errors"] == 0


def test_nothing_asks_a_policy_to_look_away():
    for file in CHART.rglob("*"):
        assert not file.is_file() or "checkov" not in file.read_text().lower(), file.relative_to(ROOT)
