//! The rules of what all regions share: names, epoch, layout, slots, probes, the lease's numbers, limits.

use super::{Dns, Health, Lease, Limits, Pools, rule};
use crate::id::{LAYOUTS, Layout};
use crate::manifest::{self, At, Field, Problems, quoted};
use std::ops::RangeInclusive;
use std::time::Duration;

pub fn schema(manifest: &manifest::Manifest, problems: &mut Problems) -> Option<()> {
    rule::one_of(manifest.schema.as_ref()?, &["meridian/v1"], problems).map(|_| ())
}

pub fn layout(manifest: &manifest::Manifest, problems: &mut Problems) -> Option<Layout> {
    let names: Vec<&str> = LAYOUTS.iter().map(|layout| layout.name).collect();
    rule::one_of(manifest.layout.as_ref()?, &names, problems).and_then(Layout::named)
}

/// The epoch as it is spelled and in milliseconds since 1970. Nothing here reads a clock, so an epoch of next week is
/// found by whoever does; one that is a slip of the pen is found here.
pub fn epoch(manifest: &manifest::Manifest, problems: &mut Problems) -> Option<(String, i64)> {
    const FIRST_MS: i64 = 946_684_800_000; // 2000-01-01
    const LAST_MS: i64 = 2_208_988_800_000; // 2040-01-01
    let at = manifest.epoch.as_ref()?;
    let allowed = "a time of rfc 3339 in whole milliseconds from 2000-01-01T00:00:00Z to 2040-01-01T00:00:00Z";
    let rfc3339 = at.len() >= "2024-01-01T00:00:00Z".len() && at.as_bytes()[10] == b'T' && !at.contains(['[', ' ']);
    let instant = at.parse::<jiff::Timestamp>().ok().filter(|_| rfc3339);
    let Some(instant) = instant else {
        let fix = "write date, T, time and zone, such as \"2024-01-01T00:00:00Z\"";
        problems.add(&at.place, format!("{} is not a time", quoted(at)), allowed, fix);
        return None;
    };
    let ms = instant.as_millisecond();
    if !(FIRST_MS..=LAST_MS).contains(&ms) {
        let fix = "write the start of the year the fleet began in, such as \"2024-01-01T00:00:00Z\"";
        problems.add(&at.place, format!("{} is not a plausible epoch", quoted(at)), allowed, fix);
        return None;
    }
    if instant.as_nanosecond() % 1_000_000 != 0 {
        let what = format!("{} is not a whole millisecond", quoted(at));
        problems.add(&at.place, what, allowed, "remove the digits behind the milliseconds");
        return None;
    }
    Some((at.value.clone(), ms))
}

