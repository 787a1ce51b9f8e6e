# terraform init -backend-config=../../examples/backend.hcl -backend-config=key=meridian/us-east.tfstate
bucket       = "my-terraform-states"
region       = "us-east-1"
encrypt      = true
use_lockfile = true
