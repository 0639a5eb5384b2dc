//! `cardea serve`: the server, until it is told to stop.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::{
    Layer as _, filter::filter_fn, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use super::{Cli, End, Out, check};
use crate::{
    api::{self, Bound},
    app::{App, Options},
    config::{Environment, Loaded, LogConfig, LogFormat},
    observe,
};

pub(super) fn serve(cli: &Cli, environment: &Environment, out: &mut Out<'_>) -> End {
    let loaded = match check::load(cli, environment, out) {
        Ok(loaded) => loaded,
        Err(end) => return end,
    };
    log(&loaded.config.log);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            out.note(format!("cannot start: {error}"));
            return End::Unreachable;
        }
    };
    match runtime.block_on(run(loaded, out)) {
        Ok(()) => End::Good,
        Err(error) => {
            out.note(error.public());
            out.note(error.cause_line().unwrap_or_default());
            End::Unreachable
        }
    }
}

/// Sets the log going: to standard error, so that standard output stays for results.
fn log(config: &LogConfig) {
    let filter = tracing_subscriber::EnvFilter::try_new(&config.level).unwrap_or_default();
    let log = fmt::layer().with_writer(io::stderr);
    let log = match config.format {
        LogFormat::Json => log.json().flatten_event(true).boxed(),
        LogFormat::Text => log.boxed(),
    };
    let log = log.with_filter(filter_fn(observe::may_tell)).with_filter(filter);
    // A program that embeds this command may have set up its own.
    drop(tracing_subscriber::registry().with(log).try_init());
}

async fn run(loaded: Loaded, out: &mut Out<'_>) -> cardea_core::Result<()> {
    let bound = Bound::new(loaded.config.server.bind).await?;
    let address = bound.address;
    let app = App::build(loaded, Options::default()).await?;
    app.start().await?;
    out.line(format!("cardea listens on http://{address}"));
    let server = api::serve(app.clone(), bound);
    tokio::pin!(server);
    tokio::select! {
        ended = &mut server => return ended,
        () = told_to_stop() => {}
    }
    out.note("stopping: no new work, open work ends");
    let (served, ()) = tokio::join!(server, app.stop());
    served
}

/// Ends when the operator or the system asks for it.
async fn told_to_stop() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
