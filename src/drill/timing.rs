//! The numbers of a profile, and what follows from them: how fast everything has to be.

use super::{Drill, Profile};
use crate::manifest::{self, Place, Problems};
use crate::topology::Topology;
use std::time::Duration;

/// The keys of the manifest that a profile sets, and to what.
fn settings(profile: Profile) -> [(&'static str, &'static str); 6] {
    let (interval, timeout, floating) = match profile {
        Profile::Brief => ("10", "2", "false"),
        Profile::Floating => ("10", "2", "true"),
        Profile::Fast => ("2", "1", "true"),
    };
    [
        ("dns.ttl_seconds", "60"),
        ("dns.floating_ttl", floating),
        ("health.interval_seconds", interval),
        ("health.timeout_seconds", timeout),
        ("health.unhealthy_threshold", "3"),
        ("health.healthy_threshold", "2"),
    ]
}

/// The manifest's text with a profile's numbers in it, and everything else as it was.
///
/// # Errors
/// If the manifest cannot be read; its problems.
pub fn set(text: &str, file: &str, profile: Profile) -> Result<String, Problems> {
    let mut problems = Problems::in_file(file);
    let places = places(text, &mut problems);
    let Some(places) = places.filter(|_| problems.is_empty()) else { return Err(problems) };
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    let mut edits: Vec<(Place, &str)> = settings(profile)
        .into_iter()
        .filter_map(|(key, value)| Some((places.iter().find(|place| place.key == key)?.clone(), value)))
        .collect();
    // From the end of each line, so that the columns in front of an edit still hold.
    edits.sort_by_key(|(place, _)| std::cmp::Reverse((place.line, place.column)));
    for (place, value) in edits {
        let Some(line) = lines.get_mut(place.line as usize - 1) else { continue };
        let at = line.char_indices().nth(place.column as usize - 1).map_or(line.len(), |(at, _)| at);
        let end = line[at..].find(|c: char| !c.is_ascii_alphanumeric()).map_or(line.len(), |length| at + length);
        line.replace_range(at..end, value);
    }
    Ok(lines.concat())
}

fn places(text: &str, problems: &mut Problems) -> Option<Vec<Place>> {
    let manifest = manifest::read(text.as_bytes(), problems)?;
    let (dns, health) = (manifest.dns.as_ref()?, manifest.health.as_ref()?);
    Some(vec![
        dns.ttl_seconds.as_ref()?.place.clone(),
        dns.floating_ttl.as_ref()?.place.clone(),
        health.interval_seconds.as_ref()?.place.clone(),
        health.timeout_seconds.as_ref()?.place.clone(),
        health.unhealthy_threshold.as_ref()?.place.clone(),
        health.healthy_threshold.as_ref()?.place.clone(),
    ])
}

/// How long a region that failed stays out, if nothing else is said.
pub fn hold(profile: Profile) -> Duration {
    match profile {
        Profile::Brief | Profile::Floating => Duration::from_secs(60),
        Profile::Fast => Duration::from_secs(10),
    }
}

/// How fast everything has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub interval: Duration,
    /// From a fault to the authoritative server's last answer with the lost region.
    pub switch: Duration,
    /// From a fault until a client behind a caching resolver is well again.
    pub client: Duration,
    /// The same after a drain, which the server hears of directly: switch, and the region is empty.
    pub drain_switch: Duration,
    pub empty: Duration,
    pub hold: Duration,
    /// From good health to the authoritative server's answer.
    pub readmit: Duration,
    /// From the moment the world is whole again until the authoritative server answers the region again.
    pub failback: Duration,
    /// And until its clients are back.
    pub homecoming: Duration,
    /// How long ids go on when ZooKeeper is away: at least, and at most.
    pub ride_out: (Duration, Duration),
}

/// What one draw may take at worst, in a client with a list of regions.
pub const WORST_DRAW: Duration = Duration::from_secs(1);
/// From the verdict on a peer to the surge quota and to a standby that issues.
pub const SURGE_WITHIN: Duration = Duration::from_secs(1);
/// How far a region's share of all traffic may be off the rule, in points of a hundred.
pub const SHARE_POINTS: f64 = 2.0;
/// gdnsd looks at its file of administrative states about every two seconds.
const ADMIN_STATE: Duration = Duration::from_secs(3);
/// A node that starts: its process, a look at the region, its turn in the line.
const START: Duration = Duration::from_secs(15);

