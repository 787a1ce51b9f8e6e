variable "name" {
  description = "In front of the name of everything made here."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{0,25}$", var.name))
    error_message = "A name is 1 to 26 lower-case letters, digits and '-'."
  }
}

variable "cidr" {
  description = "The network's addresses, from the manifest."
  type        = string

  validation {
    condition     = can(cidrsubnet(var.cidr, 8, 0)) && try(tonumber(split("/", var.cidr)[1]) >= 16 && tonumber(split("/", var.cidr)[1]) <= 20, false)
    error_message = "The network is a block of IPv4 addresses from /16 to /20."
  }
}

variable "zones" {
  description = "The availability zones, from the manifest. New ones go to the end."
  type        = list(string)

  validation {
    condition     = length(var.zones) >= 3 && length(var.zones) <= 6 && length(distinct(var.zones)) == length(var.zones)
    error_message = "A region stands in three to six different zones."
  }
}

variable "kms_key_arn" {
  description = "What the flow log is encrypted with."
  type        = string
}
