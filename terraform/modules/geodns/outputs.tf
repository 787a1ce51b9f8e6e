output "zone_id" {
  description = "The hosted zone."
  value       = aws_route53_zone.this.zone_id

  precondition {
    condition     = length(local.records) == sum([for layer in local.layers : length(layer)])
    error_message = "Some records have no place in the tree. Eight names after a region are provided for, which is ten regions; more need another module `next_N` in tree.tf."
  }
}

output "name_servers" {
  description = "What the parent zone must name."
  value       = aws_route53_zone.this.name_servers
}

output "health_checks" {
  description = "By region: the check that says whether GeoDNS answers it."
  value       = { for region, check in aws_route53_health_check.serving : region => check.id }
}

output "record_sets" {
  description = "How many record sets the tree has."
  value       = length(local.records)
}