impl Limits {
    pub fn of(topology: &Topology, hold: Duration) -> Limits {
        let health = &topology.health;
        let second = Duration::from_secs(1);
        let switch = health.interval * health.unhealthy_threshold + health.timeout + second;
        let ttl = topology.dns.ttl;
        // A floating TTL ends with the probe that may change the answer; what is left is that probe's own length.
        let client = if topology.dns.floating_ttl { switch * 6 / 5 } else { switch + ttl };
        let client = Duration::from_millis((client.as_millis() as u64).div_ceil(1_000) * 1_000);
        let cached = if topology.dns.floating_ttl { ttl.min(switch) } else { ttl };
        let readmit = health.interval * health.healthy_threshold + health.timeout + second;
        let failback = topology.lease.session * 7 / 5 + START + hold + readmit;
        // A holder renews after 0.4 of its window; the region says 503 five seconds before the end.
        let window = topology.lease.window;
        Limits {
            interval: health.interval,
            switch,
            client,
            drain_switch: ADMIN_STATE,
            empty: cached + Duration::from_secs(5),
            hold,
            readmit,
            failback,
            homecoming: failback + cached + second,
            ride_out: (window * 3 / 5 - Duration::from_secs(5).min(window / 2), window),
        }
    }

    /// How long a drill may wait for something that has this limit, before it gives up.
    pub fn patience(limit: Duration) -> Duration {
        limit * 2 + Duration::from_secs(20)
    }
}

impl Drill {
    /// In one line.
    pub fn about(self) -> &'static str {
        match self {
            Drill::RegionLoss => "a region is lost by crash, hang, black hole and 503, and comes back each time",
            Drill::PlannedDrain => "a region is drained under load and brought back",
            Drill::ZookeeperLoss => "a region's ZooKeeper is away, first briefly, then beyond the ceilings",
            Drill::TwoRegions => "two regions crash at once: what is too much is shed, not dropped",
            Drill::Flap => "a region says good and bad by turns every few seconds",
            Drill::Rejoin => "a region crashes whole and comes back: leases, probes, hold, then clients",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: &str = include_str!("../../regions/meridian.yaml");

    fn limits(profile: Profile) -> Limits {
        let text = set(SHIPPED, "test", profile).unwrap();
        let topology = Topology::parse("test", text.as_bytes()).unwrap_or_else(|problems| panic!("{problems}"));
        Limits::of(&topology, hold(profile))
    }

    #[test]
    fn only_the_numbers_of_the_profile_change() {
        let fast = set(SHIPPED, "test", Profile::Fast).unwrap();
        let changed: Vec<(&str, &str)> =
            SHIPPED.lines().zip(fast.lines()).filter(|(before, after)| before != after).collect();
        assert_eq!(changed.len(), 3, "{changed:?}");
        assert!(fast.contains("  floating_ttl: true  "));
        assert!(fast.contains("  interval_seconds: 2  "));
        assert!(fast.contains("  timeout_seconds: 1\n"));
        assert_eq!(set(SHIPPED, "test", Profile::Brief).unwrap(), SHIPPED);
    }

    #[test]
    fn keys_in_one_line_are_found_too() {
        let small = include_str!("../../tests/fixtures/small.yaml");
        let floating = set(small, "test", Profile::Floating).unwrap();
        assert!(floating.contains("dns: { name: ids.example.com, ttl_seconds: 60, floating_ttl: true }"), "{floating}");
        assert_eq!(floating.lines().zip(small.lines()).filter(|(after, before)| after != before).count(), 1);
        assert!(set("schema: 1", "test", Profile::Fast).is_err());
    }

    #[test]
    fn the_promised_numbers() {
        let seconds = |duration: Duration| duration.as_secs_f64();
        let numbers = |profile| (seconds(limits(profile).switch), seconds(limits(profile).client));
        assert_eq!(numbers(Profile::Brief), (33.0, 93.0));
        assert_eq!(numbers(Profile::Floating), (33.0, 40.0));
        assert_eq!(numbers(Profile::Fast), (8.0, 10.0));
        assert_eq!(limits(Profile::Brief).empty, Duration::from_secs(65));
    }
}
