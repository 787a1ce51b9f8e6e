//! The manifest of a fleet that fills its datacenters: every slot in the quota, one of each region's static.

use crate::flags::Plan;
use std::fmt::Write as _;

pub fn text(hosts: &str, plan: &Plan) -> String {
    let (session, window, first) = (plan.session.as_millis(), plan.window.as_millis(), plan.first_window.as_millis());
    let mut text = format!(
        "\
schema: meridian/v1
fleet: workers
epoch: \"2024-01-01T00:00:00Z\"
layout: snowflake64
slots: {{ static: [0, 0], dynamic: [1, 31] }}
dns: {{ name: ids.example.com, ttl_seconds: 60, floating_ttl: false }}
health:
  interval_seconds: 10
  timeout_seconds: 2
  unhealthy_threshold: 3
  healthy_threshold: 2
  criteria: {{ response_time_ms: 100, clock_drift_ms: 100, ntp_synchronized: true }}
lease:
  session_ms: {session}
  window_ms: {window}
  first_window_ms: {first}
  max_wait_ms: 1000
  max_borrow_ms: 60000
limits:
  ids_per_request: 1000000
  in_flight: 1024
  connections: 10000
  body_bytes: 65536
  header_bytes: 16384
  header_time_ms: 5000
  idle_seconds: 300
regions:
"
    );
    for d in 0..plan.datacenters {
        let next = name((d + 1) % plan.datacenters);
        let (address, cidr) = (d + 1, d + 64);
        writeln!(
            text,
            "  {}:
    datacenter: {d}
    traffic: 1
    workers: {{ quota: 32, static: 1, surge: 32 }}
    spill: {{ {next}: 1 }}
    order: [{next}]
    residency: any
    zookeeper: \"{hosts}\"
    endpoint: {}.ids.example.com
    addresses: [192.0.2.{address}]
    networks: [10.{d}.0.0/16]
    location: {{ latitude: 0.0, longitude: {d}.0 }}
    cloud: {{ provider: aws, region: us-east-1, zones: [us-east-1a], cidr: 10.{cidr}.0.0/16 }}",
            name(d),
            name(d),
        )
        .expect("a string takes any text");
    }
    text
}

fn name(datacenter: u16) -> String {
    format!("r{datacenter:02}")
}
