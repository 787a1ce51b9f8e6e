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
  name        = "test"
  cidr        = "10.20.0.0/16"
  zones       = ["a", "b", "c"]
  kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/k"
}

run "stands_in_three_zones" {
  command = plan

  module {
    source = "./modules/network"
  }

  assert {
    condition     = length(aws_subnet.private) == 3 && length(aws_subnet.public) == 3 && length(aws_nat_gateway.this) == 3
    error_message = "A subnet of each kind and a way out in each zone."
  }

  assert {
    condition     = length(distinct([for subnet in concat(values(aws_subnet.private), values(aws_subnet.public)) : subnet.cidr_block])) == 6
    error_message = "No two subnets share addresses."
  }

  assert {
    condition     = alltrue([for subnet in aws_subnet.public : !coalesce(subnet.map_public_ip_on_launch, false)])
    error_message = "Nothing gets a public address by itself."
  }
}

run "another_zone_moves_none" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    zones = ["a", "b", "c", "d"]
  }

  assert {
    condition     = aws_subnet.private["a"].cidr_block == "10.20.16.0/20" && aws_subnet.private["d"].cidr_block == "10.20.64.0/20"
    error_message = "Zones keep their addresses."
  }
}

run "logs_every_flow" {
  command = plan

  module {
    source = "./modules/network"
  }

  assert {
    condition     = aws_flow_log.this.traffic_type == "ALL" && aws_cloudwatch_log_group.flows.retention_in_days == 365
    error_message = "All flows are kept for a year."
  }
}

run "refuses_two_zones" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    zones = ["a", "b"]
  }

  expect_failures = [var.zones]
}

run "refuses_a_zone_twice" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    zones = ["a", "b", "b"]
  }

  expect_failures = [var.zones]
}

run "refuses_a_small_network" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    cidr = "10.20.0.0/24"
  }

  expect_failures = [var.cidr]
}

run "refuses_what_is_no_network" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    cidr = "ten"
  }

  expect_failures = [var.cidr]
}

run "refuses_a_name_with_a_space" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    name = "a b"
  }

  expect_failures = [var.name]
}
