variable "name" {
  description = "The cluster's name."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{0,25}$", var.name))
    error_message = "A name is 1 to 26 lower-case letters, digits and '-'."
  }
}

variable "kubernetes_version" {
  description = "Kubernetes' version; the chart is tested on 1.31 to 1.37."
  type        = string
  default     = "1.33"

  validation {
    condition     = can(regex("^1\\.3[1-7]$", var.kubernetes_version))
    error_message = "The chart is tested on Kubernetes 1.31 to 1.37."
  }
}

variable "workers" {
  description = "How many nodes hold the quota, the static slots and the surge quota, from the manifest."
  type = object({
    quota  = number
    static = number
    surge  = number
  })

  validation {
    condition     = var.workers.static >= 0 && var.workers.static <= var.workers.quota && var.workers.quota <= var.workers.surge
    error_message = "Of the quota some are static, and the surge is at least the quota: static <= quota <= surge."
  }
}

variable "workers_per_machine" {
  description = "How many nodes of the service share a machine: as many as it has pairs of processors, less what Kubernetes needs."
  type        = number
  default     = 1

  validation {
    condition     = var.workers_per_machine >= 1 && var.workers_per_machine <= 16 && var.workers_per_machine == floor(var.workers_per_machine)
    error_message = "1 to 16 nodes share a machine."
  }
}

variable "subnets" {
  description = "By zone: private subnets."
  type        = map(string)

  validation {
    condition     = length(var.subnets) >= 3
    error_message = "The chart spreads nodes over at least three zones."
  }
}

variable "instance_type" {
  description = "The machines."
  type        = string
  default     = "t3.medium"
}

variable "disk_gb" {
  description = "The brief's node: 20 GB for system and application."
  type        = number
  default     = 20

  validation {
    condition     = var.disk_gb >= 20 && var.disk_gb <= 1024
    error_message = "A disk is 20 to 1024 GB."
  }
}

variable "load_balancer_security_group_id" {
  description = "Where clients come from."
  type        = string
}

variable "kms_key_arn" {
  description = "What secrets and the control plane's log are encrypted with."
  type        = string
}
