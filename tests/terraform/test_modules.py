"""Modules and stacks by themselves: formatted, valid, documented, refused where they should be, without findings."""
import concurrent.futures
import hashlib
import json
import re
import shutil
import subprocess
import sys

import pytest
import yaml

import stacks
import tools
from tools import MANIFEST, ROOT

MODULES = sorted(path.parent for path in stacks.SOURCES.rglob("main.tf"))


def test_formatted(workspace):
    assert workspace.run("fmt", "-check", "-recursive", "-diff", cwd=stacks.SOURCES, ok=(0, 3)).stdout == ""


def test_every_module_and_stack_is_valid(workspace, provider):
    """Each by itself. Modules share what was fetched for the root of the tests."""
    def valid(module):
        folder = workspace.folder / module.relative_to(stacks.SOURCES)
        if folder not in workspace.roots():
            shutil.copy(workspace.folder / ".terraform.lock.hcl", folder)
        env = dict(provider)
        if folder not in workspace.roots():
            env["TF_DATA_DIR"] = str(folder / ".terraform")
            (folder / ".terraform").mkdir()
            (folder / ".terraform/providers").symlink_to(workspace.folder / ".terraform/providers")
            workspace.run("get", cwd=folder, env=env)
        return json.loads(workspace.run("validate", "-json", cwd=folder, env=env, ok=(0, 1)).stdout)

    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        for module, verdict in zip(MODULES, pool.map(valid, MODULES)):
            assert verdict["valid"] and not verdict["diagnostics"], (module.name, verdict["diagnostics"])
    print(f"{len(MODULES)} modules and stacks valid")


def test_runs_with_mocks(workspace, provider):
    """`terraform test`, its files in three heaps at once."""
    files = sorted((workspace.folder / "tests").glob("*.tftest.hcl"), key=lambda file: -file.read_text().count("\nrun "))
    heaps = [files[start::3] for start in range(3)]

    def tested(heap):
        filters = [f"-filter=tests/{file.name}" for file in heap]
        return workspace.run("test", "-no-color", *filters, cwd=workspace.folder, env=provider, ok=(0, 1))

    with concurrent.futures.ThreadPoolExecutor(max_workers=3) as pool:
        done = list(pool.map(tested, heaps))
    for heap in done:
        assert heap.returncode == 0, heap.stdout[-8000:] + heap.stderr[-4000:]
    passed = sum(int(re.search(r"Success! (\d+) passed, 0 failed", heap.stdout)[1]) for heap in done)
    print(f"terraform test: {passed} runs passed in {max(heap.seconds for heap in done):.0f} s")
    assert passed == sum(file.read_text().count("\nrun ") for file in files) >= 40


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(stacks.SOURCES)))
def test_everything_is_typed_described_and_used(module):
    text = {file.name: file.read_text() for file in module.glob("*.tf")}
    assert {"main.tf", "variables.tf", "outputs.tf", "versions.tf"} <= text.keys()
    whole = "\n".join(text.values()) + "\n".join(file.read_text() for file in module.glob("templates/*"))
    for kind in ("variable", "output"):
        for name, body in re.findall(rf'^{kind} "(\w+)" {{\n(.*?)^}}', text[f"{kind}s.tf"], re.MULTILINE | re.DOTALL):
            assert re.search(r"^  description = ", body, re.MULTILINE), name
            if kind == "variable":
                assert re.search(r"^  type\s+= ", body, re.MULTILINE), name
                assert re.search(rf"\bvar\.{name}\b", whole.replace(body, "")), f"{name} is not used"


def test_every_validation_has_a_run_that_it_refuses():
    for module in MODULES:
        tests = stacks.SOURCES / "tests" / f"{module.name}.tftest.hcl"
        for name, body in re.findall(r'^variable "(\w+)" {\n(.*?)^}', (module / "variables.tf").read_text(), re.MULTILINE | re.DOTALL):
            rules = len(re.findall(r"^  validation {", body, re.MULTILINE))
            if rules and module.parent.name == "modules" and module.name != "manifest":
                assert tests.read_text().count(f"[var.{name}]") >= rules, f"{module.name}: {name}"


def test_policies():
    done = subprocess.run([tools.tool("checkov"), "-d", stacks.SOURCES, "--framework", "terraform", "--skip-download",
                           "--compact", "-o", "json"], capture_output=True, text=True, cwd=ROOT)
    report = json.loads(done.stdout)
    summary, results = report["summary"], report["results"]
    for row in results["failed_checks"]:
        print(row["check_id"], row["resource"], row["check_name"])
    skips = {(row["check_id"], row["resource"]): row["check_result"]["suppress_comment"] for row in results["skipped_checks"]}
    print(f"checkov {report['summary']['checkov_version']}: {summary['passed']} passed, {summary['failed']} failed, {len(skips)} skipped")
    for (check, resource), reason in skips.items():
        print(f"skipped {check} {resource}: {reason}")
        assert len(reason) > 20
    assert summary["failed"] == 0 and summary["parsing_errors"] == 0
    assert len(skips) <= 3


