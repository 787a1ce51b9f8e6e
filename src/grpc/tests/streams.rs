//! Streams: their size, their pace, their end, and what they leave to others.

use super::*;
use crate::grpc::stream::{BATCH, MOST};
use crate::http::tests::{limits, wait_for, within};
use crate::issuer::SLICE_MS;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

#[tokio::test]
async fn a_stream_of_a_count_ends_with_it() {
    let node = Node::start().await;
    let mut client = client(&node).await;
    for (count, batch, sizes) in [
        (1, 0, vec![1]),
        (10, 4, vec![4, 4, 2]),
        (40_000, 0, vec![BATCH as usize, BATCH as usize, 40_000 - 2 * BATCH as usize]),
        (100_000, u32::MAX, vec![MOST as usize, 100_000 - MOST as usize]),
    ] {
        let mut stream = client.stream(StreamRequest { count, batch }).await.unwrap().into_inner();
        let (mut ids, mut seen) = (Vec::new(), Vec::new());
        while let Some(message) = within(stream.message()).await.unwrap() {
            seen.push(message.ids.len());
            ids.extend(message.ids);
        }
        assert_eq!(seen, sizes);
        check_unique(&ids, count as usize);
        assert!(ids.is_sorted());
    }
    wait_for_metric(&node, r#"meridian_grpc_requests_total{method="Stream",code="ok"}"#, 4).await;
    wait_for("the permits", || node.load.stream_count() == 0).await;
}

#[tokio::test]
async fn a_stream_without_end_ends_when_its_caller_goes() {
    let node = Node::start().await;
    let mut client = client(&node).await;
    let mut stream = client.stream(endless(1_000)).await.unwrap().into_inner();
    let mut ids = Vec::new();
    while ids.len() < 200_000 {
        ids.extend(within(stream.message()).await.unwrap().unwrap().ids);
    }
    check_unique(&ids, 200_000);
    assert_eq!((node.load.stream_count(), node.load.in_flight()), (1, 0));
    assert_eq!(metric(&node, STREAMS).await, 1);
    drop(stream);
    wait_for_metric(&node, STREAMS, 0).await;
    wait_for("the permit", || node.load.stream_count() == 0).await;
    assert_eq!(metric(&node, r#"meridian_grpc_requests_total{method="Stream",code="cancelled"}"#).await, 1);
    let left = next(&mut client, 1_000).await.unwrap();
    assert!(left[0] > ids[ids.len() - 1], "what was drawn and not sent is given to nobody");
}

/// The ids issued once that number stands still.
async fn settled(node: &Node) -> u64 {
    let mut last = (0, 0);
    within(async {
        while last.1 < 20 {
            let now = metric(node, "meridian_ids_total").await;
            last = if now == last.0 { (now, last.1 + 1) } else { (now, 0) };
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    last.0
}

#[tokio::test]
async fn nothing_is_drawn_for_who_does_not_read() {
    let node = Node::start().await;
    let endpoint = Endpoint::from_shared(format!("http://{}", node.address)).unwrap();
    let channel = endpoint.initial_stream_window_size(65_535).initial_connection_window_size(65_535).connect().await;
    let mut client = IdServiceClient::new(channel.unwrap());
    let mut stream = client.stream(endless(0)).await.unwrap().into_inner();
    let first = within(stream.message()).await.unwrap().unwrap().ids.len() as u64;
    // What the caller's window and the buffer before it hold, a chunk, which is a message, and the messages these are in the
    // middle of.
    let most = first + (64 + 64) * 1024 / 8 + 3 * u64::from(BATCH);
    let drawn = settled(&node).await;
    assert!((first..=most).contains(&drawn), "{drawn} drawn for {first} read");
    let mut read = first;
    while read < 10 * most {
        read += within(stream.message()).await.unwrap().unwrap().ids.len() as u64;
    }
    assert!(settled(&node).await <= read + most, "it goes on, and stands still again");
}

#[tokio::test]
async fn who_stops_reading_is_cut_off_and_who_reads_is_not() {
    let limit = Duration::from_secs(1);
    let node = Node::tuned(limits(), |settings| settings.patience.answer = limit).await;
    let mut reader = client(&node).await.stream(endless(0)).await.unwrap().into_inner();
    let mut watch =
        HealthClient::new(channel(&node).await).watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    within(watch.message()).await.unwrap().unwrap();
    let mut stalled = client(&node).await.stream(endless(0)).await.unwrap().into_inner();
    assert_eq!(node.load.stream_count(), 2);
    let began = std::time::Instant::now();
    let reading = async {
        while node.load.stream_count() == 2 || began.elapsed() < 2 * limit {
            assert!(!reader.message().await.unwrap().unwrap().ids.is_empty());
        }
    };
    within(reading).await;
    let rest = async { while let Ok(Some(_)) = stalled.message().await {} };
    within(rest).await;
    assert_eq!(metric(&node, STREAMS).await, 1);
    assert_eq!(
        metric(&node, r#"meridian_grpc_streams{method="Watch"}"#).await,
        1,
        "a watch that has nothing to say stays"
    );
}

/// How a stream ends that is read until it does.
async fn end<M>(stream: &mut tonic::Streaming<M>) -> Status {
    within(async {
        loop {
            match stream.message().await {
                Ok(message) => assert!(message.is_some(), "it ended well"),
                Err(status) => return status,
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_stream_ends_by_its_deadline() {
    let node = Node::start().await;
    let mut client = client(&node).await;
    let mut stream = client.stream(by(Duration::from_millis(500), endless(0))).await.unwrap().into_inner();
    let status = end(&mut stream).await;
    assert_eq!(told(&status), (Code::DeadlineExceeded, "late"));
    wait_for("the permit", || node.load.stream_count() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn single_ids_wait_for_one_slice_at_most_while_streams_run() {
    let node = Node::start().await;
    let mut readers = tokio::task::JoinSet::new();
    for batch in [0, MOST, 0] {
        let mut stream =
            client(&node).await.stream(StreamRequest { count: 2_000_000, batch }).await.unwrap().into_inner();
        readers.spawn(async move {
            let mut read = 0;
            while let Some(message) = stream.message().await.unwrap() {
                read += message.ids.len();
            }
            read
        });
    }
    // Who is put to sleep between reading the clock and taking finds more before it than there was: not on every single id.
    let most = Duration::from_millis(SLICE_MS + 2);
    let (mut waited, mut singles, mut late) = (0, 0, 0);
    while !readers.is_empty() {
        let single = node.issuer.issue(1).await.unwrap();
        singles += 1;
        waited += u32::from(!single.waited.is_zero());
        late += u32::from(single.waited > most);
        while let Some(read) = readers.try_join_next() {
            assert_eq!(read.unwrap(), 2_000_000);
        }
        tokio::task::yield_now().await;
    }
    assert!(waited > 0, "nobody was in the way: this test is blind");
    assert!(late * 50 <= singles, "{late} of {singles} waited longer than {most:?}");
}

#[tokio::test]
async fn streams_end_when_the_node_leaves_and_those_of_a_lame_duck_when_it_stops() {
    let mut node = Node::start().await;
    let mut client = client(&node).await;
    let mut before = client.stream(endless(0)).await.unwrap().into_inner();
    within(before.message()).await.unwrap().unwrap();
    node.api.lame_duck(true);
    assert_eq!(told(&end(&mut before).await), (Code::Unavailable, "stopping"));
    let mut during = client.stream(endless(0)).await.unwrap().into_inner();
    within(during.message()).await.unwrap().unwrap();
    let mut health = HealthClient::new(channel(&node).await);
    let mut watch = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    node.stop();
    assert_eq!(told(&end(&mut during).await), (Code::Unavailable, "stopping"));
    assert_eq!(told(&end(&mut watch).await), (Code::Unavailable, "stopping"));
    assert_eq!(node.stopped().await.cut, 0, "nobody had to be cut off");
}
