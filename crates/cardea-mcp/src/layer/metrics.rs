//! Counters and timings of calls, in the Prometheus text format.

use std::{sync::Arc, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    tool: String,
    outcome: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Named {
    tool: String,
}

/// The meters of one server. Labels are tool names that exist and codes, so their number is bounded.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    calls: Family<Ended, Counter>,
    took: Family<Named, Histogram>,
    running: Gauge,
    refused: Family<Ended, Counter>,
    audit_lost: Counter,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("mcp");
        let calls = Family::<Ended, Counter>::default();
        let took = Family::<Named, Histogram>::new_with_constructor(|| {
            Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0])
        });
        let (running, refused, audit_lost) =
            (Gauge::default(), Family::<Ended, Counter>::default(), Counter::default());
        registry.register("calls", "Tool calls by outcome", calls.clone());
        registry.register("call_seconds", "How long tool calls took", took.clone());
        registry.register("calls_running", "Tool calls running now", running.clone());
        registry.register("requests_refused", "Requests refused before a tool was reached", refused.clone());
        registry.register("audit_lost", "Calls without audit entry (fail-open only)", audit_lost.clone());
        Self { registry: Arc::new(registry), calls, took, running, refused, audit_lost }
    }

    pub(crate) fn started(&self) {
        self.running.inc();
    }

    pub(crate) fn ended(&self, tool: &str, outcome: &str, took: Duration) {
        self.running.dec();
        self.calls.get_or_create(&Ended { tool: tool.to_owned(), outcome: outcome.to_owned() }).inc();
        self.took.get_or_create(&Named { tool: tool.to_owned() }).observe(took.as_secs_f64());
    }

    pub(crate) fn refused(&self, code: &str) {
        self.refused.get_or_create(&Ended { tool: String::new(), outcome: code.to_owned() }).inc();
    }

    pub(crate) fn audit_lost(&self) {
        self.audit_lost.inc();
    }

    /// The text that Prometheus reads.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // WHY: writing to a String cannot fail; an empty page would show in the scrape.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
