//! One GET, for whoever asks a node how it is.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header::{ACCEPT, HOST};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;

/// What a region is asked for, by whoever wants to know whether it is well.
pub const REGION_HEALTH_PATH: &str = "/api/v1/region/health";

/// What a node is asked for.
pub const NODE_HEALTH_PATH: &str = "/api/v1/health";

/// More than any of our answers to such a question.
const BODY_BYTES: usize = 1 << 20;

/// Asks `url` (plain `http://host:port/path`) and waits for the whole answer, at most this long.
pub async fn fetch(url: &str, within: Duration) -> anyhow::Result<(StatusCode, Bytes)> {
    let asked = async {
        let (host, port) = endpoint(url)?;
        ask(TcpStream::connect((host, port)).await?, url).await
    };
    tokio::time::timeout(within, asked).await.map_err(|_| anyhow::anyhow!("{url}: no answer within {within:?}"))?
}

/// Asks `url` at this address, whatever its name stands for. The caller bounds it.
pub async fn fetch_from(address: SocketAddr, url: &str) -> anyhow::Result<(StatusCode, Bytes)> {
    ask(TcpStream::connect(address).await?, url).await
}

/// The host and the port of a URL of the one kind that nodes speak.
pub fn endpoint(url: &str) -> anyhow::Result<(String, u16)> {
    let uri = url.parse::<Uri>().ok().filter(|uri| uri.scheme_str() == Some("http"));
    let authority = uri.as_ref().and_then(Uri::authority).filter(|authority| !authority.as_str().contains('@'));
    let authority = authority.ok_or_else(|| anyhow::anyhow!("{url:?} is no URL of a node; write http://host:port"))?;
    Ok((authority.host().trim_matches(['[', ']']).to_owned(), authority.port_u16().unwrap_or(80)))
}

async fn ask(stream: TcpStream, url: &str) -> anyhow::Result<(StatusCode, Bytes)> {
    let uri: Uri = url.parse()?;
    let authority = uri.authority().ok_or_else(|| anyhow::anyhow!("{url}: no host"))?.clone();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request =
        Request::get(path).header(HOST, authority.as_str()).header(ACCEPT, "*/*").body(Empty::<Bytes>::new())?;
    let answer = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), BODY_BYTES).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!("{url}: {error}"))?;
        anyhow::Ok((status, body.to_bytes()))
    };
    // The connection is driven here, so nothing is left behind when the time is over.
    let drive = async {
        let _ = connection.await;
        std::future::pending::<std::convert::Infallible>().await
    };
    tokio::select! {
        answer = answer => answer,
        never = drive => match never {},
    }
}
