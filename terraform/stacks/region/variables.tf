variable "region" {
  description = "The region's name in the manifest."
  type        = string

  validation {
    condition     = !fileexists(var.manifest) || try(contains(keys(yamldecode(file(var.manifest)).regions), var.region), false)
    error_message = "${var.manifest} has no region ${var.region}: choose one of ${try(join(", ", keys(yamldecode(file(var.manifest)).regions)), "")}."
  }
}

variable "manifest" {
  description = "The fleet's manifest."
  type        = string
  default     = "../../../regions/meridian.yaml"
}

variable "platform" {
  description = "What the nodes run on: `instances` (an Auto Scaling group) or `kubernetes` (EKS and the chart)."
  type        = string
  default     = "instances"

  validation {
    condition     = contains(["instances", "kubernetes"], var.platform)
    error_message = "The platform is instances or kubernetes."
  }

  validation {
    condition     = var.platform == "kubernetes" || (var.image_id != null && var.binary != null)
    error_message = "Instances need an image_id and a binary."
  }
}

variable "image_id" {
  description = "A machine image of Amazon Linux 2023 in this cloud region, for instances and ZooKeeper."
  type        = string
  default     = null
}

variable "binary" {
  description = "The meridian binary: where it lies in S3, and its digest."
  type = object({
    url    = string
    sha256 = string
  })
  default = null
}

variable "instance_type" {
  description = "The nodes' machines."
  type        = string
  default     = "t3.medium"
}

variable "ceiling" {
  description = "How far the nodes may grow: to the `surge` quota or only to the `quota`."
  type        = string
  default     = "surge"
}

variable "triggers" {
  description = "Scaling triggers that shall differ from those of modules/asg."
  type = object({
    minutes             = optional(number)
    cpu_percent         = optional(number)
    latency_ms          = optional(number)
    overflow_percent    = optional(number)
    queue_depth         = optional(number)
    quiet_cpu_percent   = optional(number)
    nodes               = optional(number)
    nodes_at_twice      = optional(number)
    seconds_till_repeat = optional(number)
  })
  default = {}
}

variable "zookeeper" {
  description = "Makes the ensemble that the manifest names. Without it, the region has one already."
  type = object({
    package       = object({ url = string, sha512 = string })
    observers     = optional(number, 0)
    instance_type = optional(string, "t3.medium")
  })
  default = null

  validation {
    condition     = var.zookeeper == null || var.image_id != null
    error_message = "ZooKeeper's machines need an image_id."
  }
}

variable "algorithm" {
  description = "How load is spread: flow_hash, round_robin or least_outstanding_requests; see modules/nlb."
  type        = string
  default     = "flow_hash"
}

variable "certificate_arn" {
  description = "A certificate of this cloud region for the fleet's name and the region's endpoint; with it ids are served on port 443 too."
  type        = string
  default     = null
}

variable "log_bucket" {
  description = "An S3 bucket in this cloud region that takes the load balancers' access logs."
  type        = string
}

variable "deletion_protection" {
  description = "Off only to take the region down."
  type        = bool
  default     = true
}

variable "alarm_emails" {
  description = "Who is told when something is wrong."
  type        = set(string)
  default     = []
}

variable "prices" {
  description = "What a node costs in dollars a month; the defaults are the brief's."
  type = object({
    instance   = optional(number, 30)
    network    = optional(number, 10)
    monitoring = optional(number, 5)
  })
  default = {}

  validation {
    condition     = min(values(var.prices)...) >= 0
    error_message = "Prices are not negative."
  }
}
