"""Terraform, the AWS API on loopback, and the binary. What is missing fails the test that needs it and says what to do."""
import contextlib
import ctypes
import glob
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

import tools
from tools import ROOT

SOURCES = ROOT / "terraform"
LIKELY = ["~/.terraform.d/plugins", "~/.local/share/terraform/plugins", "/usr/local/share/terraform/plugins",
          "/usr/share/terraform/plugins", "/opt", "/usr/local/lib", "/usr/lib"]


def terraform():
    """The user's own, else the one that scripts/install-deploy brings."""
    found = shutil.which("terraform") or str(tools.folder() / "terraform")
    if not os.path.exists(found):
        pytest.fail("terraform is not installed: put it on PATH or run scripts/install-deploy", pytrace=False)
    return found


def meridian():
    found = os.environ.get("MERIDIAN_BIN", str(ROOT / "target/debug/meridian"))
    if not os.access(found, os.X_OK):
        pytest.fail(f"{found} is not there: run cargo build, or name a binary by MERIDIAN_BIN", pytrace=False)
    return found


def mirror():
    """A folder that holds the AWS provider, if this machine has one."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    here = f"hashicorp/aws/5.*/{platform.system().lower()}_{machine}/terraform-provider-aws_*"
    given = os.environ.get("MERIDIAN_TERRAFORM_MIRROR")
    if given and not glob.glob(f"{given}/*/{here}"):
        pytest.fail(f"MERIDIAN_TERRAFORM_MIRROR={given} holds no {here} below a registry's name", pytrace=False)
    for root in [given] if given else LIKELY:
        for depth in ("*", "*/*", "*/*/*"):
            for found in sorted(glob.glob(f"{os.path.expanduser(root)}/{depth}/{here}")):
                return pathlib.Path(found).parents[5]
    return None


def init(folder, env):
    """`terraform init` in one folder; the provider from a mirror where there is one, else from its registry."""
    done = subprocess.run([terraform(), "init", "-no-color", "-input=false"], cwd=folder, env=env, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.fail(
            f"terraform init in {folder.name} ended with {done.returncode}:\n{done.stdout[-800:]}{done.stderr[-2500:]}\n"
            "If its registry cannot be reached, put the provider hashicorp/aws 5.100 into a mirror (terraform providers "
            "mirror DIR, where it can) and set MERIDIAN_TERRAFORM_MIRROR=DIR.", pytrace=False)


class Workspace:
    """A copy of terraform/ with everything initialised, and the environment to run it in. Nothing outside is touched."""

    def __init__(self, folder):
        self.folder = folder / "terraform"
        shutil.copytree(SOURCES, self.folder, ignore=shutil.ignore_patterns(".terraform*", "route53.json", "*.tfstate*"))
        self.env = {key: value for key, value in os.environ.items() if not key.startswith(("TF_", "AWS_"))}
        self.env |= {"TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1", "AWS_EC2_METADATA_DISABLED": "true",
                     "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "TF_CLI_CONFIG_FILE": str(folder / "rc")}
        found = mirror()
        cache = folder / "providers"
        cache.mkdir()
        (folder / "rc").write_text(
            f'provider_installation {{\n  filesystem_mirror {{\n    path = "{found}"\n  }}\n}}\n' if found
            else f'plugin_cache_dir = "{cache}"\n')
        for stack in ("region", "global"):
            # The state lies in the copy, not in S3.
            (self.folder / "stacks" / stack / "backend_override.tf").write_text('terraform {\n  backend "local" {}\n}\n')
        for root in self.roots():
            init(root, self.env)

    def roots(self):
        return [self.folder / "stacks/region", self.folder / "stacks/global", self.folder]

    def run(self, *args, cwd, ok=(0,), env=None):
        began = time.monotonic()
        done = subprocess.run([terraform(), *map(str, args)], cwd=cwd, env=self.env | (env or {}), capture_output=True, text=True)
        if done.returncode not in ok:
            pytest.fail(f"terraform {' '.join(map(str, args))} in {pathlib.Path(cwd).name} ended with {done.returncode}:\n"
                        f"{done.stdout[-3000:]}{done.stderr[-6000:]}", pytrace=False)
        done.seconds = time.monotonic() - began
        return done


# Nothing listens there.
NOWHERE = "http://127.0.0.1:9"


@contextlib.contextmanager
def provider(workspace, endpoint=NOWHERE):
    """The environment in which all steps share one process of the provider, which asks the AWS at this endpoint. Terraform
    starts one for each step else, and a second of a processor goes into every start. A process that asks no AWS is for
    many at once; one that does is for one stack, as each step tells it anew whom it works for."""
    binary = next((workspace.folder / ".terraform/providers").glob("*/hashicorp/aws/*/*/terraform-provider-aws_*"))
    dies_with_us = lambda: ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    env = workspace.env | {"AWS_ENDPOINT_URL": endpoint}
    process = subprocess.Popen([binary, "-debug"], env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, preexec_fn=dies_with_us)
    try:
        told = (re.search(r"TF_REATTACH_PROVIDERS='(.*)'", line) for line in process.stdout)
        found = next(filter(None, told), None)
        if not found:
            pytest.fail(f"{binary} did not say where it listens", pytrace=False)
        yield {"TF_REATTACH_PROVIDERS": found[1]}
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def cloud():
    """The AWS API on a free port of loopback; it ends with this block, or with this process."""
    here = pathlib.Path(__file__).parent
    server = subprocess.Popen([sys.executable, here / "cloud.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True)
    try:
        port = server.stdout.readline().strip()
        if not port:
            pytest.fail("moto did not start: run scripts/install-deploy", pytrace=False)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stdin.close()
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def render(manifest, folder, *args):
    """What the binary writes for Route 53."""
    subprocess.run([meridian(), "render", "route53", "--manifest", manifest, "-o", folder, *args], check=True, capture_output=True)
    return folder / "route53.json"


def judged(manifest):
    """What the binary finds out about a manifest: the load factors of every failure, by the one rule."""
    done = subprocess.run([meridian(), "check", "--json", "--manifest", manifest], capture_output=True, text=True)
    verdict = json.loads(done.stdout)
    assert verdict["ok"], verdict["problems"]
    return verdict


class Stack:
    """One stack with one state, by the provider of an environment: apply, plan, destroy."""

    def __init__(self, workspace, stack, state, provider, variables):
        self.workspace = workspace
        self.cwd = workspace.folder / "stacks" / stack
        self.env = provider | {"TF_DATA_DIR": str(self.cwd / ".terraform")}
        self.state = state
        self.args = ["-no-color", "-input=false", f"-state={state}", "-parallelism=40"]
        self.variables = [f"-var={name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in variables.items()]
        self.seconds = {}

    def do(self, what, *args, ok=(0,)):
        done = self.workspace.run(what, *self.args, *self.variables, *args, cwd=self.cwd, env=self.env, ok=ok)
        self.seconds[what] = round(done.seconds)
        return done

    def apply(self):
        return self.do("apply", "-auto-approve")

    def again(self):
        """A second plan: 0 says that nothing would change."""
        return self.do("plan", "-detailed-exitcode", ok=(0, 2))

    def destroy(self):
        return self.do("destroy", "-auto-approve")

    def resources(self):
        return [
            {"address": f"{row.get('module', '')}.{row['type']}.{row['name']}", "type": row["type"], "attributes": one["attributes"]}
            for row in json.loads(self.state.read_text())["resources"] if row["mode"] == "managed" for one in row["instances"]
        ]
