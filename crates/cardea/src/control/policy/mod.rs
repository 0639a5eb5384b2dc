//! Policy decisions beside calls: listable tools, models, and values behind placeholders.

mod adopted;
mod folder;
mod in_force;
mod unread;

use std::{
    collections::{BTreeSet, HashSet},
    path::PathBuf,
    sync::{Arc, PoisonError},
    time::Duration,
};

use cardea_auth::Caller;
use cardea_core::{
    Code, Error, Result,
    agent::Agent,
    id::{AgentName, DecisionId, RequestId, ToolName},
    policy::{APPROVER, Decision, Question, Snapshot, Source, Subject, Verdict, Via},
    principal::Principal,
    time::Timestamp,
};
use cardea_store::Commit;
use moka::sync::Cache;
use serde_json::json;

pub(super) use self::in_force::InForce;
pub use self::{
    adopted::{Adopted, File, adopted, adopted_text},
    folder::{Watch, files, load, text},
    in_force::LeftOut,
    unread::{is_policy_file, unread},
};
use self::{folder::lines, in_force::unusable};
use super::{Control, Requester};

/// What was already reported about the policies.
#[derive(Debug, Default)]
pub(super) struct Warned {
    /// The version whose warnings were reported.
    version: Option<Arc<str>>,
    unread: Vec<PathBuf>,
}

/// Returns a set that allows nothing.
pub(super) fn empty() -> Result<Snapshot> {
    Snapshot::compile(&[Source::built_in(APPROVER)], &[]).map_err(|problems| unusable(&lines(&problems)))
}

impl Control {
    /// Logs the warnings of the policies in force, once for each set, and the files of their folder that nothing
    /// reads. Must not run before upstreams were asked for their tools: until then no policy matches any of them.
    pub fn tell_warnings(&self) {
        let now = self.policies();
        let unread = unread(&self.inner.settings.policies, "cedar");
        let mut told = self.inner.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if told.version.as_deref() != Some(&**now.version()) {
            told.version = Some(Arc::clone(now.version()));
            let lines: BTreeSet<String> = now.warnings().iter().map(ToString::to_string).collect();
            for line in lines {
                tracing::warn!(policy.warning = line);
            }
        }
        for path in unread.iter().filter(|path| !told.unread.contains(path)) {
            tracing::warn!(policy.unread = %path.display(), "no policy of this file is in force: only `.cedar` files of the folder itself are read");
        }
        told.unread = unread;
    }

    /// Returns the tools that the caller could be allowed to call with some arguments, perhaps after an approval.
    #[must_use]
    pub fn listable(&self, caller: &Caller, agent: &AgentName, via: Via) -> Arc<HashSet<ToolName>> {
        let (policies, at) = (self.policies(), self.now());
        let asks = |name: &&ToolName| {
            let question = question(caller, agent, via, Subject::List { tool: name }, at);
            policies.decide(&question).verdict != Verdict::Deny
        };
        let key = Memo::key(&policies, caller, [agent.as_str(), via.name()], at);
        remembered(&self.inner.memo.lists, key, caller, || policies.tools().filter(asks).cloned().collect())
    }

    /// Returns whether the policies in force were compiled for a catalogue with this tool.
    #[must_use]
    pub fn knows(&self, tool: &ToolName) -> bool {
        self.policies().tools().any(|known| known == tool)
    }

    /// Returns the decision on a model that the caller would ask without an agent.
    #[must_use]
    pub fn of_model(&self, caller: &Caller, agent: &AgentName, model: &str) -> Arc<Decision> {
        let (policies, at, via) = (self.policies(), self.now(), Via::OpenAi);
        let ask = || {
            let question = question(caller, agent, via, Subject::Complete { model }, at);
            policies.decide(&question)
        };
        let key = Memo::key(&policies, caller, [agent.as_str(), model], at);
        remembered(&self.inner.memo.models, key, caller, ask)
    }

    /// Returns the key under which the answer of [`Self::of_model`] is now remembered.
    pub(super) fn model_key(&self, caller: &Caller, agent: &AgentName, model: &str) -> String {
        Memo::key(&self.policies(), caller, [agent.as_str(), model], self.now())
    }
}

impl Control {
    /// Returns the placeholder labels whose values policy lets the caller read in their own conversation with this
    /// agent, among those that the agent's file names, with the rows for the decision log.
    ///
    /// # Errors
    /// `denied`, with the reason of the first refusal, if there is none of them.
    pub fn may_restore(
        &self,
        caller: &Caller,
        agent: &Agent,
        request: RequestId,
    ) -> (Result<Vec<String>>, Commit) {
        let (policies, at, mut rows) = (self.policies(), self.now(), Commit::new());
        let who = Requester { caller, agent: &agent.name, via: Via::Api, request, turn: None };
        let (mut allowed, mut refused) = (Vec::new(), None);
        for label in &agent.spec.restore {
            let question = question(caller, who.agent, who.via, Subject::Restore { label }, at);
            let decision = policies.decide(&question);
            let (_ruled, row) =
                self.log_unturned(who, Subject::Restore { label }, &decision, json!({ "label": label }));
            rows = rows.and(row);
            match decision.verdict {
                Verdict::Allow => allowed.push(label.clone()),
                _ => drop(refused.get_or_insert(decision.reason)),
            }
        }
        match refused {
            Some(reason) if allowed.is_empty() => (Err(Error::new(Code::Denied).detail(reason)), rows),
            _ => (Ok(allowed), rows),
        }
    }
}