def test_no_second_copy():
    """No address, network, server or name of a region, and no name of the fleet, is written into a module or a stack."""
    manifest = yaml.safe_load(MANIFEST.read_text())
    words = {manifest["dns"]["name"], manifest["epoch"]}
    for region in manifest["regions"].values():
        words |= {region["endpoint"], region["zookeeper"], region["cloud"]["cidr"], *region["addresses"], *region["networks"]}
    sources = [file for part in ("modules", "stacks") for file in (stacks.SOURCES / part).rglob("*") if file.is_file() and file.suffix != ".md"]
    assert len(sources) > 40
    for file in sources:
        assert [word for word in words if word in file.read_text()] == [], file


REFUSED = [
    ("region", {"region": "us-eats"}, "has no region us-eats: choose one of apac, eu-west"),
    ("region", {"region": "us-east", "platform": "mainframe"}, "instances or kubernetes"),
    ("region", {"region": "us-east", "platform": "instances"}, "Instances need an image_id and a binary"),
    ("region", {"region": "us-east", "platform": "kubernetes", "zookeeper": {"package": {"url": "u", "sha512": "s"}}}, "need an image_id"),
    ("region", {"region": "us-east", "platform": "kubernetes", "prices": {"instance": -1}}, "Prices are not negative"),
    ("region", {"region": "us-east", "platform": "kubernetes", "manifest": "nowhere.yaml"}, "There is no manifest at nowhere.yaml"),
    ("global", {"tree": "nowhere.json"}, "run `meridian render route53 -o terraform/stacks/global` first"),
    ("global", {"tree": "STALE"}, "was not rendered from"),
    ("global", {"drained": ["us-eats"]}, "Only regions of the manifest can be drained: apac, eu-west"),
]


@pytest.mark.parametrize("stack, variables, said", REFUSED, ids=[row[2][:40] for row in REFUSED])
def test_refused_with_a_sentence(workspace, provider, tmp_path, stack, variables, said):
    given = {"manifest": str(MANIFEST)} | ({"log_bucket": "logs"} if stack == "region" else {})
    if stack == "global":
        given["tree"] = str(stacks.render(MANIFEST, tmp_path / "tree"))
    if variables.get("tree") == "STALE":
        other = tmp_path / "other.yaml"
        other.write_text(MANIFEST.read_text() + "# changed since\n")
        variables = {"manifest": str(other)}
    # Nothing listens where this provider asks: what is refused is refused before anybody is asked.
    plan = stacks.Stack(workspace, stack, tmp_path / "tfstate", provider, given | variables)
    done = plan.do("plan", ok=(1,))
    assert said in " ".join(re.sub(r"[│╷╵]", " ", done.stderr).split()), done.stderr


def test_tables_of_the_readmes_are_current():
    done = subprocess.run([sys.executable, ROOT / "scripts/terraform-docs", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_one_digest(tmp_path):
    """The chart's annotation, the binary's (which is the nodes' metric) and what Terraform tags with are the same."""
    import chart
    sha256 = hashlib.sha256(MANIFEST.read_bytes()).hexdigest()
    assert sha256 in "".join(chart.texts({}))
    assert json.loads(stacks.render(MANIFEST, tmp_path / "tree").read_text())["manifest_sha256"] == sha256


def test_a_missing_provider_or_binary_names_its_remedy(monkeypatch, tmp_path):
    monkeypatch.setenv("MERIDIAN_TERRAFORM_MIRROR", str(tmp_path))
    with pytest.raises(pytest.fail.Exception, match="MERIDIAN_TERRAFORM_MIRROR=.* holds no hashicorp/aws/5"):
        stacks.mirror()
    monkeypatch.setenv("MERIDIAN_BIN", str(tmp_path / "meridian"))
    with pytest.raises(pytest.fail.Exception, match="run cargo build, or name a binary by MERIDIAN_BIN"):
        stacks.meridian()
    monkeypatch.setenv("MERIDIAN_DEPLOY_TOOLS", str(tmp_path))
    monkeypatch.setattr(stacks.shutil, "which", lambda name: None)
    with pytest.raises(pytest.fail.Exception, match="put it on PATH or run scripts/install-deploy"):
        stacks.terraform()
