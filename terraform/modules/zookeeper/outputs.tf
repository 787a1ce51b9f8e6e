output "servers" {
  description = "By name: the servers' addresses."
  value       = { for name, server in local.servers : "${name}.${local.domain}" => server.address }
}

output "instance_ids" {
  description = "By name: the servers' machines."
  value       = { for name, instance in aws_instance.this : name => instance.id }
}

output "user_data" {
  description = "By name: what a machine is told at its first start."
  value       = local.user_data
}
