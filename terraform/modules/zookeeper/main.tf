# The region's ensemble under the manifest's own names: servers spread over zones, each with an address, a name and a disk
# that outlive the machine. A change reaches a machine only when it is replaced, one at a time:
# terraform apply -replace='module.zookeeper["this"].aws_instance.this["zk-0"]'

locals {
  zones  = sort(keys(var.subnets))
  port   = var.servers[0].port
  domain = trimprefix(var.servers[0].host, "${split(".", var.servers[0].host)[0]}.")

  voters = { for index, server in var.servers : split(".", server.host)[0] => { id = index + 1, role = "participant" } }
  observers = {
    for index in range(var.observers) : "observer-${index}" => { id = length(var.servers) + index + 1, role = "observer" }
  }

  # The first addresses of a subnet are Amazon's; from the tenth on they are the servers'.
  servers = {
    for name, server in merge(local.voters, local.observers) : name => merge(server, {
      zone    = local.zones[(server.id - 1) % length(local.zones)]
      address = cidrhost(var.cidrs[local.zones[(server.id - 1) % length(local.zones)]], 10 + floor((server.id - 1) / length(local.zones)))
    })
  }

  user_data = {
    for name, server in local.servers : name => join("\n", ["#cloud-config", yamlencode({
      write_files = [
        {
          path        = "/etc/zookeeper/zoo.cfg"
          permissions = "0644"
          content = templatefile("${path.module}/templates/zoo.cfg.tftpl", {
            port    = local.port
            role    = server.role
            servers = { for other in values(local.servers) : other.id => other }
          })
        },
        {
          path        = "/etc/systemd/system/zookeeper.service"
          permissions = "0644"
          content     = file("${path.module}/files/zookeeper.service")
        },
        {
          path        = "/usr/local/sbin/zookeeper-install"
          permissions = "0755"
          content = templatefile("${path.module}/templates/zookeeper-install.tftpl", {
            url    = var.package.url
            sha512 = var.package.sha512
            id     = server.id
            volume = replace(aws_ebs_volume.this[name].id, "-", "")
          })
        },
      ]
      runcmd = [
        ["/usr/local/sbin/zookeeper-install"],
        ["systemctl", "daemon-reload"],
        ["systemctl", "enable", "--now", "zookeeper.service"],
      ]
    })])
  }
}

resource "aws_security_group" "this" {
  name_prefix = "${var.name}-zookeeper-"
  description = "ZooKeeper of ${var.name}"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-zookeeper" }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each = var.client_security_group_ids

  security_group_id            = aws_security_group.this.id
  description                  = each.key
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port
}

resource "aws_vpc_security_group_ingress_rule" "ensemble" {
  for_each = { quorum = 2888, election = 3888 }

  security_group_id            = aws_security_group.this.id
  description                  = "Between servers: ${each.key}"
  referenced_security_group_id = aws_security_group.this.id
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
}

resource "aws_vpc_security_group_egress_rule" "ensemble" {
  for_each = { quorum = 2888, election = 3888 }

  security_group_id            = aws_security_group.this.id
  description                  = "Between servers: ${each.key}"
  referenced_security_group_id = aws_security_group.this.id
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
}

resource "aws_vpc_security_group_egress_rule" "https" {
  security_group_id = aws_security_group.this.id
  description       = "Packages and Systems Manager"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

data "aws_partition" "this" {}

resource "aws_iam_role" "this" {
  name_prefix = "${var.name}-zk-"

  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "ec2.amazonaws.com" } }]
  })
}

resource "aws_iam_role_policy_attachment" "session_manager" {
  role       = aws_iam_role.this.name
  policy_arn = "arn:${data.aws_partition.this.partition}:iam::aws:policy/AmazonSSMManagedInstanceCore"
}

resource "aws_iam_instance_profile" "this" {
  name_prefix = "${var.name}-zk-"
  role        = aws_iam_role.this.name
}

# Ids rest on what ZooKeeper acknowledged: a disk that goes leaves a snapshot.
resource "aws_ebs_volume" "this" {
  for_each = local.servers

  availability_zone = each.value.zone
  type              = "gp3"
  size              = var.disk_gb
  encrypted         = true
  kms_key_id        = var.kms_key_arn
  final_snapshot    = true

  tags = { Name = "${var.name}-${each.key}" }
}

resource "aws_instance" "this" {
  for_each = local.servers

  ami                    = var.image_id
  instance_type          = var.instance_type
  subnet_id              = var.subnets[each.value.zone]
  private_ip             = each.value.address
  vpc_security_group_ids = [aws_security_group.this.id]
  iam_instance_profile   = aws_iam_instance_profile.this.name
  monitoring             = true
  ebs_optimized          = true
  user_data              = local.user_data[each.key]

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  root_block_device {
    volume_type = "gp3"
    volume_size = 10
    encrypted   = true
  }

  tags = { Name = "${var.name}-${each.key}" }

  lifecycle {
    # All servers would go at once.
    ignore_changes = [ami, instance_type, user_data]
  }
}

resource "aws_volume_attachment" "this" {
  for_each = local.servers

  device_name                    = "/dev/sdf"
  volume_id                      = aws_ebs_volume.this[each.key].id
  instance_id                    = aws_instance.this[each.key].id
  stop_instance_before_detaching = true
}

# The manifest's names, inside the network and nowhere else.

resource "aws_route53_zone" "this" {
  name    = local.domain
  comment = "ZooKeeper of ${var.name}"

  vpc {
    vpc_id = var.vpc_id
  }
}

resource "aws_route53_record" "this" {
  for_each = local.servers

  zone_id = aws_route53_zone.this.zone_id
  name    = "${each.key}.${local.domain}"
  type    = "A"
  ttl     = 60
  records = [aws_instance.this[each.key].private_ip]
}
