//! The lists of one profile: what it denies and what it allows.
//!
//! Phrases are matched on folded text as whole words, letter case ignored. A regex is tried from the beginning of each
//! word and reads at most [`REACH`] bytes, so it is linear whatever it says and the same in a stream.

use std::sync::Arc;

use aho_corasick::{AhoCorasick, MatchKind};
use regex::bytes::{Regex, RegexBuilder};

use super::{
    catalogue::{Catalogue, KindId},
    leak::REACH,
    normalize::{View, fold},
    profile::{Deny, Profile},
    seen::Seen,
    verdict::{Action, Surface},
};
use crate::{Code, Error, Result};

/// Longest phrase, in bytes.
const LONGEST_PHRASE: usize = 128;

/// Most allowed texts that are looked at for one finding.
const MOST_OVERLAPS: usize = 64;

/// Longest regex, in bytes.
const LONGEST_REGEX: usize = 200;

/// Compiled lists.
pub(super) struct Lists {
    phrases: Option<AhoCorasick>,
    /// For each phrase, the rule it belongs to.
    owners: Vec<usize>,
    rules: Vec<ListRule>,
    /// Texts in which nothing is a finding.
    allowed: Option<AhoCorasick>,
    /// For each of them, the kinds it holds for (none: all).
    allowed_kinds: Vec<Vec<KindId>>,
    /// How much of a stream's end may still become a phrase or a match.
    wait: usize,
}

struct ListRule {
    kind: KindId,
    name: Arc<str>,
    regex: Option<Regex>,
    surfaces: Vec<Surface>,
    action: Action,
}

impl Lists {
    pub(super) fn compile(profile: &Profile, catalogue: &Catalogue) -> Result<Self> {
        let kind = catalogue.find("deny").ok_or_else(|| wrong("the kind `deny` is missing".to_owned()))?;
        let (mut words, mut owners, mut rules, mut wait) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for deny in &profile.deny {
            let regex = compile_regex(deny)?;
            if regex.is_some() {
                wait = REACH;
            }
            for phrase in &deny.phrases {
                let folded = fold(phrase).text.trim().to_ascii_lowercase();
                if folded.is_empty() || folded.len() > LONGEST_PHRASE {
                    return Err(wrong(format!(
                        "a phrase of `{}` is empty or longer than {LONGEST_PHRASE} bytes",
                        deny.name
                    )));
                }
                wait = wait.max(folded.len() + 1);
                words.push(folded);
                owners.push(rules.len());
            }
            let (name, surfaces) = (Arc::from(deny.name.as_str()), deny.surfaces.clone());
            rules.push(ListRule { kind, name, regex, surfaces, action: deny.action });
        }
        let (mut allowed, mut allowed_kinds) = (Vec::new(), Vec::new());
        for allow in &profile.allow {
            let mut kinds = Vec::new();
            for name in &allow.kinds {
                kinds.push(
                    catalogue.find(name).ok_or_else(|| wrong(format!("`allow` names the kind `{name}`")))?,
                );
            }
            for text in &allow.texts {
                let folded = fold(text).text.trim().to_ascii_lowercase();
                if folded.is_empty() || folded.len() > LONGEST_PHRASE {
                    return Err(wrong(format!(
                        "an allowed text is empty or longer than {LONGEST_PHRASE} bytes"
                    )));
                }
                wait = wait.max(folded.len() + 1);
                allowed.push(folded);
                allowed_kinds.push(kinds.clone());
            }
        }
        let allowed = if allowed.is_empty() { None } else { Some(automaton(&allowed)?) };
        let phrases = if words.is_empty() { None } else { Some(automaton(&words)?) };
        Ok(Self { phrases, owners, rules, allowed, allowed_kinds, wait })
    }

    /// True if a list denies anything on this surface.
    pub(super) fn speak_of(&self, surface: Surface) -> bool {
        self.rules.iter().any(|rule| rule.surfaces.is_empty() || rule.surfaces.contains(&surface))
    }

    /// Adds what the lists deny. Gives the first place of the text that more text could still change.
    pub(super) fn near(&self, view: &View<'_>, surface: Surface, more: bool, seen: &mut Vec<Seen>) -> usize {
        let bytes = view.bytes();
        let here = |rule: &&ListRule| rule.surfaces.is_empty() || rule.surfaces.contains(&surface);
        let letter = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(|byte| is_letter(*byte));
        let mut put = |rule: &ListRule, from: usize, to: usize| {
            let (from, to) = view.back(from, to);
            let (kind, rule_name, forced) = (rule.kind, rule.name.clone(), Some(rule.action));
            seen.push(Seen {
                kind,
                span: from..to,
                confidence: 1.0,
                detector: "list",
                rule: rule_name,
                rank: 5,
                forced,
            });
        };
        for hit in self.phrases.iter().flat_map(|phrases| phrases.find_overlapping_iter(bytes)) {
            let owner = self.owners.get(hit.pattern().as_usize()).and_then(|owner| self.rules.get(*owner));
            if let Some(rule) = owner.filter(here)
                && !letter(hit.start().checked_sub(1))
                && !letter(Some(hit.end()))
            {
                put(rule, hit.start(), hit.end());
            }
        }
        for rule in self.rules.iter().filter(here) {
            let Some(regex) = &rule.regex else { continue };
            let mut inside = false;
            for (at, byte) in bytes.iter().enumerate() {
                let begins = is_letter(*byte) && !inside;
                inside = is_letter(*byte);
                if !begins {
                    continue;
                }
                let slice = bytes.get(at..(at + REACH).min(bytes.len())).unwrap_or_default();
                if let Some(found) = regex.find(slice).filter(|found| !found.is_empty()) {
                    put(rule, at, at + found.end());
                }
            }
        }
        let open = bytes.len().saturating_sub(self.wait);
        if more && self.wait > 0 { view.back(open, open).0 } else { usize::MAX }
    }