pub fn pools(manifest: &manifest::Manifest, layout: Option<Layout>, problems: &mut Problems) -> Option<Pools> {
    let slots = manifest.slots.as_ref()?;
    let workers = layout?.workers();
    let fixed = pool(&slots.r#static, workers, problems);
    let dynamic = pool(&slots.dynamic, workers, problems);
    let (fixed, dynamic) = (fixed?, dynamic?);
    if fixed.start() <= dynamic.end() && dynamic.start() <= fixed.end() {
        let what = format!("the static slots {fixed:?} overlap the dynamic slots {dynamic:?}").replace("..=", "-");
        problems.add(&slots.place, what, "pools that share no slot", "end one pool before the other begins");
        return None;
    }
    Some(Pools { fixed, dynamic })
}

fn pool(field: &Field<Vec<Field<i128>>>, workers: u16, problems: &mut Problems) -> Option<RangeInclusive<u16>> {
    let at = field.as_ref()?;
    let last = workers - 1;
    let allowed = format!("[first, last] slot, both from 0 to {last}");
    let [first, end] = at.value.as_slice() else {
        let what = format!("the list has {} members", at.len());
        problems.add(&at.place, what, allowed, "write the first and the last slot of the pool, such as [0, 15]");
        return None;
    };
    let first = rule::within::<u16>(first, 0..=last.into(), problems);
    let end = rule::within::<u16>(end, 0..=last.into(), problems);
    let (first, end) = (first?, end?);
    if first > end {
        let fix = format!("swap them: [{end}, {first}]");
        problems.add(&at.place, format!("the pool begins at {first}, behind its end at {end}"), allowed, fix);
        return None;
    }
    Some(first..=end)
}

pub fn dns(manifest: &manifest::Manifest, problems: &mut Problems) -> Option<Dns> {
    let dns = manifest.dns.as_ref()?;
    let name = rule::dns_name(&dns.name, problems);
    let ttl = seconds(&dns.ttl_seconds, 1..=3600, problems);
    Some(Dns { name: name?, ttl: ttl?, floating_ttl: dns.floating_ttl.as_ref()?.value })
}

pub fn health(manifest: &manifest::Manifest, problems: &mut Problems) -> Option<Health> {
    let health = manifest.health.as_ref()?;
    let interval = seconds(&health.interval_seconds, 2..=300, problems);
    let timeout = seconds(&health.timeout_seconds, 1..=60, problems);
    if let (Some(interval), Some(timeout), Some(at)) = (interval, timeout, &health.timeout_seconds)
        && timeout >= interval
    {
        let below = interval.as_secs() - 1;
        let what = format!("{} is not below interval_seconds, {}", at.value, interval.as_secs());
        let fix = format!("lower it to {below} or less, so that a probe ends before the next begins");
        problems.add(&at.place, what, format!("1 to {below} seconds"), fix);
    }
    let unhealthy_threshold = rule::within(&health.unhealthy_threshold, 1..=10, problems);
    let healthy_threshold = rule::within(&health.healthy_threshold, 1..=10, problems);

    let criteria = health.criteria.as_ref()?;
    let slowest = timeout.map_or(60_000, |timeout| timeout.as_millis() as i128);
    let response_time_ms = rule::switchable(&criteria.response_time_ms, 1..=slowest, problems);
    let clock_drift_ms = rule::switchable(&criteria.clock_drift_ms, 1..=60_000, problems);
    Some(Health {
        interval: interval?,
        timeout: timeout?,
        unhealthy_threshold: unhealthy_threshold?,
        healthy_threshold: healthy_threshold?,
        response_time_ms: response_time_ms?,
        clock_drift_ms: clock_drift_ms?,
        ntp_synchronized: criteria.ntp_synchronized.as_ref()?.value,
    })
}

pub fn lease(manifest: &manifest::Manifest, problems: &mut Problems) -> Option<Lease> {
    /// A window is renewed after 0.4 of it; a lost session has to be noticed and replaced in the rest.
    const SESSIONS_PER_WINDOW: u32 = 3;
    let lease = manifest.lease.as_ref()?;
    let session = millis(&lease.session_ms, 100..=60_000, problems);
    let window = millis(&lease.window_ms, 300..=3_600_000, problems);
    let first_window = millis(&lease.first_window_ms, 100..=3_600_000, problems);
    let max_wait = millis(&lease.max_wait_ms, 1..=60_000, problems);
    let max_borrow = millis(&lease.max_borrow_ms, 0..=3_600_000, problems);

    if let (Some(session), Some(window), Some(at)) = (session, window, &lease.window_ms)
        && window < session * SESSIONS_PER_WINDOW
    {
        let least = (session * SESSIONS_PER_WINDOW).as_millis();
        let what = format!("{} is less than {SESSIONS_PER_WINDOW} times session_ms, {}", at.value, session.as_millis());
        let fix = format!("raise it to {least} or more, so that a lost session can be replaced before the window ends");
        problems.add(&at.place, what, format!("{least} to 3600000 ms"), fix);
    }
    at_most(&lease.first_window_ms, first_window, "window_ms", window, problems);
    at_most(&lease.max_wait_ms, max_wait, "first_window_ms", first_window, problems);
    if let (Some(max_borrow), Some(max_wait), Some(at)) = (max_borrow, max_wait, &lease.max_borrow_ms)
        && max_borrow < max_wait
    {
        let least = max_wait.as_millis();
        let what = format!("{} is less than max_wait_ms, {least}", at.value);
        let fix = format!("raise it to {least} or more: a node waits for small gaps and borrows for larger ones");
        problems.add(&at.place, what, format!("{least} to 3600000 ms"), fix);
    }
    Some(Lease {
        session: session?,
        window: window?,
        first_window: first_window?,
        max_wait: max_wait?,
        max_borrow: max_borrow?,
    })
}

fn at_most(field: &Field<i128>, value: Option<Duration>, other: &str, most: Option<Duration>, problems: &mut Problems) {
    if let (Some(at), Some(value), Some(most)) = (field, value, most)
        && value > most
    {
        let most = most.as_millis();
        let what = format!("{} is more than {other}, {most}", at.value);
        problems.add(
            &at.place,
            what,
            format!("at most {most} ms"),
            format!("lower it to {most} or less, or raise {other}"),
        );
    }
}

pub fn limits(
    manifest: &manifest::Manifest,
    layout: Option<Layout>,
    lease: Option<&Lease>,
    problems: &mut Problems,
) -> Option<Limits> {
    let limits = manifest.limits.as_ref()?;
    let ids_per_request = rule::within(&limits.ids_per_request, 1..=u32::MAX.into(), problems);
    if let (Some(ids), Some(at), Some(layout), Some(lease)) = (ids_per_request, &limits.ids_per_request, layout, lease)
    {
        waits_in_time(at, ids, layout, lease.max_wait, problems);
    }
    let in_flight = rule::within(&limits.in_flight, 1..=1_000_000, problems);
    let connections = rule::within(&limits.connections, 1..=1_000_000, problems);
    let body_bytes = rule::within(&limits.body_bytes, 64..=16_777_216, problems);
    let header_bytes = rule::within(&limits.header_bytes, 8192..=1_048_576, problems);
    let header_time = millis(&limits.header_time_ms, 100..=60_000, problems);
    let idle = seconds(&limits.idle_seconds, 1..=86_400, problems);
    Some(Limits {
        ids_per_request: ids_per_request?,
        in_flight: in_flight?,
        connections: connections?,
        body_bytes: body_bytes?,
        header_bytes: header_bytes?,
        header_time: header_time?,
        idle: idle?,
    })
}

/// A request for more ids than the format has within `max_wait` could never be answered.
fn waits_in_time(at: &At<i128>, ids: u32, layout: Layout, max_wait: Duration, problems: &mut Problems) {
    let per_ms = layout.ids_per_ms();
    let most = u128::from(per_ms) * max_wait.as_millis();
    if u128::from(ids) > most {
        let wait = max_wait.as_millis();
        let what = format!("{ids} ids take longer than lease.max_wait_ms, {wait}, at {per_ms} ids a millisecond");
        let fix = format!("lower it to {most} or less, or raise lease.max_wait_ms");
        problems.add(&at.place, what, format!("1 to {most}"), fix);
    }
}

fn seconds(field: &Field<i128>, range: RangeInclusive<i128>, problems: &mut Problems) -> Option<Duration> {
    rule::within(field, range, problems).map(Duration::from_secs)
}

fn millis(field: &Field<i128>, range: RangeInclusive<i128>, problems: &mut Problems) -> Option<Duration> {
    rule::within(field, range, problems).map(Duration::from_millis)
}
