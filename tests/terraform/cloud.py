"""AWS on loopback: moto, and what it lacks. Prints its port once it listens; ends with its input.

Of Route 53 it keeps no CIDR collections and no CIDR or geoproximity records, forgets the children of a check that changes,
and takes an alias that leads nowhere (Route 53 refuses it, and so the order in which records are made would go untested).
Two changes of a zone at once each write its list of records without what the other one did; Route 53 makes one at a time.
Elsewhere it answers less than it was told, and a second plan would find that: see `forgotten`.
"""
import functools
import os
import sys
import threading
import uuid

os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"

from moto.autoscaling.models import FakeScalingPolicy
from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models.launch_templates import LaunchTemplate
from moto.ec2.models.security_groups import SecurityGroupRule
from moto.ec2.responses import EC2Response
from moto.eks.models import EKSBackend
from moto.elbv2.models import AvailabilityZone, ELBv2Backend, FakeLoadBalancer
from moto.route53 import models, urls
from moto.route53.exceptions import InvalidChangeBatch
from moto.route53.responses import Route53
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server


class Collection:
    def __init__(self, name):
        self.id = str(uuid.uuid4())
        self.arn = f"arn:aws:route53:::cidrcollection/{self.id}"
        self.name = name
        self.version = 1
        self.locations = {}


COLLECTIONS = {}


def create_cidr_collection(self):
    made = Collection(self._get_param("Name"))
    COLLECTIONS[made.id] = made
    return ActionResult({"Collection": {"Arn": made.arn, "Id": made.id, "Name": made.name, "Version": 1}, "Location": made.arn})


def list_cidr_collections(self):
    rows = [{"Arn": c.arn, "Id": c.id, "Name": c.name, "Version": c.version} for c in COLLECTIONS.values()]
    return ActionResult({"CidrCollections": rows})


def change_cidr_collection(self):
    collection = COLLECTIONS[self._get_param("Id")]
    for change in self._get_param("Changes"):
        blocks = collection.locations.setdefault(change["LocationName"], [])
        if change["Action"] == "PUT":
            blocks.extend(block for block in change["CidrList"] if block not in blocks)
        else:
            blocks[:] = [block for block in blocks if block not in change["CidrList"]]
        if not blocks:
            del collection.locations[change["LocationName"]]
    collection.version += 1
    return ActionResult({"Id": collection.id})


def list_cidr_blocks(self):
    collection = COLLECTIONS[self._get_param("CollectionId")]
    wanted = self._get_param("LocationName")
    rows = [
        {"CidrBlock": block, "LocationName": location}
        for location, blocks in collection.locations.items() for block in blocks if wanted in (None, location)
    ]
    return ActionResult({"CidrBlocks": rows})


def list_cidr_locations(self):
    return ActionResult({"CidrLocations": [{"LocationName": name} for name in COLLECTIONS[self._get_param("CollectionId")].locations]})


def delete_cidr_collection(self):
    del COLLECTIONS[self._get_param("Id")]
    return EmptyResult()


def remember_routing(original):
    def init(self, kwargs):
        original(self, kwargs)
        self.cidr_routing_config = kwargs.get("CidrRoutingConfig")
        self.geo_proximity_location = kwargs.get("GeoProximityLocation")
    return init


def one_at_a_time(original):
    lock = threading.Lock()

    def change(self, zone_id, changes):
        with lock:
            return original(self, zone_id, changes)
    return change


def refuse_what_leads_nowhere(original):
    def change(self, zone_id, changes):
        zone = self.get_hosted_zone(zone_id)
        there = {(record.name.rstrip("."), record.type) for record in zone.rrsets}
        for item in changes:
            record = item["ResourceRecordSet"]
            target = record.get("AliasTarget")
            if item["Action"] != "DELETE" and target and (target["DNSName"].rstrip("."), record["Type"]) not in there:
                raise InvalidChangeBatch
        return original(self, zone_id, changes)
    return change


def log_group_as_aws_takes_it(original):
    def create(self, zone_id, arn):
        made = original(self, zone_id, f"{arn}:*")
        made.cloud_watch_logs_log_group_arn = arn
        return made
    return create


def monitor_instances(self):
    rows = [{"InstanceId": instance, "Monitoring": {"State": "enabled"}} for instance in self._get_param("InstanceIds", [])]
    return ActionResult({"InstanceMonitorings": rows})


def afterwards(owner, name):
    """Wraps a method: the function gets the object, the answer and what was asked."""
    def wrap(function):
        original = getattr(owner, name)

        @functools.wraps(original)
        def wrapped(self, *args, **kwargs):
            answer = original(self, *args, **kwargs)
            function(self, answer, kwargs)
            return answer
        setattr(owner, name, wrapped)
    return wrap


