//! The thread that writes the log.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use cardea_core::{
    Code, Error,
    canonical::hex,
    log::{Broken, ChainKey, Head, Verifier},
};
use tokio::sync::oneshot;

use super::verify::{self, Fault, Lines};

/// Limit of entries that wait for the writer; further ones wait for room.
const QUEUE: usize = 1024;
/// Limit of entries that share one flush.
const BATCH: usize = 256;
/// Age limit of the checkpoint. Writing it costs as much as a flush, so not every batch has its own.
const NOTED_WITHIN: Duration = Duration::from_secs(1);

/// Reason why the audit cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The disk reported an error.
    #[error("cannot use audit file `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// Another process has it open.
    #[error("audit file `{}` is written by another process", .0.display())]
    Taken(PathBuf),
    /// It was changed.
    #[error("audit file `{}` does not hold", path.display())]
    Fault {
        /// The file.
        path: PathBuf,
        /// The first entry that does not hold.
        source: Fault,
    },
    /// The key is not a usable secret.
    #[error("the audit key {0}")]
    Key(#[from] cardea_core::secret::WeakSecret),
    /// The entry cannot be written as JSON.
    #[error("audit entry is not JSON")]
    Json(#[source] serde_json::Error),
    /// The writer has stopped.
    #[error("the audit writer has stopped")]
    Stopped,
    /// The last write failed.
    #[error("audit entry was not written: {0}")]
    NotWritten(io::ErrorKind),
}

impl From<AuditError> for Error {
    fn from(error: AuditError) -> Self {
        let full = matches!(
            error,
            AuditError::NotWritten(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        );
        Self::new(if full { Code::StoreFull } else { Code::StoreUnavailable }).because(error)
    }
}

type Told = oneshot::Sender<Result<(), io::ErrorKind>>;
type Job = (Vec<u8>, Told);

/// A handle to the writer. Dropping the last one stops it, after everything is written.
#[derive(Clone)]
pub struct AuditFile(Arc<Handle>);

struct Handle {
    queue: Mutex<Option<mpsc::SyncSender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl AuditFile {
    pub(super) fn open(path: PathBuf, checkpoint: PathBuf, key: ChainKey) -> Result<Self, AuditError> {
        let writer = Writer::open(path, checkpoint, key)?;
        let (queue, jobs) = mpsc::sync_channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("mcp-audit".to_owned())
            .spawn(move || writer.run(&jobs))
            .map_err(|source| AuditError::Io { path: PathBuf::from("mcp-audit thread"), source })?;
        Ok(Self(Arc::new(Handle { queue: Mutex::new(Some(queue)), thread: Mutex::new(Some(thread)) })))
    }

    /// Returns when the entry is on the disk.
    pub(super) async fn append(&self, body: Vec<u8>) -> Result<(), AuditError> {
        let queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let queue = queue.ok_or(AuditError::Stopped)?;
        let (told, written) = oneshot::channel();
        match queue.try_send((body, told)) {
            Ok(()) => {}
            Err(mpsc::TrySendError::Disconnected(_)) => return Err(AuditError::Stopped),
            // WHY: a full queue means that the disk is far behind; waiting here would stall every call.
            Err(mpsc::TrySendError::Full(_)) => {
                return Err(AuditError::NotWritten(io::ErrorKind::WouldBlock));
            }
        }
        match written.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(kind)) => Err(AuditError::NotWritten(kind)),
            Err(_) => Err(AuditError::Stopped),
        }
    }

    /// Writes what waits, and the checkpoint, and ends the writer. Later entries are refused.
    pub fn close(&self) {
        self.0.close();
    }
}

impl Handle {
    fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // WHY: a writer that panicked has nothing more to write; its callers were told.
            let _ = thread.join();
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}

struct Writer {
    file: File,
    length: u64,
    /// True if the file may contain more than the chain: part of a batch that could not be written.
    is_dirty: bool,
    head: Head,
    key: ChainKey,
    checkpoint: PathBuf,
}

impl Writer {
    fn open(path: PathBuf, checkpoint: PathBuf, key: ChainKey) -> Result<Self, AuditError> {
        let io = |source| AuditError::Io { path: path.clone(), source };
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(&path).map_err(io)?;
        if file.try_lock().is_err() {
            return Err(AuditError::Taken(path));
        }
        let seen = verify::read_checkpoint(&checkpoint).map_err(io)?;
        // WHY: a line without its end was never acknowledged; a crash interrupted its writing.
        let read = verify::lines(&file, Verifier::new(key.clone(), seen));
        let Lines { head, length, is_torn } = read.map_err(|source| match source {
            Fault::Unread(kind) => io(kind.into()),
            source => AuditError::Fault { path: path.clone(), source },
        })?;
        if is_torn {
            file.set_len(length).and_then(|()| file.sync_all()).map_err(io)?;
        }
        file.seek(SeekFrom::End(0)).map_err(io)?;
        Ok(Self { file, length, is_dirty: false, head, key, checkpoint })
    }

    fn run(mut self, jobs: &mpsc::Receiver<Job>) {
        let mut batch: Vec<Job> = Vec::with_capacity(BATCH);
        let mut due: Option<Instant> = None;
        loop {
            let first = match due {
                Some(at) => jobs.recv_timeout(at.saturating_duration_since(Instant::now())),
                None => jobs.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected),
            };
            match first {
                Ok(first) => batch.push(first),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
            if !batch.is_empty() {
                self.serve(&mut batch, jobs);
                due.get_or_insert_with(|| Instant::now() + NOTED_WITHIN);
            }
            if due.is_some_and(|at| at <= Instant::now()) {
                self.note();
                due = None;
            }
        }
        self.note();
    }

    /// Writes what waits as one batch, and answers all waiting callers.
    fn serve(&mut self, batch: &mut Vec<Job>, jobs: &mpsc::Receiver<Job>) {
        batch.extend(jobs.try_iter().take(BATCH - 1));
        let outcome = self.write(batch.iter().map(|(body, _)| body.as_slice()));
        for (_, told) in batch.drain(..) {
            // WHY: a caller that is gone needs no answer; its entry is written all the same.
            let _ = told.send(outcome.as_ref().map(|_| ()).map_err(io::Error::kind));
        }
    }

    /// Cuts off the remains of a failed write.
    fn clean(&mut self) -> io::Result<()> {
        if self.is_dirty {
            self.file.set_len(self.length)?;
            self.is_dirty = false;
        }
        Ok(())
    }

    fn write<'a>(&mut self, bodies: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
        // INVARIANT: the file ends at the head of the chain; half a batch must not stay behind, or nothing after it
        // verifies.
        self.clean()?;
        let (mut head, mut bytes) = (self.head, Vec::new());
        for body in bodies {
            head = head.append(&self.key, body);
            write!(bytes, r#"{{"seq":{},"link":"{}","entry":"#, head.sequence, hex(&head.link))?;
            bytes.extend_from_slice(body);
            bytes.extend_from_slice(b"}\n");
        }
        let written = self.file.write_all(&bytes).and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => {
                self.length += u64::try_from(bytes.len()).unwrap_or(0);
                self.head = head;
                Ok(())
            }
            Err(error) => {
                self.is_dirty = true;
                if let Err(cut) = self.clean() {
                    tracing::error!(error = %cut, "audit file cannot be cut back after a failed write");
                }
                Err(error)
            }
        }
    }

    fn note(&mut self) {
        if let Err(error) = write_checkpoint(&self.checkpoint, &self.head) {
            tracing::error!(%error, "audit checkpoint was not written");
        }
    }
}

