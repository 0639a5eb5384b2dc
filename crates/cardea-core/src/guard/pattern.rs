//! Regexes of lists, converted for normalized text.
//!
//! Texts are normalized before the search, so regexes are as well: each literal and small class of the syntax tree,
//! never the source. A regex is tried at each word start and reads at most [`REACH`] bytes. So matching is linear for
//! any regex, and gives the same result on a stream. Constructs without meaning there (the ends of the text, an empty
//! match) are errors.

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::{
    ParserBuilder,
    hir::{Class, ClassUnicode, ClassUnicodeRange, Hir, HirKind, Literal, Look, Repetition},
};

use super::{begins::Begins, bounds::REACH, normalize::fold, phrase::is_edge};

/// Maximum length of a regex, in bytes.
const LONGEST_REGEX: usize = 200;

/// Maximum memory of a compiled regex, in bytes. Unicode classes are large.
const MOST_MEMORY: usize = 1 << 20;

/// A larger class contains all letters, or all except some; normalization does not change it.
const LARGE_CLASS: usize = 1024;

/// If a regex can begin with more signs than this, it is tried at words only.
const MOST_SIGNS: usize = 8;

/// Ordinary words. A rule that matches all of them is an error.
const ORDINARY: [&str; 4] = ["a", "the", "house", "Wort"];

/// A compiled regex of a list.
pub(super) struct Pattern {
    regex: Regex,
    begins: Begins,
    /// Whether it can begin with a sign that is not a letter.
    signs: bool,
}

impl Pattern {
    /// # Errors
    /// What is wrong with the regex, and what to do.
    pub(super) fn compile(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST_REGEX {
            return Err(format!("has a regex longer than {LONGEST_REGEX} bytes; part it into two rules"));
        }
        let broken = |bad: String| format!("has a regex that does not compile: {bad}");
        let mut parser = ParserBuilder::new().case_insensitive(true).utf8(false).build();
        let folded = folded(&parser.parse(text).map_err(|bad| broken(bad.to_string()))?);
        let facts = folded.properties();
        if [Look::Start, Look::End, Look::StartLF, Look::EndLF, Look::StartCRLF, Look::EndCRLF]
            .iter()
            .any(|look| facts.look_set().contains(*look))
        {
            return Err(
                "has a regex with `^`, `$`, `\\A` or `\\z`, which have no meaning here: a text is read in \
                pieces. Take them out; `\\b` is the edge of a word"
                    .to_owned(),
            );
        }
        match facts.minimum_len() {
            None => return Err("has a regex that matches nothing; correct it or take it out".to_owned()),
            Some(0) => {
                return Err(
                    "has a regex that matches the empty text (`a*`); ask for one letter at least (`a+`)"
                        .to_owned(),
                );
            }
            Some(length) if length > REACH => {
                return Err(format!(
                    "has a regex that needs more than the {REACH} bytes that are read; shorten it"
                ));
            }
            Some(_) => {}
        }
        let built = RegexBuilder::new(&format!(r"\A(?:{folded})")).size_limit(MOST_MEMORY).build();
        let regex = built.map_err(|bad| broken(bad.to_string()))?;
        if ORDINARY.iter().all(|word| regex.is_match(word.as_bytes())) {
            return Err("has a regex that matches every word; say what it shall find".to_owned());
        }
        let begins = Begins::of(&folded);
        let count = (b'!'..=b'~').filter(|byte| byte.is_ascii_punctuation() && begins.fit(&[*byte])).count();
        Ok(Self { regex, begins, signs: (1..=MOST_SIGNS).contains(&count) })
    }

    /// Calls `found` with each match that begins at a word start, or with a sign that the regex requires.
    pub(super) fn each(&self, text: &str, mut found: impl FnMut(usize, usize)) {
        let (bytes, mut before) = (text.as_bytes(), None);
        for (at, c) in text.char_indices() {
            let word = c.is_alphanumeric() || !c.is_ascii();
            let begins = if word { is_edge(before, Some(c)) } else { self.signs && !c.is_ascii_whitespace() };
            before = Some(c);
            let slice = bytes.get(at..(at + REACH).min(bytes.len())).unwrap_or_default();
            if begins
                && self.begins.fit(slice)
                && let Some(hit) = self.regex.find(slice).filter(|hit| !hit.is_empty())
            {
                found(at, at + hit.end());
            }
        }
    }
}