    /// Takes away what lies inside an allowed text.
    pub(super) fn forgive(&self, view: &View<'_>, seen: &mut Vec<Seen>) {
        let bytes = view.bytes();
        let letter = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(|byte| is_letter(*byte));
        let hits = self.allowed.iter().flat_map(|allowed| allowed.find_overlapping_iter(bytes));
        let whole = hits.filter(|hit| !letter(hit.start().checked_sub(1)) && !letter(Some(hit.end())));
        let mut places: Vec<(usize, usize, usize)> = whole
            .map(|hit| {
                let (from, to) = view.back(hit.start(), hit.end());
                (from, to, hit.pattern().as_usize())
            })
            .collect();
        if places.is_empty() {
            return;
        }
        places.sort_unstable();
        let holds = |number: usize, kind: KindId| {
            self.allowed_kinds.get(number).is_some_and(|kinds| kinds.is_empty() || kinds.contains(&kind))
        };
        seen.retain(|one| {
            let before = places.partition_point(|(from, ..)| *from <= one.span.start);
            // WHY: allowed texts are short, so only a few can reach over the finding from before it.
            let near = places.iter().take(before).rev().take(MOST_OVERLAPS);
            !near.into_iter().any(|(_, to, number)| one.span.end <= *to && holds(*number, one.kind))
        });
    }
}

/// Letters, digits, and every byte of other scripts.
const fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80
}

fn automaton(words: &[String]) -> Result<AhoCorasick> {
    let built =
        AhoCorasick::builder().ascii_case_insensitive(true).match_kind(MatchKind::Standard).build(words);
    built.map_err(|bad| wrong(format!("the deny phrases do not compile: {bad}")))
}

fn compile_regex(deny: &Deny) -> Result<Option<Regex>> {
    let Some(text) = &deny.regex else { return Ok(None) };
    if text.len() > LONGEST_REGEX {
        return Err(wrong(format!("the regex of `{}` is longer than {LONGEST_REGEX} bytes", deny.name)));
    }
    let built = RegexBuilder::new(&format!(r"\A(?:{text})"))
        .unicode(false)
        .case_insensitive(true)
        .size_limit(1 << 18)
        .build();
    built.map(Some).map_err(|bad| wrong(format!("the regex of `{}` does not compile: {bad}", deny.name)))
}

fn wrong(what: String) -> Error {
    Error::new(Code::Misconfigured).detail(format!("The guard profile cannot be used: {what}."))
}

#[cfg(test)]
mod tests {
    use super::super::{Engine, Profile, Surface, verdict::Action};

    fn engine(text: &str) -> Engine {
        Engine::new(&Profile::parse(text).unwrap()).unwrap()
    }

    #[test]
    fn an_agent_can_deny_words_and_patterns_of_its_own() {
        let engine = engine(
            "name = 'x'\n[[deny]]\nname = 'rivals'\nphrases = ['Acme Rockets', 'Élan']\naction = 'mask'\nsurfaces = ['output']\n\
             [[deny]]\nname = 'tickets'\nregex = 'TCK-\\d{4}'\naction = 'refuse'",
        );
        assert_eq!(
            engine.scan("Try ACME rockets or elan!", Surface::Output).text,
            "Try [DENIED_1] or [DENIED_2]!"
        );
        assert_eq!(engine.scan("acme rocketship", Surface::Output).action, Action::Pass);
        assert_eq!(
            engine.scan("Acme Rockets", Surface::User).action,
            Action::Pass,
            "only where the rule says"
        );
        assert_eq!(engine.scan("see tck-1234", Surface::User).action, Action::Refuse);
        assert!(
            Engine::new(&Profile::parse("name='x'\n[[deny]]\nname='y'\nregex='('\naction='mask'").unwrap())
                .is_err()
        );
    }

    #[test]
    fn an_allowed_text_is_no_finding() {
        let text = "name = 'x'\n[[rule]]\nkinds = ['personal']\naction = 'mask'\n[[allow]]\nkinds = ['email']\ntexts = ['help@shop.example']";
        let scanned =
            engine(text).scan("Write to Help@shop.example or me@shop.example", Surface::Output).into_owned();
        assert_eq!(scanned.text, "Write to Help@shop.example or [EMAIL_1]");
    }
}
