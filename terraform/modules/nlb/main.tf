# The region's fixed addresses, and behind them the nodes. A network load balancer hashes connections to targets; that is
# the round robin of layer 4. What spreads single requests stands behind it, so that the addresses stay.

locals {
  port     = 8080
  tls_port = 443

  # An application load balancer between the addresses and the nodes.
  requests = var.algorithm == "flow_hash" ? toset([]) : toset([var.algorithm])
  ports    = var.certificate_arn == null ? toset([local.port]) : toset([local.port, local.tls_port])
}

resource "aws_eip" "this" {
  # checkov:skip=CKV2_AWS_19: they are the load balancer's (subnet_mapping below), which this check does not follow through a dynamic block
  for_each = var.public_subnets

  domain = "vpc"

  tags = { Name = "${var.name}-${each.key}" }
}

resource "aws_security_group" "this" {
  name_prefix = "${var.name}-lb-"
  description = "Load balancers of ${var.name}"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-lb" }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each = { for port in local.ports : tostring(port) => port }

  security_group_id = aws_security_group.this.id
  description       = "Clients, GeoDNS probes and the other regions"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = each.value
  to_port           = each.value
}

resource "aws_vpc_security_group_egress_rule" "nodes" {
  security_group_id = aws_security_group.this.id
  description       = "Nodes"
  cidr_ipv4         = data.aws_vpc.this.cidr_block
  ip_protocol       = "tcp"
  from_port         = local.port
  to_port           = local.port
}

resource "aws_vpc_security_group_egress_rule" "requests" {
  for_each = local.requests

  security_group_id            = aws_security_group.this.id
  description                  = "From the network load balancer to the application load balancer"
  referenced_security_group_id = aws_security_group.this.id
  ip_protocol                  = "tcp"
  from_port                    = local.tls_port
  to_port                      = local.tls_port
}

data "aws_vpc" "this" {
  id = var.vpc_id
}

resource "aws_lb" "this" {
  name                             = var.name
  load_balancer_type               = "network"
  security_groups                  = [aws_security_group.this.id]
  enable_cross_zone_load_balancing = true
  enable_deletion_protection       = var.deletion_protection

  dynamic "subnet_mapping" {
    for_each = var.public_subnets

    content {
      subnet_id     = subnet_mapping.value
      allocation_id = aws_eip.this[subnet_mapping.key].id
    }
  }

  access_logs {
    enabled = true
    bucket  = var.log_bucket
    prefix  = "${var.name}-nlb"
  }
}

resource "aws_lb_target_group" "connections" {
  name                 = "${var.name}-tcp"
  vpc_id               = var.vpc_id
  target_type          = var.target_type
  protocol             = "TCP"
  port                 = local.port
  deregistration_delay = var.deregistration_seconds

  health_check {
    protocol            = "HTTP"
    path                = "/api/v1/health"
    matcher             = "200"
    interval            = var.health.interval_seconds
    timeout             = var.health.timeout_seconds
    unhealthy_threshold = var.health.unhealthy_threshold
    healthy_threshold   = var.health.healthy_threshold
  }
}

resource "aws_lb_listener" "plain" {
  load_balancer_arn = aws_lb.this.arn
  protocol          = "TCP"
  port              = local.port

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.connections.arn
  }
}

resource "aws_lb_listener" "tls" {
  for_each = var.certificate_arn == null || length(local.requests) > 0 ? toset([]) : toset(["tls"])

  load_balancer_arn = aws_lb.this.arn
  protocol          = "TLS"
  port              = local.tls_port
  certificate_arn   = var.certificate_arn
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.connections.arn
  }
}

# Request by request, where that is asked for.

resource "aws_lb" "requests" {
  for_each = local.requests

  name                       = "${var.name}-http"
  load_balancer_type         = "application"
  internal                   = true
  security_groups            = [aws_security_group.this.id]
  subnets                    = values(var.private_subnets)
  drop_invalid_header_fields = true
  enable_deletion_protection = var.deletion_protection

  access_logs {
    enabled = true
    bucket  = var.log_bucket
    prefix  = "${var.name}-alb"
  }
}

resource "aws_lb_target_group" "requests" {
  for_each = local.requests

  name                          = "${var.name}-http"
  vpc_id                        = var.vpc_id
  target_type                   = var.target_type
  protocol                      = "HTTP"
  port                          = local.port
  deregistration_delay          = var.deregistration_seconds
  load_balancing_algorithm_type = each.key

  health_check {
    protocol            = "HTTP"
    path                = "/api/v1/health"
    matcher             = "200"
    interval            = var.health.interval_seconds
    timeout             = var.health.timeout_seconds
    unhealthy_threshold = var.health.unhealthy_threshold
    healthy_threshold   = var.health.healthy_threshold
  }
}

resource "aws_lb_listener" "requests" {
  for_each = local.requests

  load_balancer_arn = aws_lb.requests[each.key].arn
  protocol          = "HTTPS"
  port              = local.tls_port
  certificate_arn   = var.certificate_arn
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.requests[each.key].arn
  }
}

resource "aws_lb_target_group" "through" {
  for_each = local.requests

  name        = "${var.name}-alb"
  vpc_id      = var.vpc_id
  target_type = "alb"
  protocol    = "TCP"
  port        = local.tls_port

  health_check {
    protocol = "HTTPS"
    path     = "/api/v1/health"
  }
}

resource "aws_lb_target_group_attachment" "through" {
  for_each = local.requests

  target_group_arn = aws_lb_target_group.through[each.key].arn
  target_id        = aws_lb.requests[each.key].arn
  port             = local.tls_port

  # A load balancer without a listener cannot be a target.
  depends_on = [aws_lb_listener.requests]
}

resource "aws_lb_listener" "through" {
  for_each = local.requests

  load_balancer_arn = aws_lb.this.arn
  protocol          = "TCP"
  port              = local.tls_port

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.through[each.key].arn
  }
}
