//! The trace of one request: a span for each stage, and the wide event once the last work on it has ended.
//!
//! Names and attributes follow the OpenTelemetry conventions for generative AI where they exist: a turn is
//! `invoke_agent`, a model call `chat`, a tool call `execute_tool`. A span is logged when it ends, with the target
//! `cardea::span` at level debug, and its duration is part of the request's event.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use cardea_core::{
    Code, Error, Result,
    id::RequestId,
    message::Usage,
    trace::{Along, TraceContext, TraceState},
};
use futures::FutureExt as _;

use super::{Observe, RequestEvent, Work};

/// Limit of stages in one event.
const STAGES: usize = 64;

/// A running request. Cheap to clone. When the last clone is dropped, the event of the request is logged.
#[derive(Clone)]
pub struct Trace {
    open: Arc<Open>,
    /// The span that contains what begins next.
    at: TraceContext,
}

struct Open {
    observe: Option<Observe>,
    here: TraceContext,
    caller: Option<TraceContext>,
    state: Option<TraceState>,
    started: Instant,
    event: Mutex<Event>,
}

/// The event in progress, and its start time.
struct Event {
    told: RequestEvent,
    since: Instant,
}

impl Event {
    fn now(told: RequestEvent) -> Mutex<Self> {
        Mutex::new(Self { told, since: Instant::now() })
    }
}

impl std::fmt::Debug for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Trace").field(&self.at).finish()
    }
}

impl Default for Trace {
    /// Creates a trace that is not logged.
    fn default() -> Self {
        let event = RequestEvent::new(RequestId::random(), "none", "none");
        let (here, event) = (TraceContext::fresh(), Event::now(event));
        let (observe, caller, state, started) = (None, None, None, Instant::now());
        Self { open: Arc::new(Open { observe, here, caller, state, started, event }), at: here }
    }
}

impl Observe {
    /// Creates the trace of a request. `caller` is the trace context that the client sent, if it did, and `state` its
    /// trace state.
    #[must_use]
    pub fn trace(
        &self,
        mut event: RequestEvent,
        caller: Option<TraceContext>,
        state: Option<TraceState>,
    ) -> Trace {
        let here = caller.map_or_else(TraceContext::fresh, |caller| caller.child());
        event.trace = Some(here.trace_id());
        let (observe, event) = (Some(self.clone()), Event::now(event));
        self.0.meters.in_work().inc();
        let started = Instant::now();
        Trace { open: Arc::new(Open { observe, here, caller, state, started, event }), at: here }
    }

    fn span(&self, span: &Span, trace: &Open) {
        let Facts { name, operation, provider, asked, model, tool, call, agent, usage, finish, error } =
            &span.facts;
        tracing::event!(
            target: "cardea::span",
            tracing::Level::DEBUG,
            trace.id = trace.here.trace_id(),
            span.id = span.here.span_id(),
            parent.id = span.trace.at.span_id(),
            span.name = name.as_deref().unwrap_or(span.stage),
            took_us = u64::try_from(span.started.elapsed().as_micros()).unwrap_or(u64::MAX),
            gen_ai.operation.name = *operation,
            gen_ai.provider.name = provider.as_deref(),
            gen_ai.request.model = asked.as_deref(),
            gen_ai.response.model = model.as_deref(),
            gen_ai.usage.input_tokens = usage.map(|usage| usage.input),
            gen_ai.usage.output_tokens = usage.map(|usage| usage.output),
            gen_ai.response.finish_reason = *finish,
            gen_ai.tool.name = tool.as_deref(),
            gen_ai.tool.call.id = call.as_deref(),
            gen_ai.agent.name = agent.as_deref(),
            "error.type" = error.map(Code::name),
            "span"
        );
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let Some(observe) = &self.observe else { return };
        observe.0.meters.in_work().dec();
        let Event { told: event, since } = self.event.get_mut().unwrap_or_else(PoisonError::into_inner);
        if event.took.is_zero() {
            event.took = since.elapsed();
        }
        let name = match event.work {
            Work::Request => format!("{} {}", event.method, event.route),
            work => work.name().to_owned(),
        };
        tracing::event!(
            target: "cardea::span",
            tracing::Level::DEBUG,
            trace.id = self.here.trace_id(),
            span.id = self.here.span_id(),
            parent.id = self.caller.map(|caller| caller.span_id()),
            span.name = name,
            took_us = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX),
            "error.type" = event.code.map(Code::name),
            "span"
        );
        observe.request(event);
    }
}

impl Trace {
    /// Returns the id of the request.
    #[must_use]
    pub fn request(&self) -> RequestId {
        self.open.event.lock().unwrap_or_else(PoisonError::into_inner).told.request
    }

    /// Returns the trace context of the request itself.
    #[must_use]
    pub fn context(&self) -> TraceContext {
        self.open.here
    }

    /// Returns the tenant as named in meters.
    #[must_use]
    pub fn tenant(&self) -> String {
        let open = self.open.event.lock().unwrap_or_else(PoisonError::into_inner);
        open.told.tenant.clone().unwrap_or_else(|| "none".to_owned())
    }

