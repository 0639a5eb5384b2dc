//! Converts detections to findings and masks, from left to right. Whole texts and streams use the same code.

use std::collections::HashMap;

use super::{
    catalogue::Catalogue,
    choice::Choices,
    placeholder::Masks,
    seen::Seen,
    verdict::{Action, Family, Finding, Surface},
};

/// Takes detections ordered by position, and keeps those that no better one covers.
pub(super) struct Sieve {
    surface: Surface,
    /// Kept findings that may still cover a later one, with their rank.
    open: Vec<(Finding, u8)>,
    /// End of the text that is already masked.
    masked_to: usize,
}

/// A range to replace.
pub(super) struct Mask {
    pub(super) start: usize,
    pub(super) end: usize,
    /// Range of the whole value. The mask may cover only the rest of it if another one covers its beginning.
    pub(super) value: std::ops::Range<usize>,
    pub(super) label: std::sync::Arc<str>,
}

impl Sieve {
    pub(super) fn new(surface: Surface) -> Self {
        Self { surface, open: Vec::new(), masked_to: 0 }
    }

    /// Sorts detections into the order that [`Sieve::take`] requires.
    pub(super) fn order(&self, choices: &Choices, seen: &mut [Seen]) {
        let action = |one: &Seen| one.forced.unwrap_or(choices.of(one.kind, self.surface).action);
        seen.sort_by(|a, b| {
            (a.span.start.cmp(&b.span.start))
                .then_with(|| action(b).cmp(&action(a)))
                .then_with(|| b.rank.cmp(&a.rank))
                .then_with(|| b.span.end.cmp(&a.span.end))
                .then_with(|| b.confidence.total_cmp(&a.confidence))
        });
    }

    /// Takes the next detection. Returns what is reported and what is masked because of it.
    pub(super) fn take(
        &mut self,
        (choices, kinds): (&Choices, &Catalogue),
        seen: &Seen,
    ) -> Option<(Finding, Option<Mask>)> {
        let choice = choices.of(seen.kind, self.surface);
        let action = match seen.forced {
            Some(action) => action,
            None if choice.spoken && seen.confidence >= choice.threshold => choice.action,
            None => return None,
        };
        self.open.retain(|(kept, _)| kept.span.end > seen.span.start);
        let facts = kinds.facts(seen.kind)?;
        // A key inside an e-mail address is part of the address; a key inside an attack is still a key.
        let leaks = |family| matches!(family, Family::Personal | Family::Credential);
        let alike = |family| family == facts.family || (leaks(family) && leaks(facts.family));
        let covered = self.open.iter().any(|(kept, rank)| {
            alike(kept.family)
                && kept.span.start <= seen.span.start
                && kept.span.end >= seen.span.end
                && kept.action >= action
                && (*rank >= seen.rank || kept.span != seen.span)
        });
        if covered {
            return None;
        }
        let finding = Finding {
            kind: facts.name.clone(),
            family: facts.family,
            span: seen.span.clone(),
            confidence: seen.confidence,
            detector: seen.detector,
            rule: seen.rule.clone(),
            action,
        };
        let start = seen.span.start.max(self.masked_to);
        let mask = (action == Action::Mask && start < seen.span.end).then(|| {
            self.masked_to = seen.span.end;
            Mask { start, end: seen.span.end, value: seen.span.clone(), label: facts.label.clone() }
        });
        self.open.push((finding.clone(), seen.rank));
        Some((finding, mask))
    }
}

/// Appends `text`, which begins at offset `base` of the whole text, to `out`, with its masks applied.
pub(super) fn splice(text: &str, base: usize, masks: &[Mask], names: &mut Masks, out: &mut String) {
    let mut at = 0;
    // WHY: a text can repeat one value, and each placeholder costs a keyed digest.
    let mut named: HashMap<(&str, &str), String> = HashMap::new();
    for mask in masks {
        let (start, end) = (mask.start.saturating_sub(base), mask.end.saturating_sub(base));
        let value = mask.value.start.saturating_sub(base)..mask.value.end.saturating_sub(base);
        out.push_str(text.get(at..start).unwrap_or_default());
        let value = text.get(value).unwrap_or_default();
        out.push_str(named.entry((&mask.label, value)).or_insert_with(|| names.put(&mask.label, value)));
        at = end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
}
