//! The `deny` and `allow` lists of a profile.
//!
//! Phrases are matched on normalized text, as whole words, without letter case and with light separators between the
//! words ([`Loose`]). Regexes are normalized like texts ([`Pattern`]). A rule that can never match, or always does, is
//! an error.

use std::{collections::BTreeSet, sync::Arc};

use aho_corasick::{AhoCorasick, MatchKind};

use super::{
    bounds::REACH,
    catalogue::{Catalogue, KindId},
    normalize::{View, fold},
    pattern::Pattern,
    phrase::{Loose, MOST_GAP, is_whole},
    profile::Profile,
    seen::Seen,
    verdict::{Action, Surface},
};
use crate::{Code, Error, Result};

/// Length of the longest phrase, in bytes.
const LONGEST_PHRASE: usize = 128;

/// Length of the context after a phrase that decides whether it ends there, in bytes.
const EDGE: usize = 4;

/// Limit of allowed texts that are compared with one finding.
const MOST_OVERLAPS: usize = 64;

/// Compiled lists.
pub(super) struct Lists {
    phrases: Phrases,
    /// Phrases that begin and end with a letter, with one space between words.
    loose: Phrases,
    rules: Vec<ListRule>,
    /// Texts in which nothing is a finding.
    allowed: Option<AhoCorasick>,
    /// Kinds to which each allowed text applies; all if empty.
    allowed_kinds: Vec<Vec<KindId>>,
    /// Number of bytes at the end of a stream that may still become a match.
    wait: usize,
}

/// Phrases with the index of their rule.
#[derive(Default)]
struct Phrases {
    words: Option<AhoCorasick>,
    owners: Vec<usize>,
}

struct ListRule {
    kind: KindId,
    name: Arc<str>,
    regex: Option<Pattern>,
    surfaces: Vec<Surface>,
    action: Action,
}

impl Lists {
    pub(super) fn compile(profile: &Profile, catalogue: &Catalogue) -> Result<Self> {
        let kind = catalogue.find("deny").ok_or_else(|| wrong("the kind `deny` is missing".to_owned()))?;
        let (mut phrases, mut loose, mut rules, mut wait) = (Vec::new(), Vec::new(), Vec::new(), 0);
        let mut names = BTreeSet::new();
        for deny in &profile.deny {
            let told = |what: &str| wrong(format!("the deny rule `{}` {what}", deny.name));
            if deny.name.trim().is_empty() {
                return Err(wrong("a deny rule has an empty name; findings are told by it".to_owned()));
            }
            if !names.insert(deny.name.as_str()) {
                return Err(told("is there twice; put both into one, or give one another name"));
            }
            if deny.phrases.is_empty() && deny.regex.is_none() {
                return Err(told("has neither `phrases` nor `regex`; write one of them, or take it out"));
            }
            let regex =
                deny.regex.as_deref().map(Pattern::compile).transpose().map_err(|what| told(&what))?;
            if regex.is_some() {
                wait = REACH;
            }
            for phrase in &deny.phrases {
                for folded in spellings(phrase).map_err(|what| told(&what))? {
                    wait = wait.max(folded.len() + EDGE);
                    let joined = Loose::of(&folded).text().to_owned();
                    // A punctuation mark at the edge (`.net`) would be ignored in loose matching.
                    if joined.trim() == joined {
                        wait = wait.max(joined.len() + MOST_GAP + EDGE);
                        loose.push((joined, rules.len()));
                    }
                    phrases.push((folded, rules.len()));
                }
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
            if allow.texts.is_empty() {
                return Err(wrong("an `allow` has no `texts`; write some, or take it out".to_owned()));
            }
            for text in &allow.texts {
                let folded = fold(text).text.trim().to_ascii_lowercase();
                if folded.is_empty() || folded.len() > LONGEST_PHRASE {
                    return Err(wrong(format!(
                        "an allowed text is empty or longer than {LONGEST_PHRASE} bytes"
                    )));
                }
                wait = wait.max(folded.len() + EDGE);
                allowed.push(folded);
                allowed_kinds.push(kinds.clone());
            }
        }
        let allowed = if allowed.is_empty() { None } else { Some(automaton(&allowed)?) };
        let (phrases, loose) = (Phrases::of(phrases)?, Phrases::of(loose)?);
        Ok(Self { phrases, loose, rules, allowed, allowed_kinds, wait })
    }

    /// Returns whether a list denies anything on this surface.
    pub(super) fn speak_of(&self, surface: Surface) -> bool {
        self.rules.iter().any(|rule| rule.surfaces.is_empty() || rule.surfaces.contains(&surface))
    }

    /// Adds the findings of the `deny` lists. Returns the first position that further text can still affect.
    pub(super) fn near(&self, view: &View<'_>, surface: Surface, more: bool, seen: &mut Vec<Seen>) -> usize {
        let text = view.text.as_ref();
        let here = |rule: &ListRule| rule.surfaces.is_empty() || rule.surfaces.contains(&surface);
        let mut found = BTreeSet::new();
        for (rule, from, to) in self.phrases.find(view.bytes()) {
            if is_whole(text, from, to) {
                found.insert((rule, from, to));
            }
        }
        if self.loose.words.is_some() {
            let loose = Loose::of(text);
            for (rule, from, to) in self.loose.find(loose.text().as_bytes()) {
                if is_whole(loose.text(), from, to) {
                    let length = to - from + MOST_GAP;
                    let place = loose.back(from, to).filter(|(from, to)| to - from <= length);
                    found.extend(place.map(|(from, to)| (rule, from, to)));
                }
            }
        }
        for (number, rule) in self.rules.iter().enumerate().filter(|(_, rule)| here(rule)) {
            if let Some(regex) = &rule.regex {
                regex.each(text, |from, to| {
                    found.insert((number, from, to));
                });
            }
        }
        for (number, from, to) in found {
            let Some(rule) = self.rules.get(number).filter(|rule| here(rule)) else { continue };
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
        }
        let open = text.len().saturating_sub(self.wait);
        if more && self.wait > 0 { view.back(open, open).0 } else { usize::MAX }
    }

    /// Removes findings that are inside an allowed text.
    pub(super) fn forgive(&self, view: &View<'_>, seen: &mut Vec<Seen>) {
        let bytes = view.bytes();
        let hits = self.allowed.iter().flat_map(|allowed| allowed.find_overlapping_iter(bytes));
        let whole = hits.filter(|hit| is_whole(&view.text, hit.start(), hit.end()));
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
            // WHY: allowed texts are short, so only a few that begin earlier can cover the finding.
            let near = places.iter().take(before).rev().take(MOST_OVERLAPS);
            !near.into_iter().any(|(_, to, number)| one.span.end <= *to && holds(*number, one.kind))
        });
    }
}

