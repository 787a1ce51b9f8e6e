"""What machines are told at their first start: cloud-init's file and the scripts and units in it."""
import os
import pathlib
import shutil
import subprocess

import pytest
import yaml

import stacks
from tools import MANIFEST

@pytest.fixture(scope="module")
def files(workspace, tmp_path_factory):
    """{path: content} of a node and of a ZooKeeper server, as Terraform fills the templates in."""
    folder = tmp_path_factory.mktemp("machines")
    given = {
        "asg/templates/node.env.tftpl": '{ region = "us-east", lame_duck_seconds = 35, drain_seconds = 10 }',
        "asg/templates/chrony.conf.tftpl": '{ servers = ["a.example", "b.example", "c.example"] }',
        "asg/templates/meridian.service.tftpl": "{ stop_seconds = 55 }",
        "asg/templates/meridian-install.tftpl": '{ url = "s3://releases/meridian-0.1.0" }',
        "zookeeper/templates/zoo.cfg.tftpl":
            '{ port = 2181, role = "observer", servers = { 1 = { address = "10.0.0.1", role = "participant" } } }',
        "zookeeper/templates/zookeeper-install.tftpl": '{ url = "https://x.example/z.tar.gz", sha512 = "b", id = 1, volume = "vol0" }',
    }
    outputs = "\n".join(f'output "o{n}" {{\n  value = templatefile("{stacks.SOURCES}/modules/{name}", {values})\n}}\n'
                        for n, (name, values) in enumerate(given.items()))
    (folder / "main.tf").write_text(outputs)
    workspace.run("apply", "-auto-approve", "-no-color", cwd=folder)
    found = yaml.safe_load(workspace.run("output", "-json", cwd=folder).stdout)
    made = {pathlib.Path(name).name.removesuffix(".tftpl"): found[f"o{n}"]["value"] for n, name in enumerate(given)}
    for plain in stacks.SOURCES.glob("modules/*/files/*"):
        made[plain.name] = plain.read_text()
    return made


def test_scripts_are_shell(files, tmp_path):
    scripts = {name: text for name, text in files.items() if text.startswith("#!/bin/sh")}
    assert set(scripts) == {"meridian-install", "meridian-metrics", "zookeeper-install"}
    for name, body in {**scripts, "roll": (stacks.SOURCES / "roll").read_text()}.items():
        for shell in (["bash", "-n"], ["sh", "-n"]):
            done = subprocess.run([*shell], input=body, capture_output=True, text=True)
            assert done.returncode == 0, (name, done.stderr)
        if shutil.which("shellcheck"):
            assert subprocess.run(["shellcheck", "-"], input=body, capture_output=True, text=True).returncode == 0


def unit(body):
    """{section: {key: [value, …]}}"""
    found, section = {}, None
    for line in body.splitlines():
        if line.startswith("["):
            section = found.setdefault(line.strip("[]"), {})
        elif line and not line.startswith("#"):
            key, value = line.split("=", 1)
            section.setdefault(key, []).append(value)
    return found


def test_units(files, tmp_path):
    units = {name: body for name, body in files.items() if name.endswith((".service", ".timer"))}
    service = unit(units["meridian.service"])["Service"]
    assert service["ExecStartPre"] == ["/usr/bin/sha256sum --check --strict --quiet /etc/meridian/binary.sha256"]
    assert service["Restart"] == ["always"] and int(service["TimeoutStopSec"][0]) > 35 + 10
    for key, value in {"DynamicUser": "yes", "ProtectSystem": "strict", "StateDirectory": "meridian", "NoNewPrivileges": "yes"}.items():
        assert service[key] == [value]
    # A node sees whether its clock is synchronised by adjtimex, which ProtectClock= forbids.
    assert "ProtectClock" not in service and "adjtimex clock_adjtime" in service["SystemCallFilter"]
    if shutil.which("systemd-analyze"):
        for name, body in units.items():
            # Its programs are not on this machine.
            (tmp_path / name).write_text("\n".join("ExecStart=/bin/true" if line.startswith("ExecStart=") else line for line in body.splitlines()))
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", *map(str, tmp_path.iterdir())], capture_output=True, text=True)
        ours = [line for line in done.stderr.splitlines() if str(tmp_path) in line and "Failed to open" not in line]
        assert not ours, ours


def test_clocks(files):
    lines = [line for line in files["chrony.conf"].splitlines() if line and not line.startswith("#")]
    sources = [line.split()[1] for line in lines if line.startswith("server")]
    assert sources == ["169.254.169.123", "a.example", "b.example", "c.example"]
    assert "minsources 2" in lines and "makestep 0.1 3" in lines


def test_variables_are_the_binarys(files):
    cli = (stacks.ROOT / "src/cli.rs").read_text()
    given = [line.split("=")[0] for line in files["node.env"].splitlines()]
    given += [word.split("=")[0] for word in files["meridian-install"].split('"') if word.startswith("MERIDIAN_")]
    assert len(given) == 10
    for name in given:
        assert f'env = "{name}"' in cli, name


