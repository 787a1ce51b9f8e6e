mock_provider "aws" {
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_region" {
    defaults = { name = "eu-central-1" }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_vpc" {
    defaults = { cidr_block = "10.20.0.0/16" }
  }
  mock_data "aws_default_tags" {
    defaults = { tags = { ManifestSha256 = "digest" } }
  }
}

variables {
  name            = "test"
  vpc_id          = "vpc-1"
  public_subnets  = { a = "subnet-a", b = "subnet-b", c = "subnet-c" }
  private_subnets = { a = "subnet-a", b = "subnet-b", c = "subnet-c" }
  health          = { interval_seconds = 10, timeout_seconds = 2, unhealthy_threshold = 3, healthy_threshold = 2 }
  log_bucket      = "logs"
}

run "spreads_connections" {
  command = plan

  module {
    source = "./modules/nlb"
  }

  assert {
    condition     = aws_lb.this.load_balancer_type == "network" && length(aws_lb.requests) == 0
    error_message = "One load balancer, of connections."
  }

  assert {
    condition     = length(aws_eip.this) == 3 && aws_lb.this.enable_cross_zone_load_balancing
    error_message = "A fixed address in each zone."
  }

  assert {
    condition     = aws_lb_listener.plain.port == 8080 && length(aws_lb_listener.tls) == 0
    error_message = "Ids on 8080, and no TLS without a certificate."
  }
}

run "probes_as_the_manifest_says" {
  command = plan

  module {
    source = "./modules/nlb"
  }

  assert {
    condition     = aws_lb_target_group.connections.health_check[0].interval == 10 && aws_lb_target_group.connections.health_check[0].unhealthy_threshold == 3 && aws_lb_target_group.connections.health_check[0].healthy_threshold == 2
    error_message = "Interval and thresholds."
  }

  assert {
    condition     = aws_lb_target_group.connections.health_check[0].path == "/api/v1/health" && aws_lb_target_group.connections.health_check[0].matcher == "200"
    error_message = "The health of a node, 200 and nothing else."
  }
}

run "serves_tls_with_a_certificate" {
  command = plan

  module {
    source = "./modules/nlb"
  }

  variables {
    certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/c"
  }

  assert {
    condition     = aws_lb_listener.tls["tls"].port == 443 && aws_lb_listener.tls["tls"].protocol == "TLS"
    error_message = "TLS on 443."
  }
}

run "spreads_requests_by_what_is_outstanding" {
  command = plan

  module {
    source = "./modules/nlb"
  }

  variables {
    certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/c"
    algorithm       = "least_outstanding_requests"
  }

  assert {
    condition     = aws_lb.requests["least_outstanding_requests"].load_balancer_type == "application" && aws_lb.requests["least_outstanding_requests"].internal
    error_message = "An application load balancer behind the addresses."
  }

  assert {
    condition     = aws_lb_target_group.requests["least_outstanding_requests"].load_balancing_algorithm_type == "least_outstanding_requests"
    error_message = "Its algorithm."
  }

  assert {
    condition     = aws_lb_target_group.through["least_outstanding_requests"].target_type == "alb" && length(aws_lb_listener.tls) == 0
    error_message = "The addresses lead to it."
  }
}

run "spreads_requests_in_turn" {
  command = plan

  module {
    source = "./modules/nlb"
  }

  variables {
    certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/c"
    algorithm       = "round_robin"
  }

  assert {
    condition     = aws_lb_target_group.requests["round_robin"].load_balancing_algorithm_type == "round_robin"
    error_message = "Its algorithm."
  }
}

run "registers_pods" {
  command = plan

  module {
    source = "./modules/nlb"
  }

  variables {
    target_type = "ip"
  }

  assert {
    condition     = aws_lb_target_group.connections.target_type == "ip"
    error_message = "Pods have addresses."
  }
}

run "is_protected" {
  command = plan

  module {
    source = "./modules/nlb"
  }

  assert {
    condition     = aws_lb.this.enable_deletion_protection
    error_message = "Addresses are not lost by accident."
  }
}

run "refuses_requests_without_a_certificate" {
  command = plan

  module {
    source = "./modules/nlb"
  }

  variables {
    algorithm = "round_robin"
  }

  expect_failures = [var.algorithm]
}

run "refuses_an_unknown_algorithm" {
  command = plan

  module {
    source = "./modules/nlb"
  }

  variables {
    algorithm = "random"
  }

  expect_failures = [var.algorithm]
}

run "refuses_what_is_no_certificate" {
  command = plan

  module {
    source = "./modules/nlb"
  }

  variables {
    certificate_arn = "certificate"
  }

  expect_failures = [var.certificate_arn]
}

run "refuses_unknown_targets" {
  command = plan

  module {
    source = "./modules/nlb"
  }

  variables {
    target_type = "lambda"
  }

  expect_failures = [var.target_type]
}

run "refuses_a_timeout_as_long_as_the_interval" {
  command = plan

  module {
    source = "./modules/nlb"
  }

  variables {
    health = { interval_seconds = 10, timeout_seconds = 10, unhealthy_threshold = 3, healthy_threshold = 2 }
  }

  expect_failures = [var.health]
}

run "refuses_a_single_bad_probe" {
  command = plan

  module {
    source = "./modules/nlb"
  }

  variables {
    health = { interval_seconds = 10, timeout_seconds = 2, unhealthy_threshold = 1, healthy_threshold = 2 }
  }

  expect_failures = [var.health]
}

run "refuses_days_of_deregistration" {
  command = plan

  module {
    source = "./modules/nlb"
  }

  variables {
    deregistration_seconds = 86400
  }

  expect_failures = [var.deregistration_seconds]
}

run "refuses_a_long_name" {
  command = plan

  module {
    source = "./modules/nlb"
  }

  variables {
    name = "a-name-that-is-longer-than-a-load-balancer-takes"
  }

  expect_failures = [var.name]
}
