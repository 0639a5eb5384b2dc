//! Byte sets that every finding of a row needs: the semicolon of a connection string, the letter of a street, the digit
//! of a key. The regex is not run where none of them is in its range.

use regex_syntax::{
    ParserBuilder,
    hir::{Hir, HirKind},
};

use super::{begins::put_class, bytes::Bytes};

/// Sets with a higher frequency occur nearly everywhere, and are dropped.
const MOST_USUAL: u32 = 100;

/// Maximum number of sets of a row.
const MOST: usize = 4;

/// Bytes that checks require. Without one of them, the check rejects every text.
const ASKED: [(&[&str], &[u8]); 9] = [
    (&["made", "made_or_id", "issued", "random", "signs", "recovery_codes"], b"0123456789"),
    (&["chosen_password", "changed_password", "bare_password", "strong_password"], b"0123456789!#$%^&*?@"),
    (&["chosen_password", "changed_password", "bare_password"], b"ABCDEFGHIJKLMNOPQRSTUVWXYZ!#$%^&*?@-_."),
    (&["strong_password"], b"ABCDEFGHIJKLMNOPQRSTUVWXYZ!#$%^&*?@"),
    (&["vendor_made", "told_key"], b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    (&["signed_password"], b"!#$%^&*?@+="),
    (&["evident_password"], b"!#$%^&*@"),
    (&["hinted_password"], b"ABCDEFGHIJKLMNOPQRSTUVWXYZ!#$%^&*@"),
    (
        &["password", "quoted_password", "told_password", "told_set_password", "mixed", "otp_seed"],
        b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    ),
];

/// Parses a regex; `None` if it is invalid.
pub(super) fn read(regex: &str) -> Option<Hir> {
    ParserBuilder::new().unicode(false).utf8(false).build().parse(regex).ok()
}

/// Returns byte sets, of each of which every finding of a row contains at least one byte. `tells` selects the useful
/// ones.
pub(super) fn of(regex: &Hir, checks: &[String], tells: impl Fn(&Bytes) -> bool) -> Vec<Bytes> {
    let mut sets = all(regex);
    sets.retain(|set| usual(set) <= MOST_USUAL && tells(set));
    let asked = asked(checks).filter(|set| tells(set));
    asked.chain(rarest(sets)).collect()
}

/// Returns the bytes that checks require.
pub(super) fn asked(checks: &[String]) -> impl Iterator<Item = Bytes> {
    let asks = |of: &[&str]| checks.iter().any(|check| of.contains(&check.as_str()));
    let sets = ASKED.iter().filter(move |(of, _)| asks(of));
    sets.map(|(_, bytes)| Bytes::of(|byte| bytes.contains(&byte)))
}

/// Minimum number of different letters in the words of a phrase.
pub(super) const PHRASE_LETTERS: usize = 12;

/// Returns the sets that are rarest in texts.
fn rarest(mut sets: Vec<Bytes>) -> Vec<Bytes> {
    sets.sort_by_cached_key(usual);
    let mut kept: Vec<Bytes> = Vec::new();
    for set in sets {
        // A superset of a kept set occurs wherever that set occurs.
        if kept.len() < MOST && !kept.iter().any(|smaller| smaller.or(set) == set) {
            kept.push(set);
        }
    }
    kept
}

/// Returns the approximate frequency of a set in texts.
fn usual(set: &Bytes) -> u32 {
    let of_one = |byte: u8| match byte {
        b' ' => 55,
        b'\n' => 10,
        b'0'..=b'9' => 8,
        b'a'..=b'z' => 4,
        b'A'..=b'Z' => 2,
        _ => 1,
    };
    set.iter().map(of_one).sum()
}

/// Returns sets, of each of which every match of this part contains at least one byte.
fn all(part: &Hir) -> Vec<Bytes> {
    match part.kind() {
        HirKind::Empty | HirKind::Look(_) => Vec::new(),
        HirKind::Literal(literal) => literal.0.iter().map(|byte| Bytes::one(*byte)).collect(),
        HirKind::Class(class) => {
            let mut set = Bytes::default();
            put_class(&mut set, class);
            vec![set]
        }
        HirKind::Repetition(repeated) if repeated.min == 0 => Vec::new(),
        HirKind::Repetition(repeated) => all(&repeated.sub),
        HirKind::Capture(group) => all(&group.sub),
        HirKind::Concat(parts) => parts.iter().flat_map(all).collect(),
        HirKind::Alternation(parts) => {
            let each: Vec<Vec<Bytes>> = parts.iter().map(|part| rarest(all(part))).collect();
            let number = |at: usize| {
                let of_each = each.iter().map(|sets| sets.get(at).or(sets.last()).copied());
                of_each.reduce(|a, b| Some(a?.or(b?))).flatten()
            };
            (0..MOST).filter_map(number).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{
        prelude::*,
        strategy::{Strategy, ValueTree},
        string::bytes_regex,
        test_runner::TestRunner,
    };
    use regex::bytes::RegexBuilder;

    use super::{super::check, *};

    #[test]
    fn a_row_needs_the_rarest_of_what_each_of_its_matches_has() {
        let needs = |regex: &str, checks: &[&str]| {
            let checks: Vec<String> = checks.iter().map(|check| (*check).to_owned()).collect();
            let sets = of(&read(regex).unwrap(), &checks, |set| !set.has(b'k'));
            sets.iter().map(|set| set.iter().map(char::from).collect()).collect::<Vec<String>>()
        };
        assert_eq!(needs("k=([^;]{4,});", &[]), ["=", ";"]);
        assert_eq!(needs(r"[a-z] (?:St|Rd)\.?", &[]), ["RS", "dt", " "]);
        assert_eq!(needs(r"[a-z] (?:St|Rd|)\.?", &[]), [" "], "an alternative is empty");
        assert_eq!(needs("k?[a-l ]T*x+", &[]), ["x"], "the word that wakes the row has a k");
        assert_eq!(needs("k(.{16});", &["real", "made"]), ["0123456789", ";"]);
        assert!(needs("[a-z ]*", &[]).is_empty());
    }

    #[test]
    fn no_check_agrees_to_what_it_asks_for_and_is_not_there() {
        for (checks, bytes) in ASKED {
            let rest: Vec<u8> = (b' '..=b'~').filter(|byte| !bytes.contains(byte)).collect();
            let texts = bytes_regex(&format!(
                "(?-u)(?:[a-fA-F]{{8}}(?:-[a-f]{{4}}){{3}}-[a-f]{{12}}|[^{}]{{1,64}})",
                "\\x00-\\x1f\\x7f-\\xff"
            ))
            .unwrap();
            let mut runner = TestRunner::deterministic();
            for _ in 0..4000 {
                let mut text = texts.new_tree(&mut runner).unwrap().current();
                text.retain(|byte| rest.contains(byte));
                assert!(!checks.iter().any(|name| check::named(name).unwrap()(&text)), "{text:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn what_a_regex_needs_is_in_each_of_its_matches(
            regex in r"(\(\?:|[ab]\??|\[a-c\]\*?|\[b-d\]\+|c\{0,2\}|\||\)){1,8}",
            text in "[abcd]{0,6}",
        ) {
            // A surplus closing bracket would close the bracket of the anchor.
            let whole = RegexBuilder::new(&regex).build().is_ok();
            let regex = format!(r"\A(?:{regex})");
            let compiled = RegexBuilder::new(&regex).unicode(false).build().ok().filter(|_| whole);
            let found = compiled.as_ref().and_then(|compiled| compiled.find(text.as_bytes()));
            if let Some(found) = found {
                for set in of(&read(&regex).unwrap(), &[], |_| true) {
                    prop_assert!(found.as_bytes().iter().any(|byte| set.has(*byte)), "{} {}", regex, text);
                }
            }
        }
    }
}
