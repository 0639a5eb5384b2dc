//! A question with everything that could change its answer.

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

/// Whose errors those of bare completions count as.
const BARE: &str = "direct";

/// One agent of one tenant.
pub(super) type Scope = (TenantId, String);

/// What a client says of answers that were given before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reuse {
    /// Any that is good will do.
    #[default]
    Allowed,
    /// None will do; the one that is made may be given again (`Cache-Control: no-cache`).
    Fresh,
    /// None will do, and the one that is made is not kept (`Cache-Control: no-store`).
    Never,
}

/// What stands around a question to an agent.
#[derive(Debug, Clone, Copy)]
pub struct QueryContext<'a> {
    /// Where it is asked.
    pub conversation: Option<ConversationId>,
    /// What was said before.
    pub history: &'a [Message],
    /// The version of the policies.
    pub policy: &'a str,
    /// Whether they tell users apart who have the same rights.
    pub by_person: bool,
    /// Whether they ask by what a user came in.
    pub by_proof: bool,
    /// Which tools the caller may call, with their definitions.
    pub tools: &'a str,
    /// The guard profile in force.
    pub guard: &'a str,
    /// Who answers to the name of the agent's model.
    pub model: &'a str,
    /// What the client says of answers that were given before.
    pub reuse: Reuse,
}

/// A question, and the one place where its answer can be found.
#[derive(Debug)]
pub struct Query {
    /// `None`: its answer is not to be given twice.
    pub(super) home: Option<Home>,
    pub(super) audience: Audience,
    /// Something was said before, and the model is told of it even where the question stands alone.
    pub(super) talked: bool,
    /// It is looked for as it was first asked; what the model says to a repetition is another answer.
    pub(super) repeated: bool,
    /// Its answer is likely one that is kept, so that it is worth waiting for another who asks the same.
    pub(super) waits: bool,
    /// It is not looked for; only its answer may be kept.
    pub(super) fresh: bool,
    pub(super) text: String,
    pub(super) tenant: TenantId,
    pub(super) agent: String,
    /// Deleting the conversation clears it.
    pub(super) talk: Option<Tag>,
    pub(super) ttl: Millis,
    /// How to decide by meaning; `None`: not at all.
    pub(super) semantic: Option<Mode>,
    /// The count of clearings when it was looked for: what was cleared later makes the answer stale.
    pub(super) asked_at: OnceLock<u64>,
    pub(super) vector: OnceLock<Option<Arc<Vector>>>,
}

/// Where a record lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Address {
    pub(super) place: Place,
    pub(super) key: Key,
}

/// Where an answer lies, and by what it is cleared with all others of its user.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) at: Address,
    pub(super) user_tags: [Tag; 2],
}

impl Query {
    /// A question whose answer is not to be given twice: nothing is worked out for it.
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

    /// Whose errors count together.
    pub(super) fn scope(&self) -> Scope {
        (self.tenant.clone(), self.agent.clone())
    }
}

/// What was said before a question was asked for the first time. One that is only repeated means what it meant then,
/// if it can be understood without what was said between: "another one" wants another one.
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

/// A digest of what was said; nothing for nothing.
fn fingerprint(messages: &[Message]) -> String {
    if messages.is_empty() {
        return String::new();
    }
    sha256_hex(canonical(&json!(messages)).as_bytes())
}

impl Cache {
    /// The place of a partition: vectors of another encoder lie in another one. `exact` is the partition in which a
    /// repeat must be asked.
    fn home(&self, user: &Principal, partition: Partition, exact: Partition, text: &str) -> Home {
        let encoder =
            self.0.embedder.as_ref().map(|embedder| embedder.encoder().as_str()).unwrap_or_default();
        let place = Place(digest("answer place", [partition.as_bytes(), encoder.as_bytes()]));
        let at = Address { place, key: Key(*exact.exact(text).as_bytes()) };
        Home { at, user_tags: user_tags(user) }
    }

    /// A user's question to an agent.
    ///
    /// In a running conversation the answer may depend on what was said before, so the history is part of the key, and
    /// of the place unless the question can be understood without it (`stands_alone`): such a question may be given an
    /// answer by meaning, one that was made where nothing had been said before.
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
        // Rights are part of the place: an answer made with tools of a role is not for somebody who has lost it. So are
        // the facts that policies look at (plan, department, who acts for the user), and who it is
        // and by what they came in where policies ask that.
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

    /// A bare completion: exact repeats only, to the letter, for the same user. `model` is who answers to the name. Who
    /// wants answers that differ (a temperature and no seed) and asks again wants another.
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
            // WHY: a digest, since any white space or case may be what is asked about: indented code, a name.
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
