output "manifest_sha256" {
  description = "The manifest's digest, which tags every resource."
  value       = module.manifest.sha256
}

output "addresses" {
  description = "The region's fixed addresses: the manifest's `addresses`."
  value       = module.nlb.addresses
}

output "target_group_arns" {
  description = "Where pods register, by a TargetGroupBinding."
  value       = module.nlb.target_group_arns
}

output "core_groups" {
  description = "The groups of the static slots, for terraform/roll."
  value       = flatten([for asg in module.asg : asg.core_groups])
}

output "cluster_name" {
  description = "For `aws eks update-kubeconfig --name`, on Kubernetes."
  value       = one([for eks in module.eks : eks.cluster_name])
}

output "zookeeper" {
  description = "By name: the ZooKeeper servers' addresses."
  value       = merge([for ensemble in module.zookeeper : ensemble.servers]...)
}

output "capacity" {
  description = "How many nodes of the service there are at least and at most."
  value = {
    least = local.nodes.quota
    most  = var.ceiling == "surge" ? local.nodes.surge : local.nodes.quota
  }
}

output "dollars_a_month" {
  description = "What the region's nodes cost by the brief's prices: a node, the quota, and while it carries a neighbour."
  value = {
    node  = sum(values(var.prices))
    quota = sum(values(var.prices)) * local.nodes.quota
    surge = sum(values(var.prices)) * local.nodes.surge
  }
}
