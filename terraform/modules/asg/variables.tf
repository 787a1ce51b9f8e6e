variable "name" {
  description = "In front of the name of everything made here."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{0,25}$", var.name))
    error_message = "A name is 1 to 26 lower-case letters, digits and '-'."
  }
}

variable "region" {
  description = "The region's name in the manifest."
  type        = string
}

variable "manifest" {
  description = "The manifest's text, for the nodes."
  type        = string
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

variable "static_slots" {
  description = "First and last slot of the static pool, from the manifest."
  type        = list(number)

  validation {
    condition     = length(var.static_slots) == 2 && var.workers.static <= var.static_slots[1] - var.static_slots[0] + 1
    error_message = "The static pool is [first, last] and holds as many slots as the region has static workers."
  }
}

variable "ceiling" {
  description = "How far the group may grow: to the `surge` quota, which counts while a neighbour is down, or only to the `quota`."
  type        = string
  default     = "surge"

  validation {
    condition     = contains(["surge", "quota"], var.ceiling)
    error_message = "The ceiling is surge or quota."
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
    error_message = "Nodes stand in at least three zones."
  }
}

variable "target_group_arns" {
  description = "Where nodes register."
  type        = list(string)
}

variable "load_balancer_security_group_id" {
  description = "Where clients come from."
  type        = string
}

variable "zookeeper_ports" {
  description = "The ports of the region's ZooKeeper servers."
  type        = set(number)
}

variable "peers" {
  description = "Addresses of the other regions, which nodes probe."
  type        = set(string)
  default     = []
}

variable "probe_port" {
  description = "The port that other regions are probed at."
  type        = number
  default     = 8080

  validation {
    condition     = var.probe_port >= 1 && var.probe_port <= 65535
    error_message = "A port is 1 to 65535."
  }
}

variable "image_id" {
  description = "A machine image of Amazon Linux 2023 for the instance type: it brings systemd, chrony, cloud-init and the AWS CLI."
  type        = string

  validation {
    condition     = can(regex("^ami-[0-9a-f]+$", var.image_id))
    error_message = "The image is an AMI: ami-…"
  }
}

variable "instance_type" {
  description = "The brief's node: 2 processors, 4 GB."
  type        = string
  default     = "t3.medium"
}

variable "disk_gb" {
  description = "The brief's node: 20 GB for system and application."
  type        = number
  default     = 20

  validation {
    condition     = var.disk_gb >= 8 && var.disk_gb <= 1024
    error_message = "A disk is 8 to 1024 GB."
  }
}

variable "binary" {
  description = "The meridian binary: where it lies in S3, and its digest, which every start checks."
  type = object({
    url    = string
    sha256 = string
  })

  validation {
    condition     = can(regex("^s3://[a-z0-9.-]{3,63}/.+$", var.binary.url))
    error_message = "The binary lies in S3: s3://bucket/key."
  }

  validation {
    condition     = can(regex("^[0-9a-f]{64}$", var.binary.sha256))
    error_message = "The digest is 64 hexadecimal digits: sha256sum target/release/meridian."
  }
}

variable "ntp_servers" {
  description = "Time sources besides the Amazon Time Sync Service, which smears leap seconds as these do."
  type        = list(string)
  default     = ["time1.google.com", "time2.google.com", "time3.google.com", "time4.google.com"]

  validation {
    condition     = length(var.ntp_servers) >= 3
    error_message = "Of one or two more sources nobody can tell which is wrong: name at least three."
  }
}

variable "lame_duck_seconds" {
  description = "How long a node that stops goes on serving, until the load balancer has noticed."
  type        = number

  validation {
    condition     = var.lame_duck_seconds >= 15 && var.lame_duck_seconds <= 600
    error_message = "A lame duck serves for 15 to 600 seconds."
  }
}

variable "drain_seconds" {
  description = "How long requests under way may take to finish after that."
  type        = number
  default     = 10

  validation {
    condition     = var.drain_seconds >= 0 && var.drain_seconds <= 600
    error_message = "At most 600 seconds."
  }
}

variable "health_check_type" {
  description = "What makes the group replace a node: the load balancer's verdict (`ELB`), or only the machine's (`EC2`)."
  type        = string
  default     = "ELB"

  validation {
    condition     = contains(["ELB", "EC2"], var.health_check_type)
    error_message = "The health check is ELB or EC2."
  }
}

variable "grace_seconds" {
  description = "How long a new node may take until its health counts."
  type        = number
  default     = 300

  validation {
    condition     = var.grace_seconds >= 60 && var.grace_seconds <= 3600
    error_message = "The grace is one minute to one hour."
  }
}

variable "triggers" {
  description = "The brief's triggers. Each must hold for `minutes`."
  type = object({
    minutes             = optional(number, 5)
    cpu_percent         = optional(number, 70)
    latency_ms          = optional(number, 5)
    overflow_percent    = optional(number, 1)
    queue_depth         = optional(number, 1000)
    quiet_cpu_percent   = optional(number, 30)
    nodes               = optional(number, 2)
    nodes_at_twice      = optional(number, 4)
    seconds_till_repeat = optional(number, 600)
  })
  default = {}

  validation {
    condition     = var.triggers.nodes >= 2 && var.triggers.nodes <= var.triggers.nodes_at_twice && var.triggers.nodes_at_twice <= 4
    error_message = "An event adds 2 to 4 nodes."
  }

  validation {
    condition     = var.triggers.quiet_cpu_percent < var.triggers.cpu_percent / 2
    error_message = "Half of the nodes must not be enough to start scaling up again: quiet_cpu_percent is below half of cpu_percent."
  }

  validation {
    condition     = var.triggers.minutes >= 1 && var.triggers.seconds_till_repeat >= 60
    error_message = "A trigger holds for a minute or more, and a minute or more passes between two events."
  }
}

variable "alarm_topic_arn" {
  description = "Who is told when a trigger fires."
  type        = string
}
