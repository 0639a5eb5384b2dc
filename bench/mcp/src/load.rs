//! Clients in closed loops: each sends its next request when the last one was answered.

use std::{
    error::Error,
    io,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

/// One request of the 2026-07-28 wire, ready to be sent.
pub(crate) fn request(method: &str, params: &str, name: Option<&str>, token: &str) -> Vec<u8> {
    let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}"#;
    let comma = if params.is_empty() { "" } else { "," };
    let body =
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{params}{comma}{meta}}}}}"#);
    let name = name.map_or_else(String::new, |name| format!("mcp-name: {name}\r\n"));
    format!(
        "POST /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\nmcp-protocol-version: 2026-07-28\r\nmcp-method: {method}\r\n\
         {name}content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// What came of a round.
pub(crate) struct Done {
    pub(crate) calls: u64,
    pub(crate) took: Vec<Duration>,
    pub(crate) wall: Duration,
}

/// Keeps the server busy for a while.
pub(crate) async fn round(
    address: &str,
    requests: &[Vec<u8>],
    time: Duration,
) -> Result<Done, Box<dyn Error>> {
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for request in requests {
        let (address, request) = (address.to_owned(), request.clone());
        clients.spawn(async move { client(&address, &request, began + time).await });
    }
    let mut took = Vec::new();
    while let Some(done) = clients.join_next().await {
        took.extend(done??);
    }
    took.sort_unstable();
    Ok(Done { calls: u64::try_from(took.len())?, took, wall: began.elapsed() })
}

async fn client(address: &str, request: &[u8], until: Instant) -> io::Result<Vec<Duration>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut took = Vec::new();
    let mut buffer = Vec::with_capacity(64 * 1024);
    loop {
        let began = Instant::now();
        if began >= until {
            return Ok(took);
        }
        stream.write_all(request).await?;
        answer(&mut stream, &mut buffer).await?;
        took.push(began.elapsed());
    }
}

/// Reads one answer; anything but a result is an error.
pub(crate) async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<usize> {
    buffer.clear();
    let bad = |text: &[u8]| io::Error::other(String::from_utf8_lossy(text).into_owned());
    loop {
        if stream.read_buf(buffer).await? == 0 {
            return Err(bad(b"the server hung up"));
        }
        let Some(head) = buffer.windows(4).position(|at| at == b"\r\n\r\n") else { continue };
        let (head, body) = buffer.split_at(head + 4);
        let text = String::from_utf8_lossy(head).to_ascii_lowercase();
        let length =
            text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
        let Some(length) = length else { return Err(bad(buffer)) };
        if body.len() < length {
            continue;
        }
        let good = text.starts_with("http/1.1 200") && body.windows(9).any(|at| at == br#""result":"#);
        let failed = body.windows(14).any(|at| at == br#""isError":true"#);
        return if good && !failed { Ok(length) } else { Err(bad(buffer)) };
    }
}

/// The value under which this share of the sorted times lies.
pub(crate) fn quantile(sorted: &[Duration], share: f64) -> Duration {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index"
    )]
    let at = ((sorted.len() as f64) * share) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}
