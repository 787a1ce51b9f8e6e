variable "name" {
  description = "In front of the name of everything made here."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{0,25}$", var.name))
    error_message = "A name is 1 to 26 lower-case letters, digits and '-'."
  }
}

variable "servers" {
  description = "The ensemble as the manifest names it. These names are made to resolve in the network."
  type = list(object({
    host = string
    port = number
  }))

  validation {
    condition     = contains([3, 5], length(var.servers))
    error_message = "An ensemble has 3 or 5 servers; the manifest's `zookeeper` names ${length(var.servers)}."
  }

  validation {
    condition     = length(distinct([for server in var.servers : join(".", slice(split(".", "${server.host}."), 1, length(split(".", "${server.host}."))))])) == 1 && alltrue([for server in var.servers : can(regex("^[a-z0-9-]+(\\.[a-z0-9-]+)+$", server.host))])
    error_message = "The servers are names in one domain, as zk-0.us-east, zk-1.us-east, zk-2.us-east."
  }

  validation {
    condition     = length(distinct(var.servers[*].port)) == 1 && length(distinct(var.servers[*].host)) == length(var.servers)
    error_message = "The servers have different names and one port."
  }
}

variable "observers" {
  description = "Servers that serve reads and do not vote, for regions with many nodes."
  type        = number
  default     = 0

  validation {
    condition     = var.observers >= 0 && var.observers <= 5 && var.observers == floor(var.observers)
    error_message = "There are 0 to 5 observers."
  }
}

variable "vpc_id" {
  description = "The network."
  type        = string
}

variable "subnets" {
  description = "By zone: private subnets."
  type        = map(string)

  validation {
    condition     = length(var.subnets) >= 3
    error_message = "A quorum must outlive a zone: servers stand in at least three."
  }
}

variable "cidrs" {
  description = "By zone: the addresses of the private subnet."
  type        = map(string)
}

variable "client_security_group_ids" {
  description = "By a name of their own: groups that may ask."
  type        = map(string)
}

variable "image_id" {
  description = "A machine image of Amazon Linux 2023."
  type        = string

  validation {
    condition     = can(regex("^ami-[0-9a-f]+$", var.image_id))
    error_message = "The image is an AMI: ami-…"
  }
}

variable "instance_type" {
  description = "The servers' machines."
  type        = string
  default     = "t3.medium"
}

variable "disk_gb" {
  description = "Each server's own disk."
  type        = number
  default     = 20

  validation {
    condition     = var.disk_gb >= 8 && var.disk_gb <= 1024
    error_message = "A disk is 8 to 1024 GB."
  }
}

variable "package" {
  description = "Apache ZooKeeper's binary release and its digest."
  type = object({
    url    = string
    sha512 = string
  })

  validation {
    condition     = can(regex("^https://.+/apache-zookeeper-[0-9.]+-bin\\.tar\\.gz$", var.package.url)) && can(regex("^[0-9a-f]{128}$", var.package.sha512))
    error_message = "The package is https://…/apache-zookeeper-VERSION-bin.tar.gz with the 128 hexadecimal digits of its SHA-512."
  }
}

variable "kms_key_arn" {
  description = "What the disks are encrypted with."
  type        = string
}
