# Route 53 takes an alias only when its target is there, so records are made in steps. A record's place follows from its
# name and stays for ever: a region more lengthens the others' lists at their far end and moves nothing.

locals {
  records = { for record in var.tree.records : record.key => record }

  # The step of each name; `next-R-N` is the Nth of those who come after region R.
  steps = merge(
    { (var.tree.zone) = "name" },
    [
      for region in keys(var.tree.serving) : merge(
        {
          "leaf-${region}.${var.tree.zone}"  = "leaf"
          "spill-${region}.${var.tree.zone}" = "spill"
          "pair-${region}.${var.tree.zone}"  = "pair"
        },
        { for step in range(1, 9) : "next-${region}-${step}.${var.tree.zone}" => "next_${step}" },
      )
    ]...
  )

  layers = {
    for layer in distinct(values(local.steps)) : layer => {
      for key, record in local.records : key => record if lookup(local.steps, record.name, null) == layer
    }
  }
}

module "leaf" {
  source = "./records"

  zone_id = aws_route53_zone.this.zone_id
  records = local.layers.leaf
  serving = { for region, check in aws_route53_health_check.serving : region => check.id }
}

module "spill" {
  source = "./records"

  zone_id = aws_route53_zone.this.zone_id
  records = local.layers.spill

  depends_on = [module.leaf]
}

module "next_8" {
  source = "./records"

  zone_id = aws_route53_zone.this.zone_id
  records = local.layers.next_8

  depends_on = [module.leaf]
}

module "next_7" {
  source = "./records"

  zone_id = aws_route53_zone.this.zone_id
  records = local.layers.next_7

  depends_on = [module.next_8]
}

module "next_6" {
  source = "./records"

  zone_id = aws_route53_zone.this.zone_id
  records = local.layers.next_6

  depends_on = [module.next_7]
}

module "next_5" {
  source = "./records"

  zone_id = aws_route53_zone.this.zone_id
  records = local.layers.next_5

  depends_on = [module.next_6]
}

module "next_4" {
  source = "./records"

  zone_id = aws_route53_zone.this.zone_id
  records = local.layers.next_4

  depends_on = [module.next_5]
}

module "next_3" {
  source = "./records"

  zone_id = aws_route53_zone.this.zone_id
  records = local.layers.next_3

  depends_on = [module.next_4]
}

module "next_2" {
  source = "./records"

  zone_id = aws_route53_zone.this.zone_id
  records = local.layers.next_2

  depends_on = [module.next_3]
}

module "next_1" {
  source = "./records"

  zone_id = aws_route53_zone.this.zone_id
  records = local.layers.next_1

  depends_on = [module.spill, module.next_2]
}

module "pair" {
  source = "./records"

  zone_id = aws_route53_zone.this.zone_id
  records = local.layers.pair

  depends_on = [module.next_1]
}

module "name" {
  source = "./records"

  zone_id            = aws_route53_zone.this.zone_id
  records            = local.layers.name
  cidr_collection_id = one([for collection in aws_route53_cidr_collection.this : collection.id])
  locations          = { for region, location in aws_route53_cidr_location.this : region => location.name }

  depends_on = [module.pair]
}
