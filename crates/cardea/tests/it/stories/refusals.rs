//! What becomes of a connection whose request is answered before it was read, and how many streams one user holds.

use std::fmt::Write as _;

use cardea_testkit::World;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// A connection as a plain client has it.
struct Line(TcpStream);

impl Line {
    async fn to(world: &World) -> Self {
        let stream = TcpStream::connect(world.url.trim_start_matches("http://")).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    /// The head of a request, alone.
    async fn begins(&mut self, line: &str, headers: &[(&str, &str)]) {
        let mut head = format!("{line} HTTP/1.1\r\nhost: {}\r\n", self.0.peer_addr().unwrap());
        for (name, value) in headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        self.0.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    }

    /// The next answer: its status, its head, and whatever stands in its body.
    async fn hears(&mut self) -> (u16, String, String) {
        let (mut heard, mut piece) = (Vec::new(), [0; 16_384]);
        loop {
            let text = String::from_utf8_lossy(&heard).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let head = head.to_ascii_lowercase();
                let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
                if length.is_none_or(|length| body.len() >= length.parse().unwrap()) {
                    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                    return (status, head, body.to_owned());
                }
            }
            let length = self.0.read(&mut piece).await.unwrap();
            assert_ne!(length, 0, "the connection ended: {text}");
            heard.extend_from_slice(&piece[..length]);
        }
    }
}

#[tokio::test]
async fn a_request_that_is_refused_before_it_was_read_leaves_the_connection_as_it_was() {
    let world = World::start().await;
    let good = format!("Bearer {}", world.user("support").token());
    let (json, bad) = ("application/json", "Bearer nonsense");
    for (line, kind, token, status) in [
        ("POST /api/v1/turns", json, bad, 401),
        ("POST /v1/chat/completions", json, bad, 401),
        ("POST /mcp", json, bad, 401),
        ("POST /api/v1/turns", "text/plain", good.as_str(), 415),
        ("POST /nowhere", json, good.as_str(), 404),
        ("PUT /api/v1/turns", json, good.as_str(), 405),
    ] {
        let mut client = Line::to(&world).await;
        let headers = [("content-type", kind), ("authorization", token), ("content-length", "17")];
        client.begins(line, &headers).await;
        drop(world.stranger().get("/healthz").await.expect(200)); // the head has arrived long since
        client.0.write_all(b"{\"message\":\"abc\"}").await.unwrap();
        let (answered, head, _) = client.hears().await;
        assert_eq!(answered, status, "{line}: {head}");
        assert!(!head.contains("connection: close"), "{line}: {head}");
        client.begins("GET /healthz", &[]).await;
        assert_eq!(client.hears().await.0, 200, "{line}: the next request on the same connection");
    }
}

#[tokio::test]
async fn a_refused_request_that_is_too_large_to_be_dropped_is_told_that_the_connection_ends() {
    let world = World::start().await;
    let mut client = Line::to(&world).await;
    let headers = [("content-type", "application/json"), ("authorization", "Bearer nonsense")];
    client.begins("POST /api/v1/turns", &[headers[0], headers[1], ("content-length", "900000")]).await;
    client.0.write_all(&vec![b'x'; 900_000]).await.unwrap();
    let (status, head, _) = client.hears().await;
    assert_eq!(status, 401);
    assert!(head.contains("connection: close"), "{head}");

    let mut client = Line::to(&world).await;
    let asks = ("expect", "100-continue");
    client.begins("POST /api/v1/turns", &[headers[0], headers[1], ("content-length", "17"), asks]).await;
    let (status, head, _) = client.hears().await;
    assert_eq!(status, 401, "without waiting for a body that nobody asked for: {head}");
    assert!(head.contains("connection: close"), "{head}");
}

#[tokio::test]
async fn one_user_cannot_hold_the_connections_of_everybody_with_streams() {
    let world = World::plan().set("CARDEA_LIMITS__STREAMS_PER_USER", "2").start().await;
    let ann = world.user("support");
    let asked = ann.asks("Refund 150 for order 17, please.").await;
    asked.waits_for_approval("ops__process_refund").await;
    let line = format!("GET /api/v1/turns/{}/events", asked.turn());
    let token = format!("Bearer {}", ann.token());
    let follow = async || {
        let mut stream = Line::to(&world).await;
        stream.begins(&line, &[("authorization", &token)]).await;
        let (status, head, body) = stream.hears().await;
        (stream, status, format!("{head}{body}"))
    };
    let (first, second) = (follow().await, follow().await);
    assert_eq!((first.1, second.1), (200, 200));
    let (_, status, told) = follow().await;
    assert_eq!(status, 429, "{told}");
    assert!(told.contains("retry-after") && told.contains("2 streams"), "{told}");
    drop(ann.get("/api/v1/agents").await.expect(200)); // whatever else she asks is answered
    drop(first);
    while follow().await.1 != 200 {} // a place is given back as soon as its connection is seen to be gone
}
