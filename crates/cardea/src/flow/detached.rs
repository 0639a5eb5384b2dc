//! Runs work in a task of its own.
//!
//! WHY: a client that disconnects must not stop an action half way, and a stopping installation waits only for its own
//! tasks.

use std::future::Future;

use cardea_core::{Code, Error, Result};
use tokio::sync::oneshot;

use crate::app::App;

/// The future result of detached work.
pub(crate) type Coming<T> = oneshot::Receiver<Result<T>>;

/// Starts work that continues even if nobody waits for its result. On a node that is stopping nothing is started, and
/// the result is `draining`.
pub(crate) fn begin<T: Send + 'static, F: Future<Output = Result<T>> + Send + 'static>(
    app: &App,
    name: &'static str,
    work: impl FnOnce(App) -> F,
) -> Coming<T> {
    let work = Box::pin(work(app.clone())); // boxed once, because the future is large
    let (done, coming) = oneshot::channel();
    if app.jobs.spawn(name, async move { drop(done.send(work.await)) }) {
        return coming;
    }
    let (done, coming) = oneshot::channel();
    drop(done.send(Err(Code::Draining.into())));
    coming
}

/// Waits for the result of detached work.
///
/// # Errors
/// Those of the work; `draining` if this node stopped and cut it off, `internal` if it panicked.
pub(crate) async fn heard<T>(app: &App, coming: Coming<T>) -> Result<T> {
    coming.await.unwrap_or_else(|_| Err(wordless(app)))
}

/// Runs work to its end and waits for it. Dropping the future stops only the waiting.
///
/// # Errors
/// As [`heard`].
pub(crate) async fn detached<T: Send + 'static, F: Future<Output = Result<T>> + Send + 'static>(
    app: &App,
    name: &'static str,
    work: impl FnOnce(App) -> F,
) -> Result<T> {
    heard(app, begin(app, name, work)).await
}

/// Returns the error of work that ended without a result: it panicked, or was cut off because this node stops. A turn
/// that was cut off is resumed by another node or at the next start.
pub(crate) fn wordless(app: &App) -> Error {
    if app.jobs.draining() { Error::new(Code::Draining).begun() } else { Error::new(Code::Internal) }
}
