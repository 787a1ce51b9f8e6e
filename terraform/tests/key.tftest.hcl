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
  name = "test"
}

run "turns_every_year" {
  command = plan

  module {
    source = "./modules/key"
  }

  assert {
    condition     = aws_kms_key.this.enable_key_rotation
    error_message = "It is rotated."
  }
}

run "refuses_a_name_with_a_space" {
  command = plan

  module {
    source = "./modules/key"
  }

  variables {
    name = "a b"
  }

  expect_failures = [var.name]
}
