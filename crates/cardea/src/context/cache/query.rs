//! A question, with everything that could change its answer.

use std::sync::{Arc, OnceLock};

use cardea_core::{
    agent::{Agent, CacheScope},
    cache::{Audience, Circumstances, Mode, Owner, Partition, normalise, stands_alone},
    canonical::{canonical, sha256_hex},
    id::{ConversationId, TenantId},
    message::{Message, Prompt},
    principal::Principal,
    time::Millis,
};
use cardea_embed::Vector;
use cardea_store::shared::cache::{Key, Place, Tag};
use serde_json::json;

use super::{
    Cache,
    tags::{digest, talk_tag, user_tags},
};

/// Name of the scope that counts errors of bare completions.
const BARE: &str = "direct";

/// One agent of one tenant.
pub(super) type Scope = (TenantId, String);

/// A client's wish about cached answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reuse {
    /// Any valid one is welcome.
    #[default]
    Allowed,
    /// None is; the newly generated one may be kept (`Cache-Control: no-cache`).
    Fresh,
    /// None is, and the newly generated one is not kept (`Cache-Control: no-store`).
    Never,
}

/// Circumstances of a question to an agent.
#[derive(Debug, Clone, Copy)]
pub struct QueryContext<'a> {
    /// Its conversation.
    pub conversation: Option<ConversationId>,
    /// The preceding messages.
    pub history: &'a [Message],
    /// Version of the policies.
    pub policy: &'a str,
    /// Whether the policies distinguish users with the same rights.
    pub by_person: bool,
    /// Whether the policies depend on the kind of credential.
    pub by_proof: bool,
    /// Digest of the tools that the caller may call, with their definitions.
    pub tools: &'a str,
    /// The guard profile in force.
    pub guard: &'a str,
    /// The model behind the alias of the agent.
    pub model: &'a str,
    /// The client's wish about cached answers.
    pub reuse: Reuse,
}

/// A question, and the one place where its answer can be found.
#[derive(Debug)]
pub struct Query {
    /// Place of the answer; `None` if it must not be cached.
    pub(super) home: Option<Home>,
    pub(super) audience: Audience,
    /// True if there are preceding messages. The model is told of them even if the question stands alone.
    pub(super) talked: bool,
    /// True for a repeated question. It is looked up as it was first asked, but its new answer is not kept, since a
    /// model answers a repetition differently.
    pub(super) repeated: bool,
    /// True if the answer is likely to be kept, which makes it worth waiting for an equal request.
    pub(super) waits: bool,
    /// True if the question is not looked up and only its answer may be kept.
    pub(super) fresh: bool,
    pub(super) text: String,
    pub(super) tenant: TenantId,
    pub(super) agent: String,
    /// Tag that deleting the conversation clears.
    pub(super) talk: Option<Tag>,
    pub(super) ttl: Millis,
    /// Mode of the semantic decision; `None` if there is none.
    pub(super) semantic: Option<Mode>,
    /// Count of clearings at the lookup: a later clearing makes the answer stale.
    pub(super) asked_at: OnceLock<u64>,
    pub(super) vector: OnceLock<Option<Arc<Vector>>>,
}

/// Address of a record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Address {
    pub(super) place: Place,
    pub(super) key: Key,
}

/// Place of an answer, and the tags by which it is cleared with all others of its user.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) at: Address,
    pub(super) user_tags: [Tag; 2],
}

impl Query {
    /// Creates a question whose answer must not be cached; nothing is computed for it.
    fn once(user: &Principal, agent: &str) -> Self {
        Self {
            home: None,
            audience: Audience::Own,
            talked: false,
            repeated: false,
            waits: false,
            fresh: false,
            text: String::new(),
            tenant: user.tenant.clone(),
            agent: agent.to_owned(),
            talk: None,
            ttl: Millis(0),
            semantic: None,
            asked_at: OnceLock::new(),
            vector: OnceLock::new(),
        }
    }

    /// Returns the scope in which its errors count.
    pub(super) fn scope(&self) -> Scope {
        (self.tenant.clone(), self.agent.clone())
    }
}

/// Returns the messages that preceded the first occurrence of a repeated question. A repeated question means what it
/// meant then if it can be understood without the messages between; "another one" cannot.
fn first_asked<'a>(text: &str, mut history: &'a [Message]) -> &'a [Message] {
    if !stands_alone(text, history.is_empty()) {
        return history;
    }
    let same = normalise(text);
    while let Some(at) = history.iter().rposition(|message| matches!(message, Message::User { .. })) {
        match history.get(at) {
            Some(Message::User { text }) if normalise(text) == same => {
                history = history.get(..at).unwrap_or_default();
            }
            _ => break,
        }
    }
    history
}

/// Returns a digest of messages; empty for none.
fn fingerprint(messages: &[Message]) -> String {
    if messages.is_empty() {
        return String::new();
    }
    sha256_hex(canonical(&json!(messages)).as_bytes())
}

