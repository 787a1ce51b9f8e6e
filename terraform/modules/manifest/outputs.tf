output "sha256" {
  description = "The manifest's digest: a tag of every resource, an annotation of the Helm release and the nodes' metric meridian_manifest_info."
  value       = filesha256(var.path)
}

output "text" {
  description = "The manifest's bytes, for nodes."
  value       = file(var.path)
}

output "fleet" {
  description = "The fleet's name."
  value       = local.manifest.fleet

  precondition {
    condition     = local.manifest.schema == "meridian/v1"
    error_message = "${var.path} is of the schema ${local.manifest.schema}; these modules read meridian/v1."
  }
}

output "dns" {
  description = "The fleet's DNS name and TTL."
  value       = local.manifest.dns
}

output "health" {
  description = "How health is probed."
  value       = local.manifest.health
}

output "slots" {
  description = "The pools of worker slots, first and last of each."
  value       = local.manifest.slots
}

output "regions" {
  description = "All regions by name, as the manifest has them."
  value       = local.manifest.regions
}

output "nodes" {
  description = "By region: how many nodes hold the quota, the static slots and the surge quota."
  value       = local.nodes

  precondition {
    condition     = alltrue([for name, region in local.manifest.regions : region.workers.static % local.per_node[name] == 0])
    error_message = "The static slots of a region of ${var.path} do not come out even among nodes of workers_per_node: run `meridian check`."
  }
}

output "peers" {
  description = "By region: the addresses of all others."
  value       = local.peers
}

output "ensembles" {
  description = "By region: its ZooKeeper servers, each with host and port."
  value       = local.ensembles
}
