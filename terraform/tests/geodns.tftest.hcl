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
  tree = {
    manifest_sha256 = "digest"
    zone            = "ids.test"
    policy          = "latency"
    health_checks   = { a-1 = { type = "HTTP", ip_address = "192.0.2.1", fqdn = "ids.test", port = 8080, resource_path = "/h", request_interval = 10, failure_threshold = 3, measure_latency = true, enable_sni = false }, b-1 = { type = "HTTP", ip_address = "192.0.2.2", fqdn = "ids.test", port = 8080, resource_path = "/h", request_interval = 10, failure_threshold = 3, measure_latency = true, enable_sni = false } }
    serving = {
      a = { children = ["a-1"], child_health_threshold = 1, drained_threshold = 2 }
      b = { children = ["b-1"], child_health_threshold = 1, drained_threshold = 2 }
    }
    cidr_locations = {}
    records = [
      { key = "A/leaf-a.ids.test/a", name = "leaf-a.ids.test", type = "A", set_identifier = "a", routing = { policy = "weighted", weight = 1 }, answer = { kind = "addresses", ttl = 60, records = ["192.0.2.1"], serving = "a" } },
      { key = "A/spill-a.ids.test/b", name = "spill-a.ids.test", type = "A", set_identifier = "b", routing = { policy = "weighted", weight = 1 }, answer = { kind = "alias", name = "leaf-b.ids.test", evaluate_target_health = true } },
      { key = "A/pair-a.ids.test/primary", name = "pair-a.ids.test", type = "A", set_identifier = "primary", routing = { policy = "failover", primary = true }, answer = { kind = "alias", name = "leaf-a.ids.test", evaluate_target_health = true } },
      { key = "A/pair-a.ids.test/secondary", name = "pair-a.ids.test", type = "A", set_identifier = "secondary", routing = { policy = "failover", primary = false }, answer = { kind = "alias", name = "spill-a.ids.test", evaluate_target_health = true } },
      { key = "A/ids.test/a", name = "ids.test", type = "A", set_identifier = "a", routing = { policy = "latency", region = "eu-central-1" }, answer = { kind = "alias", name = "pair-a.ids.test", evaluate_target_health = true } },
      { key = "A/leaf-b.ids.test/b", name = "leaf-b.ids.test", type = "A", set_identifier = "b", routing = { policy = "weighted", weight = 1 }, answer = { kind = "addresses", ttl = 60, records = ["192.0.2.2"], serving = "b" } },
      { key = "A/spill-b.ids.test/a", name = "spill-b.ids.test", type = "A", set_identifier = "a", routing = { policy = "weighted", weight = 1 }, answer = { kind = "alias", name = "leaf-a.ids.test", evaluate_target_health = true } },
      { key = "A/pair-b.ids.test/primary", name = "pair-b.ids.test", type = "A", set_identifier = "primary", routing = { policy = "failover", primary = true }, answer = { kind = "alias", name = "leaf-b.ids.test", evaluate_target_health = true } },
      { key = "A/pair-b.ids.test/secondary", name = "pair-b.ids.test", type = "A", set_identifier = "secondary", routing = { policy = "failover", primary = false }, answer = { kind = "alias", name = "spill-b.ids.test", evaluate_target_health = true } },
      { key = "A/ids.test/b", name = "ids.test", type = "A", set_identifier = "b", routing = { policy = "latency", region = "eu-central-1" }, answer = { kind = "alias", name = "pair-b.ids.test", evaluate_target_health = true } }
    ]
  }
  ttl_seconds     = 60
  kms_key_arn     = "arn:aws:kms:us-east-1:123456789012:key/k"
  alarm_topic_arn = "arn:aws:sns:us-east-1:123456789012:t"
}

run "makes_every_record" {
  command = plan

  module {
    source = "./modules/geodns"
  }

  assert {
    condition     = output.record_sets == 10 && length(aws_route53_health_check.address) == 2
    error_message = "All of the tree."
  }

  assert {
    condition     = alltrue([for check in aws_route53_health_check.address : check.request_interval == 10 && check.failure_threshold == 3])
    error_message = "Probed as the tree says."
  }
}

run "serves_with_any_address" {
  command = plan

  module {
    source = "./modules/geodns"
  }

  assert {
    condition     = aws_route53_health_check.serving["a"].type == "CALCULATED" && aws_route53_health_check.serving["a"].child_health_threshold == 1
    error_message = "One healthy address is enough."
  }
}