impl Cache {
    /// Returns the place of a partition. Vectors of different encoders have different places. `exact` is the partition
    /// in which an exact repeat must be asked.
    fn home(&self, user: &Principal, partition: Partition, exact: Partition, text: &str) -> Home {
        let encoder =
            self.0.embedder.as_ref().map(|embedder| embedder.encoder().as_str()).unwrap_or_default();
        let place = Place(digest("answer place", [partition.as_bytes(), encoder.as_bytes()]));
        let at = Address { place, key: Key(*exact.exact(text).as_bytes()) };
        Home { at, user_tags: user_tags(user) }
    }

    /// Builds the query for a user's question to an agent.
    ///
    /// In a running conversation the answer may depend on earlier messages. The history is therefore part of the key,
    /// and part of the place as well, unless the question can be understood without it (`stands_alone`). Such a
    /// question may get a semantic hit on an answer that was generated without earlier messages.
    #[must_use]
    pub fn query(&self, user: &Principal, agent: &Agent, text: &str, around: &QueryContext<'_>) -> Query {
        let conversation = around.conversation.map(|id| id.to_string()).unwrap_or_default();
        let owner = match agent.spec.cache.scope {
            CacheScope::User => Owner::User(user),
            CacheScope::Session => Owner::Session(user, &conversation),
            CacheScope::Shared => Owner::Shared(user),
            CacheScope::Off => return Query::once(user, agent.name.as_str()),
        };
        if !self.0.settings.enabled || around.reuse == Reuse::Never {
            return Query::once(user, agent.name.as_str());
        }
        let alone = stands_alone(text, around.history.is_empty());
        let first = first_asked(text, around.history);
        let history = fingerprint(first);
        // Rights are part of the place: an answer made with tools of a role is not for a user who has lost that role.
        // So are the facts that policies read (plan, department, actors), and the user and the kind of credential if
        // policies depend on them.
        let person = around.by_person.then(|| (user.key(), &user.client));
        let proof = around.by_proof.then_some(user.proof);
        let facts = canonical(&json!([user.actors, user.metadata, person, proof]));
        let tools = [
            around.tools.to_owned(),
            format!("policy {}", around.policy),
            format!("rights {:?} {:?} {facts}", user.roles, user.scopes),
        ];
        let sampling = canonical(&json!(agent.spec.sampling));
        let circumstances = Circumstances {
            owner,
            agent: (agent.name.as_str(), &agent.version),
            model: around.model,
            sampling: &sampling,
            instructions: &agent.spec.instructions,
            tools: &tools,
            guard: around.guard,
            locale: "",
            history: &history,
        };
        let exact = Partition::of(&circumstances);
        let place = match alone && !history.is_empty() {
            true => Partition::of(&Circumstances { history: "", ..circumstances }),
            false => exact,
        };
        let mode = agent
            .spec
            .cache
            .threshold
            .map_or_else(Mode::default, |threshold| Mode::Strict { threshold, veto: true });
        let shared = agent.spec.cache.scope == CacheScope::Shared;
        Query {
            home: Some(self.home(user, place, exact, text)),
            audience: if shared { Audience::Shared } else { Audience::Own },
            talked: !around.history.is_empty(),
            repeated: first.len() < around.history.len(),
            waits: first.len() == around.history.len(),
            fresh: around.reuse == Reuse::Fresh,
            text: normalise(text),
            talk: around.conversation.map(|id| talk_tag(&user.tenant, id)),
            ttl: agent.spec.cache.ttl.unwrap_or(self.0.settings.ttl),
            semantic: (agent.spec.cache.semantic && alone).then_some(mode),
            ..Query::once(user, agent.name.as_str())
        }
    }

    /// Builds the query for a bare completion: exact repeats only, to the letter, for the same user. `model` is the
    /// model behind the alias. A client that wants varying answers (a temperature and no seed) gets a new one each
    /// time.
    #[must_use]
    pub fn query_bare(&self, user: &Principal, prompt: &Prompt, model: &str, reuse: Reuse) -> Query {
        let sampling = &prompt.sampling;
        let varied = sampling.seed.is_none() && sampling.temperature.is_some_and(|warmth| warmth > 0.0);
        if !self.0.settings.enabled || varied || reuse == Reuse::Never {
            return Query::once(user, BARE);
        }
        let (last, before) =
            prompt.messages.split_last().map_or((None, [].as_slice()), |(last, before)| (Some(last), before));
        let text = last.map(|last| canonical(&json!(last))).unwrap_or_default();
        let offered = (!prompt.tools.is_empty()).then(|| canonical(&json!(prompt.tools)));
        let tools = [sha256_hex(offered.unwrap_or_default().as_bytes())];
        let partition = Partition::of(&Circumstances {
            owner: Owner::User(user),
            agent: ("", "bare"),
            model,
            sampling: &canonical(&json!([prompt.sampling, prompt.demands])),
            instructions: "",
            tools: &tools,
            guard: "",
            locale: "",
            history: &fingerprint(before),
        });
        Query {
            // WHY: a digest of the exact text, since white space and case may matter, as in indented code or a name.
            home: Some(self.home(user, partition, partition, &sha256_hex(text.as_bytes()))),
            talked: !before.is_empty(),
            waits: prompt.tools.is_empty(),
            fresh: reuse == Reuse::Fresh,
            text,
            ttl: self.0.settings.ttl,
            ..Query::once(user, BARE)
        }
    }
}
