"""Reads a zone back through Route 53's API and goes through it as Route 53 does, by its documented rules."""
import itertools

import boto3


class Zone:
    """What was applied: the record sets and health checks that the API returns, and nothing else."""

    def __init__(self, endpoint, name):
        self.api = boto3.client("route53", endpoint_url=endpoint, region_name="us-east-1",
                                aws_access_key_id="test", aws_secret_access_key="test")
        zones = [zone for zone in self.api.list_hosted_zones()["HostedZones"] if zone["Name"].rstrip(".") == name]
        assert len(zones) == 1, zones
        self.name = name
        self.id = zones[0]["Id"]
        self.groups = {}
        for page in self.api.get_paginator("list_resource_record_sets").paginate(HostedZoneId=self.id):
            for record in page["ResourceRecordSets"]:
                self.groups.setdefault((record["Name"].rstrip("."), record["Type"]), []).append(record)
        pages = self.api.get_paginator("list_health_checks").paginate()
        self.checks = {check["Id"]: check["HealthCheckConfig"] for page in pages for check in page["HealthChecks"]}
        self.locations = self.read_locations()

    def read_locations(self):
        """Location names of the zone's CIDR collection, each with its blocks."""
        found = {}
        for collection in self.api.list_cidr_collections()["CidrCollections"]:
            for block in self.api.list_cidr_blocks(CollectionId=collection["Id"])["CidrBlocks"]:
                found.setdefault(block["LocationName"], []).append(block["CidrBlock"])
        return found

    def group(self, name, kind="A"):
        return self.groups[name.rstrip("."), kind]

    def passes(self, check, down):
        config = self.checks[check]
        if config["Type"] == "CALCULATED":
            passing = sum(self.passes(child, down) for child in config["ChildHealthChecks"])
            verdict = passing >= config["HealthThreshold"]
        else:
            verdict = config["IPAddress"] not in down
        return True if config.get("Disabled") else verdict != config.get("Inverted", False)

    def healthy(self, record, down):
        if "HealthCheckId" in record and not self.passes(record["HealthCheckId"], down):
            return False
        alias = record.get("AliasTarget")
        if alias and alias["EvaluateTargetHealth"]:
            return any(self.healthy(other, down) for other in self.group(alias["DNSName"], record["Type"]))
        return True

    def answers(self, down, nearest, name=None, share=1.0, kind="A"):
        """{addresses: share} for clients that are nearest to `nearest`, which no location names if it is None."""
        group = self.group(name or self.name, kind)
        # When nobody of a group is healthy, all count as healthy.
        living = [record for record in group if self.healthy(record, down)] or group
        if "Weight" in group[0]:
            total = sum(record["Weight"] for record in living)
            chosen = [(record, share * record["Weight"] / total) for record in living]
        elif "Failover" in group[0]:
            chosen = [(min(living, key=lambda record: record["Failover"] != "PRIMARY"), share)]
        elif "CidrRoutingConfig" in group[0]:
            at = {record["CidrRoutingConfig"]["LocationName"]: record for record in living}
            chosen = [(at.get(nearest) or at.get("*") or living[0], share)]
        elif "Region" in group[0] or "GeoProximityLocation" in group[0]:
            at = {record["SetIdentifier"]: record for record in living}
            chosen = [(at.get(nearest) or living[0], share)]
        else:
            chosen = [(record, share) for record in group]
        found = {}
        for record, part in chosen:
            if "AliasTarget" in record:
                leaves = self.answers(down, nearest, record["AliasTarget"]["DNSName"], part, kind)
            else:
                leaves = {tuple(sorted(value["Value"] for value in record["ResourceRecords"])): part}
            for leaf, size in leaves.items():
                found[leaf] = found.get(leaf, 0) + size
        return found


def failures(regions, most=2):
    """Every set of up to `most` regions that are down."""
    return [set(down) for count in range(most + 1) for down in itertools.combinations(regions, count)]


def rule(manifest, region, down):
    """The manifest's rule (src/topology/spill.rs), said once more: {region: share} of who serves its clients."""
    regions = manifest["regions"]
    own = regions[region]
    if region not in down:
        return {region: 1.0}

    def takes(to):
        zones = own["residency"], regions.get(to, {}).get("residency")
        return to in regions and to != region and to not in down and (zones[0] == "any" or zones[0] == zones[1])

    living = {to: weight for to, weight in own["spill"].items() if weight > 0 and takes(to)}
    if living:
        return {to: weight / sum(living.values()) for to, weight in living.items()}
    return {to: 1.0 for to in [to for to in own["order"] if takes(to)][:1]}
