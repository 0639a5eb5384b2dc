//! A connection of HTTP/2 carries all requests to a host, so one whose far side fell silent must be given up.

use std::{
    convert::Infallible,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use cardea_net::NetConfig;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio::{net::TcpListener, sync::watch};
use tokio_rustls::TlsAcceptor;

use crate::world::{config, get_any, net};

/// A certificate for this machine, which is its own authority.
fn certificate(folder: &Path) -> bool {
    let args = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout key.pem -out ca.pem \
                -subj /CN=far -addext basicConstraints=critical,CA:FALSE -addext subjectAltName=IP:127.0.0.1";
    let out = Command::new("openssl").args(args.split_whitespace()).current_dir(folder).output();
    out.is_ok_and(|out| out.status.success())
}

/// A server that speaks only HTTP/2 over TLS, and the line to it, which can be cut without a word.
struct Line {
    target: String,
    connections: Arc<AtomicUsize>,
    mute: watch::Sender<usize>,
}

impl Line {
    #[expect(clippy::disallowed_methods, reason = "servers of this test, which end with it")]
    async fn start(folder: &Path) -> Self {
        let chain = vec![CertificateDer::from_pem_file(folder.join("ca.pem")).unwrap()];
        let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut tls = tls.with_no_client_auth().with_single_cert(chain, key).unwrap();
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let behind = server.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((socket, _)) = server.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(secured) = acceptor.accept(socket).await else { return };
                    let answer = hyper::service::service_fn(async |_| {
                        Ok::<_, Infallible>(http::Response::new(String::from("well")))
                    });
                    let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    let _ = http.serve_connection(TokioIo::new(secured), answer).await;
                });
            }
        });

        let line = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = line.local_addr().unwrap().to_string();
        let (mute, muted) = watch::channel(0);
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = line.accept().await {
                let number = counted.fetch_add(1, Ordering::SeqCst);
                let mut muted = muted.clone();
                tokio::spawn(async move {
                    let mut far = tokio::net::TcpStream::connect(behind).await.unwrap();
                    let silence = async { muted.wait_for(|mute| *mute > number).await.is_ok() };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        // Both sockets stay open, and nobody reads them.
                        _ = silence => std::future::pending().await,
                    }
                });
            }
        });
        Self { target, connections, mute }
    }

    /// Nothing passes any more on the connections that there are; new ones are well.
    fn falls_silent(&self) {
        self.mute.send(self.connections.load(Ordering::SeqCst)).unwrap();
    }
}

#[tokio::test]
async fn a_shared_connection_that_fell_silent_is_given_up_and_the_next_request_makes_a_new_one() {
    let made = tempfile::tempdir().unwrap();
    let folder = made.path();
    if !certificate(folder) {
        println!("SKIPPED: no `openssl` that makes certificates, so a silent connection is not tested");
        return;
    }
    let line = Line::start(folder).await;
    let (net, _) = net(NetConfig { extra_roots: vec![folder.join("ca.pem")], ..config(&[&line.target]) });
    let url = format!("https://{}/", line.target);
    for _ in 0..2 {
        assert_eq!(&net.send(get_any(&url)).await.unwrap().body[..], b"well");
    }
    assert_eq!(line.connections.load(Ordering::SeqCst), 1, "one connection is for all");

    line.falls_silent();
    tokio::task::yield_now().await;
    // WHY: the clock of tokio may only stand while no answer is awaited that really comes.
    tokio::time::pause();
    for _ in 0..4 {
        let error = net.send(get_any(&url).timeout(Duration::from_secs(4))).await.unwrap_err();
        assert!(error.may_have_been_sent(), "{error}");
    }
    tokio::time::resume();
    assert_eq!(&net.send(get_any(&url)).await.unwrap().body[..], b"well", "sixteen seconds later");
    assert_eq!(line.connections.load(Ordering::SeqCst), 2);
}
