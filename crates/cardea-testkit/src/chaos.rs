//! A chaos proxy: a TCP proxy between Cardea and a neighbour that misbehaves on demand.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use cardea_store::{Jobs, Stage};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    time::sleep,
};

/// Behaviour of the proxy from now on, also for open connections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Weather {
    /// Passes everything on.
    #[default]
    Fair,
    /// Passes every piece on with this delay.
    Slow(Duration),
    /// Passes one byte at a time, with this pause between them.
    Drip(Duration),
    /// Accepts everything and passes nothing on, in both directions.
    BlackHole,
    /// Passes requests on but no answers: the work is done, the answer is lost.
    LoseAnswers,
    /// Closes a connection once this many bytes have come back on it.
    CutAfter(u64),
    /// Ends open connections and resets new ones.
    Refuse,
}

/// Traffic so far.
#[derive(Debug, Default)]
struct Counted {
    connections: AtomicU64,
    sent: AtomicU64,
    answered: AtomicU64,
}

/// A TCP proxy with a changing [`Weather`]. It stops when dropped.
#[derive(Debug)]
pub struct ChaosProxy {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    counted: Arc<Counted>,
}

/// The two directions of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    There,
    Back,
}

impl ChaosProxy {
    /// Starts a proxy in front of this neighbour, on a port of its own.
    ///
    /// # Errors
    /// If no port is available, or the jobs are being drained.
    pub async fn start(jobs: &Jobs, target: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (weather, forecast) = watch::channel(Weather::Fair);
        let counted = Arc::new(Counted::default());
        let (all, totals) = (jobs.clone(), counted.clone());
        let accept = jobs.spawn_in(Stage::Intake, "chaos-accept", move |stop| async move {
            loop {
                let accepted = tokio::select! {
                    () = stop.cancelled() => return,
                    () = gone(forecast.clone()) => return,
                    accepted = listener.accept() => accepted,
                };
                let Ok((client, _)) = accepted else { return };
                let (forecast, totals) = (forecast.clone(), totals.clone());
                all.spawn("chaos-wire", async move { wire(client, target, forecast, totals).await });
            }
        });
        accept.map_err(std::io::Error::other)?;
        Ok(Self { address, weather, counted })
    }

    /// Returns the address to connect to instead of the neighbour's.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the behaviour, also for open connections.
    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// Returns accepted connections, bytes sent to the neighbour, and bytes received from it.
    #[must_use]
    pub fn counted(&self) -> (u64, u64, u64) {
        let get = |count: &AtomicU64| count.load(Ordering::SeqCst);
        (get(&self.counted.connections), get(&self.counted.sent), get(&self.counted.answered))
    }
}

/// Waits until the proxy is dropped.
async fn gone(mut forecast: watch::Receiver<Weather>) {
    while forecast.changed().await.is_ok() {}
}

/// Waits for weather in which no connection survives.
async fn storm(mut forecast: watch::Receiver<Weather>) {
    if forecast.wait_for(|weather| *weather == Weather::Refuse).await.is_err() {
        // The proxy itself is gone, and so are its connections.
    }
}

