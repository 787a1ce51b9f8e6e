//! What a request brings: its deadline and its one message, within size and time.

use super::status;
use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use prost::Message;
use std::pin::pin;
use std::time::Duration;
use tokio::time::Instant;
use tonic::Status;
use tonic::codegen::http::HeaderMap;
use tonic::codegen::{Body, StdError};

/// Five bytes before each message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// When the caller stops waiting (`grpc-timeout`): up to eight digits and a unit.
pub fn deadline(headers: &HeaderMap) -> Result<Option<Instant>, Status> {
    let Some(value) = headers.get("grpc-timeout") else { return Ok(None) };
    let timeout = value.to_str().ok().and_then(timeout);
    let timeout =
        timeout.ok_or_else(|| Status::invalid_argument("grpc-timeout: send up to eight digits and a unit"))?;
    Ok(Instant::now().checked_add(timeout))
}

fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3_600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// Refuses messages that are compressed: ours are a few bytes.
pub fn plain(headers: &HeaderMap) -> Result<(), Status> {
    match headers.get("grpc-encoding") {
        Some(encoding) if encoding != "identity" => Err(status::compressed()),
        _ => Ok(()),
    }
}

/// Reads a request to its end; what counts is its first message.
pub async fn read<B>(body: B, limit: usize, time: Duration) -> Result<Bytes, Status>
where
    B: Body<Data = Bytes>,
    B::Error: Into<StdError>,
{
    let read = async {
        let mut body = pin!(body);
        let mut seen = Seen::default();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Status::cancelled("the request broke off"))?;
            if let Ok(data) = frame.into_data() {
                seen.add(data, limit)?;
            }
        }
        seen.message()
    };
    let late = |_| Status::deadline_exceeded(format!("send the whole request within {time:?}"));
    tokio::time::timeout(time, read).await.map_err(late)?
}

pub fn decode<M: Message + Default>(message: Bytes) -> Result<M, Status> {
    M::decode(message).map_err(|error| Status::invalid_argument(format!("the message cannot be read: {error}")))
}

/// What has come of a request. Nearly always it comes in one piece, which is not copied.
#[derive(Default)]
struct Seen {
    bytes: Bytes,
}

impl Seen {
    fn add(&mut self, data: Bytes, limit: usize) -> Result<(), Status> {
        if self.bytes.is_empty() {
            self.bytes = data;
        } else {
            let mut both = BytesMut::from(std::mem::take(&mut self.bytes));
            both.extend_from_slice(&data);
            self.bytes = both.freeze();
        }
        let told = self.length().unwrap_or(0);
        if told.max(self.bytes.len().saturating_sub(PREFIX_BYTES)) > limit {
            return Err(Status::invalid_argument(format!("send at most {limit} bytes")));
        }
        Ok(())
    }

    fn length(&self) -> Option<usize> {
        let prefix = self.bytes.get(1..PREFIX_BYTES)?;
        Some(u32::from_be_bytes(prefix.try_into().ok()?) as usize)
    }

    fn message(mut self) -> Result<Bytes, Status> {
        let broken =
            || Status::invalid_argument("send one whole message: five bytes of prefix, and as many as they say");
        let length = self.length().ok_or_else(broken)?;
        match self.bytes[0] {
            0 => {}
            1 => return Err(status::compressed()),
            _ => return Err(broken()),
        }
        self.bytes.advance(PREFIX_BYTES);
        if self.bytes.len() < length {
            return Err(broken());
        }
        self.bytes.truncate(length);
        Ok(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts() {
        let ms = |text| timeout(text).map(|timeout| timeout.as_micros() as f64 / 1_000.0);
        assert_eq!(ms("2S"), Some(2_000.0));
        assert_eq!(ms("100m"), Some(100.0));
        assert_eq!(ms("100u"), Some(0.1));
        assert_eq!(ms("2000n"), Some(0.002));
        assert_eq!(ms("1H"), Some(3_600_000.0));
        assert_eq!(ms("99999999M"), Some(99_999_999.0 * 60_000.0));
        for wrong in ["", "S", "5", "-1S", "1.5S", "123456789S", "1s", "1é", "+1S", "１S"] {
            assert_eq!(timeout(wrong), None, "{wrong}");
        }
    }
}
