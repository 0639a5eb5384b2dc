//! One model call: asked, relayed through the guard window, measured.

use cardea_core::{
    Code, Error, Result,
    message::{Prompt, Usage},
    time::Millis,
};

use super::{Outlet, outlet::Next};
use crate::{
    app::App,
    observe::{OTHER, Trace},
};

/// What one model call gave, who gave it, and what it used.
pub(super) struct Thinking {
    /// The errors of the model and of the guard window, and `time_spent`.
    pub(super) next: Result<Next>,
    /// The model as its provider calls it: prices go by this.
    pub(super) model: String,
    /// Another than the one that was asked for has stood in.
    pub(super) stand_in: bool,
    /// Also of a call that failed half way, and of tries that came to nothing: a provider wants to be paid for what it has
    /// read and written.
    pub(super) usage: Usage,
    /// What that costs, each try by its own model, in millionths.
    pub(super) cost_micros: u64,
}

/// Asks the model and copies its answer to the client; `left` is the time it may take.
pub(super) async fn think(
    app: &App,
    trace: &Trace,
    prompt: &Prompt,
    outlet: &mut Outlet,
    left: Millis,
) -> Thinking {
    // WHY: what a client makes up is told by no meter and no line of the log.
    let asked_for = if app.models.knows(&prompt.model) { prompt.model.as_str() } else { OTHER };
    let mut span = trace.stage("model").chat(asked_for);
    let first = app.models.behind(&prompt.model).next();
    let (mut model, mut stand_in) = (first.unwrap_or(asked_for).to_owned(), false);
    let (mut usage, mut tries) = (Usage::default(), Vec::new());
    let asked = Usage { input: prompt.tokens(), ..Usage::default() };
    let thought = async {
        let stream = tokio::select! {
            stream = app.models.next_under(prompt, Some(span.context()), &mut tries) => stream?,
            unwanted = outlet.unwanted() => return Err(unwanted),
        };
        let served = stream.served().clone();
        span.served(&served.provider, &served.model);
        (model, stand_in, usage) = (served.model, served.name != prompt.model, asked);
        outlet.relay(stream, &mut usage).await
    };
    let thought = tokio::time::timeout(left.duration(), thought).await;
    let next = thought.unwrap_or_else(|_| Err(Error::new(Code::TimeSpent)));
    if matches!(&next, Err(error) if matches!(error.code(), Code::TimeSpent | Code::ModelSilent | Code::Cancelled))
    {
        usage.input = usage.input.max(asked.input); // it has read the prompt, and may still be at it
    }
    let outcome = next.as_ref().map_or_else(|error| error.code().name(), |_| "ok");
    app.observe.model_took(&model, outcome, span.so_far());
    span.ended(&next);
    if let Ok(next) = &next {
        span.used(usage, next.finish.name());
    }
    let mut cost_micros = app.observe.cost(&model, usage);
    for (model, spent) in tries {
        cost_micros = cost_micros.saturating_add(app.observe.cost(&model, spent));
        usage = usage.plus(spent);
    }
    Thinking { next, model, stand_in, usage, cost_micros }
}