run "drains_by_one_attribute" {
  command = plan

  module {
    source = "./modules/geodns"
  }

  variables {
    drained = ["a"]
  }

  assert {
    condition     = aws_route53_health_check.serving["a"].child_health_threshold == 2 && aws_route53_health_check.serving["b"].child_health_threshold == 1
    error_message = "More than there are."
  }

  assert {
    condition     = !coalesce(aws_route53_health_check.serving["a"].invert_healthcheck, false) && !coalesce(aws_route53_health_check.serving["a"].disabled, false)
    error_message = "Neither inverted nor disabled."
  }
}

run "knows_networks" {
  command = plan

  module {
    source = "./modules/geodns"
  }

  variables {
    tree = {
      manifest_sha256 = "digest"
      zone            = "ids.test"
      policy          = "cidr"
      health_checks   = { a-1 = { type = "HTTP", ip_address = "192.0.2.1", fqdn = "ids.test", port = 8080, resource_path = "/h", request_interval = 10, failure_threshold = 3, measure_latency = true, enable_sni = false }, b-1 = { type = "HTTP", ip_address = "192.0.2.2", fqdn = "ids.test", port = 8080, resource_path = "/h", request_interval = 10, failure_threshold = 3, measure_latency = true, enable_sni = false } }
      serving = {
        a = { children = ["a-1"], child_health_threshold = 1, drained_threshold = 2 }
        b = { children = ["b-1"], child_health_threshold = 1, drained_threshold = 2 }
      }
      cidr_locations = { a = ["10.0.0.0/16"], b = ["10.1.0.0/16"] }
      records = [
        { key = "A/leaf-a.ids.test/a", name = "leaf-a.ids.test", type = "A", set_identifier = "a", routing = { policy = "weighted", weight = 1 }, answer = { kind = "addresses", ttl = 60, records = ["192.0.2.1"], serving = "a" } },
        { key = "A/spill-a.ids.test/b", name = "spill-a.ids.test", type = "A", set_identifier = "b", routing = { policy = "weighted", weight = 1 }, answer = { kind = "alias", name = "leaf-b.ids.test", evaluate_target_health = true } },
        { key = "A/pair-a.ids.test/primary", name = "pair-a.ids.test", type = "A", set_identifier = "primary", routing = { policy = "failover", primary = true }, answer = { kind = "alias", name = "leaf-a.ids.test", evaluate_target_health = true } },
        { key = "A/pair-a.ids.test/secondary", name = "pair-a.ids.test", type = "A", set_identifier = "secondary", routing = { policy = "failover", primary = false }, answer = { kind = "alias", name = "spill-a.ids.test", evaluate_target_health = true } },
        { key = "A/ids.test/a", name = "ids.test", type = "A", set_identifier = "a", routing = { policy = "cidr", location = "a" }, answer = { kind = "alias", name = "pair-a.ids.test", evaluate_target_health = true } },
        { key = "A/leaf-b.ids.test/b", name = "leaf-b.ids.test", type = "A", set_identifier = "b", routing = { policy = "weighted", weight = 1 }, answer = { kind = "addresses", ttl = 60, records = ["192.0.2.2"], serving = "b" } },
        { key = "A/spill-b.ids.test/a", name = "spill-b.ids.test", type = "A", set_identifier = "a", routing = { policy = "weighted", weight = 1 }, answer = { kind = "alias", name = "leaf-a.ids.test", evaluate_target_health = true } },
        { key = "A/pair-b.ids.test/primary", name = "pair-b.ids.test", type = "A", set_identifier = "primary", routing = { policy = "failover", primary = true }, answer = { kind = "alias", name = "leaf-b.ids.test", evaluate_target_health = true } },
        { key = "A/pair-b.ids.test/secondary", name = "pair-b.ids.test", type = "A", set_identifier = "secondary", routing = { policy = "failover", primary = false }, answer = { kind = "alias", name = "spill-b.ids.test", evaluate_target_health = true } },
        { key = "A/ids.test/b", name = "ids.test", type = "A", set_identifier = "b", routing = { policy = "cidr", location = "b" }, answer = { kind = "alias", name = "pair-b.ids.test", evaluate_target_health = true } },
        { key = "A/ids.test/default", name = "ids.test", type = "A", set_identifier = "default", routing = { policy = "cidr", location = "*" }, answer = { kind = "alias", name = "pair-a.ids.test", evaluate_target_health = true } }
      ]
    }
  }

  assert {
    condition     = length(aws_route53_cidr_collection.this) == 1 && aws_route53_cidr_location.this["b"].cidr_blocks == toset(["10.1.0.0/16"])
    error_message = "Locations of the tree."
  }

  assert {
    condition     = output.record_sets == 11
    error_message = "And a default."
  }
}