impl Phrases {
    fn of(phrases: Vec<(String, usize)>) -> Result<Self> {
        let (words, owners): (Vec<_>, Vec<_>) = phrases.into_iter().unzip();
        let words = if words.is_empty() { None } else { Some(automaton(&words)?) };
        Ok(Self { words, owners })
    }

    /// Returns each occurrence of a phrase with its rule.
    fn find(&self, text: &[u8]) -> impl Iterator<Item = (usize, usize, usize)> {
        let hits = self.words.iter().flat_map(move |words| words.find_overlapping_iter(text));
        hits.filter_map(|hit| Some((*self.owners.get(hit.pattern().as_usize())?, hit.start(), hit.end())))
    }
}

/// Returns the spellings of a phrase in normalized text.
fn spellings(phrase: &str) -> std::result::Result<Vec<String>, String> {
    let folded = fold(phrase).text.trim().to_ascii_lowercase();
    if folded.is_empty() || folded.len() > LONGEST_PHRASE {
        return Err(format!("has a phrase that is empty or longer than {LONGEST_PHRASE} bytes"));
    }
    if !folded.chars().any(|c| c.is_alphanumeric() || !c.is_ascii()) {
        return Err(format!(
            "has the phrase `{folded}`, which has no letter; phrases are words. Use `regex`"
        ));
    }
    // `ß` has no capital form; capitals use `SS`.
    let plain = folded.contains('ß').then(|| folded.replace('ß', "ss"));
    Ok(std::iter::once(folded).chain(plain).collect())
}

fn automaton(words: &[String]) -> Result<AhoCorasick> {
    let built =
        AhoCorasick::builder().ascii_case_insensitive(true).match_kind(MatchKind::Standard).build(words);
    built.map_err(|bad| wrong(format!("its phrases do not compile: {bad}")))
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

    #[test]
    fn a_denied_phrase_is_found_however_its_words_are_parted_and_in_every_script() {
        let engine = engine(
            "name = 'x'\n[[deny]]\nname = 'rivals'\nphrases = ['Acme Rockets', '公司', 'บริษัท', 'Straße', 'Заказ', 'C++', '.net']\naction = 'refuse'",
        );
        for text in [
            "We like Acme  Rockets a lot",
            "We like Acme\nRockets a lot",
            "We like ACME\tRockets a lot",
            "We like Acme-Rockets a lot",
            "We like Acme **Rockets** a lot",
            "We like <i>Acme</i> <b>Rockets</b>",
            "We like «Acme Rockets» a lot",
            "{\"note\":\"them\\nAcme\\tRockets\"}",
            "我们的公司好",
            "นี่คือบริษัทของเรา",
            "STRASSE",
            "новый заказ",
            "we write C++, too",
            "use .NET now",
        ] {
            assert_eq!(engine.scan(text, Surface::Output).action, Action::Refuse, "{text}");
        }
        for text in
            ["Acme. Rockets are loud", "Acme, Rockets", "Acme fine Rockets", "отзаказ", "asp.net is old"]
        {
            assert_eq!(engine.scan(text, Surface::Output).action, Action::Pass, "{text}");
        }
    }

    #[test]
    fn a_rule_that_can_never_speak_is_a_mistake_that_is_named_with_what_to_do() {
        let deny = "[[deny]]\nname = 'rivals'\naction = 'mask'\n";
        let topic = "[[topic]]\nname = 'rivals'\nexamples = ['which pill']\naction = 'warn'\n";
        for (text, says) in [
            (deny.to_owned(), "neither `phrases` nor `regex`"),
            (format!("{deny}phrases = ['!!!']"), "no letter"),
            (format!("{deny}phrases = [' ']"), "empty"),
            (format!("{deny}regex = 'a*'"), "empty text"),
            (format!("{deny}regex = '^|$'"), "edge of a word"),
            (format!("{deny}phrases = ['a']\n{deny}phrases = ['b']"), "twice"),
            (format!("{topic}{topic}"), "twice"),
            ("[[rule]]\nkinds = []\naction = 'mask'".to_owned(), "kinds = [\"*\"]"),
            ("[[allow]]\ntexts = []".to_owned(), "texts"),
            ("[second_look]\nsurfaces = ['user', 'output']".to_owned(), "output"),
            ("[second_look]\nsurfaces = []".to_owned(), "surfaces"),
        ] {
            let profile = Profile::parse(&format!("name = 'x'\n{text}")).unwrap();
            let why = Engine::new(&profile).unwrap_err().to_string();
            assert!(why.contains(says), "{text}: {why}");
            assert!(why.contains("`rivals`") || !text.contains("rivals"), "{why}");
        }
    }
}
