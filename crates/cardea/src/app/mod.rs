//! Room `app`: the application, with all rooms, each built once and given the neighbours it may know.
//!
//! [`App::build`] turns a checked configuration into an [`App`]; [`App::start`] starts the background tasks. `flow` and
//! the rooms below it hold it; no other room does. A program that embeds Cardea builds one and talks to its agents
//! through [`App::agent`], with the same checks as a client over HTTP.

mod build;
mod caches;
mod claim;
mod pulse;

use std::{collections::BTreeMap, ops::Deref, path::PathBuf, sync::Arc};

use cardea_auth::{Auth, Challenge, ProtectedResource};
use cardea_core::{
    Code, Error, Result,
    agent::{Agent, AgentSpec},
    id::AgentName,
    message::{Prompt, Usage, estimate_tokens},
    time::{Millis, SharedClock},
};
use cardea_model::Models;
use cardea_store::{Db, Jobs};
use serde_json::{Value, json};

pub use self::build::{
    Options, data_folder, hangs_on_a_key, private_folder, truth, truth_but_folder, was_written,
};
pub use self::claim::{NEW_FOLDER, other_folder};
pub use self::pulse::Pulse;
use crate::{
    action::Action, config::Config, context::Context, control::Control, control::Estimate,
    identity::Identity, observe::Observe, turn::Turns, vault::Vault,
};

/// Estimated output tokens of a model without a limit.
const WRITES: u64 = 1_024;

/// Estimated prompt tokens of an agent's tools and their results.
const TOOLS: u64 = 1_500;

/// Whether there are messages before a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum History {
    /// There are none.
    None,
    /// There are some, or it is not known.
    Some,
}

/// All rooms of one installation. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Rooms>);

/// The rooms, in their order.
#[derive(Debug)]
pub struct Rooms {
    /// The configuration.
    pub config: Config,
    /// The clock.
    pub clock: SharedClock,
    /// Background tasks.
    pub jobs: Jobs,
    /// The database.
    pub db: Db,
    /// Authentication: credentials to callers.
    pub auth: Auth,
    /// Language models.
    pub models: Models,
    /// Audit, decisions, meters, cost.
    pub observe: Observe,
    /// Sealed secrets.
    pub vault: Vault,
    /// Tokens and keys issued by this installation.
    pub identity: Identity,
    /// Rate, budget, guardrails, policy, approvals.
    pub control: Control,
    /// Conversations and caches.
    pub context: Context,
    /// The journal of turns.
    pub turns: Turns,
    /// Tools.
    pub action: Action,
    /// Whether the upkeep reaches the database.
    pub pulse: Pulse,
    agents: BTreeMap<AgentName, Arc<Agent>>,
    direct: Arc<Agent>,
    checkpoints: PathBuf,
    public_url: String,
    /// Answers that are known at start.
    pub(crate) warm: Arc<[crate::context::cache::Warm]>,
}

impl Deref for App {
    type Target = Rooms;

    fn deref(&self) -> &Rooms {
        &self.0
    }
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("App")
    }
}

/// Name of the stand-in agent for calls that no agent makes: MCP clients, bare completions.
const DIRECT: &str = "direct";

/// Time limit of a bare completion.
const COMPLETION: Millis = Millis::from_secs(120);

impl Rooms {
    /// Returns the agent with this name.
    ///
    /// # Errors
    /// `not_found`.
    pub fn find_agent(&self, name: &AgentName) -> Result<Arc<Agent>> {
        let known = self.agents.get(name).cloned();
        known.ok_or_else(|| {
            Error::new(Code::NotFound).detail(format!("There is no agent `{}`.", short(name.as_str())))
        })
    }

    /// Returns all agents, by name.
    pub fn agents(&self) -> impl Iterator<Item = &Arc<Agent>> {
        self.agents.values()
    }

    /// Returns the stand-in for an agent if a client brings its own model. It may call any tool; policy decides.
    #[must_use]
    pub fn direct(&self) -> Arc<Agent> {
        Arc::clone(&self.direct)
    }

