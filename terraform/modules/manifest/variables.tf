variable "path" {
  description = "The fleet's manifest, the same file that the service and the Helm chart read."
  type        = string

  validation {
    condition     = fileexists(var.path)
    error_message = "There is no manifest at ${var.path}: give the path of regions/meridian.yaml."
  }
}
