output "capacity" {
  description = "How many nodes there are at least and at most: the manifest's quota, and the ceiling."
  value = {
    least = length(local.core) + local.least
    most  = length(local.core) + local.most
  }
}

output "core_groups" {
  description = "The groups of the static slots, for terraform/roll."
  value       = [for group in aws_autoscaling_group.core : group.name]
}

output "burst_group" {
  description = "The group of the dynamic slots."
  value       = aws_autoscaling_group.burst.name
}

output "security_group_id" {
  description = "The nodes' group."
  value       = aws_security_group.this.id
}

output "user_data" {
  description = "What a machine is told at its first start."
  value       = local.user_data
}
