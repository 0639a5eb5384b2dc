//! The pipeline: one call, from its arrival to its answer. Start reading here.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Instant};

use aws_lc_rs::digest;
use cardea_core::{Code, Error, canonical::hex};
use futures::FutureExt;
use rmcp::{
    ErrorData,
    model::{CallToolResult, ServerResult},
};
use serde_json::Value;
use tracing::Instrument as _;

use crate::{
    Context, Stop,
    app::App,
    audit::{Entry, OnFailure},
    call::{Call, Reply},
    guard::Ask,
    layer::{Look, Next},
    router::Route,
};

/// Replaces a name that is not a tool's. WHY: such a name is the caller's text, which must not get into meters, counts
/// and log lines.
const UNKNOWN: &str = "unknown";

/// Processes a call from start to end. Refusals are recorded like completed calls.
pub(crate) async fn call(app: &App, context: Context, name: &str, arguments: Arc<Value>) -> Reply {
    let route = app.routes.get(name);
    let known = route.map_or(UNKNOWN, |route| &route.name);
    let work = admitted(app, route, &context, &arguments);
    told(app, Asked { context: &context, known, name, arguments: &arguments }, work).await
}

/// Records a call that was refused before it came here: it is counted and recorded like any other, and is not made.
pub(crate) async fn refused(app: &App, context: &Context, arguments: &Value, refusal: Error) -> Error {
    let name = context.tool();
    let work = async {
        taken(app, context, name)?;
        Err(refusal.into())
    };
    match told(app, Asked { context, known: name, name, arguments }, work).await {
        Err(Stop::Failed(error)) => error,
        _ => Error::new(Code::Internal).because("a refusal with an answer"),
    }
}

/// A requested call, and its known name.
#[derive(Clone, Copy)]
struct Asked<'a> {
    context: &'a Context,
    known: &'a str,
    name: &'a str,
    arguments: &'a Value,
}

/// Processes a request to the handler beside the tools, such as for a resource: by the rates and guards of the whole
/// server, and recorded as a call of a tool with the method's name.
pub(crate) async fn beside(
    app: &App,
    context: &Context,
    method: &str,
    params: &Value,
    work: impl Future<Output = Result<ServerResult, ErrorData>> + Send,
) -> Result<ServerResult, Stop> {
    let mut answer = None;
    let work = async {
        taken(app, context, method)?;
        for guard in app.guards.iter() {
            guard.check(Ask { tool: method, context, arguments: Some(params) }).await?;
        }
        let done = AssertUnwindSafe(work).catch_unwind().await;
        let done = done.map_err(|_| Error::new(Code::Internal).because("the handler panicked"))?;
        answer = Some(done.map_err(|error| Stop::Protocol(Box::new(error)))?);
        Ok(CallToolResult::success(Vec::new()))
    };
    told(app, Asked { context, known: method, name: method, arguments: params }, work).await?;
    answer.ok_or_else(|| Error::new(Code::Internal).because("a handler without an answer").into())
}

/// Runs a call with its span, its meters, its entry and its log line, under its known name and the requested one.
async fn told(app: &App, asked: Asked<'_>, work: impl Future<Output = Reply>) -> Reply {
    let Asked { context, known, .. } = asked;
    // INVARIANT: counted before the check whether the server stops, so that waiting for the last call misses none.
    let _call = app.calls.token();
    let span = if app.layers.trace { span(context, known) } else { tracing::Span::none() };
    let called = async {
        let started = Instant::now();
        if let Some(metrics) = app.metrics() {
            metrics.started();
        }
        let reply = work.await;
        let reply = recorded(app, asked, reply, started).await;
        let (outcome, took) = (outcome(&reply), started.elapsed());
        if let Some(metrics) = app.metrics() {
            metrics.ended(known, outcome, took);
        }
        if app.layers.log {
            log(context, known, &reply, took.as_secs_f64() * 1e3);
        }
        reply
    };
    let reply = called.instrument(span.clone()).await;
    span.record("outcome", outcome(&reply));
    reply
}

