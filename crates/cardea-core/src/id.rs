//! Identifiers: names that come from outside, and random ids that Cardea makes.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text that is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id of the form `{form}`")]
pub struct BadId {
    text: String,
    form: &'static str,
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// Takes the name as it is: it is compared byte for byte and never normalised.
            #[must_use]
            pub fn new(name: impl Into<std::sync::Arc<str>>) -> Self {
                Self(name.into())
            }

            /// The name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self::new(name)
            }
        }
    )*};
}

names! {
    /// An organisation whose data is kept apart from all others.
    TenantId;
    /// A person or workload inside one tenant. Only unique together with its [`TenantId`].
    UserId;
    /// The OAuth client or API key through which the user came.
    ClientId;
    /// An agent, by the name of its file.
    AgentName;
    /// A tool as callers name it: `server__tool` for tools behind an upstream.
    ToolName;
}

/// 128 random bits from the operating system: cannot be guessed or counted.
///
/// # Panics
/// Never in practice: the operating system's generator failing is not survivable, and the process ends.
#[must_use]
pub fn random_bits() -> u128 {
    let mut bytes = [0_u8; 16];
    if getrandom::fill(&mut bytes).is_err() {
        // WHY: ids guard rows; an id that is not random is worse than no process.
        std::process::abort();
    }
    u128::from_be_bytes(bytes)
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident => $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            const FORM: &'static str = concat!($prefix, "_<32 hexadecimal digits>");

            /// A new id that nobody can guess.
            #[must_use]
            pub fn random() -> Self {
                Self(random_bits())
            }

            /// The id with these bits, for ids that are derived from something else.
            #[must_use]
            pub const fn from_bits(bits: u128) -> Self {
                Self(bits)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{:032x}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                let bad = || BadId { text: text.chars().take(64).collect(), form: Self::FORM };
                let digits = text.strip_prefix(concat!($prefix, "_")).ok_or_else(bad)?;
                let canonical = digits.len() == 32
                    && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
                if !canonical {
                    return Err(bad());
                }
                u128::from_str_radix(digits, 16).map(Self).map_err(|_| bad())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

ids! {
    /// A conversation: one owner, many messages.
    ConversationId => "conv";
    /// A message in a conversation.
    MessageId => "msg";
    /// A turn: one question and everything done to answer it.
    TurnId => "turn";
    /// A step of a turn: one tool call.
    StepId => "step";
    /// A request for a person's decision.
    ApprovalId => "appr";
    /// One decision of policy, as the decision log knows it.
    DecisionId => "dec";
    /// An API key (the public half).
    KeyId => "key";
    /// One HTTP request, as logs and error answers name it.
    RequestId => "req";
    /// A sealed secret in the vault.
    SecretId => "sec";
    /// An entry of an answer cache.
    EntryId => "ent";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_what_it_prints_and_nothing_else() {
        let id = TurnId::random();
        assert_eq!(id.to_string().parse::<TurnId>(), Ok(id));
        for text in [
            "",
            "turn_",
            "turn_1",
            "conv_00000000000000000000000000000001",
            "turn_0000000000000000000000000000000G",
        ] {
            assert!(text.parse::<TurnId>().is_err(), "`{text}` passed");
        }
        let shouted = id.to_string().to_uppercase().replace("TURN", "turn");
        assert!(shouted == id.to_string() || shouted.parse::<TurnId>().is_err(), "one id has one spelling");
    }
}