def test_the_user_data_is_a_cloud_config(fleets):
    """Of a region that was applied: cloud-init would take it, and the manifest in it is the manifest, byte by byte."""
    import base64
    template = next(row["attributes"] for row in fleets["us-east"].result()["resources"] if row["type"] == "aws_launch_template")
    data = base64.b64decode(template["user_data"]).decode()
    assert data.startswith("#cloud-config\n") and len(data) < 16384
    config = yaml.safe_load(data)
    assert config.keys() == {"write_files", "runcmd"}
    written = {file["path"]: file for file in config["write_files"]}
    assert written["/etc/meridian/meridian.yaml"]["content"] == MANIFEST.read_text()
    assert written["/usr/local/sbin/meridian-install"]["permissions"] == "0755"
    assert ["systemctl", "enable", "--now", "meridian.service", "meridian-metrics.timer"] in config["runcmd"]
    health = yaml.safe_load(MANIFEST.read_text())["health"]
    env = dict(line.split("=", 1) for line in written["/etc/meridian/node.env"]["content"].splitlines())
    assert int(env["MERIDIAN_LAME_DUCK_SECONDS"]) > health["interval_seconds"] * health["unhealthy_threshold"] + health["timeout_seconds"]
    assert len(written["/etc/meridian/binary.sha256"]["content"].split()[0]) == 64


def stub(folder, name, body):
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


PAGE = """# TYPE meridian_id_generation_latency_seconds histogram
meridian_id_generation_latency_seconds_sum{{region="us-east"}} {sum}
meridian_id_generation_latency_seconds_count{{region="us-east"}} {count}
meridian_sequence_overflow_total{{region="us-east"}} {overflow}
meridian_requests_queued {queued}
"""


def test_triggers_are_measured(files, tmp_path):
    """Two minutes of a node: 1,000 requests of 8 ms each, 20 past their millisecond, 7 in line. Then it restarts."""
    stub(tmp_path, "curl", f"cat {tmp_path}/page")
    stub(tmp_path, "aws", f'echo "$*" >>{tmp_path}/told')
    stub(tmp_path, "metrics", "\n".join(files["meridian-metrics"].splitlines()[1:]))
    env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "RUNTIME_DIRECTORY": str(tmp_path), "MERIDIAN_REGION": "us-east"}

    def minute(**counters):
        (tmp_path / "page").write_text(PAGE.format(**counters))
        (tmp_path / "told").unlink(missing_ok=True)
        subprocess.run([tmp_path / "metrics"], env=env, check=True)
        words = [line.split() for line in (tmp_path / "told").read_text().splitlines()]
        assert all("Region=us-east" in line and "Meridian" in line for line in words)
        return {line[line.index("--metric-name") + 1]: float(line[line.index("--value") + 1]) for line in words}

    minute(sum=10, count=5000, overflow=3, queued=0)
    assert minute(sum=18, count=6000, overflow=23, queued=7) == {"LatencyMilliseconds": 8, "OverflowPercent": 2, "QueueDepth": 7}
    assert minute(sum=18, count=6000, overflow=23, queued=0) == {"LatencyMilliseconds": 0, "OverflowPercent": 0, "QueueDepth": 0}
    assert minute(sum=0.5, count=100, overflow=1, queued=0) == {"LatencyMilliseconds": 5, "OverflowPercent": 1, "QueueDepth": 0}


def test_metrics_are_the_binarys(files):
    protocol = (stacks.ROOT / "docs/PROTOCOL.md").read_text()
    for name in ("id_generation_latency_seconds", "sequence_overflow_total", "requests_queued"):
        assert f"meridian_{name}" in files["meridian-metrics"] and f"`{name}`" in protocol


def test_static_slots_roll_one_after_the_other(tmp_path):
    stub(tmp_path, "aws", f"""
echo "$2 $4" >>{tmp_path}/asked
case "$2 $4" in
start*) echo refresh-1 ;;
*slot-01) echo Failed ;;
*) test -e {tmp_path}/once && echo Successful || {{ touch {tmp_path}/once; echo InProgress; }} ;;
esac""")
    env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "ROLL_POLL_SECONDS": "0"}
    done = subprocess.run([stacks.SOURCES / "roll", "us-east-1", "slot-00", "slot-01", "slot-02"], env=env, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == "slot-00: replaced\n" and "slot-01: Failed" in done.stderr
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked == ["start-instance-refresh slot-00", *["describe-instance-refreshes slot-00"] * 2,
                     "start-instance-refresh slot-01", "describe-instance-refreshes slot-01"]
    assert subprocess.run([stacks.SOURCES / "roll"], capture_output=True).returncode == 2
