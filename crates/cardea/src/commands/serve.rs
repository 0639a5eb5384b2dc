//! `cardea serve`: runs the server until it is told to stop.

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    pin::Pin,
    time::Duration,
};

use cardea_core::{Code, Error, Result, time::Millis};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Cli, End, Out, client::LAST, ground, log::Log};
use crate::{
    api::{self, Bound},
    app::{App, Options, data_folder},
    config::{Config, Environment, Loaded},
};

/// File in the data folder whose lock says that a server works there.
const LOCK: &str = "serve.lock";

/// How long an idle thread for blocking work is kept.
///
/// WHY: shorter than the pause between two checkpoints. mimalloc returns freed memory to the system when a thread
/// ends; otherwise an idle server would keep the memory that it needed at its start.
const IDLE: Duration = Duration::from_secs(2);

/// How often to test whether the database can still be written.
const LOOK: Duration = Duration::from_millis(250);

pub(super) fn serve(cli: &Cli, environment: &Environment, out: &mut Out<'_>) -> End {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = match runtime.enable_all().thread_keep_alive(IDLE).build() {
        Ok(runtime) => runtime,
        Err(error) => {
            out.note(format!("cannot start: {error}"));
            return End::Unreachable;
        }
    };
    // WHY: first of all. Without a handler a signal ends the process in the middle of its start; as the first process
    // of a container it would not even receive the signal.
    let asked = match runtime.block_on(async { Asked::listen() }) {
        Ok(asked) => asked,
        Err(error) => {
            out.note(format!("cannot start: {error}"));
            return End::Unreachable;
        }
    };
    let loaded = match ground::load(cli, environment, out) {
        Ok(loaded) => loaded,
        Err(end) => return end,
    };
    let log = match Log::start(&loaded.config.log) {
        Ok(log) => log,
        Err(error) => {
            out.note(format!("cannot start the log: {error}"));
            return End::Unreachable;
        }
    };
    let ended = runtime.block_on(run(loaded, asked, out, &log));
    runtime.shutdown_timeout(LAST);
    match ended {
        Ok(()) => End::Good,
        Err(error) => {
            log.complain(&ground::words(&error));
            log.complain(&error.cause_line().unwrap_or_default());
            if error.code() == Code::Conflict { End::Unreachable } else { ground::end_of(&error) }
        }
    }
}

async fn run(loaded: Loaded, mut asked: Asked, out: &mut Out<'_>, log: &Log) -> Result<()> {
    let _alone = alone(&loaded.config)?;
    let bound = Bound::new(loaded.config.server.bind).await?;
    let address = bound.address;
    let app = tokio::select! {
        built = App::build(loaded, Options::default()) => built?,
        () = asked.stop() => {
            log.say("stopped before the start was done");
            return Ok(());
        }
    };
    tokio::select! {
        started = app.start() => started?,
        () = asked.stop() => {
            log.say("stopping before the start is done: open work ends");
            app.stop().await;
            return Ok(());
        }
    }
    out.line(format!("cardea listens on http://{address}"));
    let server = api::serve(app.clone(), bound);
    tokio::pin!(server);
    until(asked.stop(), server.as_mut(), &app).await?;
    let delay = app.config.server.shutdown_delay;
    if delay > Millis(0) {
        log.say(&format!("stopping in {delay}: not ready any more, and all goes on until then"));
    }
    let leaves = async {
        tokio::select! {
            () = app.leave() => {}
            () = asked.stop() => {} // told to stop a second time
        }
    };
    until(leaves, server.as_mut(), &app).await?;
    log.say("stopping: no new work, open work ends");
    let (served, ()) = tokio::join!(server, app.stop());
    served
}

/// Serves until told to stop. Returns an error if the server ends before.
async fn until(
    then: impl Future<Output = ()>,
    server: Pin<&mut impl Future<Output = Result<()>>>,
    app: &App,
) -> Result<()> {
    tokio::select! {
        ended = server => {
            // The server ends unasked; requests in progress still get an answer.
            app.jobs.drain(app.config.server.drain.duration()).await;
            ended.and(Err(ousted()))
        }
        error = broken(app) => {
            // Nothing can be written any more, least of all open work. It is cut off, and its clients are told that
            // this node ends. Whatever hangs on the disk must not keep the process alive.
            drop(tokio::time::timeout(LAST, app.jobs.drain(Duration::ZERO)).await);
            Err(error)
        }
        () = then => Ok(()),
    }
}

/// Returns the error of a server that ends unasked.
fn ousted() -> Error {
    Error::new(Code::Conflict).detail("Another process has taken the name of this node; set `db.node` apart.")
}

/// Locks the data folder, and the file of a single-process database, for as long as this process serves.
fn alone(config: &Config) -> Result<Vec<File>> {
    let file = config.db.url.strip_prefix("sqlite:").filter(|path| !path.starts_with(':'));
    let Some(file) = file else { return Ok(Vec::new()) };
    data_folder(&config.data.dir)?;
    // WHY both: the keys of people lie in the folder, and what is sealed under them in the database.
    let beside = PathBuf::from(format!("{file}.lock"));
    Ok(vec![hold(&config.data.dir.join(LOCK), &config.data.dir)?, hold(&beside, Path::new(file))?])
}

/// Takes the lock that says that a server works here.
fn hold(lock: &Path, what: &Path) -> Result<File> {
    let unusable = |error: &std::io::Error| {
        let detail = format!("`{}` cannot be opened for writing: {error}.", lock.display());
        Error::new(Code::Misconfigured).detail(detail)
    };
    let file = File::options().create(true).append(true).open(lock).map_err(|error| unusable(&error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::new(Code::Conflict).detail(format!(
            "Another server already works with `{}`: stop it first, or give this one a `data.dir` and a `db.url` of its own.",
            what.display()
        ))),
        Err(TryLockError::Error(error)) => Err(unusable(&error)),
    }
}

/// Completes when nothing can be written until the process restarts.
async fn broken(app: &App) -> Error {
    loop {
        tokio::time::sleep(LOOK).await;
        if let Some(why) = app.db.broken() {
            let detail = "The disk failed while it was written to: this process ends, so that the next one finds out \
                          what is on it.";
            return Error::new(Code::StoreUnavailable).detail(detail).because(why);
        }
    }
}

/// Requests to stop, from the operator or the system.
struct Asked {
    terminate: Signal,
    interrupt: Signal,
    hangup: Option<Signal>,
}

impl Asked {
    /// Listens from now on.
    fn listen() -> std::io::Result<Self> {
        // A closing terminal sends SIGHUP, and Cardea rereads no configuration on it, so it ends the server. `nohup`
        // makes the process ignore SIGHUP, and then the server outlives the terminal.
        let hangup = if hangups_are_ignored() { None } else { Some(signal(SignalKind::hangup())?) };
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt, hangup })
    }

    /// Completes at a request to stop, including one received since the last call.
    async fn stop(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => drop(hangup.recv().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            () = hangup => {}
        }
    }
}

/// Returns whether the parent has this process ignore SIGHUP, as the kernel reports.
fn hangups_are_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    ignored & 1 == 1 // SIGHUP is signal 1
}
