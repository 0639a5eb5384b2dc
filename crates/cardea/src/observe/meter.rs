//! Meters, in the OpenMetrics text format. Each label has a bounded number of values; further ones become `other`.

use std::{
    collections::HashSet,
    sync::{Arc, PoisonError, RwLock, atomic::AtomicU64},
    time::Duration,
};

use cardea_core::{
    Code,
    message::Usage,
    time::{Millis, Timestamp},
};
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};

use super::RequestEvent;

/// Limit of the values of one label.
const VALUES: usize = 256;

/// Values of a label so far. A user can make up names; a meter must not grow with them.
#[derive(Debug, Default)]
struct Values(RwLock<HashSet<Arc<str>>>);

impl Values {
    fn of(&self, value: &str) -> Arc<str> {
        if let Some(known) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(value) {
            return known.clone();
        }
        let mut values = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if values.len() >= VALUES || value.len() > 200 {
            return super::OTHER.into();
        }
        let value: Arc<str> = value.into();
        values.insert(value.clone());
        value
    }
}

type Labels<const N: usize> = [(&'static str, Arc<str>); N];
type Counters<const N: usize> = Family<Labels<N>, Counter>;
type Timers<const N: usize> = Family<Labels<N>, Histogram>;

/// What a lower room reports about a turn or a tool call: its name and how it ended.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// The agent or the tool.
    pub name: &'a str,
    /// How it ended.
    pub status: &'static str,
    /// Code of the error, if a turn ended with one.
    pub code: Option<Code>,
}

/// Result of a cache lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheResult {
    /// Found.
    Hit,
    /// Not found.
    Miss,
    /// Something similar was found and not used.
    Rejected,
    /// Found, but it could not be opened: changed, or not made by this installation.
    Forged,
}

/// Result of a check of a cached answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckResult {
    /// The answers agree.
    Same,
    /// The answers differ: the cached one was wrong.
    Wrong,
    /// Undecided.
    Doubt,
}

impl CacheResult {
    const fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Rejected => "rejected",
            Self::Forged => "forged",
        }
    }
}

pub(super) struct Meters {
    registry: Registry,
    values: [Values; 7],
    requests: Counters<4>,
    request_seconds: Timers<1>,
    decisions: Counters<2>,
    findings: Counters<3>,
    caches: Counters<3>,
    saved: Counters<3>,
    checks: Counters<2>,
    tools: Counters<2>,
    turns: Counters<3>,
    tokens: Counters<3>,
    cost: Counters<2>,
    unpriced: Counters<1>,
    model_seconds: Timers<2>,
    refused: Counters<1>,
    resumes: Counters<1>,
    in_work: Gauge,
    tool_seconds: Timers<2>,
    first_token_seconds: Timers<1>,
    stale: Gauge,
    differ: Gauge,
    left_alone: Gauge,
}

/// The label that a value belongs to.
#[derive(Clone, Copy)]
enum Label {
    Route,
    Tenant,
    Tool,
    Agent,
    Model,
    Finding,
    Upstream,
}

fn timer() -> Histogram {
    Histogram::new([
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0,
    ])
}