/// Checks whether the server still accepts work, and this caller has some of the rate left for this known name.
pub(crate) fn taken(app: &App, context: &Context, known: &str) -> Result<(), Error> {
    if app.draining() {
        return Err(Error::new(Code::Draining));
    }
    app.layers.rates.iter().try_for_each(|rate| rate.take(context, known))
}

/// Checks rate, rights, concurrency and arguments, then does the work.
async fn admitted(app: &App, route: Option<&Arc<Route>>, context: &Context, arguments: &Arc<Value>) -> Reply {
    taken(app, context, route.map_or(UNKNOWN, |route| &route.name))?;
    let Some(route) = route else {
        return Err(Error::new(Code::NotFound).detail("There is no such tool.").into());
    };
    route.permits(context, Some(arguments)).await?;
    context.check_key()?;
    let _seat = match &app.layers.concurrency {
        Some(concurrency) => Some(context.0.seat.take(concurrency.seat().await?)),
        None => None,
    };
    route.check.arguments(arguments)?;
    let call = Call {
        facts: route.facts.clone(),
        arguments: arguments.clone(),
        context: context.clone(),
        state: app.state.clone(),
    };
    through_cache(app, route, call).await
}

async fn through_cache(app: &App, route: &Route, call: Call) -> Reply {
    let Some(cache) = &app.layers.cache else { return worked(app, route, call).await };
    let place = match cache.look(&call) {
        Look::Kept(result) => return Ok(*result),
        Look::Keep(place) => Some(place),
        Look::Pass => None,
    };
    cache.clear(&call);
    let reply = worked(app, route, call.clone()).await;
    cache.clear(&call);
    if let (Some(place), Ok(result)) = (place, &reply)
        && result.is_error != Some(true)
    {
        cache.keep(place, result);
    }
    reply
}

/// Does the work: intent, breaker, time limit, layers of the author, handler.
async fn worked(app: &App, route: &Route, call: Call) -> Reply {
    intended(app, &call).await?;
    let pass = match &app.layers.breaker {
        Some(breaker) => Some(breaker.enter(&route.name)?),
        None => None,
    };
    let reply = timed(app, route, call).await;
    if let Some(pass) = pass {
        match &reply {
            Some(reply) => pass.ended(reply.as_ref().err().and_then(Stop::code)),
            None => pass.given_up(),
        }
    }
    reply.unwrap_or_else(|| Err(Error::new(Code::TimeSpent).detail("The client cancelled.").into()))
}