async fn wire(
    client: TcpStream,
    target: SocketAddr,
    forecast: watch::Receiver<Weather>,
    counted: Arc<Counted>,
) {
    counted.connections.fetch_add(1, Ordering::SeqCst);
    if *forecast.borrow() == Weather::Refuse {
        // The other side then sees a reset and not an orderly end.
        drop(client.set_zero_linger());
        return;
    }
    let Ok(server) = TcpStream::connect(target).await else { return };
    // A proxy that delays small pieces would be blamed on Cardea.
    if client.set_nodelay(true).and_then(|()| server.set_nodelay(true)).is_err() {
        return;
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let there = copy(from_client, to_server, (Way::There, forecast.clone()), &counted.sent);
    let back = copy(from_server, to_client, (Way::Back, forecast.clone()), &counted.answered);
    tokio::pin!(there, back);
    let both = async {
        // One direction may end long before the other: a client that has sent everything still waits for its answer.
        tokio::select! {
            cut = &mut back => return cut,
            cut = &mut there => if cut { return true },
        }
        back.await
    };
    tokio::select! {
        _cut = both => {}
        () = storm(forecast) => {}
    }
}

/// Copies one direction. Returns `true` if the connection is to be cut, `false` if this direction has ended by itself.
async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    (way, mut forecast): (Way, watch::Receiver<Weather>),
    counted: &AtomicU64,
) -> bool {
    let mut buffer = vec![0; 16 << 10];
    let mut passed = 0_u64;
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else { return to.shutdown().await.is_err() };
        let mut rest = buffer.get(..read).unwrap_or_default();
        while !rest.is_empty() {
            let weather = forecast.borrow_and_update().clone();
            let piece = match weather {
                Weather::Fair | Weather::Refuse => rest.len(),
                Weather::Slow(by) => {
                    sleep(by).await;
                    rest.len()
                }
                Weather::Drip(by) => {
                    sleep(by).await;
                    1
                }
                Weather::LoseAnswers if way == Way::There => rest.len(),
                Weather::CutAfter(_) if way == Way::There => rest.len(),
                Weather::CutAfter(most) if passed >= most => return true,
                Weather::CutAfter(most) => {
                    rest.len().min(usize::try_from(most - passed).unwrap_or(usize::MAX))
                }
                Weather::BlackHole | Weather::LoseAnswers => {
                    // Held back until the weather changes; the end of the proxy ends it too.
                    if forecast.changed().await.is_err() {
                        return true;
                    }
                    continue;
                }
            };
            let (now, later) = rest.split_at(piece);
            if to.write_all(now).await.is_err() {
                return true;
            }
            passed += now.len() as u64;
            counted.fetch_add(now.len() as u64, Ordering::SeqCst);
            rest = later;
        }
        if matches!(*forecast.borrow(), Weather::CutAfter(most) if way == Way::Back && passed >= most) {
            return true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Starts a neighbour that answers each byte with its successor and counts what it receives.
    async fn neighbour(jobs: &Jobs) -> (SocketAddr, Arc<AtomicU64>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, seen) = (listener.local_addr().unwrap(), Arc::new(AtomicU64::new(0)));
        let (all, total) = (jobs.clone(), seen.clone());
        jobs.spawn("neighbour", async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let total = total.clone();
                all.spawn("neighbour", async move {
                    while let Ok(byte) = stream.read_u8().await {
                        total.fetch_add(1, Ordering::SeqCst);
                        if stream.write_u8(byte.wrapping_add(1)).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        (address, seen)
    }

    async fn ask(stream: &mut TcpStream, byte: u8) -> std::io::Result<u8> {
        stream.write_u8(byte).await?;
        stream.read_u8().await
    }

    #[tokio::test]
    async fn the_work_is_done_and_its_answer_is_lost() {
        let jobs = Jobs::new();
        let (target, seen) = neighbour(&jobs).await;
        let proxy = ChaosProxy::start(&jobs, target).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(ask(&mut stream, 7).await.unwrap(), 8);
        proxy.set(Weather::LoseAnswers);
        stream.write_u8(1).await.unwrap();
        let silence = tokio::time::timeout(Duration::from_millis(100), stream.read_u8()).await;
        assert!(silence.is_err(), "an answer came through");
        assert_eq!(seen.load(Ordering::SeqCst), 2, "the neighbour had been asked");
        proxy.set(Weather::Fair);
        assert_eq!(stream.read_u8().await.unwrap(), 2, "what was held back comes with better weather");
        assert_eq!(proxy.counted(), (1, 2, 2));
    }

    #[tokio::test]
    async fn a_wire_is_cut_after_so_many_bytes_and_refused_in_a_storm() {
        let jobs = Jobs::new();
        let (target, _) = neighbour(&jobs).await;
        let proxy = ChaosProxy::start(&jobs, target).await.unwrap();
        proxy.set(Weather::CutAfter(2));
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(ask(&mut stream, 1).await.unwrap(), 2);
        assert_eq!(ask(&mut stream, 2).await.unwrap(), 3);
        assert!(ask(&mut stream, 3).await.is_err(), "two bytes and no more");

        proxy.set(Weather::Drip(Duration::from_millis(1)));
        let mut open = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(ask(&mut open, 1).await.unwrap(), 2);
        proxy.set(Weather::Refuse);
        assert!(open.read_u8().await.is_err(), "open connections end");
        let mut fresh = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(ask(&mut fresh, 1).await.is_err());
        proxy.set(Weather::Fair);
        let mut fresh = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(ask(&mut fresh, 1).await.unwrap(), 2);
        drop(proxy);
        assert!(ask(&mut fresh, 1).await.is_err(), "a proxy that is gone leaves no wire behind");
    }
}