    /// Records a fact in the event of the request.
    pub fn note(&self, note: impl FnOnce(&mut RequestEvent)) {
        note(&mut self.open.event.lock().unwrap_or_else(PoisonError::into_inner).told);
    }

    /// Records the error of the work that the client waits for, if it failed.
    pub fn note_error<T>(&self, done: &Result<T>) {
        if let Err(error) = done {
            self.note(|event| event.failed(error));
        }
    }

    /// Records that the client disconnected before the answer. The request ends here; the work for it may go on.
    pub fn left(&self, status: u16) {
        let took = self.open.started.elapsed();
        self.note(|event| (event.status, event.left, event.took) = (status, true, took));
    }

    /// Logs the request, which is answered although its work continues. From here on the work is logged as an event of
    /// its own, in the same trace.
    pub fn goes_on(&self) {
        let done = {
            let mut event = self.open.event.lock().unwrap_or_else(PoisonError::into_inner);
            event.told.took = event.since.elapsed();
            event.since = Instant::now();
            let rest = event.told.rest();
            std::mem::replace(&mut event.told, rest)
        };
        if let Some(observe) = &self.open.observe {
            observe.request(&done);
        }
    }

    /// Begins a stage, which ends when the span is dropped.
    #[must_use]
    pub fn stage(&self, stage: &'static str) -> Span {
        let here = self.at.child();
        Span { trace: self.clone(), here, stage, started: Instant::now(), facts: Facts::default() }
    }

    /// Runs one stage.
    ///
    /// # Errors
    /// Those of the work.
    pub fn time<T>(
        &self,
        stage: &'static str,
        work: impl Future<Output = Result<T>>,
    ) -> impl Future<Output = Result<T>> {
        let mut span = self.stage(stage);
        // WHY: not an `async fn`, which would hold the work twice, and the work of a request is large.
        work.inspect(move |done| span.ended(done))
    }

    /// Runs one synchronous stage.
    ///
    /// # Errors
    /// Those of the work.
    pub fn timed<T>(&self, stage: &'static str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let mut span = self.stage(stage);
        let done = work();
        span.ended(&done);
        done
    }
}

/// Attributes of a span, beside its name and duration. There is no field for a text or an argument.
#[derive(Debug, Default)]
struct Facts {
    name: Option<String>,
    operation: Option<&'static str>,
    provider: Option<String>,
    asked: Option<String>,
    model: Option<String>,
    tool: Option<String>,
    call: Option<String>,
    agent: Option<String>,
    usage: Option<Usage>,
    finish: Option<&'static str>,
    error: Option<Code>,
}

/// A running stage.
#[derive(Debug)]
pub struct Span {
    trace: Trace,
    here: TraceContext,
    stage: &'static str,
    started: Instant,
    facts: Facts,
}

impl Span {
    /// Marks the stage as a call of a model, by the name that the agent uses.
    #[must_use]
    pub fn chat(mut self, asked: &str) -> Self {
        self.facts.operation = Some("chat");
        self.facts.name = Some(format!("chat {asked}"));
        self.facts.asked = Some(asked.to_owned());
        self
    }

    /// Marks the stage as a tool call.
    #[must_use]
    pub fn execute_tool(mut self, tool: &str, call: &str) -> Self {
        self.facts.operation = Some("execute_tool");
        self.facts.name = Some(format!("execute_tool {tool}"));
        (self.facts.tool, self.facts.call) = (Some(tool.to_owned()), Some(call.to_owned()));
        self
    }

    /// Marks the stage as a turn of an agent.
    #[must_use]
    pub fn invoke_agent(mut self, agent: &str) -> Self {
        self.facts.operation = Some("invoke_agent");
        self.facts.name = Some(format!("invoke_agent {agent}"));
        self.facts.agent = Some(agent.to_owned());
        self
    }

    /// Returns what is passed along with an outbound call made in this stage.
    #[must_use]
    pub fn along(&self) -> Along<'_> {
        let state = self.trace.open.state.as_ref();
        Along { here: self.here, state, request: self.trace.request() }
    }

    /// Returns the duration so far.
    #[must_use]
    pub fn so_far(&self) -> Duration {
        self.started.elapsed()
    }

    /// Returns the trace for what this stage contains.
    #[must_use]
    pub fn inside(&self) -> Trace {
        Trace { at: self.here, ..self.trace.clone() }
    }

    /// Records the provider and the model of a model call.
    pub fn served(&mut self, provider: &str, model: &str) {
        (self.facts.provider, self.facts.model) = (Some(provider.to_owned()), Some(model.to_owned()));
    }

    /// Records the usage of a model call, and why the model stopped.
    pub fn used(&mut self, usage: Usage, finish: &'static str) {
        (self.facts.usage, self.facts.finish) = (Some(usage), Some(finish));
    }

    /// Records the error, if the stage failed.
    pub fn ended<T>(&mut self, done: &Result<T>) {
        self.facts.error = done.as_ref().err().map(Error::code);
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        if let Some(observe) = &self.trace.open.observe {
            observe.span(self, &self.trace.open);
        }
        self.trace.note(|event| {
            if event.stages.len() < STAGES {
                event.stages.push((self.stage, took));
            }
        });
    }
}
