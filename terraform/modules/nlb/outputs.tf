output "addresses" {
  description = "The region's fixed addresses: the manifest's `addresses`."
  value       = sort([for address in aws_eip.this : address.public_ip])
}

output "dns_name" {
  description = "The load balancer's own name."
  value       = aws_lb.this.dns_name
}

output "arn_suffix" {
  description = "The load balancer in CloudWatch's metrics."
  value       = aws_lb.this.arn_suffix
}

output "target_group_arn_suffix" {
  description = "The nodes in CloudWatch's metrics."
  value       = aws_lb_target_group.connections.arn_suffix
}

output "target_group_arns" {
  description = "Where nodes register: all of them."
  value       = concat([aws_lb_target_group.connections.arn], [for group in aws_lb_target_group.requests : group.arn])

  # An Auto Scaling group with ELB health needs groups that a load balancer asks.
  depends_on = [aws_lb_listener.plain, aws_lb_listener.requests]
}

output "security_group_id" {
  description = "The load balancers' group: the only source that nodes take clients from."
  value       = aws_security_group.this.id
}
