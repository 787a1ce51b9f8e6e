resource "aws_route53_record" "this" {
  for_each = var.records

  zone_id         = var.zone_id
  name            = each.value.name
  type            = each.value.type
  set_identifier  = each.value.set_identifier
  ttl             = each.value.answer.ttl
  records         = each.value.answer.records
  health_check_id = each.value.answer.serving == null ? null : var.serving[each.value.answer.serving]

  dynamic "alias" {
    for_each = each.value.answer.kind == "alias" ? [each.value.answer] : []

    content {
      zone_id                = var.zone_id
      name                   = alias.value.name
      evaluate_target_health = alias.value.evaluate_target_health
    }
  }

  dynamic "weighted_routing_policy" {
    for_each = each.value.routing.policy == "weighted" ? [each.value.routing] : []

    content {
      weight = weighted_routing_policy.value.weight
    }
  }

  dynamic "failover_routing_policy" {
    for_each = each.value.routing.policy == "failover" ? [each.value.routing] : []

    content {
      type = failover_routing_policy.value.primary ? "PRIMARY" : "SECONDARY"
    }
  }

  dynamic "cidr_routing_policy" {
    for_each = each.value.routing.policy == "cidr" ? [each.value.routing] : []

    content {
      collection_id = var.cidr_collection_id
      location_name = lookup(var.locations, cidr_routing_policy.value.location, cidr_routing_policy.value.location)
    }
  }

  dynamic "latency_routing_policy" {
    for_each = each.value.routing.policy == "latency" ? [each.value.routing] : []

    content {
      region = latency_routing_policy.value.region
    }
  }

  dynamic "geoproximity_routing_policy" {
    for_each = each.value.routing.policy == "geoproximity" ? [each.value.routing] : []

    content {
      aws_region = geoproximity_routing_policy.value.aws_region

      dynamic "coordinates" {
        for_each = geoproximity_routing_policy.value.aws_region == null ? [geoproximity_routing_policy.value] : []

        content {
          latitude  = coordinates.value.latitude
          longitude = coordinates.value.longitude
        }
      }
    }
  }

  lifecycle {
    # A record that is no longer wanted goes only when nobody leads to it any more.
    create_before_destroy = true
  }
}
