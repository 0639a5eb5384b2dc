//! Routers: groups of tools, with what all of them share.

use std::{collections::BTreeMap, sync::Arc};

use cardea_core::{Code, Error};
use rmcp::model::Tool as WireTool;
use serde_json::Value;

use crate::{
    Context, StartError,
    facts::Facts,
    guard::{Ask, Guard, SharedGuard},
    layer::{Layer, SharedLayer},
    schema::Check,
    tool::Tool,
};

/// Tools with a common prefix, common guards and common layers. Routers can be nested.
#[derive(Default)]
pub struct Router {
    prefix: String,
    guards: Vec<SharedGuard>,
    layers: Vec<SharedLayer>,
    tools: Vec<Tool>,
    inner: Vec<Router>,
}

impl Router {
    /// Creates an empty router.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a prefix to the names of all tools in it, nested ones too.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Guards every tool in it. A tool's own guards are asked after it.
    #[must_use]
    pub fn guard(mut self, guard: impl Guard) -> Self {
        self.guards.push(Arc::new(guard));
        self
    }

    /// Wraps the calls of every tool in it. Outer routers wrap first.
    #[must_use]
    pub fn layer(mut self, layer: impl Layer) -> Self {
        self.layers.push(Arc::new(layer));
        self
    }

    /// Adds a tool.
    #[must_use]
    pub fn tool(mut self, tool: Tool) -> Self {
        self.tools.push(tool);
        self
    }

    /// Adds the tools of another router with its prefix, guards and layers, all inside of this one's.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.inner.push(other);
        self
    }

    /// Does the same as [`Router::merge`], with a further prefix for the other's names.
    #[must_use]
    pub fn nest(self, prefix: impl Into<String>, other: Self) -> Self {
        let prefix = prefix.into();
        self.merge(Self { prefix: format!("{prefix}{}", other.prefix), ..other })
    }

    /// Returns the guards of everything in it.
    pub(crate) fn own_guards(&self) -> Arc<[SharedGuard]> {
        self.guards.as_slice().into()
    }

    /// Returns all routes by name.
    pub(crate) fn routes(self) -> Result<BTreeMap<String, Arc<Route>>, StartError> {
        let mut routes = BTreeMap::new();
        self.collect("", &[], &[], &mut routes)?;
        Ok(routes)
    }

    fn collect(
        self,
        prefix: &str,
        guards: &[SharedGuard],
        layers: &[SharedLayer],
        into: &mut BTreeMap<String, Arc<Route>>,
    ) -> Result<(), StartError> {
        let prefix = format!("{prefix}{}", self.prefix);
        let guards: Vec<_> = guards.iter().chain(&self.guards).cloned().collect();
        let layers: Vec<_> = layers.iter().chain(&self.layers).cloned().collect();
        for tool in self.tools {
            let name = format!("{prefix}{}", tool.name);
            let route = Route::new(name.clone(), tool, &guards, layers.clone())?;
            if into.insert(name.clone(), Arc::new(route)).is_some() {
                return Err(StartError::Duplicate(name));
            }
        }
        for router in self.inner {
            router.collect(&prefix, &guards, &layers, into)?;
        }
        Ok(())
    }
}

/// A tool in its place: full name, all guards and layers, compiled schema.
pub(crate) struct Route {
    pub(crate) name: String,
    pub(crate) tool: Tool,
    /// Declarations of the tool, to be shared with its calls.
    pub(crate) facts: Arc<Facts>,
    pub(crate) guards: Vec<SharedGuard>,
    pub(crate) layers: Arc<[SharedLayer]>,
    pub(crate) wire: WireTool,
    /// Name and schema alone: what rmcp asks for with each call.
    pub(crate) outline: WireTool,
    pub(crate) check: Check,
    /// Scopes that satisfy the guards.
    pub(crate) scopes: Vec<String>,
}

impl Route {
    fn new(
        name: String,
        mut tool: Tool,
        guards: &[SharedGuard],
        layers: Vec<SharedLayer>,
    ) -> Result<Self, StartError> {
        let good = (1..=128).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
        if !good {
            return Err(StartError::Name(name));
        }
        if tool.about.as_deref().unwrap_or_default().trim().is_empty() {
            return Err(StartError::NoDescription(name));
        }
        let check = Check::compile(&tool.input).map_err(|why| StartError::Schema(name.clone(), why))?;
        if let Some(output) = &tool.output {
            let object = output.get("type").is_some_and(|kind| kind == "object");
            if !object {
                return Err(StartError::Output(name));
            }
        }
        let guards: Vec<_> = guards.iter().cloned().chain(tool.guards.drain(..)).collect();
        let mut scopes: Vec<String> = guards.iter().flat_map(|guard| guard.scopes()).collect();
        scopes.sort();
        scopes.dedup();
        let wire = tool.wire(&name);
        let facts = Arc::new(std::mem::take(&mut tool.facts));
        let outline = WireTool::new_with_raw(name.clone(), None, wire.input_schema.clone());
        Ok(Self { name, tool, facts, guards, layers: layers.into(), wire, outline, check, scopes })
    }

    /// Asks every guard, for listing and for calling; while listing there are no arguments.
    pub(crate) async fn permits(&self, context: &Context, arguments: Option<&Value>) -> Result<(), Error> {
        for guard in &self.guards {
            guard.check(Ask { tool: &self.name, context, arguments }).await?;
        }
        Ok(())
    }

    /// Returns the refusal of a caller who lacks a scope for every call of the tool, with the scopes that would
    /// suffice: the missing ones, and also the needed ones that are present, since a client may get no more than it
    /// asks for.
    pub(crate) async fn lacking(&self, context: &Context) -> Option<(Error, Vec<String>)> {
        if self.scopes.is_empty() {
            return None;
        }
        let ask = Ask { tool: &self.name, context, arguments: None };
        let held = |scope: &String| context.caller().is_some_and(|caller| caller.scopes.contains(scope));
        let (mut refusal, mut wanted) = (None, Vec::new());
        for guard in &self.guards {
            match guard.check(ask).await {
                Ok(()) => wanted.extend(guard.scopes().into_iter().filter(held)),
                Err(why) if why.code() == Code::ScopeMissing => {
                    let says_why = why.public() != Code::ScopeMissing.sentence();
                    let rule = || format!("It needs: {}.", guard.rule());
                    refusal.get_or_insert_with(|| if says_why { why } else { why.detail(rule()) });
                    wanted.extend(guard.scopes());
                }
                Err(_) if refusal.is_none() => return None,
                Err(_) => {}
            }
        }
        wanted.sort();
        wanted.dedup();
        refusal.map(|refusal| (refusal, wanted))
    }

    /// Returns the rules in words.
    pub(crate) fn rules(&self) -> Vec<String> {
        self.guards.iter().map(|guard| guard.rule()).collect()
    }
}
