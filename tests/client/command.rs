//! `meridian get`.

use super::datacenter;
use super::fake::{Act, Fake, closed};
use crate::support::program::run;
use std::collections::HashSet;

#[test]
fn get_prints_ids_of_the_first_that_gives_them() {
    let good = Fake::start(2, |_| Act::Give);
    let targets = format!("{},{}", closed(), good.url());
    let ended = run(&["get", "--target", &targets]);
    assert_eq!((ended.code(), ended.err.as_str()), (Some(0), ""), "{}", ended.out);
    assert_eq!(datacenter(ended.out.trim_end().parse().unwrap()), 2);

    let ended = run(&["get", "200000", "--target", &targets, "--timeout", "20"]);
    assert_eq!(ended.code(), Some(0), "{}", ended.err);
    let ids: HashSet<u64> = ended.out.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(ids.len(), 200_000);

    let ended = run(&["get", "3", "--json", "--target", &targets, "--timeout", "20"]);
    let ids: Vec<String> = serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {}", ended.out));
    assert_eq!(ids.len(), 3);
}

#[test]
fn get_says_what_is_wrong() {
    for (args, code, says) in [
        (&["get"][..], 2, "--region"),
        (&["get", "0", "--region", "us-east"], 2, "COUNT"),
        (&["get", "--region", "us-est"], 2, "did you mean us-east?"),
        (&["get", "--target", "127.0.0.1:1"], 2, "write http://host:port"),
        (&["get", "--region", "apac", "--manifest", "nowhere.yaml"], 3, "nowhere.yaml"),
        (&["get", "--target", &closed(), "--timeout", "0.2"], 3, "connection_refused"),
    ] {
        let ended = run(args);
        assert_eq!(ended.code(), Some(code), "{args:?}: {}", ended.err);
        assert!(ended.err.contains(says) && ended.out.is_empty(), "{args:?}: {}", ended.err);
    }
}
