//! Time, size, breaker, bulkhead, and what an error says about the request (G05).

use std::time::Duration;

use cardea_core::{
    Code, Error,
    size::Bytes,
    time::{Clock as _, Millis, Timestamp},
};
use cardea_net::{Busy, NetConfig, NetError};
use futures::{StreamExt, stream::FuturesUnordered};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::world::{Far, config, get_any, net};

#[tokio::test]
async fn a_body_without_end_is_cut_at_its_limit() {
    let far = Far::start().await;
    let (net, _) = net(NetConfig { max_body: Bytes::kib(64), ..config(&[&far.target]) });
    for path in ["/do/endless", "/do/large"] {
        let error = net.send(get_any(&far.url(path))).await.unwrap_err();
        assert!(matches!(error, NetError::TooLarge { .. }), "{path}: {error}");
        assert!(error.may_have_been_sent());
    }
    assert!(net.send(get_any(&far.url("/do/large")).max_body(100_000)).await.is_ok());

    let pieces = net.stream(get_any(&far.url("/do/endless"))).await.unwrap().into_stream();
    let (mut seen, mut errors) = (0, 0);
    futures::pin_mut!(pieces);
    while let Some(piece) = pieces.next().await {
        match piece {
            Ok(piece) => seen += piece.len(),
            Err(error) => {
                assert!(matches!(error, NetError::TooLarge { .. }), "{error}");
                errors += 1;
            }
        }
    }
    assert!(seen <= 64 * 1024 && errors == 1);
}

#[tokio::test]
async fn a_body_that_stalls_or_breaks_off_is_an_error_that_says_the_request_arrived() {
    let far = Far::start().await;
    let (net, _) = net(config(&[&far.target]));
    let short = Duration::from_millis(60);
    let stuck = net.send(get_any(&far.url("/do/stuck")).idle_timeout(short)).await.unwrap_err();
    assert!(stuck.is_timeout() && stuck.may_have_been_sent(), "{stuck}");
    let stuck = net.send(get_any(&far.url("/do/stuck")).timeout(short)).await.unwrap_err();
    assert!(stuck.is_timeout(), "the whole time counts too: {stuck}");
    let silent = net.send(get_any(&far.url("/do/silent")).timeout(short)).await.unwrap_err();
    assert!(silent.is_timeout() && silent.may_have_been_sent(), "{silent}");
    assert_eq!(Error::from(silent).code(), Code::UpstreamSilent);
    let broken = net.send(get_any(&far.url("/do/broken"))).await.unwrap_err();
    assert!(broken.may_have_been_sent() && !broken.is_timeout(), "{broken}");
}

#[tokio::test]
async fn an_error_tells_whether_the_request_may_have_left() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = closed.local_addr().unwrap().to_string();
    drop(closed);
    let (nobody, _) = net(config(&[&target]));
    let error = nobody.send(get_any(&format!("http://{target}/"))).await.unwrap_err();
    assert!(matches!(error, NetError::NotSent { .. }) && !error.may_have_been_sent(), "{error}");

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let (hangs_up, _) = net(config(&[&target]));
    let read_and_hang_up = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let read = socket.read(&mut [0; 1024]).await.unwrap();
        assert!(read > 0);
    };
    let url = format!("http://{target}/");
    let (sent, ()) = futures::join!(hangs_up.send(get_any(&url)), read_and_hang_up);
    let error = sent.unwrap_err();
    assert!(error.may_have_been_sent(), "{error}");
}

