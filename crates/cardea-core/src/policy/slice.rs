//! Selects the policies that can matter for a question.
//!
//! Cedar evaluates each policy it is given. A policy's scope names a principal (or role or tenant), actions and a
//! resource, or leaves them open; each combination is a bucket. A question reads the buckets that it matches: the
//! user, the tenant, the roles and "any", times the tool's action and its groups, times the tool and its server. This
//! is sound, since a policy outside of these buckets has a scope that does not hold; a test compares with the whole
//! set.

use std::collections::HashMap;

use cedar_policy::{ActionConstraint, EntityUid, Policy, PrincipalConstraint, ResourceConstraint};

/// A name in a scope; [`ANY`] for one that is left open.
type Symbol = u32;
const ANY: Symbol = 0;

/// The buckets.
#[derive(Debug, Default)]
pub(super) struct Index {
    symbols: HashMap<EntityUid, Symbol>,
    buckets: HashMap<(Symbol, Symbol, Symbol), Vec<u32>>,
}

impl Index {
    /// Puts a policy into its buckets.
    pub(super) fn insert(&mut self, number: u32, policy: &Policy) {
        let principal = match policy.principal_constraint() {
            PrincipalConstraint::Any | PrincipalConstraint::Is(_) => ANY,
            PrincipalConstraint::In(uid)
            | PrincipalConstraint::Eq(uid)
            | PrincipalConstraint::IsIn(_, uid) => self.symbol(uid),
        };
        let resource = match policy.resource_constraint() {
            ResourceConstraint::Any | ResourceConstraint::Is(_) => ANY,
            ResourceConstraint::In(uid) | ResourceConstraint::Eq(uid) | ResourceConstraint::IsIn(_, uid) => {
                self.symbol(uid)
            }
        };
        let actions = match policy.action_constraint() {
            ActionConstraint::Any => vec![ANY],
            ActionConstraint::Eq(uid) => vec![self.symbol(uid)],
            ActionConstraint::In(all) => all.into_iter().map(|uid| self.symbol(uid)).collect(),
        };
        for action in actions {
            self.buckets.entry((principal, action, resource)).or_default().push(number);
        }
    }

    fn symbol(&mut self, uid: EntityUid) -> Symbol {
        let next = Symbol::try_from(self.symbols.len() + 1).unwrap_or(Symbol::MAX);
        *self.symbols.entry(uid).or_insert(next)
    }

    /// Returns the numbers of the policies in all matching buckets, sorted, each once.
    pub(super) fn find<'u>(
        &self,
        principals: impl Iterator<Item = &'u EntityUid>,
        actions: &[&EntityUid],
        resources: &[&EntityUid],
    ) -> Vec<u32> {
        let known = |uids: &[&EntityUid]| -> Vec<Symbol> {
            let known = uids.iter().filter_map(|uid| self.symbols.get(uid).copied());
            std::iter::once(ANY).chain(known).collect()
        };
        let (actions, resources) = (known(actions), known(resources));
        let mut found = Vec::new();
        for principal in
            std::iter::once(ANY).chain(principals.filter_map(|uid| self.symbols.get(uid).copied()))
        {
            for action in &actions {
                for resource in &resources {
                    found.extend(self.buckets.get(&(principal, *action, *resource)).into_iter().flatten());
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Returns how many policies every question about some tool must evaluate.
    pub(super) fn everywhere(&self) -> usize {
        self.buckets.get(&(ANY, ANY, ANY)).map_or(0, Vec::len)
    }
}
