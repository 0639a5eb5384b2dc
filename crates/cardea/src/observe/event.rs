//! The wide event: one log line for each request.

use std::{fmt::Write as _, time::Duration};

use cardea_core::{
    Code, Error,
    id::{DecisionId, RequestId, TurnId},
    message::Usage,
    principal::Principal,
};

use super::{Observe, class};

/// Status of a request whose client disconnected before the answer. It is never sent; nginx logs the same value.
pub const HUNG_UP: u16 = 499;

/// Kind of work that an event reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// A request, from its first byte to its last.
    Request,
    /// A turn that continues after its request was answered: once it is approved, after a crash, or because its client
    /// did not want to wait.
    Resume,
    /// A check of a cached answer.
    Check,
}

impl Work {
    /// Returns the name used in spans and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Resume => "resume",
            Self::Check => "check",
        }
    }
}

/// Facts about one request, collected while it runs and logged once at its end.
///
/// It has no field for a body, a prompt, a token or an address.
#[derive(Debug, Clone)]
pub struct RequestEvent {
    /// Kind of work.
    pub work: Work,
    /// Id of the request, as in error answers.
    pub request: RequestId,
    /// Trace that it belongs to, if the client sent one (W3C Trace Context).
    pub trace: Option<String>,
    /// HTTP method.
    pub method: &'static str,
    /// Pattern of the route, such as `/api/v1/turns/{turn}`; never the path itself.
    pub route: String,
    /// Status of the answer; 499 ([`HUNG_UP`]) if the client did not wait for one.
    pub status: u16,
    /// True if the client disconnected before it had the whole answer.
    pub left: bool,
    /// Code of the error, if it was one.
    pub code: Option<Code>,
    /// Cause of the error, which the client did not get.
    pub cause: Option<String>,
    /// The tenant, once known.
    pub tenant: Option<String>,
    /// Kind of user.
    pub class: &'static str,
    /// The agent that answered.
    pub agent: Option<String>,
    /// The requested model, as named in the configuration, even if a cache answered.
    pub asked: Option<String>,
    /// The model that answered, as named by its provider.
    pub model: Option<String>,
    /// Its provider, as named in the configuration.
    pub provider: Option<String>,
    /// The turn.
    pub turn: Option<TurnId>,
    /// Logged decision that allowed a completion without a turn to ask its model.
    pub decision: Option<DecisionId>,
    /// The cache layer that answered, or `none`.
    pub cache: Option<&'static str>,
    /// Number of guardrail findings in its texts.
    pub findings: u64,
    /// True if the answer is that of an earlier request with the same idempotency key, and nothing was done for this
    /// one.
    pub replayed: bool,
    /// Number of tool calls made for it.
    pub tools: u64,
    /// Tokens of its model calls; none for what an earlier request used.
    pub usage: Usage,
    /// Cost of its model calls, in millionths of a US dollar.
    pub cost_micros: u64,
    /// Time from the first byte read to the last byte written.
    pub took: Duration,
    /// How the turn ended, or that it waits.
    pub ending: Option<&'static str>,
    /// Duration of each stage, in the order in which they ended.
    pub stages: Vec<(&'static str, Duration)>,
}

impl RequestEvent {
    /// Creates an event of which only the request is known.
    #[must_use]
    pub fn new(request: RequestId, method: &'static str, route: impl Into<String>) -> Self {
        Self {
            work: Work::Request,
            request,
            trace: None,
            method,
            route: route.into(),
            status: 0,
            left: false,
            code: None,
            cause: None,
            tenant: None,
            class: "unknown",
            agent: None,
            asked: None,
            model: None,
            provider: None,
            turn: None,
            decision: None,
            cache: None,
            findings: 0,
            replayed: false,
            tools: 0,
            usage: Usage::default(),
            cost_micros: 0,
            took: Duration::ZERO,
            ending: None,
            stages: Vec::new(),
        }
    }

    /// Creates an event of background work that a request has started.
    #[must_use]
    pub fn after(request: RequestId, work: Work) -> Self {
        Self { work, ..Self::new(request, "none", String::new()) }
    }

    /// Creates the event of the work that continues after the request was answered.
    pub(super) fn rest(&self) -> Self {
        Self {
            trace: self.trace.clone(),
            tenant: self.tenant.clone(),
            class: self.class,
            agent: self.agent.clone(),
            asked: self.asked.clone(),
            turn: self.turn,
            ..Self::after(self.request, Work::Resume)
        }
    }

    /// Returns whether nothing was done that could be reported.
    fn is_idle(&self) -> bool {
        self.ending.is_none() && self.code.is_none() && self.stages.is_empty()
    }

    /// Records the caller.
    pub fn asked_by(&mut self, principal: &Principal) {
        self.tenant = Some(principal.tenant.to_string());
        self.class = class(principal);
    }

