//! Request bodies. No call needs one, so a body is read to its end and forgotten, within its size and time.

use super::problem::{Code, Problem};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use std::time::Duration;

/// Reads a body away. One that is too large is still read for as long as the time lasts, so that a client which sends
/// first and reads later gets to read the refusal; none of it is kept.
pub async fn discard(mut body: Incoming, limit: usize, time: Duration, expects_continue: bool) -> Result<(), Problem> {
    if body.is_end_stream() {
        return Ok(());
    }
    let too_large = || {
        Problem::new(Code::BodyTooLarge, format!("send at most {limit} bytes; no call of this server needs a body"))
            .close()
    };
    let declared = body.size_hint().lower();
    if declared > limit as u64 && expects_continue {
        return Err(too_large()); // it asked first, and has not sent anything yet
    }
    let mut size = declared;
    let read = async {
        let mut seen = 0u64;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| {
                Problem::new(Code::BodyInvalid, "send the whole body, as long as Content-Length says").close()
            })?;
            seen += frame.data_ref().map_or(0, |data| data.len() as u64);
            size = size.max(seen);
        }
        Ok(())
    };
    let read = tokio::time::timeout(time, read).await;
    match read {
        _ if size > limit as u64 => Err(too_large()),
        Ok(result) => result,
        Err(_) => Err(Problem::new(Code::RequestTimeout, format!("send the whole body within {time:?}")).close()),
    }
}
