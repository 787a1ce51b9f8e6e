# A region on Kubernetes; ids also on port 443, request by request to the node with the fewest under way.
platform        = "kubernetes"
log_bucket      = "my-access-logs"
certificate_arn = "arn:aws:acm:us-east-1:123456789012:certificate/12345678-1234-1234-1234-123456789012"
algorithm       = "least_outstanding_requests"
