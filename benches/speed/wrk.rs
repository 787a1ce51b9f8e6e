//! wrk: single requests over HTTP/1.1, as fast as they are answered.

use crate::subjects::Subject;
use std::process::Command;
use std::time::Duration;

/// What one run of it found.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    pub per_second: f64,
    /// Processor time of the server a request, in microseconds.
    pub cpu_us: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// Answers that say no, connections and answers that did not come.
    pub errors: u64,
    /// Of these, answers that say no.
    pub refused: u64,
}

/// Makes wrk ask several times at once. (It costs wrk a call into Lua a request, so single requests go without.)
const DEEP: &str = r#"
init = function(args)
  local depth, requests = tonumber(args[1]), {}
  for n = 1, depth do requests[n] = wrk.format() end
  all = table.concat(requests)
end
request = function() return all end
"#;

/// Makes wrk print what it knows as one line of numbers.
const TOLD: &str = r#"
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("TOLD %d %d %f %f %d %d\n", summary.requests, summary.duration, latency:percentile(50),
    latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout, e.status))
end
"#;

/// `connections` of one thread, `depth` requests on each at once.
pub fn run(subject: &Subject, path: &str, connections: usize, depth: usize, time: Duration) -> Told {
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("told.lua");
    std::fs::write(&script, [if depth > 1 { DEEP } else { "" }, TOLD].concat()).expect("a file");
    let seconds = format!("{}s", time.as_secs().max(1));
    let before = subject.process.used();
    let output = Command::new("wrk")
        .args(["-t", "1", "-c", &connections.to_string(), "-d", &seconds, "--latency", "-s"])
        .arg(&script)
        .args([&format!("http://{}{path}", subject.address), "--", &depth.to_string()])
        .output()
        .expect("wrk runs");
    let used = subject.process.used() - before;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let numbers: Vec<f64> = text
        .lines()
        .find_map(|line| line.strip_prefix("TOLD "))
        .unwrap_or_else(|| panic!("wrk: {text}{}", String::from_utf8_lossy(&output.stderr)))
        .split(' ')
        .map(|number| number.parse().expect("a number"))
        .collect();
    let [requests, us, p50, p99, errors, refused] = numbers[..] else { panic!("wrk: {text}") };
    assert!(requests > 0.0, "{} answered nothing: {text}", subject.name);
    Told {
        per_second: requests / us * 1e6,
        cpu_us: used.as_secs_f64() * 1e6 / requests,
        p50_ms: p50 / 1_000.0,
        p99_ms: p99 / 1_000.0,
        errors: errors as u64,
        refused: refused as u64,
    }
}
