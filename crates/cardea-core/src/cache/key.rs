//! Keys: which answers can be found at all, and which texts count as the same.

use std::borrow::Cow;

use aws_lc_rs::digest::{Context, SHA256};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use crate::principal::Principal;

/// Version of the keys. It changes with the parts of a key and with the normalisation, so that old entries are never
/// found again.
const VERSION: &str = "cardea cache 3";

/// Who shares an answer.
#[derive(Debug, Clone, Copy)]
pub enum Owner<'a> {
    /// One user.
    User(&'a Principal),
    /// One user, in one conversation.
    Session(&'a Principal, &'a str),
    /// All users of the tenant with the same roles and scopes.
    Shared(&'a Principal),
}

/// Everything except the text that could change an answer. Each part is compared byte for byte.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// Who may share the answer.
    pub owner: Owner<'a>,
    /// The agent and the version of its file.
    pub agent: (&'a str, &'a str),
    /// The model that would answer.
    pub model: &'a str,
    /// Sampling parameters, as canonical JSON.
    pub sampling: &'a str,
    /// Instructions, with the version of the prompt they come from.
    pub instructions: &'a str,
    /// A fingerprint of each tool that the caller may call: name, schema, effect.
    pub tools: &'a [String],
    /// The guard profile and its version.
    pub guard: &'a str,
    /// The language and region of the answer.
    pub locale: &'a str,
    /// Fingerprint of the history and memory that the answer depends on; empty for the first question.
    pub history: &'a str,
}

/// The digest of all [`Circumstances`]: the only place where an entry can be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition([u8; 32]);

/// The digest of a partition and a normalised text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExactKey([u8; 32]);

impl Partition {
    /// Returns the partition of these circumstances.
    ///
    /// Every part goes into the digest with its name and its length, so that no choice of ids makes two partitions
    /// equal: `a` + `bc` is not `ab` + `c`.
    #[must_use]
    pub fn of(circumstances: &Circumstances<'_>) -> Self {
        let Circumstances { owner, agent, model, sampling, instructions, tools, guard, locale, history } =
            *circumstances;
        let mut parts = Parts::new("partition");
        match owner {
            Owner::User(user) => parts.add("owner", "user").add("user", &user.key()),
            Owner::Session(user, conversation) => {
                parts.add("owner", "session").add("user", &user.key()).add("conversation", conversation)
            }
            Owner::Shared(user) => {
                parts.add("owner", "shared").add("tenant", user.tenant.as_str());
                parts.list("roles", user.roles.iter()).list("scopes", user.scopes.iter())
            }
        };
        parts
            .add("agent", agent.0)
            .add("agent version", agent.1)
            .add("model", model)
            .add("sampling", sampling);
        parts.add("instructions", instructions).list("tools", tools.iter()).add("guard", guard);
        parts.add("locale", locale).add("history", history);
        Self(parts.finish())
    }

    /// Returns the key of a text in this partition, after [`normalise`].
    #[must_use]
    pub fn exact(&self, text: &str) -> ExactKey {
        let mut parts = Parts::new("exact");
        parts.bytes("partition", &self.0).add("text", &normalise(text));
        ExactKey(parts.finish())
    }

    /// Returns the bytes, for a store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Restores a partition from a store.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl ExactKey {
    /// Returns the bytes, for a store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// A digest over named parts, each with its length.
struct Parts(Context);

impl Parts {
    fn new(kind: &str) -> Self {
        let mut parts = Self(Context::new(&SHA256));
        parts.add("version", VERSION).add("kind", kind);
        parts
    }

    fn add(&mut self, name: &str, value: &str) -> &mut Self {
        self.bytes(name, value.as_bytes())
    }

    fn bytes(&mut self, name: &str, value: &[u8]) -> &mut Self {
        for piece in [name.as_bytes(), value] {
            self.0.update(&(piece.len() as u64).to_be_bytes());
            self.0.update(piece);
        }
        self
    }

    fn list<'a>(&mut self, name: &str, values: impl ExactSizeIterator<Item = &'a String>) -> &mut Self {
        self.bytes(name, &(values.len() as u64).to_be_bytes());
        values.fold(self, |parts, value| parts.add(name, value))
    }

    fn finish(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.finish().as_ref());
        bytes
    }
}

/// Returns the form in which the exact layer compares texts.
///
/// NFC. Runs of white space become one space, and are removed at the ends. Plain words are lower-cased. `.`, `?`, `!`,
/// `…`, `,`, `;` and `:` at the end of a word are removed. Everything that could carry meaning stays: the case of
/// words with digits, with inner capitals, in capitals only (`iOS`, `US`, `A-17b`) or with punctuation inside, a `!`
/// after a number, punctuation in other places, and everything in a text with line breaks or backticks, of which only
/// the ends are trimmed.
#[must_use]
pub fn normalise(text: &str) -> String {
    let text = composed(text);
    let text = text.trim();
    if text.contains(['\n', '\r', '`']) {
        return text.to_owned();
    }
    let mut words = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !words.is_empty() {
            words.push(' ');
        }
        fold_case(word, &mut words);
    }
    let mut words = composed(&words).into_owned();
    while let Some(last) = words.chars().next_back() {
        let before = words.chars().rev().nth(1);
        let mark = matches!(last, '.' | '?' | '!' | '…' | ',' | ';' | ':' | '。' | '？' | '！');
        let kept = last == '!' && before.is_some_and(|before| before.is_numeric());
        let alone = before.is_none_or(char::is_whitespace); // the question is about the mark itself
        if !mark || kept || alone {
            break;
        }
        words.pop();
    }
    words
}

