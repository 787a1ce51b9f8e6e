"""The fleets that are applied: four regions and the global stack, and the same with a fifth region by one more entry."""
import concurrent.futures
import contextlib
import hashlib
import json

import boto3
import yaml

import stacks
from tools import MANIFEST, ROOT
from zone import Zone

# Of nodes with three workers each.
FIFTH = (ROOT / "tests/fixtures/fifth.yaml").read_text().replace("surge: 9 }", "surge: 9 }\n    workers_per_node: 3")
INSTANCES = {
    # One of those that moto knows.
    "image_id": "ami-760aaa0f",
    "binary": {"url": "s3://releases/meridian-0.1.0", "sha256": "a" * 64},
    "zookeeper": {"package": {"url": "https://archive.apache.org/dist/zookeeper/zookeeper-3.9.4/apache-zookeeper-3.9.4-bin.tar.gz",
                              "sha512": "b" * 128}},
}
# Every way to run a region is one of them.
WAYS = {
    "us-east": INSTANCES,
    "us-west": INSTANCES | {"ceiling": "quota"},
    "eu-west": INSTANCES | {"algorithm": "least_outstanding_requests"},
    "apac": {"platform": "kubernetes"},
    "sa-east": INSTANCES,
}
# These also serve on port 443.
TLS = ["us-west", "eu-west"]
FOUR = ["us-east", "us-west", "eu-west", "apac"]


class Fleet:
    """A manifest, and AWS with what its stacks make of it."""

    def __init__(self, workspace, folder, text):
        folder.mkdir()
        self.workspace, self.folder = workspace, folder
        self.path = folder / "meridian.yaml"
        self.path.write_text(text)
        self.sha256 = hashlib.sha256(text.encode()).hexdigest()
        self.manifest = yaml.safe_load(text)

    def region(self, name, endpoint):
        variables = {"region": name, "manifest": str(self.path), "log_bucket": "logs", "deletion_protection": False} | WAYS[name]
        if name in TLS:
            acm = boto3.client("acm", endpoint_url=endpoint, region_name=self.manifest["regions"][name]["cloud"]["region"],
                               aws_access_key_id="test", aws_secret_access_key="test")
            variables["certificate_arn"] = acm.request_certificate(DomainName=self.manifest["dns"]["name"])["CertificateArn"]
        with stacks.provider(self.workspace, endpoint) as provider:
            return self.life(stacks.Stack(self.workspace, "region", self.folder / f"{name}.tfstate", provider, variables))

    def everywhere(self, endpoint):
        variables = {"manifest": str(self.path), "tree": str(stacks.render(self.path, self.folder / "tree"))}
        with stacks.provider(self.workspace, endpoint) as provider:
            stack = stacks.Stack(self.workspace, "global", self.folder / "global.tfstate", provider, variables)
            return self.life(stack, look=lambda: Zone(endpoint, self.manifest["dns"]["name"]), drain="us-east")

    def life(self, stack, look=None, drain=None):
        """Applied, planned again, read back, drained, taken down: what was seen."""
        stack.apply()
        again = stack.again()
        seen = {"again": again.returncode, "plan": again.stdout, "resources": stack.resources(), "zone": look and look(),
                "outputs": json.loads(stack.state.read_text())["outputs"]}
        if drain:
            seen["drained"] = stack.do("apply", "-auto-approve", f'-var=drained=["{drain}"]').stdout
            seen["drained_zone"] = look()
        stack.destroy()
        seen["left"] = stack.resources()
        seen["seconds"] = stack.seconds
        return seen


@contextlib.contextmanager
def applied(workspace, folder):
    """Everything at once, because most of it is waiting. {name: what is seen of it in the end}"""
    four = Fleet(workspace, folder / "four", MANIFEST.read_text())
    five = Fleet(workspace, folder / "five", MANIFEST.read_text().rstrip("\n") + "\n" + FIFTH)
    with stacks.cloud() as west, stacks.cloud() as east, stacks.cloud() as names, stacks.cloud() as more, \
            concurrent.futures.ThreadPoolExecutor(max_workers=7) as pool:
        jobs = {"global": pool.submit(four.everywhere, names), "five": pool.submit(five.everywhere, more)}
        jobs |= {name: pool.submit(four.region, name, west if name.startswith("us") else east) for name in FOUR}
        jobs["sa-east"] = pool.submit(five.region, "sa-east", more)
        jobs["fleets"] = {"four": four, "five": five}
        yield jobs