/// Returns a regex that matches in normalized text what this one matches in the original text.
fn folded(part: &Hir) -> Hir {
    match part.kind() {
        HirKind::Literal(Literal(bytes)) => match std::str::from_utf8(bytes) {
            Ok(text) => Hir::literal(fold(text).text.as_bytes()),
            Err(_) => part.clone(),
        },
        HirKind::Class(Class::Unicode(class)) => folded_class(class),
        HirKind::Repetition(one) => {
            Hir::repetition(Repetition { sub: Box::new(folded(&one.sub)), ..one.clone() })
        }
        HirKind::Capture(group) => folded(&group.sub),
        HirKind::Concat(parts) => Hir::concat(parts.iter().map(folded).collect()),
        HirKind::Alternation(parts) => Hir::alternation(parts.iter().map(folded).collect()),
        HirKind::Empty | HirKind::Look(_) | HirKind::Class(Class::Bytes(_)) => part.clone(),
    }
}

fn folded_class(class: &ClassUnicode) -> Hir {
    let members = || class.ranges().iter().flat_map(|range| range.start()..=range.end());
    if members().nth(LARGE_CLASS).is_some() {
        return Hir::class(Class::Unicode(class.clone()));
    }
    let (mut single, mut longer) = (ClassUnicode::empty(), Vec::new());
    for c in members() {
        let text = c.to_string();
        let text = fold(&text).text;
        let mut rest = text.chars();
        match (rest.next(), rest.next()) {
            (Some(one), None) => single.push(ClassUnicodeRange::new(one, one)),
            // A combining mark, which does not occur in normalized text.
            (None, _) => {}
            _ => longer.push(spelled(&text)),
        }
        if c == 'ß' {
            longer.push(spelled("ss"));
        }
    }
    if !single.ranges().is_empty() {
        longer.insert(0, Hir::class(Class::Unicode(single)));
    }
    // WHY: if a class contains only marks, the normalized text has nothing in its place.
    if longer.is_empty() { Hir::empty() } else { Hir::alternation(longer) }
}

/// Returns a regex for a text in capital or small letters.
fn spelled(text: &str) -> Hir {
    let either = |c: char| {
        let ranges = [c.to_ascii_lowercase(), c.to_ascii_uppercase()].map(|c| ClassUnicodeRange::new(c, c));
        Hir::class(Class::Unicode(ClassUnicode::new(ranges)))
    };
    Hir::concat(text.chars().map(either).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(regex: &str, text: &str) -> Vec<String> {
        let (pattern, view, mut all) = (Pattern::compile(regex).unwrap(), fold(text), Vec::new());
        pattern.each(&view.text, |from, to| {
            let (from, to) = view.back(from, to);
            all.push(text.get(from..to).unwrap().to_owned());
        });
        all
    }

    #[test]
    fn a_regex_reads_any_script_and_accent_as_its_author_wrote_it() {
        for (regex, text, hit) in [
            ("müller", "Herr MÜLLER kam", "MÜLLER"),
            ("(?i)müller", "Herr Mu\u{308}ller", "Mu\u{308}ller"),
            ("muller", "Herr Müller", "Müller"),
            ("se[ñn]or", "el Señor", "Señor"),
            ("caf\\u{e9}", "ein Café", "Café"),
            ("Заказ \\d+", "мой заказ 51", "заказ 51"),
            ("(?-i)Заказ", "Заказ", "Заказ"),
            ("Ω", "5 Ω", "Ω"),
            ("й{1,2}ога", "Йога", "Йога"),
            ("\\p{Cyrillic}{4}", "a ключ", "ключ"),
            ("Straße", "in der STRASSE", "STRASSE"),
            ("straße", "in der Straße", "Straße"),
            ("Ærø", "from AErø", "AErø"),
            ("公司", "我们公司好", "公司"),
            ("TCK-\\d{4}\\b", "see tck-1234.", "tck-1234"),
            ("#\\d{3}", "issue (#123)", "#123"),
            ("(?:#|no )\\d{3}", "issue #123", "#123"),
            ("[^ ]+@acme", "<jo@acme>", "jo@acme"),
        ] {
            assert_eq!(found(regex, text), [hit], "{regex} {text}");
        }
        assert!(found("pak", "рак тут").is_empty() && found("ключ", "отключ").is_empty());
        assert!(found("[^a]b", "áb").is_empty(), "`á` is an `a` here");
    }

    #[test]
    fn a_regex_that_can_mean_nothing_here_is_told_with_what_to_do() {
        for (regex, says) in [
            ("a*", "empty text"),
            ("^|$", "`\\b`"),
            ("^start", "`\\b`"),
            ("secret$", "`\\b`"),
            ("(?m)^start", "`\\b`"),
            ("[a&&b]", "matches nothing"),
            ("\\u{301}", "empty text"),
            ("x.{300}y", "256 bytes"),
            (".+", "every word"),
            ("\\w+", "every word"),
            ("(", "does not compile"),
            (&"a".repeat(201), "two rules"),
        ] {
            let why = Pattern::compile(regex).err().unwrap();
            assert!(why.contains(says), "{regex}: {why}");
        }
    }
}
