# One region. Its state is its own, so that a region which is gone stands in nobody's way.

provider "aws" {
  region = local.region.cloud.region

  default_tags {
    tags = {
      Project        = "meridian"
      Fleet          = module.manifest.fleet
      MeridianRegion = var.region
      Datacenter     = local.region.datacenter
      ManifestSha256 = module.manifest.sha256
    }
  }
}

module "manifest" {
  source = "../../modules/manifest"

  path = var.manifest
}

locals {
  region   = module.manifest.regions[var.region]
  nodes    = module.manifest.nodes[var.region]
  ensemble = module.manifest.ensembles[var.region]
  health   = module.manifest.health
  name     = "${module.manifest.fleet}-${var.region}"

  # Longer than the load balancer needs to see that a node leaves.
  lame_duck_seconds = local.health.interval_seconds * local.health.unhealthy_threshold + local.health.timeout_seconds + 3

  instances  = var.platform == "instances" ? toset(["this"]) : toset([])
  kubernetes = var.platform == "kubernetes" ? toset(["this"]) : toset([])
}

module "key" {
  source = "../../modules/key"

  name = local.name
}

module "network" {
  source = "../../modules/network"

  name        = local.name
  cidr        = local.region.cloud.cidr
  zones       = local.region.cloud.zones
  kms_key_arn = module.key.arn
}

module "nlb" {
  source = "../../modules/nlb"

  name                = local.name
  vpc_id              = module.network.vpc_id
  public_subnets      = module.network.public_subnets
  private_subnets     = module.network.private_subnets
  health              = local.health
  algorithm           = var.algorithm
  certificate_arn     = var.certificate_arn
  target_type         = var.platform == "instances" ? "instance" : "ip"
  log_bucket          = var.log_bucket
  deletion_protection = var.deletion_protection
}

module "asg" {
  source   = "../../modules/asg"
  for_each = local.instances

  name                            = local.name
  region                          = var.region
  manifest                        = module.manifest.text
  workers                         = local.nodes
  static_slots                    = module.manifest.slots.static
  ceiling                         = var.ceiling
  vpc_id                          = module.network.vpc_id
  subnets                         = module.network.private_subnets
  target_group_arns               = module.nlb.target_group_arns
  load_balancer_security_group_id = module.nlb.security_group_id
  zookeeper_ports                 = toset(local.ensemble[*].port)
  peers                           = toset(module.manifest.peers[var.region])
  image_id                        = var.image_id
  instance_type                   = var.instance_type
  binary                          = var.binary
  triggers                        = var.triggers
  lame_duck_seconds               = local.lame_duck_seconds
  alarm_topic_arn                 = module.observability.topic_arn
}

module "eks" {
  source   = "../../modules/eks"
  for_each = local.kubernetes

  name                            = local.name
  workers                         = merge(local.nodes, var.ceiling == "surge" ? {} : { surge = local.nodes.quota })
  subnets                         = module.network.private_subnets
  instance_type                   = var.instance_type
  load_balancer_security_group_id = module.nlb.security_group_id
  kms_key_arn                     = module.key.arn
}

module "zookeeper" {
  source   = "../../modules/zookeeper"
  for_each = var.zookeeper == null ? {} : { this = var.zookeeper }

  name          = local.name
  servers       = local.ensemble
  observers     = each.value.observers
  vpc_id        = module.network.vpc_id
  subnets       = module.network.private_subnets
  cidrs         = module.network.private_cidrs
  image_id      = var.image_id
  instance_type = each.value.instance_type
  package       = each.value.package
  kms_key_arn   = module.key.arn

  client_security_group_ids = merge(
    { for asg in module.asg : "Nodes" => asg.security_group_id },
    { for eks in module.eks : "Pods" => eks.security_group_id },
  )
}

locals {
  targets = { LoadBalancer = module.nlb.arn_suffix, TargetGroup = module.nlb.target_group_arn_suffix }
  alarm   = { statistic = "Maximum", comparison = "GreaterThanOrEqualToThreshold", threshold = 1, missing = "notBreaching" }

  # Of each: what it means, and where to look.
  alarms = merge(
    {
      nobody-serves = merge(local.alarm, {
        description = "No node of ${var.region} is healthy. GeoDNS sends its clients elsewhere; look at ZooKeeper and at /api/v1/health of a node."
        namespace   = "AWS/NetworkELB", metric = "HealthyHostCount", dimensions = local.targets, minutes = 1
        comparison  = "LessThanThreshold", missing = "breaching"
      })
      below-quota = merge(local.alarm, {
        description = "Fewer nodes of ${var.region} are healthy than hold its quota."
        namespace   = "AWS/NetworkELB", metric = "HealthyHostCount", dimensions = local.targets, minutes = 10
        comparison  = "LessThanThreshold", threshold = local.nodes.quota, missing = "breaching"
      })
      resets = merge(local.alarm, {
        description = "Nodes of ${var.region} reset clients' connections: they crash, or restart without a lame duck."
        namespace   = "AWS/NetworkELB", metric = "TCP_Target_Reset_Count", dimensions = { LoadBalancer = module.nlb.arn_suffix }
        statistic   = "Sum", threshold = 1000, minutes = 5
      })
    },
    {
      for asg in module.asg : "at-ceiling" => merge(local.alarm, {
        description = "${var.region} has as many nodes as it may have. More load would be shed: raise the manifest's surge."
        namespace   = "AWS/AutoScaling", metric = "GroupDesiredCapacity", dimensions = { AutoScalingGroupName = asg.burst_group }
        threshold   = max(1, asg.capacity.most - local.nodes.static), minutes = 10
      })
    },
    merge([
      for ensemble in module.zookeeper : {
        for server, instance in ensemble.instance_ids : "${server}-down" => merge(local.alarm, {
          description = "The ZooKeeper server ${server} of ${var.region} is down. Ids go on while a majority lives; replace it."
          namespace   = "AWS/EC2", metric = "StatusCheckFailed", dimensions = { InstanceId = instance }, minutes = 3
        })
      }
    ]...),
  )
}

module "observability" {
  source = "../../modules/observability"

  name        = local.name
  kms_key_arn = module.key.arn
  emails      = var.alarm_emails
  alarms      = local.alarms
}

# Route 53 answers what the manifest says, so it must say these. New regions learn their addresses here.
check "addresses" {
  assert {
    condition     = length(setsubtract(module.nlb.addresses, local.region.addresses)) == 0
    error_message = "The manifest's addresses of ${var.region} are not those of its load balancer: set them to [${join(", ", module.nlb.addresses)}]."
  }
}
