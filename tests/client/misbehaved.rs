//! A first region that misbehaves in every way there is, and a second that is well.

use super::fake::{Act, BlackHole, Fake, answer, closed, problem};
use super::{datacenter, direct, draw, of};
use crate::support::wait_for;
use meridian::client::{Client, Error, Regions, RetryBudget, Settings};
use std::time::{Duration, Instant};

const IDS: usize = 200;

fn pair(first: &str, second: &Fake, settings: Settings) -> Client {
    let regions = Regions::new().region("bad", [first]).unwrap().region("good", [second.url()]).unwrap();
    Client::with(regions, settings).unwrap()
}

/// Nothing fails, all ids are the second region's, and the first is asked a few times and not again.
async fn check(what: &str, first: &str, most_failures: u64) {
    let good = Fake::start(2, |_| Act::Give);
    // Trials do not come in the way of counting.
    let mut settings = direct();
    settings.ejection.base_time = Duration::from_secs(20);
    let client = pair(first, &good, settings);
    let started = Instant::now();
    let mut ids = draw(&client, IDS).await;
    let took = started.elapsed();
    assert!(ids.iter().all(|id| datacenter(*id) == 2), "{what}");
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{what}: they are one worker's");
    ids.dedup();
    assert_eq!(ids.len(), IDS, "{what}");
    let counters = client.counters();
    let bad = of(&counters, "bad");
    println!("{what}: {IDS} ids in {took:.2?}, {} attempts at the first region", bad.requests);
    assert_eq!((counters.failed, bad.ejected, bad.ejections), (0, true, 1), "{what}: {counters:?}");
    assert!((1..=most_failures).contains(&bad.failures), "{what}: {counters:?}");
    assert_eq!(counters.retries, counters.failovers, "{what}: nobody is asked twice: {counters:?}");
}

#[tokio::test]
async fn nobody_listens() {
    check("refused", &closed(), 2).await;
}

#[tokio::test]
async fn a_hang_costs_one_timeout() {
    check("hang", &Fake::start(1, |_| Act::Hang).url(), 2).await;
}

#[tokio::test]
async fn a_black_hole_costs_one_timeout() {
    check("black hole", &BlackHole::new().url(), 2).await;
}

#[tokio::test]
async fn those_who_refuse_or_talk_nonsense_are_left_after_a_few() {
    type Case = (&'static str, fn() -> Act);
    let cases: [Case; 7] = [
        ("no_lease", || problem("503 Service Unavailable", "no_lease", 1_000)),
        ("stopping", || problem("503 Service Unavailable", "stopping", 1_000)),
        ("internal", || problem("500 Internal Server Error", "internal", 0)),
        ("404", || Act::Say(answer("404 Not Found", "", "who are you looking for?"))),
        ("nonsense", || Act::Say(answer("200 OK", "", "<html>you are lost</html>"))),
        ("no HTTP", || Act::Leave("this is not HTTP at all\r\n\r\n")),
        ("cut", || Act::Leave("HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{\"layout\"")),
    ];
    for (what, act) in cases {
        check(what, &Fake::start(1, move |_| act()).url(), 4).await;
    }
}

#[tokio::test]
async fn slow_answers_are_given_up_and_never_given() {
    // Slower than an attempt may take: what comes after all is a gap.
    check("slow", &Fake::start(1, |_| Act::Late(Duration::from_millis(900))).url(), 4).await;
}

#[tokio::test]
async fn who_sheds_is_left_alone_and_not_ejected() {
    let busy = Fake::start(1, |number| match number {
        0 => problem("503 Service Unavailable", "shed", 300),
        1 => problem("429 Too Many Requests", "ahead_of_clock", 300),
        _ => Act::Give,
    });
    let good = Fake::start(2, |_| Act::Give);
    let client = pair(&busy.url(), &good, direct());
    let started = Instant::now();
    assert_eq!(datacenter(draw(&client, 1).await[0]), 2, "the next region at once");
    wait_for("the first region to be asked again", async || (datacenter(draw(&client, 1).await[0]) == 1).then_some(()))
        .await;
    assert!(started.elapsed() >= Duration::from_millis(600), "two rests of 300 ms");
    let counters = client.counters();
    assert_eq!((counters.ejections, counters.failed), (0, 0), "{counters:?}");
}

#[tokio::test]
async fn an_ejected_region_comes_back_by_a_trial() {
    let sick = Fake::start(1, |number| if number < 2 { Act::Hang } else { Act::Give });
    let good = Fake::start(2, |_| Act::Give);
    let mut settings = direct();
    settings.ejection.base_time = Duration::from_millis(50);
    let client = pair(&sick.url(), &good, settings);
    wait_for("ids of the first region", async || (datacenter(draw(&client, 1).await[0]) == 1).then_some(())).await;
    let counters = client.counters();
    assert!(!of(&counters, "bad").ejected && counters.trials >= 1, "{counters:?}");
    assert_eq!(counters.failed, 0, "{counters:?}");
}

#[tokio::test]
async fn nobody_gives_ids_is_an_error_that_says_why() {
    let settings = Settings { deadline: Duration::from_millis(600), ..direct() };
    let client = Client::with(Regions::at([closed(), closed()]).unwrap(), settings).unwrap();
    let error = client.next_id().await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    assert!(error.to_string().contains("connection_refused"), "{error}");

    let busy = || Fake::start(1, |_| problem("429 Too Many Requests", "ahead_of_clock", 3_000)).url();
    let client = Client::with(Regions::at([busy(), busy()]).unwrap(), settings_of(600)).unwrap();
    let error = client.next_id().await.unwrap_err();
    assert!(matches!(error, Error::Shedding { .. }), "{error:?}");
    assert!(error.to_string().contains("ask again"), "{error}");
}

fn settings_of(deadline_ms: u64) -> Settings {
    Settings { deadline: Duration::from_millis(deadline_ms), ..direct() }
}

#[tokio::test]
async fn an_outage_of_all_does_not_multiply_the_load() {
    let down = [(); 3].map(|()| Fake::start(1, |_| problem("503 Service Unavailable", "no_lease", 1)));
    let retry_budget = RetryBudget { ratio: 0.1, min_per_second: 10.0, reserve: 5.0 };
    let settings = Settings { retry_budget, ..settings_of(1_000) };
    let client = Client::with(Regions::at(down.iter().map(Fake::url)).unwrap(), settings).unwrap();
    let started = Instant::now();
    for _ in 0..3 {
        assert!(client.next_id().await.is_err());
    }
    let (seconds, counters) = (started.elapsed().as_secs_f64(), client.counters());
    let allowed = 5.0 + 10.0 * seconds + 0.1 * counters.requests as f64;
    assert!(counters.retries as f64 <= allowed + 1.0, "{allowed}: {counters:?}");
    assert!(counters.budget_waits > 0, "{counters:?}");
    let asked: u64 = down.iter().map(Fake::requests).sum();
    assert!(asked <= counters.requests + counters.retries + counters.trials, "{asked}: {counters:?}");
}