    /// Estimates what a message to an agent may use: all of its model calls, each with the instructions, some tools
    /// and, if there are earlier messages, the whole window. The money is that of the most expensive model that may
    /// answer.
    #[must_use]
    pub fn estimate(&self, agent: &Agent, text: &str, history: History) -> Estimate {
        let limits = &agent.spec.limits;
        let calls = u64::from(limits.reflections) + 1;
        let window = if history == History::Some { u64::from(agent.spec.memory.tokens) } else { 0 };
        let reads = estimate_tokens(&agent.spec.instructions) + estimate_tokens(text) + TOOLS + window;
        let writes = agent.spec.sampling.max_tokens.map_or(WRITES, u64::from);
        let usage = Usage {
            input: calls.saturating_mul(reads),
            output: calls.saturating_mul(writes),
            ..Usage::default()
        };
        let cost = self.observe.dearest(self.models.behind(&agent.spec.model), usage);
        Estimate {
            tokens: limits.tokens.unwrap_or(u64::MAX).min(usage.total()),
            cost_micros: limits.micros().unwrap_or(u64::MAX).min(cost),
        }
    }

    /// Estimates what a bare completion may use.
    #[must_use]
    pub fn estimate_prompt(&self, prompt: &Prompt) -> Estimate {
        let writes = prompt.sampling.max_tokens.map_or(WRITES, u64::from);
        let usage = Usage { input: prompt.tokens(), output: writes, ..Usage::default() };
        let cost_micros = self.observe.dearest(self.models.behind(&prompt.model), usage);
        Estimate { tokens: usage.total(), cost_micros }
    }

    /// Returns the file of audit checkpoints, beside the database.
    #[must_use]
    pub fn checkpoints(&self) -> &std::path::Path {
        &self.checkpoints
    }

    /// Returns the time limit of a bare completion.
    #[must_use]
    pub fn completion_time(&self) -> Millis {
        COMPLETION
    }

    /// Returns the public base URL of this installation.
    #[must_use]
    pub fn public_url(&self) -> &str {
        &self.public_url
    }

    /// Returns the path of [`Self::public_url`]: empty, or `/PREFIX`.
    #[must_use]
    pub fn public_path(&self) -> &str {
        let rest = self.public_url.split_once("://").map_or("", |(_, rest)| rest);
        rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default()
    }

    /// Returns the RFC 9728 document of the MCP endpoint.
    #[must_use]
    pub fn protected_resource(&self) -> Value {
        let mut issuers = self.auth.sign_in_issuers();
        // Clients cannot ask an issuer without an address.
        issuers.retain(|issuer| issuer.starts_with("https://") || issuer.starts_with("http://"));
        json!(ProtectedResource::new(format!("{}/mcp", self.public_url), issuers).proofs())
    }

    /// Returns the path of that document: between host and path of the resource (RFC 9728 section 3.1).
    #[must_use]
    pub fn metadata_path(&self) -> String {
        ProtectedResource::well_known(&format!("{}/mcp", self.public_path()))
    }

    /// Returns the challenge for a client without a valid credential (RFC 6750, RFC 9728).
    #[must_use]
    pub fn challenge(&self, error: &Error) -> Challenge {
        let origin = self.public_url.strip_suffix(self.public_path()).unwrap_or(&self.public_url);
        let metadata = format!("{origin}{}", self.metadata_path());
        Challenge::for_error(error).unwrap_or_default().resource_metadata(metadata)
    }
}

/// Builds the stand-in agent.
fn direct() -> Arc<Agent> {
    let spec = AgentSpec {
        about: String::new(),
        model: String::new(),
        instructions: String::new(),
        tools: vec!["*".to_owned()],
        always_tools: Vec::new(),
        offered_tools: 128,
        guard: None,
        restore: Vec::new(),
        limits: direct_limits(),
        cache: cardea_core::agent::AnswerCache::default(),
        memory: cardea_core::agent::MemoryWindow::default(),
        sampling: cardea_core::message::Sampling::default(),
    };
    Arc::new(Agent { name: AgentName::from(DIRECT), version: String::new(), spec })
}

/// Returns the limits of one call, which may take as long as its upstream or connector says.
fn direct_limits() -> cardea_core::agent::TurnLimits {
    let limits = cardea_core::agent::TurnLimits::default();
    cardea_core::agent::TurnLimits { tool_calls: 1, tool_timeout: limits.time, ..limits }
}

/// Shortens a name that a client made up.
fn short(name: &str) -> String {
    name.chars().take(64).collect()
}
