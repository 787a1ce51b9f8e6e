variable "name" {
  description = "The key's alias."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9/_-]{1,200}$", var.name))
    error_message = "An alias is made of letters, digits, '/', '_' and '-'."
  }
}
