//! Makes one model call: asks, relays the answer through the guard window, and measures.

use cardea_core::{
    Code, Error, Result,
    message::{Prompt, Usage, tokens_of},
    time::Millis,
};

use cardea_model::{Tries, trouble_of};

use super::{Outlet, outlet::Next};
use crate::{
    app::App,
    observe::{OTHER, Trace},
};

/// The result of one model call, and what it used.
pub(super) struct Thinking {
    /// The answer, or an error of the model or the guard window, or `time_spent`.
    pub(super) next: Result<Next>,
    /// The model's name at its provider.
    pub(super) model: String,
    /// True if another model than the requested one answered.
    pub(super) stand_in: bool,
    /// The limit on output tokens that the model was given, if it was given one.
    pub(super) limit: Option<u32>,
    /// The tokens used, including those of calls that failed half way and of failed tries: providers charge for what
    /// was read and written.
    pub(super) usage: Usage,
    /// The cost, each try by its own model's price, in millionths.
    pub(super) cost_micros: u64,
}

/// Asks the model and copies its answer to the client. `left` is the time it may take.
pub(super) async fn think(
    app: &App,
    trace: &Trace,
    prompt: &Prompt,
    outlet: &mut Outlet,
    left: Millis,
) -> Thinking {
    // WHY: a made-up model name must not reach metrics or the log.
    let asked_for = if app.models.knows(&prompt.model) { prompt.model.as_str() } else { OTHER };
    let mut span = trace.stage("model").chat(asked_for);
    let first = app.models.behind(&prompt.model).next();
    let (mut served, mut stand_in, mut limit) = (None, false, None);
    let (mut usage, mut tries) = (Usage::default(), Tries::default());
    let asked = Usage { input: prompt.tokens(), ..Usage::default() };
    let thought = async {
        let stream = tokio::select! {
            stream = app.models.next_under(prompt, Some(span.along()), &mut tries) => stream?,
            unwanted = outlet.unwanted() => return Err(unwanted),
        };
        let answers = stream.served().clone();
        span.served(&answers.provider, &answers.model);
        (stand_in, usage, limit) = (answers.name != prompt.model, asked, answers.limit);
        served = Some((answers.model, answers.provider));
        outlet.relay(stream, &mut usage).await
    };
    let thought = tokio::time::timeout(left.duration(), thought).await;
    let next = thought.unwrap_or_else(|_| Err(Error::new(Code::TimeSpent)));
    let Tries { failed, now } = tries;
    if matches!(&next, Err(error) if matches!(error.code(), Code::TimeSpent | Code::Cancelled)) {
        usage.input = usage.input.max(asked.input); // it has read the prompt and may still be writing
        usage.output = usage.output.max(now.map_or(0, |now| tokens_of(now.unseen)));
    }
    let last = now.as_ref().map(|now| now.model).or(first).unwrap_or(asked_for);
    let model = served.as_ref().map_or(last, |(model, _): &(String, String)| model.as_str());
    for tried in &failed {
        app.observe.model_took(tried.model, tried.outcome, tried.took);
    }
    if let Some(now) = now {
        if let Some(took) = now.first {
            app.observe.first_token(model, took);
        }
        app.observe.model_took(model, next.as_ref().map_or_else(outcome, |_| "ok"), now.so_far());
    }
    span.ended(&next);
    if let Ok(next) = &next {
        span.used(usage, next.finish.name());
    }
    let tenant = trace.tenant();
    let mut cost_micros = app.observe.cost(model, &tenant, usage);
    for tried in failed {
        cost_micros = cost_micros.saturating_add(app.observe.cost(tried.model, &tenant, tried.spent));
        usage = usage.plus(tried.spent);
    }
    let model = model.to_owned();
    trace.note(|event| event.thought(served, usage, cost_micros));
    Thinking { next, model, stand_in, limit, usage, cost_micros }
}

/// Returns the outcome of a failed model call as metrics name it: the provider's trouble, if there was one.
fn outcome(error: &Error) -> &'static str {
    match error.code() {
        Code::TimeSpent => "timeout",
        Code::ModelFailed => trouble_of(error).unwrap_or("cut"),
        code => trouble_of(error).unwrap_or(code.name()),
    }
}