run "knows_places" {
  command = plan

  module {
    source = "./modules/geodns"
  }

  variables {
    tree = {
      manifest_sha256 = "digest"
      zone            = "ids.test"
      policy          = "geoproximity"
      health_checks   = { a-1 = { type = "HTTP", ip_address = "192.0.2.1", fqdn = "ids.test", port = 8080, resource_path = "/h", request_interval = 10, failure_threshold = 3, measure_latency = true, enable_sni = false }, b-1 = { type = "HTTP", ip_address = "192.0.2.2", fqdn = "ids.test", port = 8080, resource_path = "/h", request_interval = 10, failure_threshold = 3, measure_latency = true, enable_sni = false } }
      serving = {
        a = { children = ["a-1"], child_health_threshold = 1, drained_threshold = 2 }
        b = { children = ["b-1"], child_health_threshold = 1, drained_threshold = 2 }
      }
      cidr_locations = {}
      records = [
        { key = "A/leaf-a.ids.test/a", name = "leaf-a.ids.test", type = "A", set_identifier = "a", routing = { policy = "weighted", weight = 1 }, answer = { kind = "addresses", ttl = 60, records = ["192.0.2.1"], serving = "a" } },
        { key = "A/spill-a.ids.test/b", name = "spill-a.ids.test", type = "A", set_identifier = "b", routing = { policy = "weighted", weight = 1 }, answer = { kind = "alias", name = "leaf-b.ids.test", evaluate_target_health = true } },
        { key = "A/pair-a.ids.test/primary", name = "pair-a.ids.test", type = "A", set_identifier = "primary", routing = { policy = "failover", primary = true }, answer = { kind = "alias", name = "leaf-a.ids.test", evaluate_target_health = true } },
        { key = "A/pair-a.ids.test/secondary", name = "pair-a.ids.test", type = "A", set_identifier = "secondary", routing = { policy = "failover", primary = false }, answer = { kind = "alias", name = "spill-a.ids.test", evaluate_target_health = true } },
        { key = "A/ids.test/a", name = "ids.test", type = "A", set_identifier = "a", routing = { policy = "geoproximity", latitude = "1.00", longitude = "2.00" }, answer = { kind = "alias", name = "pair-a.ids.test", evaluate_target_health = true } },
        { key = "A/leaf-b.ids.test/b", name = "leaf-b.ids.test", type = "A", set_identifier = "b", routing = { policy = "weighted", weight = 1 }, answer = { kind = "addresses", ttl = 60, records = ["192.0.2.2"], serving = "b" } },
        { key = "A/spill-b.ids.test/a", name = "spill-b.ids.test", type = "A", set_identifier = "a", routing = { policy = "weighted", weight = 1 }, answer = { kind = "alias", name = "leaf-a.ids.test", evaluate_target_health = true } },
        { key = "A/pair-b.ids.test/primary", name = "pair-b.ids.test", type = "A", set_identifier = "primary", routing = { policy = "failover", primary = true }, answer = { kind = "alias", name = "leaf-b.ids.test", evaluate_target_health = true } },
        { key = "A/pair-b.ids.test/secondary", name = "pair-b.ids.test", type = "A", set_identifier = "secondary", routing = { policy = "failover", primary = false }, answer = { kind = "alias", name = "spill-b.ids.test", evaluate_target_health = true } },
        { key = "A/ids.test/b", name = "ids.test", type = "A", set_identifier = "b", routing = { policy = "geoproximity", latitude = "1.00", longitude = "2.00" }, answer = { kind = "alias", name = "pair-b.ids.test", evaluate_target_health = true } }
      ]
    }
  }

  assert {
    condition     = length(aws_route53_cidr_collection.this) == 0
    error_message = "No networks."
  }
}

run "answers_endpoints_of_both_families" {
  command = plan

  module {
    source = "./modules/geodns"
  }

  variables {
    endpoints = { a = { name = "a.ids.test", addresses = ["192.0.2.1", "2001:db8::1"] } }
  }

  assert {
    condition     = aws_route53_record.endpoint["a/A"].records == toset(["192.0.2.1"]) && aws_route53_record.endpoint["a/AAAA"].records == toset(["2001:db8::1"])
    error_message = "A and AAAA."
  }
}

run "says_who_is_down" {
  command = plan

  module {
    source = "./modules/geodns"
  }

  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.region_down : alarm.metric_name == "HealthCheckStatus" && alarm.treat_missing_data == "breaching"])
    error_message = "An alarm a region."
  }
}