/// Returns the text in NFC, which it usually is already.
fn composed(text: &str) -> Cow<'_, str> {
    match is_nfc_quick(text.chars()) {
        IsNormalized::Yes => Cow::Borrowed(text),
        IsNormalized::No | IsNormalized::Maybe => Cow::Owned(text.nfc().collect()),
    }
}

/// Lower-cases a word in ordinary spelling; others stay as they are.
fn fold_case(word: &str, to: &mut String) {
    let core = word.trim_matches(|c: char| !c.is_alphanumeric());
    let mut letters = core.chars();
    let first_only = letters.next().is_some() && letters.all(|c| c.is_lowercase() || c == '\'' || c == '’');
    if !first_only {
        to.push_str(word);
    } else if word.is_ascii() {
        to.extend(word.bytes().map(|byte| char::from(byte.to_ascii_lowercase())));
    } else {
        to.push_str(&word.to_lowercase());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashMap};

    use super::*;
    use crate::principal::Proof;

    fn person(tenant: &str, user: &str) -> Principal {
        Principal::new(tenant, user, "issuer", Proof::Jwt)
    }

    fn plain(owner: Owner<'_>) -> Circumstances<'_> {
        Circumstances {
            owner,
            agent: ("support", "1"),
            model: "m",
            sampling: "{}",
            instructions: "help",
            tools: &[],
            guard: "default",
            locale: "en",
            history: "",
        }
    }

    #[test]
    fn nothing_that_could_change_the_answer_is_left_out() {
        let (ann, bob, far) = (person("t", "ann"), person("t", "bob"), person("u", "ann"));
        let base = plain(Owner::User(&ann));
        let tools = ["a".to_owned(), "b".to_owned()];
        let glued = ["ab".to_owned()];
        let mut boss = ann.clone();
        boss.roles.insert("boss".to_owned());
        let others = [
            base,
            plain(Owner::User(&bob)),
            plain(Owner::User(&far)),
            plain(Owner::Session(&bob, "c1")),
            plain(Owner::Shared(&far)),
            plain(Owner::Session(&ann, "c1")),
            plain(Owner::Session(&ann, "c2")),
            plain(Owner::Shared(&ann)),
            plain(Owner::Shared(&boss)),
            Circumstances { agent: ("support", "2"), ..base },
            Circumstances { agent: ("support1", ""), ..base },
            Circumstances { model: "n", ..base },
            Circumstances { sampling: "{\"temperature\":1}", ..base },
            Circumstances { instructions: "help!", ..base },
            Circumstances { tools: &tools, ..base },
            Circumstances { tools: &glued, ..base },
            Circumstances { guard: "strict", ..base },
            Circumstances { locale: "de", ..base },
            Circumstances { history: "h", ..base },
        ];
        let found: BTreeSet<Partition> = others.iter().map(Partition::of).collect();
        assert_eq!(found.len(), others.len());
        assert_eq!(Partition::of(&base), Partition::of(&plain(Owner::User(&person("t", "ann")))));
    }

    #[test]
    fn ten_thousand_hostile_names_never_share_a_partition() {
        let pieces = [
            "a", "b", ":", "/", "_", ";", "1:", "\0", "а", "a\u{301}", "á", "A", " ", "user", "2:ab;",
            "\u{200b}",
        ];
        let mut state = 17_u64;
        let mut pick = || {
            let mut name = String::new();
            for _ in 0..=(state >> 60) % 4 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                name.push_str(pieces[(state >> 33) as usize % pieces.len()]);
            }
            name
        };
        let mut seen: HashMap<Partition, (String, String, String)> = HashMap::new();
        for _ in 0..10_000 {
            let (tenant, user, talk) = (pick(), pick(), pick());
            let who = person(&tenant, &user);
            let part = Partition::of(&plain(Owner::Session(&who, &talk)));
            let names = (tenant, user, talk);
            if let Some(before) = seen.insert(part, names.clone()) {
                assert_eq!(before, names, "two owners share a partition");
            }
        }
        assert!(seen.len() > 1000);
    }

    #[test]
    fn the_same_words_meet_and_other_meanings_do_not() {
        let same = [
            ("Where is my order?", "where is  my order"),
            ("Hello!", "hello"),
            ("Caf\u{e9} hours", "cafe\u{301} hours"),
            ("  What's new...", "what's new"),
        ];
        for (a, b) in same {
            assert_eq!(normalise(a), normalise(b));
        }
        let other = [
            ("what is 5!", "what is 5"),
            ("is 1.5 enough", "is 15 enough"),
            ("is -5 cold", "is 5 cold"),
            ("learn C++", "learn C"),
            ("find code aB1", "find code AB1"),
            ("tell US about it", "tell us about it"),
            ("run `a  b`", "run `a b`"),
            ("if x:\n  y", "if x:\ny"),
            ("how do I type ?", "how do I type !"),
            ("we're open", "were open"),
            ("re-sign the form", "resign the form"),
        ];
        for (a, b) in other {
            assert_ne!(normalise(a), normalise(b), "{a} / {b}");
        }
    }

    proptest::proptest! {
        #[test]
        fn normalising_twice_changes_nothing(text in "\\PC{0,40}") {
            let once = normalise(&text);
            proptest::prop_assert_eq!(normalise(&once), once);
        }
    }
}
