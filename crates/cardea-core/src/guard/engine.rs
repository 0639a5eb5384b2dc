//! One profile, compiled: from a text to a verdict.

use std::{borrow::Cow, sync::Arc};

use super::{
    catalogue::{KindFacts, KindId},
    content::Lists,
    detect::{Detectors, NearBy},
    placeholder::{Originals, Placeholders},
    profile::{OnFailure, Profile, Rule},
    runs::sections,
    sieve::{Sieve, splice},
    verdict::{Action, Finding, Surface, Taint, Verdict},
    window::Window,
};
use crate::{Code, Error, Result};

/// What a profile says about one kind on one surface.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Choice {
    pub(super) action: Action,
    pub(super) threshold: f32,
    /// False where no rule speaks of it: then it is not even reported.
    pub(super) spoken: bool,
}

/// A compiled profile. Cheap to clone and to share; nothing in it changes.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    name: String,
    on_failure: OnFailure,
    detectors: Arc<Detectors>,
    /// One row per kind, one column per surface.
    choices: Vec<[Choice; Surface::ALL.len()]>,
    lists: Lists,
}

/// What masking needs from the caller: names that last for a conversation, and the way back.
#[derive(Debug, Clone)]
pub struct Masks {
    /// Numbers of placeholders. May be stored with the conversation.
    pub names: Placeholders,
    /// Values behind placeholders. Only in memory, or sealed.
    pub originals: Originals,
}

impl Masks {
    /// For a new conversation.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self { names: Placeholders::new(key), originals: Originals::new() }
    }

    pub(super) fn put(&mut self, label: &str, value: &str) -> String {
        let name = self.names.name(label, value);
        self.originals.keep(&name, value);
        name
    }
}

impl Engine {
    /// Compiles a profile. The pattern tables are compiled once per process and shared by all profiles.
    ///
    /// # Errors
    /// [`Code::Misconfigured`] names the rule that speaks of an unknown kind, or the list that does not compile.
    pub fn new(profile: &Profile) -> Result<Self> {
        let detectors = Detectors::shared()?;
        let mut choices = vec![[Choice::default(); Surface::ALL.len()]; detectors.catalogue.all().len()];
        for rule in &profile.rules {
            apply(rule, &detectors, &mut choices)?;
        }
        let lists = Lists::compile(profile, &detectors.catalogue)?;
        let (name, on_failure) = (profile.name.clone(), profile.on_failure);
        Ok(Self(Arc::new(Inner { name, on_failure, detectors, choices, lists })))
    }

    /// The profile's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What the caller must do if screening panics or takes too long.
    #[must_use]
    pub fn on_failure(&self) -> OnFailure {
        self.0.on_failure
    }

    /// Screens a text on its own: placeholders are numbered from one.
    #[must_use]
    pub fn scan<'t>(&self, text: &'t str, surface: Surface) -> Verdict<'t> {
        self.scan_in(text, surface, &mut Masks::new(&[0; 32]))
    }

    /// Screens a text of a conversation: the same value gets the same placeholder as before.
    #[must_use]
    pub fn scan_in<'t>(&self, text: &'t str, surface: Surface, masks: &mut Masks) -> Verdict<'t> {
        let mut seen = Vec::new();
        for (base, section) in sections(text) {
            let mut near = self.near(section, surface, false);
            let mut found = std::mem::take(&mut near.seen);
            self.0.detectors.whole(&near, surface, &mut found);
            seen.extend(found.into_iter().map(|mut one| {
                one.span = one.span.start + base..one.span.end + base;
                one
            }));
        }
        let mut sieve = Sieve::new(surface);
        sieve.order(self, &mut seen);
        let (mut findings, mut cuts) = (Vec::new(), Vec::new());
        for one in &seen {
            if let Some((finding, cut)) = sieve.take(self, one) {
                findings.push(finding);
                cuts.extend(cut);
            }
        }
        let masked = if cuts.is_empty() {
            Cow::Borrowed(text)
        } else {
            let mut out = String::with_capacity(text.len());
            splice(text, 0, &cuts, masks, &mut out);
            Cow::Owned(out)
        };
        let action = findings.iter().map(|finding| finding.action).max().unwrap_or_default();
        let taint = taint(surface, &findings);
        Verdict { action, findings, text: masked, taint }
    }

    /// Starts screening a stream.
    #[must_use]
    pub fn window(&self, surface: Surface, masks: Masks) -> Window {
        Window::new(self.clone(), surface, masks)
    }

    /// What depends only on text nearby.
    pub(super) fn near<'t>(&self, text: &'t str, surface: Surface, more: bool) -> NearBy<'t> {
        let mut near = self.0.detectors.near(text, surface, more);
        self.0.lists.forgive(&near.view, &mut near.seen);
        let open = self.0.lists.near(&near.view, surface, more, &mut near.seen);
        near.open = near.open.min(open);
        near
    }

    pub(super) fn choice(&self, kind: KindId, surface: Surface) -> Choice {
        let row = self.0.choices.get(kind.index());
        row.and_then(|row| row.get(surface.index())).copied().unwrap_or_default()
    }

    pub(super) fn facts(&self, kind: KindId) -> Option<&KindFacts> {
        self.0.detectors.catalogue.facts(kind)
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Engine").field(&self.0.name).finish()
    }
}

/// The taint of a text with these findings.
pub(super) fn taint(surface: Surface, findings: &[Finding]) -> Option<Taint> {
    let alarming = findings.iter().filter(|finding| finding.action >= Action::Warn);
    let mut rules: Vec<_> = alarming.map(|finding| finding.rule.clone()).collect();
    rules.sort();
    rules.dedup();
    let suspicious = !rules.is_empty();
    (suspicious || surface.is_untrusted()).then_some(Taint { source: surface, suspicious, rules })
}

fn apply(rule: &Rule, detectors: &Detectors, choices: &mut [[Choice; Surface::ALL.len()]]) -> Result<()> {
    let kinds = detectors.catalogue.all();
    let wrong = |what: String| Err(Error::new(Code::Misconfigured).detail(what));
    if !(0.0..=1.0).contains(&rule.threshold) {
        return wrong(format!("A guard rule has the threshold {}; it lies between 0 and 1.", rule.threshold));
    }
    let surfaces = if rule.surfaces.is_empty() { Surface::ALL.as_slice() } else { rule.surfaces.as_slice() };
    for name in &rule.kinds {
        let fits = |kind: &KindFacts| name == "*" || *kind.name == **name || kind.family.name() == name;
        let mut any = false;
        for (row, _) in choices.iter_mut().zip(kinds).filter(|(_, kind)| fits(kind)) {
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
