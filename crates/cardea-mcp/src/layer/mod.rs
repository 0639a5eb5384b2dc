//! Layers: what happens around every call, in an order that cannot be wrong.
//!
//! [`Layers`] has one slot for each kind, so the order is the same whatever order they are named in:
//! span, audit, metrics and log, rate limit, guards, concurrency, argument check, cache, breaker, timeout, layers of your
//! own, handler. Refusals of every kind therefore reach audit and metrics, nobody is served from the cache without
//! passing the guards, and the time limit covers your layers as well.

mod breaker;
mod cache;
mod limit;
mod metrics;
mod seat;

use std::sync::Arc;

use cardea_core::time::Millis;
use futures::future::BoxFuture;

pub use self::{
    breaker::Breaker,
    cache::ResponseCache,
    limit::{Concurrency, Rate},
    metrics::Metrics,
};
pub(crate) use self::{cache::Look, seat::Seat};
use crate::{
    audit::Audit,
    call::{Call, Reply, Work},
};

/// A layer of your own. Call `next.run(call)` to go on; whatever it returns is the reply.
pub trait Layer: Send + Sync + 'static {
    /// Handles one call.
    fn call(self: Arc<Self>, call: Call, next: Next) -> BoxFuture<'static, Reply>;
}

/// A layer as routers hold it.
pub type SharedLayer = Arc<dyn Layer>;

/// The rest of the way to the handler.
#[must_use]
pub struct Next {
    /// The server's layers, then those of the tool's routers.
    layers: [Arc<[SharedLayer]>; 2],
    at: usize,
    work: Arc<Work>,
}

impl Next {
    pub(crate) fn new(layers: [Arc<[SharedLayer]>; 2], work: Arc<Work>) -> Self {
        Self { layers, at: 0, work }
    }

    /// Goes on to the next layer, and at last to the handler.
    pub fn run(self, call: Call) -> BoxFuture<'static, Reply> {
        let layer = self.layers.iter().flat_map(|layers| layers.iter()).nth(self.at);
        match layer.cloned() {
            Some(layer) => layer.call(call, Self { at: self.at + 1, ..self }),
            None => (self.work)(call),
        }
    }
}

/// The layers of a server.
#[derive(Default)]
pub struct Layers {
    pub(crate) audit: Option<Audit>,
    pub(crate) metrics: bool,
    pub(crate) log: bool,
    pub(crate) trace: bool,
    pub(crate) rates: Vec<Rate>,
    pub(crate) concurrency: Option<Concurrency>,
    pub(crate) cache: Option<ResponseCache>,
    pub(crate) breaker: Option<Breaker>,
    pub(crate) timeout: Option<Millis>,
    pub(crate) own: Vec<SharedLayer>,
}

impl Layers {
    /// No layers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes every call, refused ones too, to a tamper-evident file.
    #[must_use]
    pub fn audit(mut self, audit: Audit) -> Self {
        self.audit = Some(audit);
        self
    }

    /// Counts calls and times them; served at `/metrics`.
    #[must_use]
    pub fn metrics(mut self) -> Self {
        self.metrics = true;
        self
    }

    /// One `tracing` event per call: who, what, how it ended, how long it took. Never arguments or results.
    #[must_use]
    pub fn log(mut self) -> Self {
        self.log = true;
        self
    }

    /// One `tracing` span around every call, with the trace that the caller's request belongs to (`traceparent`): what
    /// handlers and layers tell stands inside it.
    #[must_use]
    pub fn trace(mut self) -> Self {
        self.trace = true;
        self
    }

    /// Limits how often somebody may call. Several limits must all be kept.
    #[must_use]
    pub fn rate(mut self, rate: Rate) -> Self {
        self.rates.push(rate);
        self
    }

    /// Limits how many calls run at once; others wait a little and are then refused.
    #[must_use]
    pub fn concurrency(mut self, concurrency: Concurrency) -> Self {
        self.concurrency = Some(concurrency);
        self
    }

    /// Reuses results of tools that say how ([`crate::Tool::cached`]).
    #[must_use]
    pub fn cache(mut self, cache: ResponseCache) -> Self {
        self.cache = Some(cache);
        self
    }

    /// Stops calling a tool whose neighbour is down.
    #[must_use]
    pub fn breaker(mut self, breaker: Breaker) -> Self {
        self.breaker = Some(breaker);
        self
    }

    /// Limits how long a call may take.
    #[must_use]
    pub fn timeout(mut self, limit: Millis) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Adds a layer of your own. The first one added is the outermost.
    #[must_use]
    pub fn own(mut self, layer: impl Layer) -> Self {
        self.own.push(Arc::new(layer));
        self
    }
}
