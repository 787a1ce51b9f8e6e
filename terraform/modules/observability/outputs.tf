output "topic_arn" {
  description = "Where alarms go."
  value       = aws_sns_topic.this.arn
}

output "alarms" {
  description = "Names of the alarms."
  value       = sort([for alarm in aws_cloudwatch_metric_alarm.this : alarm.alarm_name])
}
