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
  kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/k"
}

run "tells_everybody" {
  command = plan

  module {
    source = "./modules/observability"
  }

  variables {
    emails = ["a@example.com", "b@example.com"]
  }

  assert {
    condition     = length(aws_sns_topic_subscription.email) == 2
    error_message = "A subscription each."
  }
}

run "looks_for_as_long_as_asked" {
  command = plan

  module {
    source = "./modules/observability"
  }

  variables {
    alarms = { one = { description = "d", namespace = "n", metric = "m", dimensions = {}, statistic = "Sum", comparison = "GreaterThanThreshold", threshold = 1, minutes = 5, missing = "breaching" } }
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["one"].period * aws_cloudwatch_metric_alarm.this["one"].evaluation_periods == 300
    error_message = "Five minutes."
  }
}

run "refuses_what_is_no_address" {
  command = plan

  module {
    source = "./modules/observability"
  }

  variables {
    emails = ["nobody"]
  }

  expect_failures = [var.emails]
}

run "refuses_half_a_minute" {
  command = plan

  module {
    source = "./modules/observability"
  }

  variables {
    alarms = { one = { description = "d", namespace = "n", metric = "m", dimensions = {}, statistic = "Sum", comparison = "GreaterThanThreshold", threshold = 1, minutes = 0.5, missing = "breaching" } }
  }

  expect_failures = [var.alarms]
}

run "refuses_unknown_handling_of_gaps" {
  command = plan

  module {
    source = "./modules/observability"
  }

  variables {
    alarms = { one = { description = "d", namespace = "n", metric = "m", dimensions = {}, statistic = "Sum", comparison = "GreaterThanThreshold", threshold = 1, minutes = 5, missing = "maybe" } }
  }

  expect_failures = [var.alarms]
}

run "refuses_a_name_with_a_space" {
  command = plan

  module {
    source = "./modules/observability"
  }

  variables {
    name = "a b"
  }

  expect_failures = [var.name]
}
