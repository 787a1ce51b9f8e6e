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
  region                          = "here"
  manifest                        = "schema: meridian/v1\n"
  workers                         = { quota = 5, static = 3, surge = 9 }
  static_slots                    = [0, 15]
  vpc_id                          = "vpc-1"
  subnets                         = { a = "subnet-a", b = "subnet-b", c = "subnet-c" }
  target_group_arns               = ["arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/t/1"]
  load_balancer_security_group_id = "sg-1"
  zookeeper_ports                 = [2181]
  image_id                        = "ami-0"
  binary                          = { url = "s3://releases/meridian", sha256 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" }
  lame_duck_seconds               = 35
  alarm_topic_arn                 = "arn:aws:sns:eu-central-1:123456789012:t"
}

run "is_as_large_as_the_manifest_says" {
  command = plan

  module {
    source = "./modules/asg"
  }

  assert {
    condition     = length(aws_autoscaling_group.core) == 3 && aws_autoscaling_group.burst.min_size == 2 && aws_autoscaling_group.burst.max_size == 6
    error_message = "Together the quota at least and the surge at most."
  }

  assert {
    condition     = output.capacity.least == 5 && output.capacity.most == 9
    error_message = "And it says so."
  }
}

run "grows_to_the_quota_only" {
  command = plan

  module {
    source = "./modules/asg"
  }

  variables {
    ceiling = "quota"
  }

  assert {
    condition     = aws_autoscaling_group.burst.max_size == 2
    error_message = "The ceiling is the quota."
  }
}

run "keeps_a_slot_for_each_core_node" {
  command = plan

  module {
    source = "./modules/asg"
  }

  assert {
    condition     = join(",", [for group in aws_autoscaling_group.core : one([for tag in group.tag : tag.value if tag.key == "static-slot"])]) == "0,1,2"
    error_message = "Slots by number."
  }

  assert {
    condition     = length(distinct([for group in aws_autoscaling_group.core : one(group.vpc_zone_identifier)])) == 3
    error_message = "Over all zones."
  }
}

run "takes_the_pool_from_the_manifest" {
  command = plan

  module {
    source = "./modules/asg"
  }

  variables {
    static_slots = [4, 15]
  }

  assert {
    condition     = join(",", keys(aws_autoscaling_group.core)) == "slot-04,slot-05,slot-06"
    error_message = "The pool begins where the manifest says."
  }
}

run "is_the_briefs_group" {
  command = plan

  module {
    source = "./modules/asg"
  }

  assert {
    condition     = aws_autoscaling_group.burst.health_check_type == "ELB" && aws_autoscaling_group.burst.health_check_grace_period == 300
    error_message = "ELB health, 300 s of grace."
  }

  assert {
    condition     = anytrue([for tag in aws_autoscaling_group.burst.tag : tag.key == "ManifestSha256" && tag.value == "digest" && tag.propagate_at_launch])
    error_message = "Machines carry the digest."
  }
}

run "scales_by_the_briefs_triggers" {
  command = plan

  module {
    source = "./modules/asg"
  }

  assert {
    condition     = join(",", [for name, alarm in aws_cloudwatch_metric_alarm.up : "${name} ${alarm.threshold}"]) == "cpu 70,latency 5,overflow 1,queue 1000"
    error_message = "The thresholds."
  }

  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.up : alarm.period * alarm.evaluation_periods == 300])
    error_message = "Sustained for five minutes."
  }

  assert {
    condition     = alltrue([for policy in aws_autoscaling_policy.up : policy.estimated_instance_warmup == 600])
    error_message = "Ten minutes between events."
  }

  assert {
    condition     = alltrue([for policy in aws_autoscaling_policy.up : toset(policy.step_adjustment[*].scaling_adjustment) == toset([2, 4])])
    error_message = "Two to four nodes."
  }
}

run "closes_its_machines" {
  command = plan

  module {
    source = "./modules/asg"
  }

  assert {
    condition     = aws_launch_template.this.metadata_options[0].http_tokens == "required" && aws_launch_template.this.metadata_options[0].http_put_response_hop_limit == 1
    error_message = "IMDSv2 only."
  }

  assert {
    condition     = aws_launch_template.this.block_device_mappings[0].ebs[0].encrypted == "true" && aws_launch_template.this.network_interfaces[0].associate_public_ip_address == "false"
    error_message = "Encrypted disks, no public address."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.clients.referenced_security_group_id == "sg-1"
    error_message = "Clients through the load balancer only."
  }
}

run "knows_its_peers" {
  command = plan

  module {
    source = "./modules/asg"
  }

  variables {
    peers = ["192.0.2.9", "2001:db8::9"]
  }

  assert {
    condition     = aws_vpc_security_group_egress_rule.peers["192.0.2.9"].cidr_ipv4 == "192.0.2.9/32" && aws_vpc_security_group_egress_rule.peers["2001:db8::9"].cidr_ipv6 == "2001:db8::9/128"
    error_message = "One address each."
  }
}

