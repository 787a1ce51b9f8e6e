# The record tree of `meridian render route53`, as it is: this module makes no choice of its own. From the bottom up: an
# address and its check, "serving" per region, weighted spill sets, failover pairs one a step, and the fleet's name.

data "aws_partition" "this" {}

resource "aws_route53_zone" "this" {
  # checkov:skip=CKV2_AWS_38: DNSSEC needs a DS record in the parent zone, which is not this stack's; signed without it, nothing is gained, and a key lost with it takes the name away from every client
  name    = var.tree.zone
  comment = "Meridian ${var.name}"
}

# What nobody asks for any more is seen here.

resource "aws_cloudwatch_log_group" "queries" {
  name              = "/aws/route53/${var.tree.zone}"
  retention_in_days = 365
  kms_key_id        = var.kms_key_arn
}

resource "aws_cloudwatch_log_resource_policy" "queries" {
  policy_name = "${var.name}-route53-queries"

  policy_document = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "route53.amazonaws.com" }
      Action    = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource  = "${aws_cloudwatch_log_group.queries.arn}:*"
    }]
  })
}

resource "aws_route53_query_log" "this" {
  zone_id                  = aws_route53_zone.this.zone_id
  cloudwatch_log_group_arn = aws_cloudwatch_log_group.queries.arn

  depends_on = [aws_cloudwatch_log_resource_policy.queries]
}

# Health. Checks probe an address, never a name that they are attached to.

resource "aws_route53_health_check" "address" {
  for_each = var.tree.health_checks

  type              = each.value.type
  ip_address        = each.value.ip_address
  fqdn              = each.value.fqdn
  port              = each.value.port
  resource_path     = each.value.resource_path
  request_interval  = each.value.request_interval
  failure_threshold = each.value.failure_threshold
  measure_latency   = each.value.measure_latency
  enable_sni        = each.value.enable_sni

  tags = { Name = "${var.name}-${each.key}" }

  lifecycle {
    create_before_destroy = true
  }
}

# Drain is one attribute. A threshold above the number of children is never reached; an inverted check would revive a
# drained region that then dies, and a disabled one counts as healthy.
resource "aws_route53_health_check" "serving" {
  for_each = var.tree.serving

  type                   = "CALCULATED"
  child_healthchecks     = [for child in each.value.children : aws_route53_health_check.address[child].id]
  child_health_threshold = contains(var.drained, each.key) ? each.value.drained_threshold : each.value.child_health_threshold

  tags = { Name = "${var.name}-serving-${each.key}" }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_cloudwatch_metric_alarm" "region_down" {
  for_each = var.tree.serving

  alarm_name          = "${var.name}-${each.key}-down"
  alarm_description   = "GeoDNS does not answer ${each.key}: it is down or drained, and its load goes where the manifest says."
  namespace           = "AWS/Route53"
  metric_name         = "HealthCheckStatus"
  dimensions          = { HealthCheckId = aws_route53_health_check.serving[each.key].id }
  statistic           = "Minimum"
  period              = 60
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "LessThanThreshold"
  treat_missing_data  = "breaching"
  alarm_actions       = [var.alarm_topic_arn]
  ok_actions          = [var.alarm_topic_arn]
}

# The nearest region by client network.

resource "aws_route53_cidr_collection" "this" {
  for_each = var.tree.policy == "cidr" ? toset([var.name]) : []

  name = each.key
}

resource "aws_route53_cidr_location" "this" {
  for_each = var.tree.cidr_locations

  cidr_collection_id = one(values(aws_route53_cidr_collection.this)).id
  name               = each.key
  cidr_blocks        = each.value
}

# Endpoints of regions: plain names without a choice, for clients with a list of their own.

resource "aws_route53_record" "endpoint" {
  for_each = merge([
    for region, endpoint in var.endpoints : {
      for type in ["A", "AAAA"] : "${region}/${type}" => {
        name      = endpoint.name
        type      = type
        addresses = [for address in endpoint.addresses : address if strcontains(address, ":") == (type == "AAAA")]
      } if anytrue([for address in endpoint.addresses : strcontains(address, ":") == (type == "AAAA")])
    }
  ]...)

  zone_id = aws_route53_zone.this.zone_id
  name    = each.value.name
  type    = each.value.type
  ttl     = var.ttl_seconds
  records = each.value.addresses
}