#[tokio::test]
async fn a_failing_host_is_left_alone_and_taken_up_again_when_it_is_well() {
    let far = Far::start().await;
    let (net, clock) = net(NetConfig { breaker_failures: 3, ..config(&[&far.target]) });
    let ask = || net.send(get_any(&far.url("/do/work")));
    far.answers(503);
    for _ in 0..3 {
        assert_eq!(ask().await.unwrap().status, 503, "an answer is an answer");
    }
    let error = ask().await.unwrap_err();
    assert!(
        matches!(error, NetError::Busy { why: Busy::Breaker, .. }) && !error.may_have_been_sent(),
        "{error}"
    );
    assert_eq!(Error::from(error).retry_hint(), Some(Millis::from_secs(5)));
    assert_eq!(far.reached(), 3);
    clock.advance(Millis::from_secs(5));
    assert_eq!(ask().await.unwrap().status, 503, "one request looks whether it is back");
    assert!(ask().await.is_err());
    assert_eq!(far.reached(), 4);
    far.answers(200);
    clock.advance(Millis::from_secs(5));
    for _ in 0..5 {
        assert_eq!(ask().await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn a_failing_host_is_taken_up_again_after_a_pause_though_the_clock_was_set_back() {
    let far = Far::start().await;
    let (net, clock) = net(NetConfig { breaker_failures: 3, ..config(&[&far.target]) });
    let ask = || net.send(get_any(&far.url("/do/work")));
    far.answers(503);
    for _ in 0..3 {
        assert_eq!(ask().await.unwrap().status, 503);
    }
    far.answers(200);
    clock.set(Timestamp(clock.now().0 - 3_600_000));
    let error = ask().await.unwrap_err();
    assert_eq!(Error::from(error).retry_hint(), Some(Millis::from_secs(5)), "the pause begins anew");
    clock.advance(Millis::from_secs(5));
    assert_eq!(ask().await.unwrap().status, 200);
}

#[tokio::test]
async fn a_host_that_hangs_counts_as_failing() {
    let far = Far::start().await;
    let (net, _) = net(NetConfig { breaker_failures: 2, ..config(&[&far.target]) });
    let ask = || net.send(get_any(&far.url("/do/silent")).timeout(Duration::from_millis(40)));
    for _ in 0..2 {
        assert!(ask().await.unwrap_err().is_timeout());
    }
    assert!(matches!(ask().await, Err(NetError::Busy { why: Busy::Breaker, .. })));
}

#[tokio::test]
async fn a_host_that_sends_heads_and_nothing_more_counts_as_failing_where_its_first_word_counts() {
    let far = Far::start().await;
    let limits = || NetConfig { breaker_failures: 2, ..config(&[&far.target]) };
    let ((usual, _), (net, _)) = (net(limits()), net(limits()));
    for _ in 0..4 {
        let silent = get_any(&far.url("/do/mute")).idle_timeout(Duration::from_millis(40));
        assert!(usual.stream(silent).await.unwrap().chunk().await.unwrap_err().is_timeout());
    }
    let ask = |what: &str| {
        net.stream(get_any(&far.url(what)).idle_timeout(Duration::from_millis(40)).well_once_it_speaks())
    };
    assert!(ask("/do/stuck").await.unwrap().chunk().await.unwrap().is_some());
    let mut silent = ask("/do/mute").await.unwrap();
    assert!(silent.chunk().await.unwrap_err().is_timeout());
    let mut given_up = ask("/do/mute").await.unwrap();
    given_up.was_silent(); // whoever waits has a shorter patience
    assert!(matches!(ask("/do/work").await, Err(NetError::Busy { why: Busy::Breaker, .. })));
}

#[tokio::test]
async fn work_that_is_slower_than_its_own_limit_does_not_close_its_host_for_others() {
    let far = Far::start().await;
    let (net, _) = net(NetConfig { breaker_failures: 2, ..config(&[&far.target]) });
    let ask = || net.send(get_any(&far.url("/do/silent")).own_timeout(Duration::from_millis(40)));
    for _ in 0..4 {
        assert!(ask().await.unwrap_err().is_timeout());
    }
    assert!(net.send(get_any(&far.url("/do/work"))).await.is_ok());
}

#[tokio::test]
async fn one_slow_host_cannot_take_all_places_and_others_go_on() {
    let (slow, other) = (Far::start().await, Far::start().await);
    let limits =
        NetConfig { per_host: 2, queue_timeout: Millis(30), ..config(&[&slow.target, &other.target]) };
    let (net, _) = net(limits);
    let first = net.stream(get_any(&slow.url("/do/stuck"))).await.unwrap();
    let second = net.stream(get_any(&slow.url("/do/stuck"))).await.unwrap();
    let third = net.send(get_any(&slow.url("/do/work"))).await.unwrap_err();
    assert!(
        matches!(third, NetError::Busy { why: Busy::Bulkhead, .. }) && !third.may_have_been_sent(),
        "{third}"
    );
    assert!(net.send(get_any(&other.url("/do/work"))).await.is_ok());
    drop(first);
    assert!(
        net.send(get_any(&slow.url("/do/work"))).await.is_ok(),
        "a stream that is dropped gives its place back"
    );
    drop(second);
}

/// Reads one request of a connection, and answers it.
async fn serve(socket: &mut TcpStream, answer: &str) -> std::io::Result<()> {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        let mut piece = [0; 1024];
        match socket.read(&mut piece).await? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => read.extend_from_slice(&piece[..count]),
        }
    }
    socket.write_all(answer.as_bytes()).await
}

#[tokio::test]
async fn a_connection_whose_answer_ends_a_moment_after_its_last_word_is_used_again() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let (net, _) = net(config(&[&target]));
    let url = format!("http://{target}/");
    let (left, was_left) = tokio::sync::oneshot::channel();
    let server = async {
        let (mut first, _) = listener.accept().await.unwrap();
        serve(&mut first, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nlast\r\n")
            .await
            .unwrap();
        was_left.await.unwrap();
        first.write_all(b"0\r\n\r\n").await.unwrap();
        let whole = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let again = serve(&mut first, whole);
        futures::pin_mut!(again);
        // Others may come before the first is known to be free, and some of them ask for nothing.
        let mut others = FuturesUnordered::new();
        loop {
            tokio::select! {
                again = &mut again => break again.expect("the first connection is still open"),
                other = listener.accept() => {
                    let mut other = other.unwrap().0;
                    others.push(async move { serve(&mut other, whole).await });
                }
                Some(_) = others.next() => {}
            }
        }
    };
    let client = async {
        let mut answer = net.stream(get_any(&url)).await.unwrap();
        assert_eq!(answer.chunk().await.unwrap().unwrap(), "last");
        answer.leave();
        left.send(()).unwrap();
        loop {
            net.send(get_any(&url)).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = server => {}
        () = client => {}
        () = tokio::time::sleep(Duration::from_secs(10)) => panic!("the connection was never used again"),
    }
}