pub(super) fn question<'a>(
    caller: &'a Caller,
    agent: &'a AgentName,
    via: Via,
    subject: Subject<'a>,
    at: Timestamp,
) -> Question<'a> {
    static UNTAINTED: BTreeSet<String> = BTreeSet::new();
    Question { principal: caller, subject, at, agent, via, taint: &UNTAINTED, approved: None }
}

/// Remembered answers, each with its caller.
type Answers<T> = Cache<String, (Caller, Arc<T>)>;

/// Answers to questions without arguments. An answer depends on the caller with all rights, on the interface and on
/// the minute. All of these are in its key or beside it, so a remembered answer always equals a fresh one.
#[derive(Debug)]
pub(super) struct Memo {
    lists: Answers<HashSet<ToolName>>,
    models: Answers<Decision>,
    /// Logged decisions that let a caller ask a model.
    allowed: Answers<DecisionId>,
    /// Logged refusals by role.
    told: Cache<String, ()>,
}

/// Returns the answer that this very caller got before, or a fresh one.
fn remembered<T: Send + Sync + 'static>(
    answers: &Answers<T>,
    key: String,
    caller: &Caller,
    ask: impl FnOnce() -> T,
) -> Arc<T> {
    if let Some((who, answer)) = answers.get(&key)
        && who.is_alike(caller)
    {
        return answer;
    }
    let answer = Arc::new(ask());
    answers.insert(key, (caller.clone(), Arc::clone(&answer)));
    answer
}

impl Memo {
    pub(super) fn new() -> Self {
        // A minute is the finest unit of time that policies see.
        let life = Duration::from_secs(60);
        Self {
            lists: Cache::builder().max_capacity(10_000).time_to_live(life).build(),
            models: Cache::builder().max_capacity(10_000).time_to_live(life).build(),
            allowed: Cache::builder().max_capacity(10_000).time_to_live(life).build(),
            told: Cache::builder().max_capacity(10_000).time_to_live(life).build(),
        }
    }

    /// Returns true once a minute for a key.
    pub(super) fn tells(&self, key: String) -> bool {
        self.told.entry(key).or_insert(()).is_fresh()
    }

    /// Resets a key whose report failed, so that it is made at the next occasion.
    pub(super) fn tells_again(&self, key: &str) {
        self.told.invalidate(key);
    }

    /// Returns the logged decision that allows this very caller what the key stands for.
    pub(super) fn allowed(&self, key: &str, caller: &Caller) -> Option<DecisionId> {
        self.allowed.get(key).filter(|(who, _)| who.is_alike(caller)).map(|(_, id)| *id)
    }

    /// Remembers a logged decision.
    pub(super) fn allow(&self, key: String, caller: &Caller, id: DecisionId) {
        self.allowed.insert(key, (caller.clone(), Arc::new(id)));
    }

    /// Builds the key from everything that the answer depends on beside the caller's rights, each part with its
    /// length.
    fn key(policies: &Snapshot, caller: &Principal, names: [&str; 2], at: Timestamp) -> String {
        let minute = at.secs().div_euclid(60).to_string();
        let mut whole = caller.key();
        for part in [&**policies.version(), minute.as_str()].into_iter().chain(names) {
            whole.push_str(&part.len().to_string());
            whole.push(':');
            whole.push_str(part);
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cardea_core::principal::Proof;

    #[test]
    fn a_remembered_answer_is_for_the_same_caller_way_and_minute_only() {
        let policies = empty().unwrap();
        let ann = Principal {
            roles: BTreeSet::from(["support".to_owned()]),
            ..Principal::new("acme", "ann", "test", Proof::Jwt)
        };
        let demoted = Principal { roles: BTreeSet::new(), ..ann.clone() };
        assert!(!ann.is_alike(&demoted) && ann.is_alike(&ann.clone()), "rights are compared");
        let elsewhere = Principal { issuer: "other".to_owned(), ..ann.clone() };
        let at = Timestamp(1_700_000_000_000);
        let later = Timestamp(at.0 + 60_000);
        let keys = [
            Memo::key(&policies, &ann, ["support", "chat"], at),
            Memo::key(&policies, &elsewhere, ["support", "chat"], at),
            Memo::key(&policies, &ann, ["support", "mcp"], at),
            Memo::key(&policies, &ann, ["supportc", "hat"], at),
            Memo::key(&policies, &ann, ["support", "chat"], later),
        ];
        assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len());
        assert_eq!(
            keys.first(),
            Some(&Memo::key(&policies, &ann.clone(), ["support", "chat"], Timestamp(at.0 + 1)))
        );
    }
}