fn write_checkpoint(path: &Path, head: &Head) -> io::Result<()> {
    let fresh = path.with_extension("checkpoint.new");
    let mut file = File::create(&fresh)?;
    writeln!(file, "{} {}", head.sequence, hex(&head.link))?;
    file.sync_all()?;
    fs::rename(&fresh, path)
}

impl From<Broken> for Fault {
    fn from(broken: Broken) -> Self {
        Self::Chain(broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_batch_that_could_not_be_cut_away_is_cut_before_the_next_and_nothing_is_written_until_then() {
        let dir = tempfile::tempdir().unwrap();
        let (path, key) = (dir.path().join("audit.jsonl"), ChainKey::new(&[7; 32]));
        let open = || Writer::open(path.clone(), path.with_extension("checkpoint"), key.clone());
        let mut writer = open().unwrap();
        let entry = |writer: &mut Writer, body: &'static str| writer.write([body.as_bytes()].into_iter());
        entry(&mut writer, r#"{"n":1}"#).unwrap();
        // A disk that takes part of an entry, and then fails, even at truncating.
        let healthy = std::mem::replace(&mut writer.file, File::open(&path).unwrap());
        (&healthy).write_all(br#"{"seq":2,"li"#).unwrap();
        entry(&mut writer, r#"{"n":2}"#).unwrap_err();
        entry(&mut writer, r#"{"n":3}"#).unwrap_err();
        writer.file = healthy;
        entry(&mut writer, r#"{"n":4}"#).unwrap();
        drop(writer);
        let text = fs::read_to_string(&path).unwrap();
        let entries: Vec<&str> =
            text.lines().filter_map(|line| line.split_once("\"entry\":")).map(|(_, entry)| entry).collect();
        assert_eq!(entries, [r#"{"n":1}}"#, r#"{"n":4}}"#]);
        assert_eq!(open().unwrap().head.sequence, 2, "the chain holds");
    }
}