/// Returns the result of the work, or `None` if its client cancelled.
async fn timed(app: &App, route: &Route, call: Call) -> Option<Reply> {
    let changes = call.facts.effect.changes_things();
    let (left, cancel) = (call.context().time_left(), call.context().cancelled().clone());
    let next = Next::new([app.own.clone(), route.layers.clone()], route.tool.run.clone());
    let work = AssertUnwindSafe(async move { next.run(call).await }).catch_unwind();
    let over = async {
        match left {
            Some(left) => tokio::time::sleep(left).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        done = work => {
            Some(done.unwrap_or_else(|_| Err(Error::new(Code::Internal).because("the handler panicked").into())))
        }
        () = over => Some(Err(Error::new(if changes { Code::UpstreamUnknown } else { Code::TimeSpent })
            .detail("The call took longer than it may.").into())),
        // WHY: a read that is no longer waited for is dropped; a write continues, or it would be unknown whether it
        // was done.
        () = cancel.cancelled(), if !changes => None,
    }
}

/// Records the intent of a call that changes something, before it runs.
async fn intended(app: &App, call: &Call) -> Result<(), Error> {
    let (Some(audit), true) = (&app.layers.audit, call.facts.effect.changes_things()) else {
        return Ok(());
    };
    let mut entry = Entry::new("intent", call.context(), app.clock.now(), call.tool());
    entry.arguments_sha256 = fingerprint(&call.arguments);
    entry.arguments = audit.arguments(&call.arguments);
    kept(app, audit.append(&entry).await, audit.on_failure)
}

/// Records the end of a call. If that fails the caller gets the failure, unless the operator chose otherwise.
async fn recorded(app: &App, asked: Asked<'_>, reply: Reply, started: Instant) -> Reply {
    let Some(audit) = &app.layers.audit else { return reply };
    // WHY: a name that is not a tool's is the caller's text; bounded here, escaped by JSON.
    let Asked { context, name, arguments, .. } = asked;
    let short: String = name.chars().take(128).collect();
    let mut entry = Entry::new("outcome", context, app.clock.now(), &short);
    entry.arguments_sha256 = fingerprint(arguments);
    entry.arguments = audit.arguments(arguments);
    entry.outcome = Some(outcome(&reply));
    entry.took_us = u64::try_from(started.elapsed().as_micros()).ok();
    match &reply {
        Ok(result) => entry.result = audit.result(result),
        Err(Stop::Failed(error)) => {
            entry.reason = Some(reason(app, error, name, arguments).chars().take(512).collect());
        }
        Err(Stop::Protocol(error)) => entry.reason = Some(error.message.chars().take(512).collect()),
        Err(Stop::Input(_)) => {}
    }
    let written = audit.append(&entry).await;
    kept(app, written, audit.on_failure)?;
    reply
}

/// Returns why a call failed, for the record. Messages about arguments repeat the caller's words, so only the places
/// are recorded.
fn reason(app: &App, error: &Error, name: &str, arguments: &Value) -> String {
    if !matches!(error.code(), Code::InvalidArguments | Code::BadRequest) {
        return error.public();
    }
    let places = app.routes.get(name).map(|route| route.check.places(arguments)).unwrap_or_default();
    match places.as_slice() {
        [] => error.code().sentence().to_owned(),
        places => format!("{} At {}.", error.code().sentence(), places.join(", ")),
    }
}

fn kept(app: &App, written: Result<(), Error>, on_failure: OnFailure) -> Result<(), Error> {
    match (written, on_failure) {
        (Ok(()), _) => Ok(()),
        (Err(error), OnFailure::Refuse) => Err(error),
        (Err(error), OnFailure::GoOn) => {
            tracing::error!(cause = error.cause_line(), "a call goes on without audit entry");
            if let Some(metrics) = app.metrics() {
                metrics.audit_lost();
            }
            Ok(())
        }
    }
}

/// Returns the SHA-256 of the whole arguments, in hexadecimal.
fn fingerprint(arguments: &Value) -> String {
    let digest = digest::digest(&digest::SHA256, arguments.to_string().as_bytes());
    hex(digest.as_ref())
}

fn outcome(reply: &Reply) -> &'static str {
    match reply {
        Ok(result) if result.is_error == Some(true) => "failed",
        Ok(_) => "done",
        Err(Stop::Input(_)) => "asked",
        Err(Stop::Protocol(_)) => "protocol_error",
        Err(Stop::Failed(error)) => error.code().name(),
    }
}

fn span(context: &Context, tool: &str) -> tracing::Span {
    let caller = context.caller();
    tracing::info_span!(
        "tool call",
        request.id = %context.request(),
        trace.parent = context.traceparent(),
        tool.name = tool,
        tenant.id = caller.map(|caller| caller.tenant.as_str()),
        user.id = caller.map(|caller| caller.user.as_str()),
        outcome = tracing::field::Empty,
    )
}

fn log(context: &Context, tool: &str, reply: &Reply, took_ms: f64) {
    let caller = context.caller();
    let cause = match reply {
        Err(Stop::Failed(error)) => error.cause_line(),
        _ => None,
    };
    tracing::info!(
        request.id = %context.request(),
        tool.name = tool,
        tenant.id = caller.map(|caller| caller.tenant.as_str()),
        user.id = caller.map(|caller| caller.user.as_str()),
        outcome = outcome(reply),
        took_ms,
        cause,
        "tool call"
    );
}
