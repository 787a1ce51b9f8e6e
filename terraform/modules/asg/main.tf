# A region on instances: a group of one for each static node, which keeps its slots from one machine to the next, and one
# group for the dynamic slots, which grows and shrinks. Together they are at least the quota and at most the ceiling.

data "aws_partition" "this" {}

data "aws_default_tags" "this" {}

locals {
  zones = sort(keys(var.subnets))

  core = {
    for slot in range(var.static_slots[0], var.static_slots[0] + var.workers.static) :
    format("slot-%02d", slot) => { slot = slot, zone = local.zones[slot % length(local.zones)] }
  }

  least = var.workers.quota - var.workers.static
  most  = (var.ceiling == "surge" ? var.workers.surge : var.workers.quota) - var.workers.static

  tags = merge(data.aws_default_tags.this.tags, { MeridianRegion = var.region })
}

resource "aws_security_group" "this" {
  name_prefix = "${var.name}-node-"
  description = "Nodes of ${var.name}"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-node" }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  security_group_id            = aws_security_group.this.id
  description                  = "Clients and health checks, through the load balancer"
  referenced_security_group_id = var.load_balancer_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = 8080
  to_port                      = 8080
}

resource "aws_vpc_security_group_egress_rule" "https" {
  security_group_id = aws_security_group.this.id
  description       = "S3, CloudWatch and Systems Manager"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "ntp" {
  security_group_id = aws_security_group.this.id
  description       = "Time sources"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "udp"
  from_port         = 123
  to_port           = 123
}

resource "aws_vpc_security_group_egress_rule" "zookeeper" {
  for_each = { for port in var.zookeeper_ports : tostring(port) => port }

  security_group_id = aws_security_group.this.id
  description       = "ZooKeeper of the region"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = each.value
  to_port           = each.value
}

resource "aws_vpc_security_group_egress_rule" "peers" {
  for_each = var.peers

  security_group_id = aws_security_group.this.id
  description       = "Health of another region"
  cidr_ipv4         = strcontains(each.key, ":") ? null : "${each.key}/32"
  cidr_ipv6         = strcontains(each.key, ":") ? "${each.key}/128" : null
  ip_protocol       = "tcp"
  from_port         = var.probe_port
  to_port           = var.probe_port
}

resource "aws_iam_role" "this" {
  name_prefix = "${var.name}-node-"

  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "ec2.amazonaws.com" } }]
  })
}

resource "aws_iam_role_policy" "this" {
  name = "node"
  role = aws_iam_role.this.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect   = "Allow"
        Action   = "s3:GetObject"
        Resource = "arn:${data.aws_partition.this.partition}:s3:::${trimprefix(var.binary.url, "s3://")}"
      },
      {
        Effect    = "Allow"
        Action    = "cloudwatch:PutMetricData"
        Resource  = "*"
        Condition = { StringEquals = { "cloudwatch:namespace" = "Meridian" } }
      },
    ]
  })
}

# A shell where one is needed: Session Manager, with IAM and a record, instead of SSH.
resource "aws_iam_role_policy_attachment" "session_manager" {
  role       = aws_iam_role.this.name
  policy_arn = "arn:${data.aws_partition.this.partition}:iam::aws:policy/AmazonSSMManagedInstanceCore"
}

resource "aws_iam_instance_profile" "this" {
  name_prefix = "${var.name}-node-"
  role        = aws_iam_role.this.name
}

resource "aws_launch_template" "this" {
  name_prefix            = "${var.name}-"
  image_id               = var.image_id
  instance_type          = var.instance_type
  update_default_version = true
  user_data              = base64encode(local.user_data)

  iam_instance_profile {
    arn = aws_iam_instance_profile.this.arn
  }

  # Instances read their slot from their own tags.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
    instance_metadata_tags      = "enabled"
  }

  monitoring {
    enabled = true
  }

  network_interfaces {
    associate_public_ip_address = false
    delete_on_termination       = true
    security_groups             = [aws_security_group.this.id]
  }

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      volume_type           = "gp3"
      volume_size           = var.disk_gb
      encrypted             = true
      delete_on_termination = true
    }
  }

  dynamic "tag_specifications" {
    for_each = toset(["volume", "network-interface"])

    content {
      resource_type = tag_specifications.value
      tags          = merge(local.tags, { Name = var.name })
    }
  }

  lifecycle {
    create_before_destroy = true

    precondition {
      condition     = length(local.user_data) <= 16384
      error_message = "User data is ${length(local.user_data)} bytes and may be 16384. Comments of the manifest count."
    }
  }
}

# Static slots. A change of the launch template reaches them one after the other by terraform/roll, never all at once.
resource "aws_autoscaling_group" "core" {
  for_each = local.core

  name                      = "${var.name}-${each.key}"
  vpc_zone_identifier       = [var.subnets[each.value.zone]]
  min_size                  = 1
  max_size                  = 1
  health_check_type         = var.health_check_type
  health_check_grace_period = var.grace_seconds
  target_group_arns         = var.target_group_arns

  launch_template {
    id      = aws_launch_template.this.id
    version = aws_launch_template.this.latest_version
  }

  dynamic "tag" {
    for_each = merge(local.tags, { Name = "${var.name}-${each.key}", static-slot = tostring(each.value.slot) })

    content {
      key                 = tag.key
      value               = tag.value
      propagate_at_launch = true
    }
  }
}

# Dynamic slots.
resource "aws_autoscaling_group" "burst" {
  name                      = "${var.name}-burst"
  vpc_zone_identifier       = values(var.subnets)
  min_size                  = local.least
  max_size                  = local.most
  health_check_type         = var.health_check_type
  health_check_grace_period = var.grace_seconds
  target_group_arns         = var.target_group_arns
  enabled_metrics           = ["GroupDesiredCapacity", "GroupInServiceInstances", "GroupMaxSize"]

  launch_template {
    id      = aws_launch_template.this.id
    version = aws_launch_template.this.latest_version
  }

  # A node leaves before the next comes: dynamic slots are counted too.
  instance_refresh {
    strategy = "Rolling"

    preferences {
      min_healthy_percentage = 50
      instance_warmup        = var.grace_seconds
    }
  }

  dynamic "tag" {
    for_each = merge(local.tags, { Name = "${var.name}-burst" })

    content {
      key                 = tag.key
      value               = tag.value
      propagate_at_launch = true
    }
  }

  lifecycle {
    # The alarms own it.
    ignore_changes = [desired_capacity]
  }
}
