//! Actions of a profile by kind and surface, as a table.

use super::{
    catalogue::{Catalogue, KindFacts, KindId},
    profile::{Profile, Rule},
    verdict::{Action, Surface},
};
use crate::{Code, Error, Result};

/// Action of a profile for one kind on one surface.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Choice {
    pub(super) action: Action,
    pub(super) threshold: f32,
    /// False if no rule applies: the finding is then not reported.
    pub(super) spoken: bool,
}

/// One row per kind, one column per surface.
pub(super) struct Choices(Vec<[Choice; Surface::ALL.len()]>);

impl Choices {
    /// Applies the profile's rules from top to bottom. The last one that matches decides.
    pub(super) fn compile(profile: &Profile, kinds: &Catalogue) -> Result<Self> {
        if let Some(second) = &profile.second_look {
            let wrong = |what: &str| {
                Err(Error::new(Code::Misconfigured)
                    .detail(format!("`second_look` of a guard profile {what}.")))
            };
            if second.surfaces.is_empty() {
                return wrong("has no `surfaces`; name some, or take it out");
            }
            if second.surfaces.contains(&Surface::Output) {
                return wrong(
                    "names `output`, which leaves in pieces and gets none; take it from `surfaces`",
                );
            }
        }
        let mut rows = vec![[Choice::default(); Surface::ALL.len()]; kinds.all().len()];
        for rule in &profile.rules {
            apply(rule, kinds.all(), &mut rows)?;
        }
        Ok(Self(rows))
    }

    pub(super) fn of(&self, kind: KindId, surface: Surface) -> Choice {
        let row = self.0.get(kind.index());
        row.and_then(|row| row.get(surface.index())).copied().unwrap_or_default()
    }

    /// Returns whether any rule applies to this surface.
    pub(super) fn speak_of(&self, surface: Surface) -> bool {
        self.0.iter().any(|row| row.get(surface.index()).is_some_and(|choice| choice.spoken))
    }
}

fn apply(rule: &Rule, kinds: &[KindFacts], rows: &mut [[Choice; Surface::ALL.len()]]) -> Result<()> {
    let wrong = |what: String| Err(Error::new(Code::Misconfigured).detail(what));
    if !(0.0..=1.0).contains(&rule.threshold) {
        return wrong(format!("A guard rule has the threshold {}; it lies between 0 and 1.", rule.threshold));
    }
    if rule.kinds.is_empty() {
        return wrong(
            "A guard rule has `kinds = []` and speaks of nothing; `kinds = [\"*\"]` are all of them."
                .to_owned(),
        );
    }
    let surfaces = if rule.surfaces.is_empty() { Surface::ALL.as_slice() } else { rule.surfaces.as_slice() };
    for name in &rule.kinds {
        let fits = |kind: &KindFacts| name == "*" || *kind.name == **name || kind.family.name() == name;
        let mut any = false;
        for (row, _) in rows.iter_mut().zip(kinds).filter(|(_, kind)| fits(kind)) {
            any = true;
            for surface in surfaces {
                if let Some(cell) = row.get_mut(surface.index()) {
                    *cell = Choice { action: rule.action, threshold: rule.threshold, spoken: true };
                }
            }
        }
        if !any {
            return wrong(format!("A guard rule names the kind `{name}`, which does not exist."));
        }
    }
    Ok(())
}
