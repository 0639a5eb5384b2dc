//! One model call: asked, relayed through the guard window, measured.

use cardea_core::{Result, message::Prompt, time::Millis};

use super::{Outlet, outlet::Next};
use crate::{app::App, observe::Trace};

/// What one model call gave, and who gave it.
pub(super) struct Thinking {
    pub(super) next: Next,
    /// The model as its provider calls it: prices go by this.
    pub(super) model: String,
    /// Another than the one that was asked for has stood in.
    pub(super) stand_in: bool,
}

/// Asks the model and copies its answer to the client; `left` is the time it may take.
///
/// # Errors
/// Those of the model and of the guard window.
pub(super) async fn think(
    app: &App,
    trace: &Trace,
    prompt: &Prompt,
    outlet: &mut Outlet,
    left: Millis,
) -> Result<Thinking> {
    let mut span = trace.stage("model").chat(&prompt.model);
    let (mut model, mut stand_in) = (prompt.model.clone(), false);
    let thought = async {
        let stream = app.models.next_under(prompt, Some(span.context())).await?;
        let served = stream.served().clone();
        span.served(&served.provider, &served.model);
        (model, stand_in) = (served.model, served.name != prompt.model);
        outlet.relay(stream, left).await
    };
    let thought = thought.await;
    let outcome = thought.as_ref().map_or_else(|error| error.code().name(), |_| "ok");
    app.observe.model_took(&model, outcome, span.so_far());
    span.ended(&thought);
    let next = thought?;
    span.used(next.usage, next.finish.name());
    Ok(Thinking { next, model, stand_in })
}