run "ships_what_a_node_needs" {
  command = plan

  module {
    source = "./modules/asg"
  }

  assert {
    condition     = startswith(output.user_data, "#cloud-config\n")
    error_message = "cloud-init takes it."
  }

  assert {
    condition     = strcontains(output.user_data, "schema: meridian/v1") && strcontains(output.user_data, "TimeoutStopSec=55") && strcontains(output.user_data, "minsources 2")
    error_message = "Manifest, unit and clocks."
  }
}

run "refuses_more_static_than_quota" {
  command = plan

  module {
    source = "./modules/asg"
  }

  variables {
    workers = { quota = 5, static = 6, surge = 9 }
  }

  expect_failures = [var.workers]
}

run "refuses_a_surge_below_the_quota" {
  command = plan

  module {
    source = "./modules/asg"
  }

  variables {
    workers = { quota = 5, static = 3, surge = 4 }
  }

  expect_failures = [var.workers]
}

run "refuses_more_static_than_the_pool" {
  command = plan

  module {
    source = "./modules/asg"
  }

  variables {
    static_slots = [0, 1]
  }

  expect_failures = [var.static_slots]
}

run "refuses_an_unknown_ceiling" {
  command = plan

  module {
    source = "./modules/asg"
  }

  variables {
    ceiling = "sky"
  }

  expect_failures = [var.ceiling]
}

run "refuses_two_zones" {
  command = plan

  module {
    source = "./modules/asg"
  }

  variables {
    subnets = { a = "subnet-a", b = "subnet-b" }
  }

  expect_failures = [var.subnets]
}

run "refuses_what_is_no_image" {
  command = plan

  module {
    source = "./modules/asg"
  }

  variables {
    image_id = "debian"
  }

  expect_failures = [var.image_id]
}

run "refuses_a_tiny_disk" {
  command = plan

  module {
    source = "./modules/asg"
  }

  variables {
    disk_gb = 4
  }

  expect_failures = [var.disk_gb]
}

run "refuses_a_binary_from_anywhere" {
  command = plan

  module {
    source = "./modules/asg"
  }

  variables {
    binary = { url = "http://example.com/meridian", sha256 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" }
  }

  expect_failures = [var.binary]
}

run "refuses_a_binary_without_a_digest" {
  command = plan

  module {
    source = "./modules/asg"
  }

  variables {
    binary = { url = "s3://releases/meridian", sha256 = "" }
  }

  expect_failures = [var.binary]
}

run "refuses_two_time_sources" {
  command = plan

  module {
    source = "./modules/asg"
  }

  variables {
    ntp_servers = ["a.example", "b.example"]
  }

  expect_failures = [var.ntp_servers]
}

run "refuses_a_short_lame_duck" {
  command = plan

  module {
    source = "./modules/asg"
  }

  variables {
    lame_duck_seconds = 5
  }

  expect_failures = [var.lame_duck_seconds]
}

run "refuses_an_endless_drain" {
  command = plan

  module {
    source = "./modules/asg"
  }

  variables {
    drain_seconds = 3601
  }

  expect_failures = [var.drain_seconds]
}

run "refuses_unknown_health" {
  command = plan

  module {
    source = "./modules/asg"
  }

  variables {
    health_check_type = "PING"
  }

  expect_failures = [var.health_check_type]
}

run "refuses_no_grace" {
  command = plan

  module {
    source = "./modules/asg"
  }

  variables {
    grace_seconds = 0
  }

  expect_failures = [var.grace_seconds]
}

run "refuses_five_nodes_an_event" {
  command = plan

  module {
    source = "./modules/asg"
  }

  variables {
    triggers = { nodes_at_twice = 5 }
  }

  expect_failures = [var.triggers]
}

run "refuses_to_shrink_into_growth" {
  command = plan

  module {
    source = "./modules/asg"
  }

  variables {
    triggers = { quiet_cpu_percent = 40 }
  }

  expect_failures = [var.triggers]
}

run "refuses_triggers_of_no_time" {
  command = plan

  module {
    source = "./modules/asg"
  }

  variables {
    triggers = { minutes = 0 }
  }

  expect_failures = [var.triggers]
}

run "refuses_a_port_that_is_none" {
  command = plan

  module {
    source = "./modules/asg"
  }

  variables {
    probe_port = 0
  }

  expect_failures = [var.probe_port]
}

run "refuses_a_name_with_a_space" {
  command = plan

  module {
    source = "./modules/asg"
  }

  variables {
    name = "a b"
  }

  expect_failures = [var.name]
}
