output "fqdns" {
  description = "The names that are there now, by the records' keys."
  value       = { for key, record in aws_route53_record.this : key => record.fqdn }
}
