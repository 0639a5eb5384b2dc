//! `cardea serve`: the server, until it is told to stop.

use std::time::Duration;

use cardea_core::{Code, Error, Result};
use tokio::signal::unix::{SignalKind, signal};

use super::{Cli, End, Out, check, log::Log, people};
use crate::{
    api::{self, Bound},
    app::{App, Options},
    config::{Environment, Loaded},
};

/// How long threads may take to end with the process.
const LAST: Duration = Duration::from_secs(2);

/// How often to look whether the database can still be written.
const LOOK: Duration = Duration::from_millis(250);

pub(super) fn serve(cli: &Cli, environment: &Environment, out: &mut Out<'_>) -> End {
    let loaded = match check::load(cli, environment, out) {
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
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            out.note(format!("cannot start: {error}"));
            return End::Unreachable;
        }
    };
    let ended = runtime.block_on(run(loaded, out, &log));
    // What still hangs on a disk or a neighbour must not keep the process.
    runtime.shutdown_timeout(LAST);
    match ended {
        Ok(()) => End::Good,
        Err(error) => {
            log.say(&people::words(&error));
            log.say(&error.cause_line().unwrap_or_default());
            End::Unreachable
        }
    }
}

async fn run(loaded: Loaded, out: &mut Out<'_>, log: &Log) -> Result<()> {
    let bound = Bound::new(loaded.config.server.bind).await?;
    let address = bound.address;
    let app = App::build(loaded, Options::default()).await?;
    app.start().await?;
    out.line(format!("cardea listens on http://{address}"));
    let server = api::serve(app.clone(), bound);
    tokio::pin!(server);
    tokio::select! {
        ended = &mut server => return ended,
        error = broken(&app) => return Err(error), // nothing can be written down any more, open work least of all
        () = told_to_stop() => {}
    }
    log.say("stopping: no new work, open work ends");
    let (served, ()) = tokio::join!(server, app.stop());
    served
}

/// Ends when nothing can be written any more before the process starts anew.
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

/// Ends when the operator or the system asks for it.
async fn told_to_stop() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
