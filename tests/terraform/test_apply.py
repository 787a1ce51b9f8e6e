"""All regions and the global stack, applied to an AWS on loopback: what came to be is read back through the API."""
import pytest

import stacks
from fleet import FOUR, WAYS
from zone import failures, rule


@pytest.mark.parametrize("name", [*FOUR, "global", "sa-east", "five"])
def test_applied_idempotent_and_gone(fleets, name):
    seen = fleets[name].result()
    print(f"{name}: {len(seen['resources'])} resources; seconds: {seen['seconds']}")
    assert seen["again"] == 0, seen["plan"][-4000:]
    assert seen["left"] == []


@pytest.mark.parametrize("name", [*FOUR, "global"])
def test_every_resource_has_the_manifests_digest(fleets, name):
    seen, sha256 = fleets[name].result(), fleets["fleets"]["four"].sha256
    assert seen["outputs"]["manifest_sha256"]["value"] == sha256
    tagged = [row for row in seen["resources"] if "tags_all" in row["attributes"]]
    assert len(tagged) > 8
    for row in tagged:
        assert (row["attributes"]["tags_all"] or {}).get("ManifestSha256") == sha256, row["address"]
    for row in seen["resources"]:
        # These take no default tags; machines get them from their group.
        if row["type"] == "aws_autoscaling_group":
            assert {"key": "ManifestSha256", "value": sha256, "propagate_at_launch": True} in row["attributes"]["tag"]


def home(manifest):
    return {region["addresses"][0]: name for name, region in manifest["regions"].items()}


@pytest.mark.parametrize("name, fleet", [("global", "four"), ("five", "five")])
def test_the_applied_zone_is_the_rule(fleets, name, fleet):
    """In every failure of up to two regions: who serves whom, and how much, against the rule and against the binary."""
    zone, fleet = fleets[name].result()["zone"], fleets["fleets"][fleet]
    manifest, regions = fleet.manifest, fleet.manifest["regions"]
    of = home(manifest)
    factors = {(frozenset(row["down"]), row["region"]): row["factor"] for row in stacks.judged(fleet.path)["load_factors"]}
    sets = failures(regions)
    assert len(sets) == (11 if name == "global" else 16)
    single = 0
    for down in sets:
        dead = {address for region in down for address in regions[region]["addresses"]}
        load = dict.fromkeys(regions, 0.0)
        for region, own in regions.items():
            answered = {of[leaf[0]]: share for leaf, share in zone.answers(dead, region).items()}
            assert not down & answered.keys(), f"{down} down, {region} is answered {answered}"
            assert answered == pytest.approx(rule(manifest, region, down), abs=0.002), (down, region)
            for to, share in answered.items():
                load[to] += own["traffic"] * share
        for region in regions.keys() - down:
            factor = load[region] / regions[region]["traffic"]
            if down:
                assert factor == pytest.approx(factors[frozenset(down), region], abs=0.005), (down, region)
            if len(down) == 1:
                single = max(single, factor)
    print(f"{name}: {sum(len(group) for group in zone.groups.values())} record sets, {len(sets)} failure sets, at most {single:.2f}x")
    assert single <= 2.0
    # Clients that no location names are the first region's.
    first = next(iter(regions))
    assert zone.answers(set(), None) == zone.answers(set(), first)


def test_drain_is_one_attribute(fleets):
    """A drained region is answered as little as a dead one, also when it then dies; and drained, nothing else moves."""
    seen, manifest = fleets["global"].result(), fleets["fleets"]["four"].manifest
    assert "0 added, 1 changed, 0 destroyed" in seen["drained"], seen["drained"][-1500:]
    of = home(manifest)
    for down in failures(manifest["regions"], most=1):
        dead = {address for region in down for address in manifest["regions"][region]["addresses"]}
        for region in manifest["regions"]:
            answered = {of[leaf[0]]: share for leaf, share in seen["drained_zone"].answers(dead, region).items()}
            assert answered == pytest.approx(rule(manifest, region, down | {"us-east"}), abs=0.002)


