# The brief's triggers. CPU comes from EC2; the others are what nodes say of themselves (files/meridian-metrics).

locals {
  triggers = {
    cpu = {
      namespace  = "AWS/EC2"
      metric     = "CPUUtilization"
      dimensions = { AutoScalingGroupName = aws_autoscaling_group.burst.name }
      threshold  = var.triggers.cpu_percent
      # Of a hundred there is no twice.
      steep = (100 - var.triggers.cpu_percent) / 2
    }
    latency = {
      namespace  = "Meridian"
      metric     = "LatencyMilliseconds"
      dimensions = { Region = var.region }
      threshold  = var.triggers.latency_ms
      steep      = var.triggers.latency_ms
    }
    overflow = {
      namespace  = "Meridian"
      metric     = "OverflowPercent"
      dimensions = { Region = var.region }
      threshold  = var.triggers.overflow_percent
      steep      = var.triggers.overflow_percent
    }
    queue = {
      namespace  = "Meridian"
      metric     = "QueueDepth"
      dimensions = { Region = var.region }
      threshold  = var.triggers.queue_depth
      steep      = var.triggers.queue_depth
    }
  }
}

# Nodes that warm up count as there already, so nothing is added twice within that time.
resource "aws_autoscaling_policy" "up" {
  for_each = local.triggers

  name                      = "${var.name}-${each.key}"
  autoscaling_group_name    = aws_autoscaling_group.burst.name
  policy_type               = "StepScaling"
  adjustment_type           = "ChangeInCapacity"
  metric_aggregation_type   = "Average"
  estimated_instance_warmup = var.triggers.seconds_till_repeat

  step_adjustment {
    metric_interval_lower_bound = 0
    metric_interval_upper_bound = each.value.steep
    scaling_adjustment          = var.triggers.nodes
  }

  step_adjustment {
    metric_interval_lower_bound = each.value.steep
    scaling_adjustment          = var.triggers.nodes_at_twice
  }
}

resource "aws_cloudwatch_metric_alarm" "up" {
  for_each = local.triggers

  alarm_name          = "${var.name}-${each.key}-high"
  alarm_description   = "${var.region} needs more nodes: ${each.value.metric} is above ${each.value.threshold}."
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = "Average"
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.threshold
  period              = 60
  evaluation_periods  = var.triggers.minutes
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_autoscaling_policy.up[each.key].arn, var.alarm_topic_arn]
}

resource "aws_autoscaling_policy" "down" {
  name                    = "${var.name}-quiet"
  autoscaling_group_name  = aws_autoscaling_group.burst.name
  policy_type             = "StepScaling"
  adjustment_type         = "ChangeInCapacity"
  metric_aggregation_type = "Average"

  step_adjustment {
    metric_interval_upper_bound = 0
    scaling_adjustment          = -1
  }
}

resource "aws_cloudwatch_metric_alarm" "down" {
  alarm_name          = "${var.name}-cpu-low"
  alarm_description   = "${var.region} has more nodes than it needs."
  namespace           = "AWS/EC2"
  metric_name         = "CPUUtilization"
  dimensions          = { AutoScalingGroupName = aws_autoscaling_group.burst.name }
  statistic           = "Average"
  comparison_operator = "LessThanThreshold"
  threshold           = var.triggers.quiet_cpu_percent
  period              = 60
  evaluation_periods  = 3 * var.triggers.minutes
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_autoscaling_policy.down.arn]
}
