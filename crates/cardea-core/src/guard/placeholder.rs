//! Typed placeholders that stay the same inside one conversation, and the way back for the owner.
//!
//! [`Placeholders`] knows keyed digests and numbers, never values, so it may be stored with the conversation. The
//! key is not stored with it: short values such as card numbers could be guessed from digests with the key at hand.
//! [`Originals`] is the way back. It holds values, lives in memory, and leaves memory only as bytes for a vault.

use std::{
    collections::{BTreeMap, HashMap},
    sync::OnceLock,
};

use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

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

    /// Puts values back where `may(label)` allows it. Reads the text once; a restored value is not read again.
    #[must_use]
    pub fn restore(&self, text: &str, may: impl Fn(&str) -> bool) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, from)) = rest.split_once('[') {
            out.push_str(before);
            // WHY: a placeholder is short; looking further would make a text of open brackets slow.
            let end = from.bytes().take(LONGEST).position(|byte| byte == b']');
            let known = end.and_then(|end| {
                let (name, after) = from.split_at_checked(end)?;
                let after = after.strip_prefix(']')?;
                let (label, _) = name.rsplit_once('_')?;
                let value = self.0.get(&format!("[{name}]")).filter(|_| may(label))?;
                Some((value, after))
            });
            match known {
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
}
