//! Targets that are not Meridian: each request gets what the test says, and the report is exact about it.

use super::{load, report, run};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// What a fake does with a request.
enum Act {
    /// A whole answer, and the connection stays.
    Say(String),
    /// These bytes, and the connection ends.
    Leave(&'static str),
    /// No answer, until the client goes away.
    Hang,
}

/// A server on loopback that lives as long as the test process. `act` gets the number of the request, from 0.
fn fake(act: impl Fn(u64) -> Act + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (act, requests) = (Arc::new(act), Arc::new(AtomicU64::new(0)));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (act, requests) = (act.clone(), requests.clone());
            thread::spawn(move || {
                let _ = serve(stream.unwrap(), &*act, &requests); // a client that leaves is no news
            });
        }
    });
    url
}

fn serve(mut stream: TcpStream, act: &impl Fn(u64) -> Act, requests: &AtomicU64) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
        }
        match act(requests.fetch_add(1, Relaxed)) {
            Act::Say(answer) => stream.write_all(answer.as_bytes())?,
            Act::Leave(bytes) => return stream.write_all(bytes.as_bytes()),
            Act::Hang => {
                reader.read_to_end(&mut Vec::new())?;
            }
        }
    }
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

fn id(id: u64) -> Act {
    Act::Say(answer("200 OK", "content-type: application/json\r\n", &format!(r#"{{"id":"{id}"}}"#)))
}

/// The id of worker 5 in datacenter 2 with this tick.
fn of_worker(tick: u64) -> u64 {
    (tick >> 12) << 22 | 2 << 17 | 5 << 12 | tick & 4_095
}

#[test]
fn duplicates_are_counted_exactly_and_shown() {
    // Ids 0, 1, … 99, and then again 0, 1, …: of 250 drawn, 150 are surplus.
    let url = fake(|number| id(of_worker(9_000_000 + number % 100)));
    let (code, report) = run(&["--target", &url, "--ids", "250", "--connections", "1"]);
    assert_eq!((code, &report["ids"], &report["duplicates"]), (1, &json!(250), &json!(150)), "{report}");
    assert_eq!(report["disordered"], 2, "{report}");
    let example = &report["duplicate_examples"][0];
    assert_eq!(example["id"], of_worker(9_000_000).to_string());
    assert_eq!((&example["datacenter"], &example["worker"]), (&json!(2), &json!(5)));
    assert_eq!(example["targets"], json!([url]));
}

#[test]
fn one_id_from_two_targets_is_a_duplicate_of_both() {
    let [one, two] = [0, 1].map(|_| fake(|number| id(of_worker(number))));
    let (code, report) =
        run(&["--target", &one, "--target", &two, "--seconds", "1", "--connections", "1", "--rate", "400"]);
    let drawn: Vec<u64> = report["targets"].as_array().unwrap().iter().map(|t| t["ids"].as_u64().unwrap()).collect();
    assert_eq!(code, 1, "{report}");
    assert_eq!(report["duplicates"].as_u64(), drawn.iter().min().copied(), "{report}");
    assert_eq!(report["disordered"], 0, "each of them counts upwards: {report}");
    assert_eq!(report["workers"][0]["targets"], json!([one, two]));
}

#[test]
fn an_order_that_is_broken_is_a_broken_promise() {
    let url = fake(|number| id(of_worker(1_000_000 - number)));
    let (code, report) = run(&["--target", &url, "--ids", "10", "--connections", "1"]);
    assert_eq!((code, &report["duplicates"], &report["disordered"]), (1, &json!(0), &json!(9)), "{report}");
}

#[test]
fn what_is_no_answer_is_an_error_of_its_kind_and_nothing_else() {
    type Case = (&'static str, fn() -> Act);
    let kinds: [Case; 7] = [
        ("bad_answer", || Act::Say(answer("200 OK", "", "<html>you are lost</html>"))),
        ("bad_answer", || Act::Say("this is not HTTP at all\r\n\r\n".into())),
        ("bad_answer", || Act::Say(answer("200 OK", "", r#"{"id":"18446744073709551615"}"#))),
        ("connection_closed", || Act::Leave("")),
        ("connection_closed", || Act::Leave("HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{\"id\":\"42")),
        ("http_404", || Act::Say(answer("404 Not Found", "", "who are you looking for?"))),
        ("timeout", || Act::Hang),
    ];
    for (kind, act) in kinds {
        // Every second request is answered well: the run goes on, and only what was answered counts.
        let url = fake(move |number| if number % 2 == 0 { act() } else { id(of_worker(number)) });
        let (code, report) =
            run(&["--target", &url, "--ids", "3", "--connections", "1", "--seconds", "20", "--timeout-ms", "300"]);
        assert_eq!((code, &report["ids"], &report["duplicates"]), (0, &json!(3), &json!(0)), "{kind}: {report}");
        assert_eq!(report["errors"], json!({ kind: 3 }), "{report}");
        assert_eq!(report["refused"], 0);
    }
}

#[test]
fn who_asks_to_be_left_alone_is_left_alone() {
    let problem = r#"{"code":"no_lease","status":503,"detail":"ask another node","retry_after_ms":700}"#;
    let refuse = |body: &'static str, headers: &'static str| {
        fake(move |number| match number {
            0 => Act::Say(answer("503 Service Unavailable", headers, body)),
            _ => id(of_worker(number)),
        })
    };
    for (url, kind, least) in [
        (refuse(problem, "retry-after: 4\r\n"), "no_lease", 700), // the exact wish goes before the header
        (refuse("busy", "retry-after: 1\r\n"), "http_503", 1_000),
    ] {
        let started = Instant::now();
        let (code, report) = run(&["--target", &url, "--ids", "2", "--connections", "1"]);
        assert!(started.elapsed() >= Duration::from_millis(least), "{report}");
        assert_eq!((code, &report["ids"], &report["refused"]), (0, &json!(2), &json!(1)), "{report}");
        assert_eq!(report["errors"], json!({ kind: 1 }));
    }
}

#[test]
fn a_stall_shows_in_the_latency_of_all_who_waited() {
    // One request in the middle takes half a second, on the only connection: at 100/s, 50 others were due meanwhile.
    let url = fake(|number| {
        if number == 20 {
            thread::sleep(Duration::from_millis(500));
        }
        id(of_worker(number))
    });
    let (code, report) = run(&["--target", &url, "--ids", "100", "--rate", "100", "--connections", "1"]);
    assert_eq!(code, 0, "{report}");
    let latency = |name: &str| report["latency_ms"][name].as_f64().unwrap();
    assert!(latency("max") >= 500.0, "{report}");
    assert!(latency("p99") >= 400.0, "one slow answer in a hundred, and yet: {report}");
}

#[test]
fn nobody_there_is_exit_3() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (code, report) = run(&["--target", &format!("http://{free}"), "--seconds", "1"]);
    assert_eq!((code, &report["ids"]), (3, &json!(0)), "{report}");
    assert!(report["errors"]["connection_refused"].as_u64().unwrap() > 0, "{report}");
    assert_eq!(report["latency_ms"]["p50"], Value::Null);
}

#[test]
fn all_refuse_is_exit_3_and_one_of_two_dead_is_not() {
    let shed = r#"{"code":"shed","retry_after_ms":1}"#;
    let full = fake(move |_| Act::Say(answer("503 Service Unavailable", "", shed)));
    let (code, report) = run(&["--target", &full, "--seconds", "0.5"]);
    assert_eq!((code, &report["errors"]["shed"]), (3, &report["refused"]), "{report}");

    let well = fake(|number| id(of_worker(number)));
    let dead = format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let (code, report) = run(&["--target", &dead, &well, "--seconds", "0.5", "--connections", "1"]);
    assert_eq!(code, 0, "{report}");
    assert_eq!(report["targets"][0]["ids"], 0);
}

#[test]
fn an_interrupt_ends_the_run_and_prints_the_report() {
    let (told, hear) = std::sync::mpsc::channel();
    let url = fake(move |number| {
        let _ = told.send(number); // nobody listens after the first hundred
        id(of_worker(number))
    });
    let mut command = load(&["--target", &url, "--seconds", "600", "--json"]);
    let child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    for _ in 0..100 {
        hear.recv_timeout(Duration::from_secs(20)).expect("it draws");
    }
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let (code, report) = report(&child.wait_with_output().unwrap());
    assert_eq!((code, &report["ended_by"], &report["duplicates"]), (0, &json!("signal"), &json!(0)), "{report}");
    assert!(report["ids"].as_u64().unwrap() >= 90, "{report}");
}