run "refuses_a_record_without_a_place" {
  command = plan

  module {
    source = "./modules/geodns"
  }

  variables {
    tree = {
      manifest_sha256 = "digest"
      zone            = "ids.test"
      policy          = "latency"
      health_checks   = { a-1 = { type = "HTTP", ip_address = "192.0.2.1", fqdn = "ids.test", port = 8080, resource_path = "/h", request_interval = 10, failure_threshold = 3, measure_latency = true, enable_sni = false }, b-1 = { type = "HTTP", ip_address = "192.0.2.2", fqdn = "ids.test", port = 8080, resource_path = "/h", request_interval = 10, failure_threshold = 3, measure_latency = true, enable_sni = false } }
      serving = {
        a = { children = ["a-1"], child_health_threshold = 1, drained_threshold = 2 }
        b = { children = ["b-1"], child_health_threshold = 1, drained_threshold = 2 }
      }
      cidr_locations = {}
      records = [
        { key = "A/leaf-a.ids.test/a", name = "leaf-a.ids.test", type = "A", set_identifier = "a", routing = { policy = "weighted", weight = 1 }, answer = { kind = "addresses", ttl = 60, records = ["192.0.2.1"], serving = "a" } },
        { key = "A/spill-a.ids.test/b", name = "spill-a.ids.test", type = "A", set_identifier = "b", routing = { policy = "weighted", weight = 1 }, answer = { kind = "alias", name = "leaf-b.ids.test", evaluate_target_health = true } },
        { key = "A/pair-a.ids.test/primary", name = "pair-a.ids.test", type = "A", set_identifier = "primary", routing = { policy = "failover", primary = true }, answer = { kind = "alias", name = "leaf-a.ids.test", evaluate_target_health = true } },
        { key = "A/pair-a.ids.test/secondary", name = "pair-a.ids.test", type = "A", set_identifier = "secondary", routing = { policy = "failover", primary = false }, answer = { kind = "alias", name = "spill-a.ids.test", evaluate_target_health = true } },
        { key = "A/ids.test/a", name = "ids.test", type = "A", set_identifier = "a", routing = { policy = "latency", region = "eu-central-1" }, answer = { kind = "alias", name = "pair-a.ids.test", evaluate_target_health = true } },
        { key = "A/leaf-b.ids.test/b", name = "leaf-b.ids.test", type = "A", set_identifier = "b", routing = { policy = "weighted", weight = 1 }, answer = { kind = "addresses", ttl = 60, records = ["192.0.2.2"], serving = "b" } },
        { key = "A/spill-b.ids.test/a", name = "spill-b.ids.test", type = "A", set_identifier = "a", routing = { policy = "weighted", weight = 1 }, answer = { kind = "alias", name = "leaf-a.ids.test", evaluate_target_health = true } },
        { key = "A/pair-b.ids.test/primary", name = "pair-b.ids.test", type = "A", set_identifier = "primary", routing = { policy = "failover", primary = true }, answer = { kind = "alias", name = "leaf-b.ids.test", evaluate_target_health = true } },
        { key = "A/pair-b.ids.test/secondary", name = "pair-b.ids.test", type = "A", set_identifier = "secondary", routing = { policy = "failover", primary = false }, answer = { kind = "alias", name = "spill-b.ids.test", evaluate_target_health = true } },
        { key = "A/ids.test/b", name = "ids.test", type = "A", set_identifier = "b", routing = { policy = "latency", region = "eu-central-1" }, answer = { kind = "alias", name = "pair-b.ids.test", evaluate_target_health = true } },
        { key = "A/next-a-9.ids.test/primary", name = "next-a-9.ids.test", type = "A", set_identifier = "primary", routing = { policy = "failover", primary = true }, answer = { kind = "alias", name = "leaf-b.ids.test", evaluate_target_health = true } }
      ]
    }
  }

  expect_failures = [output.zone_id]
}

