output "arn" {
  description = "The key."
  value       = aws_kms_key.this.arn

  # Whoever is given the key may use it at once.
  depends_on = [aws_kms_alias.this]
}
