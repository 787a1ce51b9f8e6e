"""The SBOM names what is compiled in, and is what tools expect."""
import json
import subprocess
import sys

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tools import ROOT

TARGET = "x86_64-unknown-linux-gnu"


@pytest.fixture(scope="module")
def text():
    return subprocess.run([sys.executable, ROOT / "scripts" / "sbom", TARGET], check=True, capture_output=True, text=True, cwd=ROOT).stdout


def test_it_is_cyclonedx(text):
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def test_it_names_what_cargo_links(text):
    tree = ["cargo", "tree", "--locked", "--edges=normal", "--prefix=none", f"--target={TARGET}", "--format={p}"]
    lines = subprocess.run(tree, check=True, capture_output=True, text=True, cwd=ROOT).stdout.splitlines()
    linked = {tuple(line.split()[:2]) for line in lines if line}
    bom = json.loads(text)
    named = {(part["name"], "v" + part["version"]) for part in [bom["metadata"]["component"], *bom["components"]]}
    assert named == linked and len(linked) > 50
    assert all(part["licenses"] for part in bom["components"])
