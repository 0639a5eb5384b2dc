//! One profile, compiled: from a text to a verdict.

use std::{borrow::Cow, sync::Arc};

use serde_json::Value;

use super::{
    catalogue::Catalogue,
    choice::Choices,
    columns::has_cells,
    content::Lists,
    detect::{Asked, Detectors, NearBy, Sheet},
    injection::{DIMS, Look, SecondReader},
    normalize::fold,
    placeholder::Masks,
    profile::{OnFailure, OnSilence, Profile, SecondLook},
    runs::sections,
    seen::{Pace, Seen},
    sieve::{Mask, Sieve, splice},
    topic::Topics,
    value::{Parts, Reading},
    verdict::{Action, Family, Finding, Surface, Taint, ValueVerdict, Verdict},
};
use crate::Result;

/// A compiled profile. Cheap to clone and to share; nothing in it changes.
#[derive(Clone)]
pub struct Engine(Arc<Inner>, Option<Arc<dyn SecondReader>>);

struct Inner {
    name: String,
    on_failure: OnFailure,
    detectors: Arc<Detectors>,
    choices: Choices,
    lists: Lists,
    topics: Topics,
    second_look: Option<SecondLook>,
    /// For each surface, whether anything in the profile speaks of it.
    listens: [bool; Surface::ALL.len()],
}

/// The rule of a finding that says only that a second look got no answer.
const UNANSWERED: &str = "second_look_unanswered";

/// No encoder at all.
struct Silent;

impl SecondReader for Silent {
    fn read(&self, _: &str) -> Option<[f32; DIMS]> {
        None
    }

    fn look(&self, _: &str) -> Option<Look> {
        None
    }
}

impl Engine {
    /// Compiles a profile. The pattern tables are compiled once per process and shared by all profiles.
    ///
    /// # Errors
    /// `misconfigured` names the rule that speaks of an unknown kind, or the list that does not compile.
    pub fn new(profile: &Profile) -> Result<Self> {
        let detectors = Detectors::shared()?;
        let choices = Choices::compile(profile, &detectors.catalogue)?;
        let lists = Lists::compile(profile, &detectors.catalogue)?;
        let topics = Topics::compile(profile, &detectors.catalogue)?;
        let (name, on_failure) = (profile.name.clone(), profile.on_failure);
        let second_look = profile.second_look.clone();
        let listens = Surface::ALL.map(|surface| {
            let twice = second_look.as_ref().is_some_and(|second| second.surfaces.contains(&surface));
            twice || choices.speak_of(surface) || lists.speak_of(surface) || topics.speak_of(surface)
        });
        let inner = Inner { name, on_failure, detectors, choices, lists, topics, second_look, listens };
        Ok(Self(Arc::new(inner), None))
    }

    /// Makes what all engines share, which takes a tenth of a second the first time. For whoever has something else to do
    /// meanwhile: the first engine waits for it.
    pub fn prepare() {
        // Whoever needs an engine is told why there is none.
        let _told_later = Detectors::shared();
    }

    /// True if the profile wants second looks or topics: then [`Engine::with_reader`] is worth a caller's while.
    #[must_use]
    pub fn wants_encoder(&self) -> bool {
        self.0.second_look.is_some() || !self.0.topics.are_none()
    }

    /// The same engine with an encoder for second looks and topics. Without one, each of them counts as not answered.
    #[must_use]
    pub fn with_reader(self, reader: Arc<dyn SecondReader>) -> Self {
        Self(self.0, Some(reader))
    }

    /// The profile's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// False if the profile says nothing about this surface: whatever is seen there, nothing comes of it.
    pub(super) fn listens(&self, surface: Surface) -> bool {
        self.0.listens.get(surface.index()).copied().unwrap_or(true)
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
        let (seen, in_vain) = self.look(text, None, surface, &|| false).unwrap_or_default();
        self.verdict(text, surface, (seen, in_vain), masks)
    }