def forgotten():
    """What moto is told and does not answer."""
    EC2Response.monitor_instances = monitor_instances
    FakeScalingPolicy.enabled = True
    # An empty one is answered as one.
    FakeScalingPolicy.predictive_scaling_configuration = property(lambda policy: None, lambda policy, value: None)
    SecurityGroupRule.description = property(lambda rule: rule.ip_range.get("Description") or rule.source_group.get("Description"))

    @afterwards(models.FakeZone, "add_vpc")
    def by_its_name_in_the_api(zone, vpc, _):
        vpc.update(VPCId=vpc.get("vpc_id"), VPCRegion=vpc.get("vpc_region"))
        zone.private_zone = bool(vpc["VPCId"])

    @afterwards(Route53, "create_hosted_zone")
    def in_its_network(request, answer, _):
        network = request._get_param("VPC.VPCId")
        zone = next(z for z in reversed(request.backend.zones.values()) if z.name.rstrip(".") == request._get_param("Name").rstrip("."))
        if network and not zone.vpcs:
            zone.add_vpc(network, request._get_param("VPC.VPCRegion"))

    @afterwards(EC2Backend, "run_instances")
    def groups_of_the_first_interface(backend, reservation, _):
        for instance in reservation.instances:
            instance.security_groups = instance.security_groups or list(instance.nics[0].group_set)

    @afterwards(ELBv2Backend, "create_load_balancer")
    def fixed_addresses(backend, balancer, asked):
        balancer.fixed = {one["SubnetId"]: one["AllocationId"] for one in asked.get("subnet_mappings") or [] if "AllocationId" in one}

    def zones(balancer):
        found = [AvailabilityZone(subnet) for subnet in balancer.subnets]
        for zone in found:
            allocation = balancer.fixed.get(zone.subnet_id)
            zone.load_balancer_addresses = [{"AllocationId": allocation}] if allocation else []
        return found
    FakeLoadBalancer.availability_zones = property(zones)

    @afterwards(EKSBackend, "create_cluster")
    def the_clusters_group(backend, cluster, asked):
        ec2 = ec2_backends[backend.account_id][backend.region_name]
        vpc = ec2.get_subnet(cluster.resources_vpc_config["subnetIds"][0]).vpc_id
        group = ec2.create_security_group(f"eks-cluster-sg-{cluster.name}", "the cluster's own", vpc_id=vpc)
        cluster.resources_vpc_config.update(clusterSecurityGroupId=group.id, vpcId=vpc)

    @afterwards(EKSBackend, "delete_cluster")
    def and_it_goes_with_the_cluster(backend, cluster, _):
        ec2 = ec2_backends[backend.account_id][backend.region_name]
        ec2.delete_security_group(group_id=cluster.resources_vpc_config["clusterSecurityGroupId"])

    @afterwards(EKSBackend, "create_nodegroup")
    def one_at_once_and_no_ssh(backend, group, asked):
        group.remote_access = asked.get("remote_access") or None
        group.update_config = group.update_config or {"maxUnavailable": 1}

    create_version = LaunchTemplate.create_version

    def without_its_own_tags(template, data, description):
        kept = [spec for spec in data.get("TagSpecifications", []) if spec.get("ResourceType") != "launch-template"]
        return create_version(template, data | ({"TagSpecifications": kept} if kept else {}), description)
    LaunchTemplate.create_version = without_its_own_tags

    update = models.Route53Backend.update_health_check

    def only_what_is_said(backend, check, asked):
        return update(backend, check, asked | {key: asked[key] or None for key in ("children", "regions")})
    models.Route53Backend.update_health_check = only_what_is_said


def serve():
    forgotten()
    for action in (create_cidr_collection, list_cidr_collections, change_cidr_collection, list_cidr_blocks,
                   list_cidr_locations, delete_cidr_collection):
        setattr(Route53, action.__name__, action)
    for path in ("cidrcollection", "cidrcollection/(?P<id>[^/]+)", "cidrcollection/(?P<id>[^/]+)/cidrblocks"):
        urls.url_paths[r"{0}/(?P<api_version>[\d_-]+)/" + path + "$"] = Route53.dispatch
    models.RecordSet.__init__ = remember_routing(models.RecordSet.__init__)
    backend = models.Route53Backend
    backend.change_resource_record_sets = one_at_a_time(refuse_what_leads_nowhere(backend.change_resource_record_sets))
    backend.create_query_logging_config = log_group_as_aws_takes_it(backend.create_query_logging_config)

    server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
    os.environ["MOTO_PORT"] = str(server.port)
    print(server.port, flush=True)
    # Whoever started it holds the other end: with that gone, it goes too.
    threading.Thread(target=lambda: (sys.stdin.read(), server.shutdown()), daemon=True).start()
    server.serve_forever()


if __name__ == "__main__":
    serve()
