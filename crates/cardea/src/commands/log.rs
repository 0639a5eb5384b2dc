//! The log of a server: to standard error, by a thread of its own.
//!
//! Promises: no request waits for whoever reads the log. If that one is too slow, lines are left out, and a line says how
//! many. At an orderly end everything that is queued is written, within a moment.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel},
    },
    thread,
    time::Duration,
};

use tracing_subscriber::{
    Layer as _, filter::filter_fn, fmt, fmt::MakeWriter, layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::{
    config::{LogConfig, LogFormat},
    observe,
};

/// Lines that may wait to be written.
const WAITING: usize = 8_192;

/// How long an orderly end waits for the reader.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Keeps the log going until it is dropped.
#[derive(Debug)]
pub(super) struct Log {
    queue: SyncSender<Item>,
}

#[derive(Debug)]
enum Item {
    Line(Vec<u8>),
    /// Everything before this must be written; then somebody is told.
    Flush(Sender<()>),
}

/// The way into the queue.
#[derive(Debug, Clone)]
struct Lines {
    queue: SyncSender<Item>,
    lost: Arc<AtomicU64>,
}

impl Log {
    /// Sets the log going.
    pub(super) fn start(config: &LogConfig) -> io::Result<Self> {
        let (queue, items) = sync_channel(WAITING);
        let lines = Lines { queue: queue.clone(), lost: Arc::default() };
        let lost = Arc::clone(&lines.lost);
        thread::Builder::new()
            .name("cardea-log".to_owned())
            .spawn(move || write(&items, &lost, io::stderr()))?;
        let filter = tracing_subscriber::EnvFilter::try_new(&config.level).unwrap_or_default();
        let log = fmt::layer().with_writer(lines);
        let log = match config.format {
            LogFormat::Json => log.json().flatten_event(true).boxed(),
            LogFormat::Text => log.boxed(),
        };
        let log = log.with_filter(filter_fn(observe::may_tell)).with_filter(filter);
        // A program that embeds this command may have set up its own.
        drop(tracing_subscriber::registry().with(log).try_init());
        Ok(Self { queue })
    }
}

impl Log {
    /// Says something to whoever looks at the terminal, between the lines of the log and as patiently as them.
    pub(super) fn say(&self, text: &str) {
        if !text.is_empty() {
            let _left_out = self.queue.try_send(Item::Line(format!("{text}\n").into_bytes()));
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let (written, is_written) = channel();
        if self.queue.try_send(Item::Flush(written)).is_ok() {
            // Whoever reads too slowly has had its chance.
            let _late = is_written.recv_timeout(LAST_WORDS);
        }
    }
}

fn write(items: &Receiver<Item>, lost: &AtomicU64, mut to: impl Write) {
    while let Ok(item) = items.recv() {
        match item {
            Item::Line(line) => {
                // Nobody can be told that the log cannot be written.
                drop(to.write_all(&line));
                let lines = lost.swap(0, Ordering::Relaxed);
                if lines > 0 {
                    tracing::warn!(
                        log.lost = lines,
                        "lines of the log were left out: its reader is too slow"
                    );
                }
            }
            Item::Flush(written) => {
                drop(to.flush());
                let _nobody_waits = written.send(());
            }
        }
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Write for Lines {
    /// Takes a whole line: the subscriber writes each event at once.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.queue.try_send(Item::Line(line.to_vec())) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(_)) => {
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
