# The only place that reads the manifest. `meridian check` judges it; here it is only refused if it is of another schema.

locals {
  manifest = yamldecode(file(var.path))

  # Addresses at which other regions are asked for their health.
  peers = {
    for name in keys(local.manifest.regions) : name => flatten([
      for other, region in local.manifest.regions : region.addresses if other != name
    ])
  }

  # The manifest's quotas count slots, groups and clusters count nodes, each of which asks for workers_per_node slots: the one
  # key that may be left out.
  per_node = { for name, region in local.manifest.regions : name => try(region.workers_per_node, 1) }

  nodes = {
    for name, region in local.manifest.regions : name => {
      for quota, slots in region.workers :
      quota => ceil(region.workers.static / local.per_node[name]) + ceil((slots - region.workers.static) / local.per_node[name])
    }
  }

  # `host:port,host:port/chroot`
  ensembles = {
    for name, region in local.manifest.regions : name => [
      for server in split(",", split("/", region.zookeeper)[0]) : {
        host = split(":", server)[0]
        port = tonumber(split(":", server)[1])
      }
    ]
  }
}
