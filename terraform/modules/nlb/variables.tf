variable "name" {
  description = "In front of the name of everything made here."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{0,25}$", var.name))
    error_message = "A name is 1 to 26 lower-case letters, digits and '-'."
  }
}

variable "vpc_id" {
  description = "The network."
  type        = string
}

variable "public_subnets" {
  description = "By zone: where the load balancer stands, with one fixed address in each."
  type        = map(string)
}

variable "private_subnets" {
  description = "By zone: where the one behind it stands, if there is one."
  type        = map(string)
}

variable "algorithm" {
  description = <<-TEXT
    How load is spread. `flow_hash`: connections, by the network load balancer, which knows nothing else. `round_robin`,
    `least_outstanding_requests`: requests on port 443, by an application load balancer behind it.
  TEXT
  type        = string
  default     = "flow_hash"

  validation {
    condition     = contains(["flow_hash", "round_robin", "least_outstanding_requests"], var.algorithm)
    error_message = "The algorithm is flow_hash, round_robin or least_outstanding_requests."
  }

  validation {
    condition     = var.algorithm == "flow_hash" || var.certificate_arn != null
    error_message = "To spread requests the load balancer must read them: ${var.algorithm} needs a certificate_arn."
  }
}

variable "certificate_arn" {
  description = "A certificate for the fleet's name and the region's endpoint. With it ids are served on port 443 as well."
  type        = string
  default     = null

  validation {
    condition     = var.certificate_arn == null || can(regex("^arn:aws[a-z-]*:acm:", var.certificate_arn))
    error_message = "The certificate is one of ACM: arn:aws:acm:…"
  }
}

variable "target_type" {
  description = "What is registered: `instance` (an Auto Scaling group) or `ip` (pods)."
  type        = string
  default     = "instance"

  validation {
    condition     = contains(["instance", "ip"], var.target_type)
    error_message = "Targets are instances or ip addresses."
  }
}

variable "health" {
  description = "How targets are probed, from the manifest."
  type = object({
    interval_seconds    = number
    timeout_seconds     = number
    unhealthy_threshold = number
    healthy_threshold   = number
  })

  validation {
    condition     = var.health.interval_seconds >= 5 && var.health.interval_seconds <= 300 && var.health.timeout_seconds >= 2 && var.health.timeout_seconds < var.health.interval_seconds
    error_message = "A load balancer probes every 5 to 300 seconds and waits at least 2, but less than the interval."
  }

  validation {
    condition     = min(var.health.unhealthy_threshold, var.health.healthy_threshold) >= 2 && max(var.health.unhealthy_threshold, var.health.healthy_threshold) <= 10
    error_message = "A load balancer takes thresholds from 2 to 10."
  }
}

variable "deregistration_seconds" {
  description = "How long a node that leaves keeps its connections."
  type        = number
  default     = 60

  validation {
    condition     = var.deregistration_seconds >= 0 && var.deregistration_seconds <= 3600
    error_message = "At most an hour."
  }
}

variable "log_bucket" {
  description = "An S3 bucket that takes the access logs."
  type        = string
}

variable "deletion_protection" {
  description = "Off only to take a region down: its addresses are in the manifest and in everybody's caches."
  type        = bool
  default     = true
}
