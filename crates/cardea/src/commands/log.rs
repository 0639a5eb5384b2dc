//! The log of a server: to standard error, by a thread of its own.
//!
//! Promises: no request waits for whoever reads the log. If that one is too slow, lines are left out, and a line says how
//! many. At an orderly end everything that is queued is written, within a moment.

use std::{
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tracing::Level;
use tracing_subscriber::{
    Layer as _, filter::filter_fn, fmt, fmt::MakeWriter, layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use super::line::{JsonLines, spoken};
use crate::{
    config::{LogConfig, LogFormat},
    observe,
};

/// Bytes that may wait to be written.
const WAITING: usize = 4 << 20;

/// How long lines are gathered before they are written together, and how many bytes are enough: to wake a thread for
/// each line costs a request more than all the words in it.
const GATHER: (Duration, usize) = (Duration::from_millis(5), 64 << 10);

/// How long an orderly end waits for the reader.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Keeps the log going until it is dropped.
#[derive(Debug)]
pub(super) struct Log(Lines, LogFormat);

/// The way to the thread that writes.
#[derive(Debug, Clone, Default)]
struct Lines(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// There is something to write.
    filled: Condvar,
    /// All is written.
    emptied: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    bytes: Vec<u8>,
    lost: u64,
    /// The thread holds bytes that it has not written yet.
    writing: bool,
    /// These are the last words: nothing is gathered any more.
    ending: bool,
}

impl Log {
    /// Sets the log going.
    pub(super) fn start(config: &LogConfig) -> io::Result<Self> {
        let lines = Lines::default();
        let queue = lines.clone();
        thread::Builder::new().name("cardea-log".to_owned()).spawn(move || queue.write_all(io::stderr()))?;
        let filter = config.filter().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let (json, text) = (lines.clone(), lines.clone());
        let log = match config.format {
            LogFormat::Json => JsonLines::new(move |line: &[u8]| json.push(line)).boxed(),
            LogFormat::Text => fmt::layer().with_writer(text).boxed(),
        };
        let log = log.with_filter(filter_fn(observe::may_tell)).with_filter(filter);
        // A program that embeds this command may have set up its own.
        drop(tracing_subscriber::registry().with(log).try_init());
        Ok(Self(lines, config.format))
    }
}

impl Log {
    /// Says something to whoever looks at the terminal, between the lines of the log and as patiently as them.
    pub(super) fn say(&self, text: &str) {
        self.tell(Level::INFO, text);
    }

    /// Says why the server ends though nobody wanted it.
    pub(super) fn complain(&self, text: &str) {
        self.tell(Level::ERROR, text);
    }

    fn tell(&self, level: Level, text: &str) {
        match self.1 {
            _ if text.is_empty() => {}
            LogFormat::Json => self.0.push(&spoken(level, text)),
            LogFormat::Text => self.0.push(format!("{text}\n").as_bytes()),
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let shared = &*self.0.0;
        let mut queue = self.0.queue();
        queue.ending = true;
        shared.filled.notify_one();
        let not_yet = |queue: &mut Queue| queue.writing || !queue.bytes.is_empty();
        // Whoever reads too slowly has had its chance.
        let _late = shared.emptied.wait_timeout_while(queue, LAST_WORDS, not_yet);
    }
}

impl Lines {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8]) {
        let mut queue = self.queue();
        if queue.bytes.len().saturating_add(line.len()) > WAITING {
            queue.lost += 1;
            return;
        }
        let before = queue.bytes.len();
        queue.bytes.extend_from_slice(line);
        let enough = before < GATHER.1 && queue.bytes.len() >= GATHER.1;
        drop(queue);
        if before == 0 || enough {
            self.0.filled.notify_one();
        }
    }

    /// Writes what comes, for as long as the process lives.
    fn write_all(&self, mut to: impl Write) {
        let mut bytes = Vec::new();
        loop {
            let empty = |queue: &mut Queue| queue.bytes.is_empty();
            let few = |queue: &mut Queue| queue.bytes.len() < GATHER.1 && !queue.ending;
            let filled = &self.0.filled;
            let queue = filled.wait_while(self.queue(), empty).unwrap_or_else(PoisonError::into_inner);
            let (mut queue, _) =
                filled.wait_timeout_while(queue, GATHER.0, few).unwrap_or_else(PoisonError::into_inner);
            std::mem::swap(&mut queue.bytes, &mut bytes);
            queue.writing = true;
            let lost = std::mem::take(&mut queue.lost);
            drop(queue);
            // Nobody can be told that the log cannot be written.
            drop(to.write_all(&bytes).and_then(|()| to.flush()));
            bytes.clear();
            bytes.shrink_to(GATHER.1);
            if lost > 0 {
                tracing::warn!(log.lost = lost, "lines of the log were left out: its reader is too slow");
            }
            self.queue().writing = false;
            self.0.emptied.notify_all();
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
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
