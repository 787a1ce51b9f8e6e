variable "name" {
  description = "In front of every alarm, and the topic's name."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,200}$", var.name))
    error_message = "A topic's name is made of letters, digits, '_' and '-'."
  }
}

variable "kms_key_arn" {
  description = "What messages are encrypted with."
  type        = string
}

variable "emails" {
  description = "Who is told. Each address gets a message to confirm first."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for email in var.emails : can(regex("^[^@ ]+@[^@ ]+$", email))])
    error_message = "Each must be an e-mail address."
  }
}

variable "alarms" {
  description = "Alarms by name."
  type = map(object({
    description = string
    namespace   = string
    metric      = string
    dimensions  = map(string)
    statistic   = string
    comparison  = string
    threshold   = number
    minutes     = number
    missing     = optional(string, "notBreaching")
  }))
  default = {}

  validation {
    condition     = alltrue([for alarm in var.alarms : alarm.minutes >= 1 && alarm.minutes == floor(alarm.minutes)])
    error_message = "An alarm looks at one or more whole minutes."
  }

  validation {
    condition     = alltrue([for alarm in var.alarms : contains(["breaching", "notBreaching", "ignore", "missing"], alarm.missing)])
    error_message = "Missing data is breaching, notBreaching, ignore or missing."
  }
}
