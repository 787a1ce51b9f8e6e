output "cluster_name" {
  description = "For `aws eks update-kubeconfig --name`."
  value       = aws_eks_cluster.this.name
}

output "capacity" {
  description = "How many machines there are at least and at most."
  value       = { least = local.least, most = local.most }
}

output "security_group_id" {
  description = "The group of the cluster's machines and pods."
  value       = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
}