run "refuses_to_probe_each_second" {
  command = plan

  module {
    source = "./modules/geodns"
  }

  variables {
    tree = {
      manifest_sha256 = "digest"
      zone            = "ids.test"
      policy          = "latency"
      health_checks   = { a-1 = { type = "HTTP", ip_address = "192.0.2.1", fqdn = "ids.test", port = 8080, resource_path = "/h", request_interval = 1, failure_threshold = 3, measure_latency = true, enable_sni = false }, b-1 = { type = "HTTP", ip_address = "192.0.2.2", fqdn = "ids.test", port = 8080, resource_path = "/h", request_interval = 10, failure_threshold = 3, measure_latency = true, enable_sni = false } }
      serving = {
        a = { children = ["a-1"], child_health_threshold = 1, drained_threshold = 2 }
        b = { children = ["b-1"], child_health_threshold = 1, drained_threshold = 2 }
      }
      cidr_locations = {}
      records = [
        { key = "A/leaf-a.ids.test/a", name = "leaf-a.ids.test", type = "A", set_identifier = "a", routing = { policy = "weighted", weight = 1 }, answer = { kind = "addresses", ttl = 60, records = ["192.0.2.1"], serving = "a" } },
        { key = "A/spill-a.ids.test/b", name = "spill-a.ids.test", type = "A", set_identifier = "b", routing = { policy = "weighted", weight = 1 }, answer = { kind = "alias", name = "leaf-b.ids.test", evaluate_target_health = true } },
        { key = "A/pair-a.ids.test/primary", name = "pair-a.ids.test", type = "A", set_identifier = "primary", routing = { policy = "failover", primary = true }, answer = { kind = "alias", name = "leaf-a.ids.test", evaluate_target_health = true } },
        { key = "A/pair-a.ids.test/secondary", name = "pair-a.ids.test", type = "A", set_identifier = "secondary", routing = { policy = "failover", primary = false }, answer = { kind = "alias", name = "spill-a.ids.test", evaluate_target_health = true } },
        { key = "A/ids.test/a", name = "ids.test", type = "A", set_identifier = "a", routing = { policy = "latency", region = "eu-central-1" }, answer = { kind = "alias", name = "pair-a.ids.test", evaluate_target_health = true } },
        { key = "A/leaf-b.ids.test/b", name = "leaf-b.ids.test", type = "A", set_identifier = "b", routing = { policy = "weighted", weight = 1 }, answer = { kind = "addresses", ttl = 60, records = ["192.0.2.2"], serving = "b" } },
        { key = "A/spill-b.ids.test/a", name = "spill-b.ids.test", type = "A", set_identifier = "a", routing = { policy = "weighted", weight = 1 }, answer = { kind = "alias", name = "leaf-a.ids.test", evaluate_target_health = true } },
        { key = "A/pair-b.ids.test/primary", name = "pair-b.ids.test", type = "A", set_identifier = "primary", routing = { policy = "failover", primary = true }, answer = { kind = "alias", name = "leaf-b.ids.test", evaluate_target_health = true } },
        { key = "A/pair-b.ids.test/secondary", name = "pair-b.ids.test", type = "A", set_identifier = "secondary", routing = { policy = "failover", primary = false }, answer = { kind = "alias", name = "spill-b.ids.test", evaluate_target_health = true } },
        { key = "A/ids.test/b", name = "ids.test", type = "A", set_identifier = "b", routing = { policy = "latency", region = "eu-central-1" }, answer = { kind = "alias", name = "pair-b.ids.test", evaluate_target_health = true } }
      ]
    }
  }

  expect_failures = [var.tree]
}

