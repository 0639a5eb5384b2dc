//! A checked server: the state shared by the pipeline and the protocol side.

use std::{
    any::TypeId,
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use cardea_core::{principal::Principal, saga::Undo, time::SharedClock};
use futures::future::BoxFuture;
use rmcp::model::{RequestStateCodec, Tool as WireTool};
use tokio_util::task::TaskTracker;

use crate::{
    Context, StartError,
    beside::Beside,
    extras::Extras,
    facts::{Idempotency, UndoHint},
    guard::SharedGuard,
    layer::{Layers, Metrics, SharedLayer},
    router::Route,
    session::Sessions,
    tool::Tool,
};

/// Looks up more about a caller, once per request, after the credential was verified.
pub(crate) type Enrich =
    Arc<dyn Fn(Arc<Principal>, Arc<Extras>) -> BoxFuture<'static, cardea_core::Result<Extras>> + Send + Sync>;

/// The tools that a caller may call: a bit for each, in the order of their names. The guards are asked once for it, so
/// that a list and the key under which it is cached cannot differ.
#[derive(Debug, Clone)]
pub(crate) struct Rights(pub(crate) Arc<[u64]>);

pub(crate) struct App {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) instructions: Option<String>,
    pub(crate) routes: BTreeMap<String, Arc<Route>>,
    /// The guards of every tool, which also apply to what is offered beside the tools.
    pub(crate) guards: Arc<[SharedGuard]>,
    pub(crate) layers: Layers,
    pub(crate) own: Arc<[SharedLayer]>,
    pub(crate) meters: Option<Metrics>,
    pub(crate) state: Arc<Extras>,
    pub(crate) sessions: Sessions,
    pub(crate) enrich: Option<Enrich>,
    pub(crate) codec: Arc<RequestStateCodec>,
    pub(crate) clock: SharedClock,
    pub(crate) beside: Option<Beside>,
    pub(crate) stopping: AtomicBool,
    /// Calls in progress, including those whose client has disconnected and that no connection knows any more.
    pub(crate) calls: TaskTracker,
}

impl App {
    pub(crate) fn metrics(&self) -> Option<&Metrics> {
        self.meters.as_ref()
    }

    pub(crate) fn draining(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Refuses further calls.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    /// Completes when no call is in progress, after [`App::stop`].
    pub(crate) async fn idle(&self) {
        self.calls.close();
        self.calls.wait().await;
    }

    /// Returns the tools that a caller with these rights may call.
    pub(crate) fn listed(&self, rights: &Rights) -> Vec<WireTool> {
        let held = |at: usize| rights.0.get(at / 64).is_some_and(|word| word & (1 << (at % 64)) != 0);
        let tools = self.routes.values().enumerate().filter(|(at, _)| held(*at));
        tools.map(|(_, route)| route.wire.clone()).collect()
    }

    /// Returns what this caller may call, by the same guards that a call is checked by.
    pub(crate) async fn rights(&self, context: &Context) -> Rights {
        let mut rights = vec![0_u64; self.routes.len().div_ceil(64)];
        for (at, route) in self.routes.values().enumerate() {
            if route.permits(context, None).await.is_ok()
                && let Some(word) = rights.get_mut(at / 64)
            {
                *word |= 1 << (at % 64);
            }
        }
        Rights(rights.into())
    }

    /// Returns every scope that unlocks some tool.
    pub(crate) fn scopes(&self) -> Vec<String> {
        let mut scopes: Vec<String> = self.routes.values().flat_map(|route| route.scopes.clone()).collect();
        scopes.sort();
        scopes.dedup();
        scopes
    }

    /// Checks what must hold before the first request.
    pub(crate) fn check(&self, guards: bool) -> Result<(), StartError> {
        if guards && self.beside.is_some() && self.guards.is_empty() {
            return Err(StartError::UnguardedBeside);
        }
        for route in self.routes.values() {
            let missing = |(id, _): &&(TypeId, &'static str)| !self.state.has(*id);
            if let Some((_, name)) = route.tool.states.iter().find(missing) {
                return Err(StartError::NoState { tool: route.name.clone(), state: name });
            }
            if guards && route.guards.is_empty() {
                return Err(StartError::NoGuard(route.name.clone()));
            }
            if let Some(check) = &route.facts.check
                && !self.routes.contains_key(&check.tool)
            {
                return Err(StartError::NoCheck { tool: route.name.clone(), check: check.tool.clone() });
            }
            if let Some(undo) = &route.facts.undo
                && let Err(why) = self.takes_back(undo, route)
            {
                return Err(StartError::Undo { tool: route.name.clone(), undo: undo.tool.clone(), why });
            }
        }
        Ok(())
    }

    /// Checks that an undo tool exists, is a write that is done once per key, and gets only existing arguments.
    fn takes_back(&self, undo: &UndoHint, of: &Route) -> Result<(), String> {
        let known = self.routes.get(&undo.tool).ok_or("there is no such tool")?;
        if !of.facts.effect.changes_things() {
            return Err("a read leaves nothing to take back".to_owned());
        }
        let facts = &known.facts;
        if !facts.effect.changes_things() || facts.idempotency != Idempotency::Key {
            return Err("it must be a write with `.once_per_key()`, since after a crash it is called again"
                .to_owned());
        }
        let has =
            |tool: &Tool, name: &str| tool.input.get("properties").and_then(|all| all.get(name)).is_some();
        if let Some(name) = undo.with.keys().find(|name| !has(&known.tool, name)) {
            return Err(format!("it takes no argument `{name}`"));
        }
        let needed = known.tool.input.get("required").and_then(|all| all.as_array()).into_iter().flatten();
        let mut needed = needed.filter_map(|name| name.as_str());
        if let Some(name) = needed.find(|name| !undo.with.contains_key(*name)) {
            return Err(format!("it is not given `{name}`, which it needs"));
        }
        let way = Undo::new(undo.tool.as_str().into(), &undo.with)?;
        match way.slots().iter().find(|slot| !Undo::is_result(slot) && !has(&of.tool, slot)) {
            Some(slot) => Err(format!("`{{{slot}}}` is no argument of `{}`", of.name)),
            None => Ok(()),
        }
    }
}