impl Meters {
    pub(super) fn new(started: Timestamp) -> Self {
        let mut meters = Self {
            registry: Registry::default(),
            values: Default::default(),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(timer),
            decisions: Family::default(),
            findings: Family::default(),
            caches: Family::default(),
            saved: Family::default(),
            checks: Family::default(),
            tools: Family::default(),
            turns: Family::default(),
            tokens: Family::default(),
            cost: Family::default(),
            unpriced: Family::default(),
            model_seconds: Family::new_with_constructor(timer),
            refused: Family::default(),
            resumes: Family::default(),
            in_work: Gauge::default(),
            tool_seconds: Family::new_with_constructor(timer),
            first_token_seconds: Family::new_with_constructor(timer),
            stale: Gauge::default(),
            differ: Gauge::default(),
            left_alone: Gauge::default(),
        };
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        let start: Gauge<f64, AtomicU64> = Gauge::default();
        start.set(started.0 as f64 / 1e3);
        let help = "When this process was started, in seconds since 1970";
        meters.registry.register_with_unit("process_start_time", help, Unit::Seconds, start);
        let registry = meters.registry.sub_registry_with_prefix("cardea");
        registry.register("build", "This build of Cardea", version);
        registry.register(
            "requests",
            "Requests answered, by route, status, user class and tenant",
            meters.requests.clone(),
        );
        let help = "Time from request to answer, by route";
        registry.register_with_unit("request_duration", help, Unit::Seconds, meters.request_seconds.clone());
        registry.register(
            "decisions",
            "Decisions of policy, by verdict and tenant",
            meters.decisions.clone(),
        );
        let help = "Findings of guardrails, by kind, surface and what was done";
        registry.register("guard_findings", help, meters.findings.clone());
        let help = "Looks into caches, by layer, agent and result";
        registry.register("cache_lookups", help, meters.caches.clone());
        let help =
            "What cached answers saved, by layer, agent and unit: tokens, or millionths of a US dollar";
        registry.register("cache_saved", help, meters.saved.clone());
        let help = "Cached answers that were answered anew, by agent and what that showed";
        registry.register("cache_checks", help, meters.checks.clone());
        registry.register("tool_calls", "Tool calls that ended, by tool and status", meters.tools.clone());
        registry.register(
            "turns",
            "Turns that ended or fell asleep, by agent, status and the error's code or none",
            meters.turns.clone(),
        );
        let help = "Tokens of model calls, by model, direction and tenant";
        registry.register("tokens", help, meters.tokens.clone());
        let help = "Cost of model calls in millionths of a US dollar, by model and tenant";
        registry.register("cost_micros", help, meters.cost.clone());
        let help = "Model calls of models that have no price, by model";
        registry.register("unpriced_calls", help, meters.unpriced.clone());
        let help = "Time of one model call, by model and outcome";
        registry.register_with_unit("model_duration", help, Unit::Seconds, meters.model_seconds.clone());
        let help = "Connections that were not taken, by reason: limit (server.max_connections) or error";
        registry.register("connections_refused", help, meters.refused.clone());
        let mut registry = std::mem::take(&mut meters.registry);
        meters.of_work(registry.sub_registry_with_prefix("cardea"));
        meters.registry = registry;
        meters
    }

    /// Registers the meters of work in progress and of neighbours.
    fn of_work(&self, registry: &mut Registry) {
        let help = "Turns that went on after their request was answered, by how that ended";
        registry.register("resumes", help, self.resumes.clone());
        let help = "Requests and turns that are worked on now";
        registry.register("requests_in_work", help, self.in_work.clone());
        let help = "Time of one tool call, by upstream or connector and outcome";
        registry.register_with_unit("tool_duration", help, Unit::Seconds, self.tool_seconds.clone());
        let help = "Time of one model call to the first piece of its answer, by model";
        registry.register_with_unit(
            "model_first_token",
            help,
            Unit::Seconds,
            self.first_token_seconds.clone(),
        );
        let help = "1 while the policy folder holds a set that cannot be used, and an older one is in force";
        registry.register("policies_stale", help, self.stale.clone());
        let help = "Other nodes over the same database that decide by other policies than this one";
        registry.register("policies_differ", help, self.differ.clone());
        let help = "Hosts of providers, upstreams and issuers that failed too often and are left alone now";
        registry.register("hosts_left_alone", help, self.left_alone.clone());
    }

    pub(super) fn in_work(&self) -> &Gauge {
        &self.in_work
    }

    pub(super) fn tool_took(&self, upstream: &str, outcome: &'static str, took: Duration) {
        let labels = [("upstream", self.value(Label::Upstream, upstream)), ("outcome", outcome.into())];
        self.tool_seconds.get_or_create(&labels).observe(took.as_secs_f64());
    }

    pub(super) fn first_token(&self, model: &str, took: Millis) {
        let labels = [("model", self.value(Label::Model, model))];
        self.first_token_seconds.get_or_create(&labels).observe(took.duration().as_secs_f64());
    }

    pub(super) fn stale(&self, stale: bool) {
        self.stale.set(i64::from(stale));
    }

    pub(super) fn differ(&self, nodes: usize) {
        self.differ.set(i64::try_from(nodes).unwrap_or(i64::MAX));
    }

    pub(super) fn left_alone(&self, hosts: usize) {
        self.left_alone.set(i64::try_from(hosts).unwrap_or(i64::MAX));
    }

    pub(super) fn resume(&self, ending: &'static str) {
        self.resumes.get_or_create(&[("ending", ending.into())]).inc();
    }

