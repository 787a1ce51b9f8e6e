variable "manifest" {
  description = "The fleet's manifest."
  type        = string
  default     = "../../../regions/meridian.yaml"
}

variable "tree" {
  description = "The record tree that `meridian render route53 -o terraform/stacks/global` wrote from that manifest."
  type        = string
  default     = "route53.json"

  validation {
    condition     = fileexists(var.tree)
    error_message = "There is no ${var.tree}: run `meridian render route53 -o terraform/stacks/global` first."
  }

  validation {
    condition     = !fileexists(var.tree) || !fileexists(var.manifest) || try(jsondecode(file(var.tree)).manifest_sha256 == filesha256(var.manifest), false)
    error_message = "${var.tree} was not rendered from ${var.manifest} as it is now: run `meridian render route53` again."
  }
}

variable "drained" {
  description = "Regions that GeoDNS shall not answer."
  type        = set(string)
  default     = []
}

variable "alarm_emails" {
  description = "Who is told when a region is down."
  type        = set(string)
  default     = []
}
