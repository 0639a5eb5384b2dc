//! What whoever runs Cardea reads of it: meters, and what is refused before it is a request.

use std::{io::Read as _, net::TcpStream, time::Duration};

use cardea_testkit::World;

#[tokio::test]
async fn a_connection_too_many_is_counted_and_not_only_closed() {
    let world = World::plan().set("CARDEA_SERVER__MAX_CONNECTIONS", "3").start().await;
    let address = world.url.trim_start_matches("http://").to_owned();
    let dropped = tokio::task::spawn_blocking(move || {
        let mut kept = Vec::new();
        for _ in 0..50 {
            let mut socket = TcpStream::connect(&address).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            if matches!(socket.read(&mut [0; 1]), Ok(0)) {
                return true;
            }
            kept.push(socket);
        }
        false
    });
    assert!(dropped.await.unwrap(), "more than three are kept");
    let text = world.app.observe.metrics_text();
    assert!(text.contains(r#"cardea_connections_refused_total{reason="limit"} 1"#), "{text}");
}