    /// Records the error that the client is told, or would be told if it were still connected.
    pub fn failed(&mut self, error: &Error) {
        (self.code, self.cause) = (Some(error.code()), error.cause_line());
        if error.code() == Code::Cancelled && self.ending.is_none() {
            self.ending = Some(error.code().name());
        }
    }
}

/// The part of a receipt that goes into an event.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// The agent that answered.
    pub agent: &'a str,
    /// The turn.
    pub turn: TurnId,
    /// How the turn ended.
    pub ending: &'static str,
    /// Code of the error, if it ended with one.
    pub code: Option<Code>,
    /// The cache layer that answered.
    pub cache: &'static str,
}

impl RequestEvent {
    /// Records one model call: the model that answered, by its provider's name and its own, if one did; what the call
    /// used, and its cost.
    pub fn thought(&mut self, served: Option<(String, String)>, usage: Usage, cost_micros: u64) {
        if let Some((model, provider)) = served {
            (self.model, self.provider) = (Some(model), Some(provider));
        }
        self.usage = self.usage.plus(usage);
        self.cost_micros = self.cost_micros.saturating_add(cost_micros);
    }

    /// Records the end or suspension of a turn of an earlier request.
    pub fn replays<'a>(&mut self, told: impl Into<Told<'a>>) {
        self.answered(told);
        self.replayed = true;
    }

    /// Records the end or suspension of a turn. Its usage was recorded as it arose, since the turn may have begun with
    /// an earlier request.
    pub fn answered<'a>(&mut self, told: impl Into<Told<'a>>) {
        let told = told.into();
        (self.agent, self.turn) = (Some(told.agent.to_owned()), Some(told.turn));
        (self.ending, self.cache) = (Some(told.ending), Some(told.cache));
        if self.code != told.code {
            (self.code, self.cause) = (told.code, None);
        }
    }
}

/// Logs one line with the fields of all events. WHY a macro: target and fields of a line are fixed where it stands.
macro_rules! tell {
    ($event:ident, $stages:ident, $target:literal, $said:literal, { $($own:tt)* }) => {
        // WHY: escaped, so that a cause cannot begin a line of its own in a text log.
        tracing::event!(
            target: $target,
            tracing::Level::INFO,
            request.id = %$event.request,
            trace.id = $event.trace.as_deref(),
            $($own)*
            client.left = $event.left.then_some(true),
            "error.type" = $event.code.map(Code::name),
            error.cause = $event.cause.as_deref().map(|cause| tracing::field::display(cause.escape_debug())),
            tenant.id = $event.tenant.as_deref().map(|tenant| tracing::field::display(tenant.escape_debug())),
            user.class = $event.class,
            gen_ai.agent.name = $event.agent.as_deref(),
            gen_ai.request.model = $event.asked.as_deref(),
            gen_ai.response.model = $event.model.as_deref(),
            gen_ai.provider.name = $event.provider.as_deref(),
            turn.id = $event.turn.as_ref().map(tracing::field::display),
            decision.id = $event.decision.as_ref().map(tracing::field::display),
            cache.layer = $event.cache,
            guard.findings = $event.findings,
            turn.ending = $event.ending,
            replayed = $event.replayed.then_some(true),
            tool.calls = $event.tools,
            gen_ai.usage.input_tokens = $event.usage.input,
            gen_ai.usage.output_tokens = $event.usage.output,
            gen_ai.usage.cache_read.input_tokens = $event.usage.cached_input,
            cost.micros = $event.cost_micros,
            took_ms = u64::try_from($event.took.as_millis()).unwrap_or(u64::MAX),
            stages_ms = $stages,
            $said
        )
    };
}

impl Observe {
    /// Logs a request that was answered, or work that has ended, and counts it.
    pub fn request(&self, event: &RequestEvent) {
        match event.work {
            Work::Request => self.0.meters.request(event),
            Work::Resume | Work::Check if event.is_idle() => return,
            Work::Resume => self.0.meters.resume(event.ending.unwrap_or("open")),
            Work::Check => {}
        }
        let mut stages = String::with_capacity(16 * event.stages.len());
        for (stage, took) in &event.stages {
            let gap = if stages.is_empty() { "" } else { " " };
            // Writing to a string does not fail.
            let _ = write!(stages, "{gap}{stage}={:.2}", took.as_secs_f64() * 1e3);
        }
        match event.work {
            Work::Request => tell!(event, stages, "cardea::request", "request", {
                http.request.method = event.method,
                http.route = event.route,
                http.response.status_code = event.status,
            }),
            work => tell!(event, stages, "cardea::work", "work", { work.kind = work.name(), }),
        }
    }
}
