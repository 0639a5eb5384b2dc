//! The part of a question that depends on user and subject alone: the user as an entity, and the policies whose scope
//! can match. It is the same for each call of a tool by the same user, so it is kept for the next one.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use cedar_policy::{Entities, EntityUid, PolicySet};

use super::{Question, Subject};
use crate::principal::Principal;

/// Limit of entries; beyond it the cache begins anew.
const MOST: usize = 1_024;

/// A question without its circumstances.
#[derive(Debug, Clone)]
pub(super) struct Ready {
    pub(super) user: EntityUid,
    pub(super) action: EntityUid,
    pub(super) resource: EntityUid,
    pub(super) entities: Entities,
    pub(super) policies: PolicySet,
}

/// The recent entries. They belong to one snapshot and are dropped with it.
#[derive(Debug, Default)]
pub(super) struct ReadyOnes(Mutex<HashMap<String, (Principal, Arc<Ready>)>>);

impl ReadyOnes {
    /// Returns the entry for this question; builds it if it does not exist.
    pub(super) fn of(
        &self,
        question: &Question<'_>,
        make: impl FnOnce() -> Result<Ready, String>,
    ) -> Result<Arc<Ready>, String> {
        let key = key(question);
        let kept = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((principal, ready)) = kept().get(&key)
            && principal.is_alike(question.principal)
        {
            return Ok(Arc::clone(ready));
        }
        let ready = Arc::new(make()?);
        let mut kept = kept();
        if kept.len() >= MOST {
            kept.clear();
        }
        kept.insert(key, (question.principal.clone(), Arc::clone(&ready)));
        Ok(ready)
    }
}

fn key(question: &Question<'_>) -> String {
    let (kind, name) = match question.subject {
        Subject::Call { tool, .. } => ("call", tool.as_str()),
        Subject::List { tool } => ("list", tool.as_str()),
        Subject::Complete { model } => ("complete", model),
        // The label is a fact of the question; the subject is the agent.
        Subject::Restore { .. } => ("restore", question.agent.as_str()),
    };
    let mut key = question.principal.key();
    for part in [kind, ":", name] {
        key.push_str(part);
    }
    key
}
