variable "tree" {
  description = "The record tree, as `meridian render route53` writes it from the manifest (route53.json)."
  type = object({
    manifest_sha256 = string
    zone            = string
    policy          = string
    health_checks = map(object({
      type              = string
      ip_address        = string
      fqdn              = string
      port              = number
      resource_path     = string
      request_interval  = number
      failure_threshold = number
      measure_latency   = bool
      enable_sni        = bool
    }))
    serving = map(object({
      children               = list(string)
      child_health_threshold = number
      drained_threshold      = number
    }))
    cidr_locations = map(list(string))
    records = list(object({
      key            = string
      name           = string
      type           = string
      set_identifier = string
      routing = object({
        policy     = string
        weight     = optional(number)
        primary    = optional(bool)
        location   = optional(string)
        region     = optional(string)
        aws_region = optional(string)
        latitude   = optional(string)
        longitude  = optional(string)
      })
      answer = object({
        kind                   = string
        ttl                    = optional(number)
        records                = optional(list(string))
        serving                = optional(string)
        name                   = optional(string)
        evaluate_target_health = optional(bool)
      })
    }))
  })

  validation {
    condition     = alltrue([for check in var.tree.health_checks : contains([10, 30], check.request_interval)])
    error_message = "Route 53 probes every 10 or 30 seconds."
  }

  validation {
    condition     = alltrue([for check in var.tree.health_checks : check.failure_threshold >= 1 && check.failure_threshold <= 10])
    error_message = "Route 53 takes 1 to 10 bad probes in a row."
  }

  validation {
    condition     = alltrue([for region in var.tree.serving : region.drained_threshold > length(region.children)])
    error_message = "A drained region's threshold must be above the number of its checks: Route 53 then never finds it healthy."
  }

  validation {
    condition = alltrue([
      for record in var.tree.records : contains(["weighted", "failover", "cidr", "latency", "geoproximity"], record.routing.policy)
    ])
    error_message = "A record is weighted, failover, cidr, latency or geoproximity."
  }

  validation {
    condition     = length(setsubtract(flatten([for region in var.tree.serving : region.children]), keys(var.tree.health_checks))) == 0
    error_message = "A region counts on a health check that is not in the tree."
  }
}

variable "endpoints" {
  description = "By region: the name under which clients ask that region itself, and its addresses."
  type = map(object({
    name      = string
    addresses = list(string)
  }))
  default = {}

  validation {
    condition     = alltrue([for endpoint in var.endpoints : length(endpoint.addresses) > 0])
    error_message = "An endpoint without an address cannot be answered."
  }
}

variable "ttl_seconds" {
  description = "How long clients may keep an endpoint's addresses."
  type        = number

  validation {
    condition     = var.ttl_seconds >= 1 && var.ttl_seconds <= 86400
    error_message = "A TTL is 1 second to a day."
  }
}

variable "drained" {
  description = "Regions that GeoDNS shall not answer, whatever their health."
  type        = set(string)
  default     = []

  validation {
    condition     = length(setsubtract(var.drained, keys(var.tree.serving))) == 0
    error_message = "Only regions of the manifest can be drained: ${join(", ", keys(var.tree.serving))}."
  }

  validation {
    condition     = length(setsubtract(keys(var.tree.serving), var.drained)) > 0
    error_message = "One region must stay: with all of them drained Route 53 answers as if all were healthy."
  }
}

variable "name" {
  description = "The fleet's name, in front of what is made here."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{0,31}$", var.name))
    error_message = "A name is 1 to 32 lower-case letters, digits and '-'."
  }
}

variable "kms_key_arn" {
  description = "What the query log is encrypted with."
  type        = string
}

variable "alarm_topic_arn" {
  description = "Who is told when a region is down."
  type        = string
}