run "refuses_eleven_bad_probes" {
  command = plan

  module {
    source = "./modules/geodns"
  }

  variables {
    tree = {
      manifest_sha256 = "digest"
      zone            = "ids.test"
      policy          = "latency"
      health_checks   = { a-1 = { type = "HTTP", ip_address = "192.0.2.1", fqdn = "ids.test", port = 8080, resource_path = "/h", request_interval = 10, failure_threshold = 11, measure_latency = true, enable_sni = false }, b-1 = { type = "HTTP", ip_address = "192.0.2.2", fqdn = "ids.test", port = 8080, resource_path = "/h", request_interval = 10, failure_threshold = 3, measure_latency = true, enable_sni = false } }
      serving = {
        a = { children = ["a-1"], child_health_threshold = 1, drained_threshold = 2 }
        b = { children = ["b-1"], child_health_threshold = 1, drained_threshold = 2 }
      }
      cidr_locations = {}
      records = [
        { key = "A/leaf-a.ids.test/a", name = "leaf-a.ids.test", type = "A", set_identifier = "a", routing = { policy = "weighted", weight = 1 }, answer = { kind = "addresses", ttl = 60, records = ["192.0.2.1"], serving = "a" } },
        { key = "A/spill-a.ids.test/b", name = "spill-a.ids.test", type = "A", set_identifier = "b", routing = { policy = "weighted", weight = 1 }, answer = { kind = "alias", name = "leaf-b.ids.test", evaluate_target_health = true } },
        { key = "A/pair-a.ids.test/primary", name = "pair-a.ids.test", type = "A", set_identifier = "primary", routing = { policy = "failover", primary = true }, answer = { kind = "alias", name = "leaf-a.ids.test", evaluate_target_health = true } },
        { key = "A/pair-a.ids.test/secondary", name = "pair-a.ids.test", type = "A", set_identifier = "secondary", routing = { policy = "failover", primary = false }, answer = { kind = "alias", name = "spill-a.ids.test", evaluate_target_health = true } },
        { key = "A/ids.test/a", name = "ids.test", type = "A", set_identifier = "a", routing = { policy = "latency", region = "eu-central-1" }, answer = { kind = "alias", name = "pair-a.ids.test", evaluate_target_health = true } },
        { key = "A/leaf-b.ids.test/b", name = "leaf-b.ids.test", type = "A", set_identifier = "b", routing = { policy = "weighted", weight = 1 }, answer = { kind = "addresses", ttl = 60, records = ["192.0.2.2"], serving = "b" } },
        { key = "A/spill-b.ids.test/a", name = "spill-b.ids.test", type = "A", set_identifier = "a", routing = { policy = "weighted", weight = 1 }, answer = { kind = "alias", name = "leaf-a.ids.test", evaluate_target_health = true } },
        { key = "A/pair-b.ids.test/primary", name = "pair-b.ids.test", type = "A", set_identifier = "primary", routing = { policy = "failover", primary = true }, answer = { kind = "alias", name = "leaf-b.ids.test", evaluate_target_health = true } },
        { key = "A/pair-b.ids.test/secondary", name = "pair-b.ids.test", type = "A", set_identifier = "secondary", routing = { policy = "failover", primary = false }, answer = { kind = "alias", name = "spill-b.ids.test", evaluate_target_health = true } },
        { key = "A/ids.test/b", name = "ids.test", type = "A", set_identifier = "b", routing = { policy = "latency", region = "eu-central-1" }, answer = { kind = "alias", name = "pair-b.ids.test", evaluate_target_health = true } }
      ]
    }
  }

  expect_failures = [var.tree]
}

run "refuses_a_drain_that_drains_nothing" {
  command = plan

  module {
    source = "./modules/geodns"
  }

  variables {
    tree = {
      manifest_sha256 = "digest"
      zone            = "ids.test"
      policy          = "latency"
      health_checks   = { a-1 = { type = "HTTP", ip_address = "192.0.2.1", fqdn = "ids.test", port = 8080, resource_path = "/h", request_interval = 10, failure_threshold = 3, measure_latency = true, enable_sni = false }, b-1 = { type = "HTTP", ip_address = "192.0.2.2", fqdn = "ids.test", port = 8080, resource_path = "/h", request_interval = 10, failure_threshold = 3, measure_latency = true, enable_sni = false } }
      serving = {
        a = { children = ["a-1"], child_health_threshold = 1, drained_threshold = 1 }
        b = { children = ["b-1"], child_health_threshold = 1, drained_threshold = 2 }
      }
      cidr_locations = {}
      records = [
        { key = "A/leaf-a.ids.test/a", name = "leaf-a.ids.test", type = "A", set_identifier = "a", routing = { policy = "weighted", weight = 1 }, answer = { kind = "addresses", ttl = 60, records = ["192.0.2.1"], serving = "a" } },
        { key = "A/spill-a.ids.test/b", name = "spill-a.ids.test", type = "A", set_identifier = "b", routing = { policy = "weighted", weight = 1 }, answer = { kind = "alias", name = "leaf-b.ids.test", evaluate_target_health = true } },
        { key = "A/pair-a.ids.test/primary", name = "pair-a.ids.test", type = "A", set_identifier = "primary", routing = { policy = "failover", primary = true }, answer = { kind = "alias", name = "leaf-a.ids.test", evaluate_target_health = true } },
        { key = "A/pair-a.ids.test/secondary", name = "pair-a.ids.test", type = "A", set_identifier = "secondary", routing = { policy = "failover", primary = false }, answer = { kind = "alias", name = "spill-a.ids.test", evaluate_target_health = true } },
        { key = "A/ids.test/a", name = "ids.test", type = "A", set_identifier = "a", routing = { policy = "latency", region = "eu-central-1" }, answer = { kind = "alias", name = "pair-a.ids.test", evaluate_target_health = true } },
        { key = "A/leaf-b.ids.test/b", name = "leaf-b.ids.test", type = "A", set_identifier = "b", routing = { policy = "weighted", weight = 1 }, answer = { kind = "addresses", ttl = 60, records = ["192.0.2.2"], serving = "b" } },
        { key = "A/spill-b.ids.test/a", name = "spill-b.ids.test", type = "A", set_identifier = "a", routing = { policy = "weighted", weight = 1 }, answer = { kind = "alias", name = "leaf-a.ids.test", evaluate_target_health = true } },
        { key = "A/pair-b.ids.test/primary", name = "pair-b.ids.test", type = "A", set_identifier = "primary", routing = { policy = "failover", primary = true }, answer = { kind = "alias", name = "leaf-b.ids.test", evaluate_target_health = true } },
        { key = "A/pair-b.ids.test/secondary", name = "pair-b.ids.test", type = "A", set_identifier = "secondary", routing = { policy = "failover", primary = false }, answer = { kind = "alias", name = "spill-b.ids.test", evaluate_target_health = true } },
        { key = "A/ids.test/b", name = "ids.test", type = "A", set_identifier = "b", routing = { policy = "latency", region = "eu-central-1" }, answer = { kind = "alias", name = "pair-b.ids.test", evaluate_target_health = true } }
      ]
    }
  }

  expect_failures = [var.tree]
}

