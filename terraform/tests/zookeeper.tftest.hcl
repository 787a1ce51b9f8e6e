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
  name                      = "test"
  servers                   = [{ host = "zk-0.here", port = 2181 }, { host = "zk-1.here", port = 2181 }, { host = "zk-2.here", port = 2181 }]
  vpc_id                    = "vpc-1"
  subnets                   = { a = "subnet-a", b = "subnet-b", c = "subnet-c" }
  cidrs                     = { a = "10.20.16.0/20", b = "10.20.32.0/20", c = "10.20.48.0/20" }
  client_security_group_ids = { Nodes = "sg-1" }
  image_id                  = "ami-0"
  package                   = { url = "https://archive.apache.org/apache-zookeeper-3.9.4-bin.tar.gz", sha512 = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb" }
  kms_key_arn               = "arn:aws:kms:eu-central-1:123456789012:key/k"
}

run "spreads_over_zones" {
  command = plan

  module {
    source = "./modules/zookeeper"
  }

  assert {
    condition     = length(distinct([for disk in aws_ebs_volume.this : disk.availability_zone])) == 3 && alltrue([for disk in aws_ebs_volume.this : disk.encrypted && disk.final_snapshot])
    error_message = "A disk of its own in each zone."
  }

  assert {
    condition     = output.servers == { "zk-0.here" = "10.20.16.10", "zk-1.here" = "10.20.32.10", "zk-2.here" = "10.20.48.10" }
    error_message = "Addresses that stay, under the names of the manifest."
  }
}

run "takes_five" {
  command = plan

  module {
    source = "./modules/zookeeper"
  }

  variables {
    servers = [{ host = "zk-0.here", port = 2181 }, { host = "zk-1.here", port = 2181 }, { host = "zk-2.here", port = 2181 }, { host = "zk-3.here", port = 2181 }, { host = "zk-4.here", port = 2181 }]
  }

  assert {
    condition     = length(aws_instance.this) == 5 && length(distinct(values(output.servers))) == 5
    error_message = "Five servers."
  }
}

run "adds_observers" {
  command = plan

  module {
    source = "./modules/zookeeper"
  }

  variables {
    observers = 2
  }

  assert {
    condition     = length(aws_instance.this) == 5 && contains(keys(output.servers), "observer-1.here")
    error_message = "Two that do not vote."
  }
}

run "closes_its_machines" {
  command = plan

  module {
    source = "./modules/zookeeper"
  }

  assert {
    condition     = alltrue([for machine in aws_instance.this : machine.metadata_options[0].http_tokens == "required" && machine.root_block_device[0].encrypted])
    error_message = "IMDSv2 only, encrypted disks."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.clients["Nodes"].from_port == 2181
    error_message = "Nodes may ask."
  }
}

run "takes_another_port" {
  command = plan

  module {
    source = "./modules/zookeeper"
  }

  variables {
    servers = [{ host = "zk-0.here", port = 2281 }, { host = "zk-1.here", port = 2281 }, { host = "zk-2.here", port = 2281 }]
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.clients["Nodes"].from_port == 2281
    error_message = "The port of the manifest."
  }
}

run "refuses_four" {
  command = plan

  module {
    source = "./modules/zookeeper"
  }

  variables {
    servers = [{ host = "zk-0.here", port = 2181 }, { host = "zk-1.here", port = 2181 }, { host = "zk-2.here", port = 2181 }, { host = "zk-3.here", port = 2181 }]
  }

  expect_failures = [var.servers]
}

run "refuses_one" {
  command = plan

  module {
    source = "./modules/zookeeper"
  }

  variables {
    servers = [{ host = "zk-0.here", port = 2181 }]
  }

  expect_failures = [var.servers]
}

run "refuses_two_domains" {
  command = plan

  module {
    source = "./modules/zookeeper"
  }

  variables {
    servers = [{ host = "zk-0.here", port = 2181 }, { host = "zk-1.here", port = 2181 }, { host = "zk-2.there", port = 2181 }]
  }

  expect_failures = [var.servers]
}

run "refuses_two_ports" {
  command = plan

  module {
    source = "./modules/zookeeper"
  }

  variables {
    servers = [{ host = "zk-0.here", port = 2181 }, { host = "zk-1.here", port = 2181 }, { host = "zk-2.here", port = 2182 }]
  }

  expect_failures = [var.servers]
}

run "refuses_one_name_twice" {
  command = plan

  module {
    source = "./modules/zookeeper"
  }

  variables {
    servers = [{ host = "zk-0.here", port = 2181 }, { host = "zk-1.here", port = 2181 }, { host = "zk-0.here", port = 2181 }]
  }

  expect_failures = [var.servers]
}

run "refuses_half_an_observer" {
  command = plan

  module {
    source = "./modules/zookeeper"
  }

  variables {
    observers = 0.5
  }

  expect_failures = [var.observers]
}

run "refuses_two_zones" {
  command = plan

  module {
    source = "./modules/zookeeper"
  }

  variables {
    subnets = { a = "subnet-a", b = "subnet-b" }
  }

  expect_failures = [var.subnets]
}

run "refuses_what_is_no_image" {
  command = plan

  module {
    source = "./modules/zookeeper"
  }

  variables {
    image_id = "debian"
  }

  expect_failures = [var.image_id]
}

run "refuses_a_tiny_disk" {
  command = plan

  module {
    source = "./modules/zookeeper"
  }

  variables {
    disk_gb = 4
  }

  expect_failures = [var.disk_gb]
}

run "refuses_a_package_without_a_digest" {
  command = plan

  module {
    source = "./modules/zookeeper"
  }

  variables {
    package = { url = "https://archive.apache.org/apache-zookeeper-3.9.4-bin.tar.gz", sha512 = "" }
  }

  expect_failures = [var.package]
}

run "refuses_a_name_with_a_space" {
  command = plan

  module {
    source = "./modules/zookeeper"
  }

  variables {
    name = "a b"
  }

  expect_failures = [var.name]
}
