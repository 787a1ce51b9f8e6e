variable "zone_id" {
  description = "The hosted zone."
  type        = string
}

variable "records" {
  description = "Record sets of `meridian render route53`, by their keys."
  type = map(object({
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
}

variable "serving" {
  description = "The health check of each region that is answered here by addresses."
  type        = map(string)
  default     = {}
}

variable "cidr_collection_id" {
  description = "The collection that holds the locations of CIDR records."
  type        = string
  default     = null
}

variable "locations" {
  description = "Names of the collection's locations; the default is Route 53's own."
  type        = map(string)
  default     = {}
}
