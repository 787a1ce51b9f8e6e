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
  name                            = "test"
  workers                         = { quota = 5, static = 3, surge = 9 }
  subnets                         = { a = "subnet-a", b = "subnet-b", c = "subnet-c" }
  load_balancer_security_group_id = "sg-1"
  kms_key_arn                     = "arn:aws:kms:eu-central-1:123456789012:key/k"
}

run "has_room_for_the_manifest" {
  command = plan

  module {
    source = "./modules/eks"
  }

  assert {
    condition     = aws_eks_node_group.this.scaling_config[0].min_size == 6 && aws_eks_node_group.this.scaling_config[0].max_size == 10
    error_message = "The quota at least and the surge at most, and one more."
  }
}

run "shares_machines" {
  command = plan

  module {
    source = "./modules/eks"
  }

  variables {
    workers_per_machine = 2
  }

  assert {
    condition     = aws_eks_node_group.this.scaling_config[0].min_size == 4 && aws_eks_node_group.this.scaling_config[0].max_size == 6
    error_message = "Two nodes a machine."
  }
}

run "is_closed" {
  command = plan

  module {
    source = "./modules/eks"
  }

  assert {
    condition     = !aws_eks_cluster.this.vpc_config[0].endpoint_public_access && aws_eks_cluster.this.encryption_config[0].resources == toset(["secrets"])
    error_message = "A private API, encrypted secrets."
  }

  assert {
    condition     = aws_launch_template.this.metadata_options[0].http_tokens == "required"
    error_message = "IMDSv2 only."
  }
}

run "refuses_an_old_kubernetes" {
  command = plan

  module {
    source = "./modules/eks"
  }

  variables {
    kubernetes_version = "1.29"
  }

  expect_failures = [var.kubernetes_version]
}

run "refuses_more_static_than_quota" {
  command = plan

  module {
    source = "./modules/eks"
  }

  variables {
    workers = { quota = 5, static = 6, surge = 9 }
  }

  expect_failures = [var.workers]
}

run "refuses_half_a_node" {
  command = plan

  module {
    source = "./modules/eks"
  }

  variables {
    workers_per_machine = 0.5
  }

  expect_failures = [var.workers_per_machine]
}

run "refuses_two_zones" {
  command = plan

  module {
    source = "./modules/eks"
  }

  variables {
    subnets = { a = "subnet-a", b = "subnet-b" }
  }

  expect_failures = [var.subnets]
}

run "refuses_a_tiny_disk" {
  command = plan

  module {
    source = "./modules/eks"
  }

  variables {
    disk_gb = 4
  }

  expect_failures = [var.disk_gb]
}

run "refuses_a_name_with_a_space" {
  command = plan

  module {
    source = "./modules/eks"
  }

  variables {
    name = "a b"
  }

  expect_failures = [var.name]
}
