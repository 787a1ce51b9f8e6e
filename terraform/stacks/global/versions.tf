terraform {
  required_version = ">= 1.9"

  # Where the state lies is the operator's: terraform init -backend-config=… (examples/backend.hcl).
  backend "s3" {}

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}
