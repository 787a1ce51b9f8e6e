# What belongs to no region: the fleet's name in Route 53. Its state knows no region's state, so that a region which is
# gone cannot stand in the way of sending its clients elsewhere.

provider "aws" {
  # Route 53 has its metrics and query logs here and nowhere else.
  region = "us-east-1"

  default_tags {
    tags = {
      Project        = "meridian"
      Fleet          = module.manifest.fleet
      ManifestSha256 = module.manifest.sha256
    }
  }
}

module "manifest" {
  source = "../../modules/manifest"

  path = var.manifest
}

locals {
  name = "meridian-${module.manifest.fleet}"
}

module "key" {
  source = "../../modules/key"

  name = local.name
}

module "observability" {
  source = "../../modules/observability"

  name        = local.name
  kms_key_arn = module.key.arn
  emails      = var.alarm_emails
}

module "geodns" {
  source = "../../modules/geodns"

  name            = local.name
  tree            = jsondecode(file(var.tree))
  drained         = var.drained
  ttl_seconds     = module.manifest.dns.ttl_seconds
  kms_key_arn     = module.key.arn
  alarm_topic_arn = module.observability.topic_arn

  # An endpoint under another name belongs to somebody else's zone.
  endpoints = {
    for name, region in module.manifest.regions : name => { name = region.endpoint, addresses = region.addresses }
    if endswith(region.endpoint, ".${module.manifest.dns.name}")
  }
}