def test_health_checks_are_the_manifests(fleets):
    zone, manifest = fleets["global"].result()["zone"], fleets["fleets"]["four"].manifest
    probes = [check for check in zone.checks.values() if check["Type"] in ("HTTP", "HTTPS")]
    assert {check["IPAddress"] for check in probes} == {a for region in manifest["regions"].values() for a in region["addresses"]}
    for check in probes:
        assert check["RequestInterval"] == manifest["health"]["interval_seconds"]
        assert check["FailureThreshold"] == manifest["health"]["unhealthy_threshold"]
        assert check["ResourcePath"] == "/api/v1/region/health"
    for records in zone.groups.values():
        for record in records:
            if "AliasTarget" in record:
                assert record["AliasTarget"]["EvaluateTargetHealth"]
            elif record["Type"] == "A":
                assert record["TTL"] == manifest["dns"]["ttl_seconds"]


def test_networks_are_the_manifests(fleets):
    zone, manifest = fleets["global"].result()["zone"], fleets["fleets"]["four"].manifest
    assert zone.locations == {name: region["networks"] for name, region in manifest["regions"].items()}


def test_endpoints_answer_their_region(fleets):
    zone, manifest = fleets["global"].result()["zone"], fleets["fleets"]["four"].manifest
    for region in manifest["regions"].values():
        assert zone.answers(set(), None, region["endpoint"]) == {tuple(region["addresses"]): 1.0}


def test_identifiers_stay_when_a_region_comes(fleets):
    """A fifth region adds records. It takes none away, and no record of the others moves to another place."""
    before, after = ({row["address"] + "/" + row["attributes"]["id"].split("_", 1)[1] for row in fleets[name].result()["resources"]
                      if row["type"] == "aws_route53_record"} for name in ("global", "five"))
    assert before < after


@pytest.mark.parametrize("name", [*FOUR, "sa-east"])
def test_capacity_is_the_manifests(fleets, name):
    seen = fleets[name].result()
    region = fleets["fleets"]["five"].manifest["regions"][name]
    slots, per_node = region["workers"], region.get("workers_per_node", 1)
    workers = {quota: slots["static"] // per_node + -((slots["static"] - slots[quota]) // per_node) for quota in slots}
    most = workers["quota"] if WAYS[name].get("ceiling") == "quota" else workers["surge"]
    assert seen["outputs"]["capacity"]["value"] == {"least": workers["quota"], "most": most}
    assert seen["outputs"]["dollars_a_month"]["value"]["quota"] == 45 * workers["quota"]
    groups = [row["attributes"] for row in seen["resources"] if row["type"] == "aws_autoscaling_group"]
    if name == "apac":
        machines = next(row["attributes"] for row in seen["resources"] if row["type"] == "aws_eks_node_group")
        assert machines["scaling_config"][0]["min_size"] >= workers["quota"]
        return
    assert sum(group["min_size"] for group in groups) == workers["quota"]
    assert sum(group["max_size"] for group in groups) == most
    assert {group["health_check_type"] for group in groups} == {"ELB"}
    assert {group["health_check_grace_period"] for group in groups} == {300}
    slots = sorted(int(tag["value"]) for group in groups for tag in group["tag"] if tag["key"] == "static-slot")
    assert slots == list(range(workers["static"]))


def test_zookeeper_is_the_manifests(fleets):
    for name, count in (("us-east", 3), ("sa-east", 5)):
        seen = fleets[name].result()
        assert len(seen["outputs"]["zookeeper"]["value"]) == count
        assert len(set(seen["outputs"]["zookeeper"]["value"].values())) == count
        hosts = {server.split(":")[0] for server in fleets["fleets"]["five"].manifest["regions"][name]["zookeeper"].split("/")[0].split(",")}
        assert set(seen["outputs"]["zookeeper"]["value"]) == hosts
        disks = [row["attributes"] for row in seen["resources"] if row["type"] == "aws_ebs_volume"]
        assert len(disks) == count and len({disk["availability_zone"] for disk in disks}) == 3
        assert all(disk["encrypted"] for disk in disks)