    pub(super) fn connection_refused(&self, reason: &'static str) {
        self.refused.get_or_create(&[("reason", reason.into())]).inc();
    }

    fn value(&self, label: Label, value: &str) -> Arc<str> {
        self.values.get(label as usize).map_or_else(|| super::OTHER.into(), |values| values.of(value))
    }

    pub(super) fn request(&self, event: &RequestEvent) {
        let route = self.value(Label::Route, &event.route);
        let status: Arc<str> = event.status.to_string().into();
        let tenant = self.value(Label::Tenant, event.tenant.as_deref().unwrap_or("none"));
        let labels =
            [("route", route.clone()), ("status", status), ("class", event.class.into()), ("tenant", tenant)];
        self.requests.get_or_create(&labels).inc();
        self.request_seconds.get_or_create(&[("route", route)]).observe(event.took.as_secs_f64());
    }

    pub(super) fn decision(&self, verdict: &'static str, tenant: &str) {
        let tenant = self.value(Label::Tenant, tenant);
        self.decisions.get_or_create(&[("verdict", verdict.into()), ("tenant", tenant)]).inc();
    }

    pub(super) fn finding(&self, kind: &str, surface: &'static str, action: &'static str) {
        let kind = self.value(Label::Finding, kind);
        let labels = [("kind", kind), ("surface", surface.into()), ("action", action.into())];
        self.findings.get_or_create(&labels).inc();
    }

    pub(super) fn cache(&self, layer: &'static str, agent: &str, result: CacheResult) {
        let agent = self.value(Label::Agent, agent);
        let labels = [("layer", layer.into()), ("agent", agent), ("result", result.name().into())];
        self.caches.get_or_create(&labels).inc();
    }

    pub(super) fn cache_saved(&self, layer: &'static str, agent: &str, tokens: u64, micros: u64) {
        let agent = self.value(Label::Agent, agent);
        for (unit, count) in [("tokens", tokens), ("micros", micros)] {
            let labels = [("layer", layer.into()), ("agent", agent.clone()), ("unit", unit.into())];
            self.saved.get_or_create(&labels).inc_by(count);
        }
    }

    pub(super) fn cache_check(&self, agent: &str, result: CheckResult) {
        let result = match result {
            CheckResult::Same => "same",
            CheckResult::Wrong => "wrong",
            CheckResult::Doubt => "doubt",
        };
        let agent = self.value(Label::Agent, agent);
        self.checks.get_or_create(&[("agent", agent), ("result", result.into())]).inc();
    }

    pub(super) fn tool_call(&self, call: Seen<'_>) {
        let tool = self.value(Label::Tool, call.name);
        self.tools.get_or_create(&[("tool", tool), ("status", call.status.into())]).inc();
    }

    pub(super) fn turn(&self, turn: Seen<'_>) {
        let agent = self.value(Label::Agent, turn.name);
        let code = turn.code.map_or("none", Code::name);
        let labels = [("agent", agent), ("status", turn.status.into()), ("code", code.into())];
        self.turns.get_or_create(&labels).inc();
    }

    pub(super) fn model_call(&self, model: &str, tenant: &str, usage: Usage, cost_micros: Option<u64>) {
        let (model, tenant) = (self.value(Label::Model, model), self.value(Label::Tenant, tenant));
        let fresh = usage.input.saturating_sub(usage.cached_input);
        for (direction, tokens) in
            [("input", fresh), ("cached_input", usage.cached_input), ("output", usage.output)]
        {
            let labels =
                [("model", model.clone()), ("direction", direction.into()), ("tenant", tenant.clone())];
            self.tokens.get_or_create(&labels).inc_by(tokens);
        }
        match cost_micros {
            Some(cost) => self.cost.get_or_create(&[("model", model), ("tenant", tenant)]).inc_by(cost),
            None => self.unpriced.get_or_create(&[("model", model)]).inc(),
        };
    }

    pub(super) fn model_took(&self, model: &str, outcome: &'static str, took: Millis) {
        let labels = [("model", self.value(Label::Model, model)), ("outcome", outcome.into())];
        self.model_seconds.get_or_create(&labels).observe(took.duration().as_secs_f64());
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a `String` cannot fail; if it did, an empty page would show it to the scraper.
        if encode(&mut text, &self.registry).is_err() {
            text.clear();
        }
        text
    }
}

#[cfg(test)]
mod tests;
