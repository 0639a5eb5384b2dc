//! All kinds of findings, numbered.

use std::{collections::HashMap, sync::Arc};

use super::verdict::Family;

/// Index of a kind in its [`Catalogue`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct KindId(u16);

impl KindId {
    pub(super) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Properties of a kind.
#[derive(Debug)]
pub(super) struct KindFacts {
    pub(super) name: Arc<str>,
    pub(super) family: Family,
    /// Label in placeholders, such as `CARD`.
    pub(super) label: Arc<str>,
}

/// Kinds by index and by name.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    facts: Vec<KindFacts>,
    by_name: HashMap<Arc<str>, KindId>,
}

impl Catalogue {
    /// Returns the index of a kind, and adds the kind if it is new.
    pub(super) fn add(&mut self, name: &str, family: Family, label: &str) -> KindId {
        if let Some(known) = self.by_name.get(name) {
            return *known;
        }
        let id = KindId(u16::try_from(self.facts.len()).unwrap_or(u16::MAX));
        let name: Arc<str> = name.into();
        self.by_name.insert(name.clone(), id);
        self.facts.push(KindFacts { name, family, label: label.into() });
        id
    }

    pub(super) fn find(&self, name: &str) -> Option<KindId> {
        self.by_name.get(name).copied()
    }

    pub(super) fn facts(&self, id: KindId) -> Option<&KindFacts> {
        self.facts.get(id.index())
    }

    pub(super) fn all(&self) -> &[KindFacts] {
        &self.facts
    }
}
