//! What no match of a regex can do without: the semicolon of a connection string, the letter of a street. Where nothing of
//! it stands as far as the regex would read, it is not begun.

use regex_syntax::{
    ParserBuilder,
    hir::{Hir, HirKind},
};

use super::{begins::put_class, bytes::Bytes};

/// More than this stands nearly everywhere.
const MOST_USUAL: u32 = 60;

/// Reads a regex into its parts; nothing if it is broken.
pub(super) fn read(regex: &str) -> Option<Hir> {
    ParserBuilder::new().unicode(false).utf8(false).build().parse(regex).ok()
}

/// Bytes of which each match has at least one. Of all such sets it is the one that texts have least of.
pub(super) fn of(regex: &Hir) -> Option<Bytes> {
    // What the regex begins with is the word that wakes its row.
    let parts = match regex.kind() {
        HirKind::Concat(parts) => parts.as_slice(),
        _ => std::slice::from_ref(regex),
    };
    let word = parts.iter().take_while(|part| matches!(part.kind(), HirKind::Literal(_))).count();
    rarest(parts.iter().skip(word).flat_map(all)).filter(|set| usual(set) <= MOST_USUAL)
}

/// The set of which texts have least; of equals the last, since the first may belong to the word that wakes the row.
fn rarest(sets: impl Iterator<Item = Bytes>) -> Option<Bytes> {
    sets.fold(None, |best, set| match best {
        Some(best) if usual(&best) < usual(&set) => Some(best),
        _ => Some(set),
    })
}

/// How much texts have of a set, about.
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

/// Sets of which each match of this part has at least one byte.
fn all(part: &Hir) -> Vec<Bytes> {
    match part.kind() {
        HirKind::Empty | HirKind::Look(_) => Vec::new(),
        HirKind::Literal(literal) => literal.0.iter().map(|byte| Bytes::of(|one| one == *byte)).collect(),
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
            let each: Option<Vec<Bytes>> = parts.iter().map(|part| rarest(all(part).into_iter())).collect();
            each.and_then(|sets| sets.into_iter().reduce(Bytes::or)).into_iter().collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex::bytes::RegexBuilder;

    use super::*;

    #[test]
    fn a_regex_needs_the_rarest_of_what_each_match_has() {
        let needs =
            |regex: &str| of(&read(regex).unwrap()).map(|set| set.iter().map(char::from).collect::<String>());
        assert_eq!(needs("(?:pwd|pass)=([^;]{4,});").as_deref(), Some(";"));
        assert_eq!(needs(r"\d{1,3} (?:St|Rd)\.?").as_deref(), Some("RS"));
        assert_eq!(needs(r"\d{1,3} (?:St|Rd|)").as_deref(), Some(" "), "an alternative is empty");
        assert_eq!(needs("sk-[a-z]{9}T3").as_deref(), Some("T"));
        assert_eq!(needs("[a-z ]*"), None);
        assert_eq!(needs("[A-Z]?@?x").as_deref(), Some("x"));
    }

    proptest! {
        #[test]
        fn what_a_regex_needs_is_in_each_of_its_matches(
            regex in r"(\(\?:|[ab]\??|\[a-c\]\*?|\[b-d\]\+|c\{0,2\}|\||\)){1,8}",
            text in "[abcd]{0,6}",
        ) {
            // A bracket that closes what it has not opened would close the anchor's.
            let whole = RegexBuilder::new(&regex).build().is_ok();
            let regex = format!(r"\A(?:{regex})");
            let compiled = RegexBuilder::new(&regex).unicode(false).build().ok().filter(|_| whole);
            let found = compiled.as_ref().and_then(|compiled| compiled.find(text.as_bytes()));
            if let Some((found, set)) = found.zip(compiled.as_ref().and_then(|_| of(&read(&regex).unwrap()))) {
                prop_assert!(found.as_bytes().iter().any(|byte| set.has(*byte)), "{} {}", regex, text);
            }
        }
    }
}