run "refuses_an_unknown_policy" {
  command = plan

  module {
    source = "./modules/geodns"
  }

  variables {
    tree = {
      manifest_sha256 = "digest"
      zone            = "ids.test"
      policy          = "magic"
      health_checks   = { a-1 = { type = "HTTP", ip_address = "192.0.2.1", fqdn = "ids.test", port = 8080, resource_path = "/h", request_interval = 10, failure_threshold = 3, measure_latency = true, enable_sni = false }, b-1 = { type = "HTTP", ip_address = "192.0.2.2", fqdn = "ids.test", port = 8080, resource_path = "/h", request_interval = 10, failure_threshold = 3, measure_latency = true, enable_sni = false } }
      serving = {
        a = { children = ["a-1"], child_health_threshold = 1, drained_threshold = 2 }
        b = { children = ["b-1"], child_health_threshold = 1, drained_threshold = 2 }
      }
      cidr_locations = {}
      records = [
        { key = "A/leaf-a.ids.test/a", name = "leaf-a.ids.test", type = "A", set_identifier = "a", routing = { policy = "weighted", weight = 1 }, answer = { kind = "addresses", ttl = 60, records = ["192.0.2.1"], serving = "a" } },
        { key = "A/spill-a.ids.test/b", name = "spill-a.ids.test", type = "A", set_identifier = "b", routing = { policy = "weighted", weight = 1 }, answer = { kind = "alias", name = "leaf-b.ids.test", evaluate_target_health = true } },
        { key = "A/pair-a.ids.test/primary", name = "pair-a.ids.test", type = "A", set_identifier = "primary", routing = { policy = "failover", primary = true }, answer = { kind = "alias", name = "leaf-a.ids.test", evaluate_target_health = true } },
        { key = "A/pair-a.ids.test/secondary", name = "pair-a.ids.test", type = "A", set_identifier = "secondary", routing = { policy = "failover", primary = false }, answer = { kind = "alias", name = "spill-a.ids.test", evaluate_target_health = true } },
        { key = "A/ids.test/a", name = "ids.test", type = "A", set_identifier = "a", routing = { policy = "magic" }, answer = { kind = "alias", name = "pair-a.ids.test", evaluate_target_health = true } },
        { key = "A/leaf-b.ids.test/b", name = "leaf-b.ids.test", type = "A", set_identifier = "b", routing = { policy = "weighted", weight = 1 }, answer = { kind = "addresses", ttl = 60, records = ["192.0.2.2"], serving = "b" } },
        { key = "A/spill-b.ids.test/a", name = "spill-b.ids.test", type = "A", set_identifier = "a", routing = { policy = "weighted", weight = 1 }, answer = { kind = "alias", name = "leaf-a.ids.test", evaluate_target_health = true } },
        { key = "A/pair-b.ids.test/primary", name = "pair-b.ids.test", type = "A", set_identifier = "primary", routing = { policy = "failover", primary = true }, answer = { kind = "alias", name = "leaf-b.ids.test", evaluate_target_health = true } },
        { key = "A/pair-b.ids.test/secondary", name = "pair-b.ids.test", type = "A", set_identifier = "secondary", routing = { policy = "failover", primary = false }, answer = { kind = "alias", name = "spill-b.ids.test", evaluate_target_health = true } },
        { key = "A/ids.test/b", name = "ids.test", type = "A", set_identifier = "b", routing = { policy = "magic" }, answer = { kind = "alias", name = "pair-b.ids.test", evaluate_target_health = true } }
      ]
    }
  }

  expect_failures = [var.tree]
}

