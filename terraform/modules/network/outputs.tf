output "vpc_id" {
  description = "The network."
  value       = aws_vpc.this.id
}

output "public_subnets" {
  description = "By zone: where load balancers stand."
  value       = { for zone, subnet in aws_subnet.public : zone => subnet.id }
}

output "private_subnets" {
  description = "By zone: where nodes and ZooKeeper stand."
  value       = { for zone, subnet in aws_subnet.private : zone => subnet.id }

  # Whoever starts there finds the way out.
  depends_on = [aws_route.private, aws_route_table_association.private]
}

output "private_cidrs" {
  description = "By zone: the addresses of the private subnet."
  value       = { for zone, subnet in aws_subnet.private : zone => subnet.cidr_block }
}
