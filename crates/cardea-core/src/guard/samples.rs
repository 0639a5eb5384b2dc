//! Fills the samples of the table: `{alnum:20}` and similar templates become generated text, `{sum:###-##}` becomes
//! digits with a valid checksum.
//!
//! No sample in the repository is a complete key. Bodies are generated from the row's name, so the table cannot contain
//! a live key, and secret scanners have nothing to report.

use super::{Engine, Profile, Surface, table::Pattern};

/// A generator of sample text. The same name gives the same text.
pub(super) struct Maker(u64);

impl Maker {
    pub(super) fn new(name: &str) -> Self {
        Self(name.bytes().fold(0x9e37_79b9_7f4a_7c15, |state, byte| {
            (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        }))
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn text(&mut self, alphabet: &str, length: usize) -> String {
        let signs: Vec<char> = alphabet.chars().collect();
        (0..length).map(|_| signs[self.below(signs.len())]).collect()
    }

    /// Fills all templates of a sample.
    pub(super) fn fill(&mut self, sample: &str, pattern: &Pattern) -> String {
        const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
        const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
        const DIGITS: &str = "0123456789";
        let (mut out, mut rest) = (String::new(), sample);
        while let Some((before, from)) = rest.split_once('{') {
            out.push_str(before);
            let Some((name, after)) = from.split_once('}').filter(|(name, _)| !name.contains(['{', '"']))
            else {
                out.push('{');
                rest = from;
                continue;
            };
            let (class, body) = name.split_once(':').unwrap_or((name, ""));
            let count = body.parse().unwrap_or(0);
            match class {
                "alnum" => out += &self.text(&format!("{UPPER}{LOWER}{DIGITS}"), count),
                "alnum58" => {
                    out += &self.text("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", count)
                }
                "b64" => out += &self.text(&format!("{UPPER}{LOWER}{DIGITS}+/"), count),
                "base32" => out += &self.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", count),
                "bech" => out += &self.text("QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", count),
                "upper" => out += &self.text(&format!("{UPPER}{DIGITS}"), count),
                "low" => out += &self.text(&format!("{LOWER}{DIGITS}"), count),
                "hex" => out += &self.text("0123456789abcdef", count),
                "digit" => out += &self.text(DIGITS, count),
                "word" => out += body,
                "nl" => out.push('\n'),
                "wif" => out += &self.wallet_key(),
                "sum" => out += &self.sum(body, pattern),
                // Not a template: it belongs to the sample.
                _ => out += &format!("{{{name}}}"),
            }
            rest = after;
        }
        out + rest
    }

    /// Generates a private key in base 58 with a valid checksum.
    fn wallet_key(&mut self) -> String {
        use aws_lc_rs::digest::{SHA256, digest};
        let mut bytes = vec![0x80];
        bytes.extend((0..32).map(|_| u8::try_from(self.below(256)).unwrap()));
        bytes.push(1);
        let sum = digest(&SHA256, digest(&SHA256, &bytes).as_ref());
        bytes.extend_from_slice(&sum.as_ref()[..4]);
        let (mut digits, alphabet) =
            (Vec::new(), b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz");
        while bytes.iter().any(|byte| *byte > 0) {
            let mut rest = 0_u32;
            for byte in &mut bytes {
                let value = rest * 256 + u32::from(*byte);
                (*byte, rest) = (u8::try_from(value / 58).unwrap(), value % 58);
            }
            digits.push(char::from(alphabet[usize::try_from(rest).unwrap()]));
        }
        digits.iter().rev().collect()
    }

    fn sum(&mut self, shape: &str, pattern: &Pattern) -> String {
        for _ in 0..200_000 {
            let text: String = shape
                .chars()
                .map(|c| match c {
                    '#' => char::from(b'0' + u8::try_from(self.below(10)).unwrap()),
                    '@' => char::from(b'A' + u8::try_from(self.below(26)).unwrap()),
                    c => c,
                })
                .collect();
            if pattern.checks.iter().all(|check| check(text.as_bytes())) {
                return text;
            }
        }
        panic!("no text of the shape {shape} passes the checks of {}", pattern.row.id);
    }
}

/// Returns the people that the strict profile finds in a text.
pub(super) fn people(text: &str) -> Vec<String> {
    let strict = Profile { second_look: None, ..Profile::built_in("strict").unwrap() };
    let findings = Engine::new(&strict).unwrap().scan(text, Surface::User).findings;
    let people = findings.into_iter().filter(|one| &*one.kind == "person");
    people.map(|one| text.get(one.span).unwrap().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{
        super::{
            scan::work,
            verdict::{Family, Surface},
        },
        *,
    };
    use crate::guard::{
        Engine, Profile,
        detect::Detectors,
        seen::{Pace, Seen},
    };

    fn rules_in(text: &str) -> BTreeSet<String> {
        let detectors = Detectors::shared().unwrap();
        detectors
            .near(text, Surface::Document, Pace::patient(false))
            .seen
            .iter()
            .map(|one| one.rule.to_string())
            .collect()
    }

    #[test]
    fn every_row_finds_its_samples_and_leaves_its_counterexamples_alone() {
        let detectors = Detectors::shared().unwrap();
        let mut wrong = Vec::new();
        for pattern in detectors.patterns() {
            let mut maker = Maker::new(&pattern.row.id);
            assert!(!pattern.row.yes.is_empty() && !pattern.row.no.is_empty(), "{}", pattern.row.id);
            for sample in &pattern.row.yes {
                let text = maker.fill(sample, pattern);
                for text in [text.clone(), format!("Please look: {text}"), format!("({text})")] {
                    if !rules_in(&text).contains(&pattern.row.id) {
                        wrong.push(format!("{} misses {text}", pattern.row.id));
                        break;
                    }
                }
            }
            for sample in &pattern.row.no {
                let text = maker.fill(sample, pattern);
                if rules_in(&text).contains(&pattern.row.id) {
                    wrong.push(format!("{} takes {text}", pattern.row.id));
                }
            }
        }
        assert!(wrong.is_empty(), "{} samples:\n{}", wrong.len(), wrong.join("\n"));
    }

    /// JSON inside a string, escaped once and twice, as in logs, code and commands.
    #[test]
    fn what_is_found_between_quotes_is_found_where_strokes_stand_before_them() {
        let detectors = Detectors::shared().unwrap();
        let (mut wrong, mut tried) = (Vec::new(), 0);
        for pattern in detectors.patterns() {
            let mut maker = Maker::new(&pattern.row.id);
            for sample in pattern.row.yes.iter().filter(|yes| yes.contains('"') && !yes.contains('\\')) {
                let text = maker.fill(sample, pattern);
                for quote in ["\\\"", "\\\\\\\""] {
                    tried += 1;
                    let inside = format!("Please look: {}", text.replace('"', quote));
                    if !rules_in(&inside).contains(&pattern.row.id) {
                        wrong.push(format!("{} misses {inside}", pattern.row.id));
                    }
                }
            }
        }
        assert!(tried > 200 && wrong.is_empty(), "{} of {tried}:\n{}", wrong.len(), wrong.join("\n"));
    }

    #[test]
    fn a_value_before_signs_that_nobody_sees_is_found_as_before_a_space() {
        let detectors = Detectors::shared().unwrap();
        let (mut wrong, mut tried) = (Vec::new(), 0);
        for pattern in detectors.patterns() {
            let mut maker = Maker::new(&pattern.row.id);
            for sample in &pattern.row.yes {
                let text = maker.fill(sample, pattern);
                for next in ['5', 'x', '\u{e9}']
                    .into_iter()
                    .filter(|_| text.ends_with(|c: char| c.is_ascii_alphanumeric()))
                {
                    if !rules_in(&format!("{text} {next}")).contains(&pattern.row.id) {
                        continue;
                    }
                    tried += 1;
                    // Before letters hyphens and marks stand in words as well, so only numbers end there.
                    let last = text.rsplit(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
                    let number = next == '5' || last.contains(|c: char| c.is_ascii_digit());
                    let written = if number { &["\u{ad}", "\u{301}"][..] } else { &[] };
                    for sign in ["\u{200b}", "\u{200c}", "\u{34f}", "\u{fe0f}"].iter().chain(written) {
                        for signs in [1, 9] {
                            let glued = format!("{text}{}{next}", sign.repeat(signs));
                            if !rules_in(&glued).contains(&pattern.row.id) {
                                wrong.push(format!("{} misses {glued:?}", pattern.row.id));
                            }
                        }
                    }
                }
            }
        }
        assert!(tried > 500 && wrong.is_empty(), "{} of {tried}:\n{}", wrong.len(), wrong.join("\n"));
    }

    #[test]
    fn a_value_in_emphasis_is_found_as_without() {
        let detectors = Detectors::shared().unwrap();
        let (mut wrong, mut tried) = (Vec::new(), 0);
        let leaks = [Family::Personal, Family::Credential];
        // They begin or end with a word that could as well be part of code.
        let others = ["gps_pair", "vehicle_plate_field", "stripe_client_secret", "password_changed"];
        let judged = |one: &&Pattern| leaks.contains(&one.family) && !others.contains(&one.row.id.as_str());
        for pattern in detectors.patterns().iter().filter(judged) {
            let mut maker = Maker::new(&pattern.row.id);
            for sample in &pattern.row.yes {
                let text = maker.fill(sample, pattern);
                let mut texts = Vec::new();
                let seen = detectors.near(&text, Surface::Document, Pace::patient(false)).seen;
                let whole = |one: &&Seen| {
                    let edge = |c: Option<char>| c.is_none_or(char::is_whitespace);
                    *one.rule == *pattern.row.id
                        && edge(text.get(..one.span.start).and_then(|text| text.chars().next_back()))
                        && edge(text.get(one.span.end..).and_then(|text| text.chars().next()))
                };
                if let Some(span) = seen.iter().find(whole).map(|one| one.span.clone()) {
                    let value = text.get(span.clone()).unwrap();
                    let edges = [value.chars().next(), value.chars().next_back()];
                    if edges.iter().flatten().all(char::is_ascii_alphanumeric)
                        && value.contains(|c: char| c.is_ascii_digit())
                    {
                        let (before, behind) =
                            (text.get(..span.start).unwrap(), text.get(span.end..).unwrap());
                        texts.extend(["_", "__"].map(|mark| format!("{before}{mark}{value}{mark}{behind}")));
                    }
                }
                for text in texts {
                    tried += 1;
                    if !rules_in(&text).contains(&pattern.row.id) {
                        wrong.push(format!("{} misses {text}", pattern.row.id));
                    }
                }
            }
        }
        assert!(tried > 300 && wrong.is_empty(), "{} of {tried}:\n{}", wrong.len(), wrong.join("\n"));
    }

    /// Rows have few samples each. These are the many ways in which letters, forms and calls introduce a person.
    #[test]
    fn people_are_found_however_a_sentence_brings_them_up() {
        let strict =
            Engine::new(&Profile { second_look: None, ..Profile::built_in("strict").unwrap() }).unwrap();
        let mut wrong = Vec::new();
        for line in include_str!("patterns/people.txt").lines().filter(|line| !line.starts_with('#')) {
            let (sign, written) = line.split_once(' ').unwrap();
            let text = written.replace("[[", "").replace("]]", "").replace("{nl}", "\n");
            let findings = strict.scan(&text, Surface::User).findings;
            let people = || findings.iter().filter(|one| &*one.kind == "person");
            let marked = written.split("[[").skip(1).map(|rest| rest.split("]]").next().unwrap());
            let found = |name: &str| {
                let at = text.find(name).unwrap();
                people().any(|one| one.span.start <= at && at + name.len() <= one.span.end)
            };
            let good = if sign == "+" { marked.clone().all(found) } else { people().next().is_none() };
            if !good {
                wrong.push(line);
            }
        }
        assert!(wrong.is_empty(), "{} lines:\n{}", wrong.len(), wrong.join("\n"));
    }

    #[test]
    fn passwords_and_codes_are_found_however_a_sentence_tells_them() {
        let strict =
            Engine::new(&Profile { second_look: None, ..Profile::built_in("strict").unwrap() }).unwrap();
        let credentials: BTreeSet<String> = {
            let detectors = Detectors::shared().unwrap();
            let rows = detectors.patterns().iter().filter(|pattern| pattern.family == Family::Credential);
            rows.map(|pattern| pattern.row.kind.clone()).collect()
        };
        let mut wrong = Vec::new();
        for line in include_str!("patterns/secrets.txt").lines().filter(|line| !line.starts_with('#')) {
            let (sign, written) = line.split_once(' ').unwrap();
            let text = written.replace("[[", "").replace("]]", "").replace("{nl}", "\n");
            let findings = strict.scan(&text, Surface::User).findings;
            let told = || findings.iter().filter(|one| credentials.contains(&*one.kind));
            let marked = written.split("[[").skip(1).map(|rest| rest.split("]]").next().unwrap());
            let found = |value: &str| {
                let at = text.find(value).unwrap();
                told().any(|one| one.span.start <= at && at + value.len() <= one.span.end)
            };
            let good = if sign == "+" { marked.clone().all(found) } else { told().next().is_none() };
            if !good {
                let rules = told().map(|one| one.rule.to_string()).collect::<Vec<_>>();
                wrong.push(format!("{line} {rules:?}"));
            }
        }
        assert!(wrong.is_empty(), "{} lines:\n{}", wrong.len(), wrong.join("\n"));
    }

    #[test]
    fn the_table_is_as_large_as_promised_and_names_every_row_once() {
        let detectors = Detectors::shared().unwrap();
        let rows = detectors.patterns();
        let kinds = |family| {
            let of = rows.iter().filter(|pattern| pattern.family == family);
            of.map(|pattern| pattern.row.kind.as_str()).collect::<BTreeSet<_>>().len()
        };
        let ids: BTreeSet<_> = rows.iter().map(|pattern| &pattern.row.id).collect();
        assert_eq!(ids.len(), rows.len());
        assert!(rows.len() >= 165);
        assert!(kinds(Family::Personal) >= 28, "{}", kinds(Family::Personal));
        assert!(kinds(Family::Credential) >= 130, "{}", kinds(Family::Credential));
        assert!(rows.iter().all(|pattern| !pattern.row.source.is_empty() && !pattern.row.about.is_empty()));
        assert!(rows.iter().all(|pattern| !pattern.row.keywords.is_empty() || pattern.row.tokens.is_some()));
    }

    /// Texts designed to keep one row busy: its keywords, its samples, and near misses, repeated.
    fn hostile(pattern: &Pattern) -> Vec<String> {
        let mut maker = Maker::new(&pattern.row.id);
        let mut pieces: Vec<String> = pattern.row.keywords.iter().take(3).cloned().collect();
        pieces.extend(pattern.row.labels.iter().take(2).map(|label| format!("{label} 1")));
        for sample in pattern.row.yes.iter().take(1).chain(pattern.row.no.first()) {
            let text = maker.fill(sample, pattern);
            let half = text.chars().take(text.chars().count() / 2).collect();
            pieces.extend([half, text.chars().skip(1).collect(), text]);
        }
        let joined = |piece: &String| ["", " "].map(|joint| format!("{piece}{joint}"));
        pieces.iter().flat_map(joined).filter(|piece| !piece.is_empty()).collect()
    }

    /// Every regex takes linear time (its engine guarantees that). So the test shows that twice the text gives the rows
    /// in total at most twice the bytes, and at most a constant number for each byte of text.
    #[test]
    fn no_row_can_be_made_to_work_more_than_linearly() {
        const SIZE: usize = 1 << 10;
        const MOST: usize = 2_500;
        let detectors = Detectors::shared().unwrap();
        let worked = |text: &str| {
            work::take();
            let found = detectors.near(text, Surface::Document, Pace::patient(false)).seen.len();
            (work::take(), found)
        };
        let (mut texts, mut worst) = (0, (0, String::new()));
        for pattern in detectors.patterns() {
            for piece in hostile(pattern) {
                // Both end alike, since the end of a text may be read in an additional way.
                let half = piece.repeat(SIZE / piece.len() + 1);
                let text = half.repeat(2);
                let ((once, _), (twice, found)) = (worked(&half), worked(&text));
                assert!(found <= text.len(), "{}: {piece}", pattern.row.id);
                assert!(twice <= 2 * once + 128 * SIZE, "{}: {once} and {twice} for {piece}", pattern.row.id);
                if twice / text.len() > worst.0 {
                    worst = (twice / text.len(), format!("{}: {piece}", pattern.row.id));
                }
                texts += 1;
            }
        }
        assert!(texts > 3_000, "{texts}");
        assert!(worst.0 <= MOST, "{} bytes for each byte: {}", worst.0, worst.1);
    }
}
