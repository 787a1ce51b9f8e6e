# What a machine is told at its first start, as cloud-init takes it.

locals {
  stop_seconds = var.lame_duck_seconds + var.drain_seconds + 10

  files = {
    "/etc/meridian/meridian.yaml" = { mode = "0644", content = var.manifest }
    "/etc/meridian/node.env" = {
      mode = "0644"
      content = templatefile("${path.module}/templates/node.env.tftpl", {
        region            = var.region
        lame_duck_seconds = var.lame_duck_seconds
        drain_seconds     = var.drain_seconds
      })
    }
    "/etc/meridian/binary.sha256" = { mode = "0644", content = "${var.binary.sha256}  /usr/local/bin/meridian\n" }
    "/etc/chrony.conf" = {
      mode    = "0644"
      content = templatefile("${path.module}/templates/chrony.conf.tftpl", { servers = var.ntp_servers })
    }
    "/etc/systemd/system/meridian.service" = {
      mode    = "0644"
      content = templatefile("${path.module}/templates/meridian.service.tftpl", { stop_seconds = local.stop_seconds })
    }
    "/etc/systemd/system/meridian-metrics.service" = { mode = "0644", content = file("${path.module}/files/meridian-metrics.service") }
    "/etc/systemd/system/meridian-metrics.timer"   = { mode = "0644", content = file("${path.module}/files/meridian-metrics.timer") }
    "/usr/local/sbin/meridian-metrics"             = { mode = "0755", content = file("${path.module}/files/meridian-metrics") }
    "/usr/local/sbin/meridian-install" = {
      mode    = "0755"
      content = templatefile("${path.module}/templates/meridian-install.tftpl", { url = var.binary.url })
    }
  }

  user_data = join("\n", ["#cloud-config", yamlencode({
    write_files = [for path, file in local.files : { path = path, permissions = file.mode, content = file.content }]
    runcmd = [
      ["systemctl", "restart", "chronyd"],
      ["/usr/local/sbin/meridian-install"],
      ["systemctl", "daemon-reload"],
      ["systemctl", "enable", "--now", "meridian.service", "meridian-metrics.timer"],
    ]
  })])
}
