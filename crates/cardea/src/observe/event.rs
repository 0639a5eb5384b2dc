//! One wide log event for each request.

use std::{fmt::Write as _, time::Duration};

use cardea_core::{
    Code, Error,
    id::{DecisionId, RequestId, TurnId},
    message::Usage,
    principal::Principal,
};

use super::{Observe, class};

/// The status of a request whose client did not wait for the answer. No such answer is ever sent: it is what nginx writes
/// into its log.
pub const HUNG_UP: u16 = 499;

/// What an event tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// A request, from its first byte to its last.
    Request,
    /// A turn that goes on after its request was answered: once it is approved, after a crash, or because its client would
    /// rather not wait.
    Resume,
    /// A cached answer that is answered anew.
    Check,
}

impl Work {
    /// The word in spans and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Resume => "resume",
            Self::Check => "check",
        }
    }
}

/// Everything worth knowing about one request, filled in on its way and told once at its end.
///
/// It has no place for a body, a prompt, a token or an address.
#[derive(Debug, Clone)]
pub struct RequestEvent {
    /// What it tells of.
    pub work: Work,
    /// The request, as error answers name it.
    pub request: RequestId,
    /// The trace it belongs to, if the client sent one (W3C Trace Context).
    pub trace: Option<String>,
    /// The method.
    pub method: &'static str,
    /// The route's pattern, such as `/api/v1/turns/{turn}`; never the path itself.
    pub route: String,
    /// The answer's status; 499 ([`HUNG_UP`]) where the client did not wait for one.
    pub status: u16,
    /// The client has gone before it had all of the answer.
    pub left: bool,
    /// The error's code, if it was one.
    pub code: Option<Code>,
    /// The error's cause, which the client did not get.
    pub cause: Option<String>,
    /// The tenant, once known.
    pub tenant: Option<String>,
    /// What kind of user.
    pub class: &'static str,
    /// The agent that answered.
    pub agent: Option<String>,
    /// The model that was asked for, as the configuration names it: also where a cache has answered.
    pub asked: Option<String>,
    /// The model that has answered, as its provider calls it.
    pub model: Option<String>,
    /// That provider, as the configuration names it.
    pub provider: Option<String>,
    /// The turn.
    pub turn: Option<TurnId>,
    /// What let a completion without a turn ask its model, as the log of decisions knows it.
    pub decision: Option<DecisionId>,
    /// The cache layer that answered, or `none`.
    pub cache: Option<&'static str>,
    /// What guardrails have found in its texts.
    pub findings: u64,
    /// The answer is that of an earlier request with the same idempotency key; nothing was done for this one.
    pub replayed: bool,
    /// Tool calls that were made for it.
    pub tools: u64,
    /// Tokens of its model calls: none for what an earlier request has used.
    pub usage: Usage,
    /// What they cost, in millionths.
    pub cost_micros: u64,
    /// From the first byte read to the last byte written.
    pub took: Duration,
    /// How a turn ended, or that it waits.
    pub ending: Option<&'static str>,
    /// How long each stage took, in the order of their ends.
    pub stages: Vec<(&'static str, Duration)>,
}

impl RequestEvent {
    /// An event of which nothing is known yet but the request.
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

    /// An event of work that nobody waits for, which a request has set going.
    #[must_use]
    pub fn after(request: RequestId, work: Work) -> Self {
        Self { work, ..Self::new(request, "none", String::new()) }
    }

    /// The event of what is done from here on for the request, which is answered.
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

    /// True if nothing was done that could be told.
    fn is_idle(&self) -> bool {
        self.ending.is_none() && self.code.is_none() && self.stages.is_empty()
    }

    /// Notes who asks.
    pub fn asked_by(&mut self, principal: &Principal) {
        self.tenant = Some(principal.tenant.to_string());
        self.class = class(principal);
    }

    /// Notes the error that the client is told of, or would be if it were still there.
    pub fn failed(&mut self, error: &Error) {
        (self.code, self.cause) = (Some(error.code()), error.cause_line());
        if error.code() == Code::Cancelled && self.ending.is_none() {
            self.ending = Some(error.code().name());
        }
    }
}

/// What a receipt has for an event.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// The agent that answered.
    pub agent: &'a str,
    /// The turn.
    pub turn: TurnId,
    /// How it ended.
    pub ending: &'static str,
    /// Why it did not end well.
    pub code: Option<Code>,
    /// The cache layer that answered.
    pub cache: &'static str,
}

impl RequestEvent {
    /// Notes one model call: who has answered, by the provider's name of the model and its own, if anybody has; what it used
    /// and what that cost.
    pub fn thought(&mut self, served: Option<(String, String)>, usage: Usage, cost_micros: u64) {
        if let Some((model, provider)) = served {
            (self.model, self.provider) = (Some(model), Some(provider));
        }
        self.usage = self.usage.plus(usage);
        self.cost_micros = self.cost_micros.saturating_add(cost_micros);
    }

    /// Notes the end or the pause of a turn that an earlier request has made.
    pub fn replays<'a>(&mut self, told: impl Into<Told<'a>>) {
        self.answered(told);
        self.replayed = true;
    }

    /// Notes the end or the pause of a turn. What was used for it was noted as it was used: the turn may have begun with an
    /// earlier request.
    pub fn answered<'a>(&mut self, told: impl Into<Told<'a>>) {
        let told = told.into();
        (self.agent, self.turn) = (Some(told.agent.to_owned()), Some(told.turn));
        (self.ending, self.cache) = (Some(told.ending), Some(told.cache));
        if self.code != told.code {
            (self.code, self.cause) = (told.code, None);
        }
    }
}

/// One line of the log with what all events have. WHY a macro: a line's target and its fields are fixed where it stands.
macro_rules! tell {
    ($event:ident, $stages:ident, $target:literal, $said:literal, { $($own:tt)* }) => {
        // WHY: with escapes, so that a cause cannot begin a line of its own in a log for people.
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
    /// Tells of a request that has been answered or of work that has ended, and counts it.
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
            // A string takes whatever is written.
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