run "refuses_a_check_that_is_not_there" {
  command = plan

  module {
    source = "./modules/geodns"
  }

  variables {
    tree = {
      manifest_sha256 = "digest"
      zone            = "ids.test"
      policy          = "latency"
      health_checks   = { a-1 = { type = "HTTP", ip_address = "192.0.2.1", fqdn = "ids.test", port = 8080, resource_path = "/h", request_interval = 10, failure_threshold = 3, measure_latency = true, enable_sni = false }, b-1 = { type = "HTTP", ip_address = "192.0.2.2", fqdn = "ids.test", port = 8080, resource_path = "/h", request_interval = 10, failure_threshold = 3, measure_latency = true, enable_sni = false } }
      serving = {
        a = { children = ["a-9"], child_health_threshold = 1, drained_threshold = 2 }
        b = { children = ["b-1"], child_health_threshold = 1, drained_threshold = 2 }
      }
      cidr_locations = {}
      records = [
        { key = "A/leaf-a.ids.test/a", name = "leaf-a.ids.test", type = "A", set_identifier = "a", routing = { policy = "weighted", weight = 1 }, answer = { kind = "addresses", ttl = 60, records = ["192.0.2.1"], serving = "a" } },
        { key = "A/spill-a.ids.test/b", name = "spill-a.ids.test", type = "A", set_identifier = "b", routing = { policy = "weighted", weight = 1 }, answer = { kind = "alias", name = "leaf-b.ids.test", evaluate_target_health = true } },
        { key = "A/pair-a.ids.test/primary", name = "pair-a.ids.test", type = "A", set_identifier = "primary", routing = { policy = "failover", primary = true }, answer = { kind = "alias", name = "leaf-a.ids.test", evaluate_target_health = true } },
        { key = "A/pair-a.ids.test/secondary", name = "pair-a.ids.test", type = "A", set_identifier = "secondary", routing = { policy = "failover", primary = false }, answer = { kind = "alias", name = "spill-a.ids.test", evaluate_target_health = true } },
        { key = "A/ids.test/a", name = "ids.test", type = "A", set_identifier = "a", routing = { policy = "latency", region = "eu-central-1" }, answer = { kind = "alias", name = "pair-a.ids.test", evaluate_target_health = true } },
        { key = "A/leaf-b.ids.test/b", name = "leaf-b.ids.test", type = "A", set_identifier = "b", routing = { policy = "weighted", weight = 1 }, answer = { kind = "addresses", ttl = 60, records = ["192.0.2.2"], serving = "b" } },
        { key = "A/spill-b.ids.test/a", name = "spill-b.ids.test", type = "A", set_identifier = "a", routing = { policy = "weighted", weight = 1 }, answer = { kind = "alias", name = "leaf-a.ids.test", evaluate_target_health = true } },
        { key = "A/pair-b.ids.test/primary", name = "pair-b.ids.test", type = "A", set_identifier = "primary", routing = { policy = "failover", primary = true }, answer = { kind = "alias", name = "leaf-b.ids.test", evaluate_target_health = true } },
        { key = "A/pair-b.ids.test/secondary", name = "pair-b.ids.test", type = "A", set_identifier = "secondary", routing = { policy = "failover", primary = false }, answer = { kind = "alias", name = "spill-b.ids.test", evaluate_target_health = true } },
        { key = "A/ids.test/b", name = "ids.test", type = "A", set_identifier = "b", routing = { policy = "latency", region = "eu-central-1" }, answer = { kind = "alias", name = "pair-b.ids.test", evaluate_target_health = true } }
      ]
    }
  }

  expect_failures = [var.tree]
}

run "refuses_to_drain_who_is_not_there" {
  command = plan

  module {
    source = "./modules/geodns"
  }

  variables {
    drained = ["c"]
  }

  expect_failures = [var.drained]
}

run "refuses_to_drain_everybody" {
  command = plan

  module {
    source = "./modules/geodns"
  }

  variables {
    drained = ["a", "b"]
  }

  expect_failures = [var.drained]
}

run "refuses_an_endpoint_without_an_address" {
  command = plan

  module {
    source = "./modules/geodns"
  }

  variables {
    endpoints = { a = { name = "a.ids.test", addresses = [] } }
  }

  expect_failures = [var.endpoints]
}

run "refuses_no_ttl" {
  command = plan

  module {
    source = "./modules/geodns"
  }

  variables {
    ttl_seconds = 0
  }

  expect_failures = [var.ttl_seconds]
}

run "refuses_a_name_with_a_space" {
  command = plan

  module {
    source = "./modules/geodns"
  }

  variables {
    name = "a b"
  }

  expect_failures = [var.name]
}
