output "manifest_sha256" {
  description = "The manifest's digest, which tags every resource."
  value       = module.manifest.sha256
}

output "name_servers" {
  description = "What the parent zone must name for the fleet's name."
  value       = module.geodns.name_servers
}

output "zone_id" {
  description = "The hosted zone."
  value       = module.geodns.zone_id
}

output "health_checks" {
  description = "By region: the check that says whether GeoDNS answers it."
  value       = module.geodns.health_checks
}

output "record_sets" {
  description = "How many record sets the tree has."
  value       = module.geodns.record_sets
}
