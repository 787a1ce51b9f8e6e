"""Finds the tools. One that is missing fails the test that needs it, and says what to run."""
import os
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "meridian"
MANIFEST = ROOT / "regions" / "meridian.yaml"


def folder():
    where = subprocess.run([ROOT / "scripts" / "install-deploy", "--where"], capture_output=True, text=True, check=True)
    return pathlib.Path(where.stdout.strip())


def tool(name):
    """The path of a tool."""
    inside = {"helm3": "helm3", "helm4": "helm4", "checkov": "checkov/bin/checkov"}
    found = str(folder() / inside[name]) if name in inside else shutil.which(name)
    if not found or not os.path.exists(found):
        remedy = "scripts/install-deploy" if name in inside else "scripts/install"
        pytest.fail(f"{name} is not installed: run {remedy}", pytrace=False)
    return found


def run(name, *args, ok=True):
    """Runs a tool from the repository's root; what it printed."""
    done = subprocess.run([tool(name), *map(str, args)], capture_output=True, text=True, cwd=ROOT)
    if ok and done.returncode != 0:
        pytest.fail(f"{name} {' '.join(map(str, args))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done