    /// As [`Engine::scan_in`], but gives up as soon as it is told that it is late: it asks every few kilobytes.
    #[must_use]
    pub fn scan_until<'t>(
        &self,
        text: &'t str,
        surface: Surface,
        masks: &mut Masks,
        late: &dyn Fn() -> bool,
    ) -> Option<Verdict<'t>> {
        let found = self.look(text, None, surface, late)?;
        (!late()).then(|| self.verdict(text, surface, found, masks))
    }

    /// Screens JSON as [`Engine::scan_until`] screens a text: a key says what its value is, and each key, text and number
    /// that has something to hide gets its placeholder where it stands.
    #[must_use]
    pub fn scan_value_until(
        &self,
        value: &Value,
        surface: Surface,
        masks: &mut Masks,
        late: &dyn Fn() -> bool,
    ) -> Option<ValueVerdict> {
        let reading = Reading::of(value);
        let parts = Parts { text: &reading.text, value, parts: &reading.parts };
        let found = self.look(&reading.text, Some(parts), surface, late)?;
        if late() {
            return None;
        }
        let (findings, cuts) = self.judged(&reading.text, surface, found);
        let masked = (!cuts.is_empty()).then(|| reading.masked(value.clone(), &cuts, masks));
        let action = findings.iter().map(|finding| finding.action).max().unwrap_or_default();
        let taint = Taint::of(surface, &findings);
        Some(ValueVerdict { action, findings, masked, taint })
    }

    /// What all detectors see in a text, or in a value that was written down in it, and whether a second look was wanted
    /// in vain.
    fn look(
        &self,
        text: &str,
        value: Option<Parts<'_>>,
        surface: Surface,
        late: &dyn Fn() -> bool,
    ) -> Option<(Vec<Seen>, bool)> {
        let (mut seen, mut in_vain) = (Vec::new(), false);
        if !self.listens(surface) {
            return Some((seen, in_vain));
        }
        let second = self.0.second_look.as_ref().filter(|second| second.surfaces.contains(&surface));
        let silent: &dyn SecondReader = &Silent;
        let encoder = self.1.as_deref().unwrap_or(silent);
        let asked = Asked { reader: second.map(|_| encoder), late };
        let sections = sections(text);
        let one = sections.len() == 1;
        for (base, section) in sections {
            let mut near = self.near(section, surface, Pace { more: false, late });
            if near.late {
                return None;
            }
            let mut found = std::mem::take(&mut near.seen);
            in_vain |= !self.0.detectors.whole(&near, surface, &asked, &mut found)?;
            if one && value.is_none() {
                self.0.detectors.tables(
                    Sheet { view: &near.view, value: None },
                    surface,
                    late,
                    &mut found,
                )?;
            }
            self.0.topics.read((&near.view, section.len()), surface, encoder, &mut found);
            seen.extend(found.into_iter().map(|mut one| {
                one.span = one.span.start + base..one.span.end + base;
                one
            }));
        }
        match value {
            Some(value) => self.tables_of(value, surface, late, &mut seen)?,
            None if one => {}
            None => {
                self.0.detectors.tables(Sheet { view: &fold(text), value: None }, surface, late, &mut seen)?
            }
        }
        Some((seen, in_vain))
    }

    /// Cells of tables in a value: in each text of it, and in arrays of rows. WHY each by itself: where a value is written
    /// down, a quote stands before its text, and brackets behind it.
    fn tables_of(
        &self,
        value: Parts<'_>,
        surface: Surface,
        late: &dyn Fn() -> bool,
        seen: &mut Vec<Seen>,
    ) -> Option<()> {
        for part in value.parts {
            let own = value.text.get(part.clone()).unwrap_or_default();
            // A table has lines, brackets or quotes.
            if memchr::memchr3(b'\n', b'(', b'\'', own.as_bytes()).is_some() {
                let from = seen.len();
                self.0.detectors.tables(Sheet { view: &fold(own), value: None }, surface, late, seen)?;
                for one in seen.iter_mut().skip(from) {
                    one.span = one.span.start + part.start..one.span.end + part.start;
                }
            }
        }
        if has_cells(value.value) {
            self.0.detectors.tables(
                Sheet { view: &fold(value.text), value: Some(value) },
                surface,
                late,
                seen,
            )?;
        }
        Some(())
    }

    fn verdict<'t>(
        &self,
        text: &'t str,
        surface: Surface,
        found: (Vec<Seen>, bool),
        masks: &mut Masks,
    ) -> Verdict<'t> {
        let (findings, cuts) = self.judged(text, surface, found);
        let masked = if cuts.is_empty() {
            Cow::Borrowed(text)
        } else {
            let mut out = String::with_capacity(text.len());
            splice(text, 0, &cuts, masks, &mut out);
            Cow::Owned(out)
        };
        let action = findings.iter().map(|finding| finding.action).max().unwrap_or_default();
        let taint = Taint::of(surface, &findings);
        Verdict { action, findings, text: masked, taint }
    }

    /// What the profile makes of what was seen: findings, and what is to be masked, in order.
    fn judged(
        &self,
        text: &str,
        surface: Surface,
        (mut seen, in_vain): (Vec<Seen>, bool),
    ) -> (Vec<Finding>, Vec<Mask>) {
        let mut sieve = Sieve::new(surface);
        sieve.order(self.rules().0, &mut seen);
        let (mut findings, mut cuts) = (Vec::new(), Vec::new());
        for one in &seen {
            if let Some((finding, cut)) = sieve.take(self.rules(), one) {
                findings.push(finding);
                cuts.extend(cut);
            }
        }
        findings.extend(self.unanswered(text).filter(|_| in_vain));
        (findings, cuts)
    }

    /// What it means that a second look got no answer.
    fn unanswered(&self, text: &str) -> Option<Finding> {
        let action = match self.0.second_look.as_ref()?.on_silence {
            OnSilence::FirstVerdict => return None,
            OnSilence::Warn => Action::Warn,
            OnSilence::Refuse => Action::Refuse,
        };
        Some(Finding {
            kind: "injection".into(),
            family: Family::Injection,
            span: 0..text.len(),
            confidence: 0.5,
            detector: "classifier",
            rule: UNANSWERED.into(),
            action,
        })
    }

    /// What depends only on text nearby.
    pub(super) fn near<'t>(&self, text: &'t str, surface: Surface, pace: Pace<'_>) -> NearBy<'t> {
        let mut near = self.0.detectors.near(text, surface, pace);
        self.0.lists.forgive(&near.view, &mut near.seen);
        let open = self.0.lists.near(&near.view, surface, pace.more, &mut near.seen);
        near.open = near.open.min(open);
        near
    }

    /// What the profile says of each kind, and all kinds: what a [`Sieve`] goes by.
    pub(super) fn rules(&self) -> (&Choices, &Catalogue) {
        (&self.0.choices, &self.0.detectors.catalogue)
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Engine").field(&self.0.name).finish()
    }
}

#[cfg(test)]
mod tests;
