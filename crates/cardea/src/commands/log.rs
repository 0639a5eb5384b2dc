//! The log of a server, written to standard error by a thread of its own.
//!
//! Promises: no request waits for the reader of the log. If the reader is too slow, lines are dropped, and a line says
//! how many. An orderly end writes everything that is queued, within a moment.

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

/// Bytes that may be queued.
const WAITING: usize = 4 << 20;

/// How long, and up to how many bytes, lines are gathered before they are written together. Waking a thread for each
/// line costs a request more than formatting the line.
const GATHER: (Duration, usize) = (Duration::from_millis(5), 64 << 10);

/// How long an orderly end waits for the reader.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Keeps the log running until it is dropped.
#[derive(Debug)]
pub(super) struct Log(Lines, LogFormat);

/// Queue to the writing thread.
#[derive(Debug, Clone, Default)]
struct Lines(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Signals that there is something to write.
    filled: Condvar,
    /// Signals that everything is written.
    emptied: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    bytes: Vec<u8>,
    lost: u64,
    /// True while the thread holds bytes that it has not written yet.
    writing: bool,
    /// True at the end of the process: lines are no longer gathered.
    ending: bool,
}

impl Log {
    /// Starts the log.
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
        // An embedding program may have installed a subscriber of its own.
        drop(tracing_subscriber::registry().with(log).try_init());
        Ok(Self(lines, config.format))
    }
}

impl Log {
    /// Prints a text for the person at the terminal, between the lines of the log and through the same queue.
    pub(super) fn say(&self, text: &str) {
        self.tell(Level::INFO, text);
    }

    /// Prints why the server ends although nobody stopped it.
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
        // Past this limit a slow reader loses the rest.
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

    /// Writes queued lines for as long as the process lives.
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
            // There is no place left to report that the log cannot be written.
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
