//! Work in a task of its own.
//!
//! WHY: a client that hangs up must not stop an action in the middle, and the end of an installation waits for its tasks
//! only.

use std::future::Future;

use cardea_core::{Code, Error, Result};
use tokio::sync::oneshot;

use crate::app::App;

/// What comes of such work.
pub(crate) type Coming<T> = oneshot::Receiver<Result<T>>;

/// Begins work that goes on though nobody waits for it. Where this node is stopping nothing is begun, and `draining` comes.
pub(crate) fn begin<T: Send + 'static, F: Future<Output = Result<T>> + Send + 'static>(
    app: &App,
    name: &'static str,
    work: impl FnOnce(App) -> F,
) -> Coming<T> {
    let work = Box::pin(work(app.clone())); // once, for it is large
    let (done, coming) = oneshot::channel();
    if app.jobs.spawn(name, async move { drop(done.send(work.await)) }) {
        return coming;
    }
    let (done, coming) = oneshot::channel();
    drop(done.send(Err(Code::Draining.into())));
    coming
}

/// Waits for what comes of it.
///
/// # Errors
/// Those of the work; `draining` if the end of this node has cut it off, `internal` if it panicked.
pub(crate) async fn heard<T>(app: &App, coming: Coming<T>) -> Result<T> {
    coming.await.unwrap_or_else(|_| Err(wordless(app)))
}

/// Does work to its end, and waits for it. Dropping the future ends the waiting and nothing else.
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

/// The error of work that ended without a word: it panicked, or the end of this node has cut it off. A turn that was cut off
/// goes on elsewhere, or at the next start.
pub(crate) fn wordless(app: &App) -> Error {
    if app.jobs.draining() { Error::new(Code::Draining).begun() } else { Error::new(Code::Internal) }
}
