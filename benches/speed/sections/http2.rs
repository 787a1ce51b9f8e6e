//! Single ids over HTTP/2.

use super::{ID, own, rounds};
use crate::http2::{Calls, get, singles};
use crate::page::{Table, median, number, quantile, times};
use crate::subjects::{self, Subject};
use crate::support::Ensemble;
use crate::{Effort, Section};

pub const SECTION: Section = Section {
    name: "http2",
    about: "One id a request over HTTP/2 with prior knowledge, `GET /api/v1/id`, 64 streams at once on one connection; the \
            receiver reads every id and finds none twice. The reference is bare hyper with HTTP/2 and a fixed answer.",
    run: http2,
};

const STREAMS: usize = 64;

fn http2(effort: Effort, ensemble: &Ensemble) -> Table {
    let (own, hyper) = (own(ensemble), subjects::bare_hyper_of_http2());
    let all = rounds(effort, &[&own.node, &hyper], |subject| ask(subject, effort));
    let rate = |runs: &[Calls]| median(runs, |calls| calls.per_second);
    let cpu = |runs: &[Calls]| median(runs, |calls| calls.cpu_us);
    let reference = &all[1].1;
    let mut table = Table::new(&["server", "requests/s", "to hyper", "CPU a request", "to hyper", "p50", "p99"]);
    for (subject, runs) in &all {
        let quantile = |q: f64| quantile(runs, |calls: &Calls| &calls.latency, q);
        table.row([
            subject.name.to_owned(),
            number(rate(runs)),
            times(rate(runs) / rate(reference)),
            format!("{} us", number(cpu(runs))),
            times(cpu(runs) / cpu(reference)),
            quantile(0.5),
            quantile(0.99),
        ]);
    }
    table
}

fn ask(subject: &Subject, effort: Effort) -> Calls {
    if subject.name == "meridian" {
        singles(subject, STREAMS, effort.time, async |send, authority| {
            let body = get(send, authority, ID).await;
            let digits = body.strip_prefix(br#"{"id":""#).and_then(|rest| rest.strip_suffix(br#""}"#));
            let id = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
            Some(id.unwrap_or_else(|| panic!("no id: {body:?}")))
        })
    } else {
        singles(subject, STREAMS, effort.time, async |send, authority| {
            let body = get(send, authority, ID).await;
            assert_eq!(body, crate::bare::ANSWER);
            None
        })
    }
}
