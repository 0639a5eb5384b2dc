//! Identifiers: names from outside, and random ids made by Cardea.

use std::{cell::RefCell, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{canonical::Digits, time::Timestamp};

/// Error for a text that is not an id of the expected kind.
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
            /// Wraps a name as it is: names are compared byte for byte and never normalised.
            #[must_use]
            pub fn new(name: impl Into<std::sync::Arc<str>>) -> Self {
                Self(name.into())
            }

            /// Returns the name.
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
    /// The OAuth client or API key that the user authenticated with.
    ClientId;
    /// An agent, by the name of its file.
    AgentName;
    /// A tool as callers name it: `server__tool` for tools behind an upstream.
    ToolName;
}

impl ToolName {
    /// Returns the upstream or connector of `server__tool`; `None` for a tool without one.
    #[must_use]
    pub fn server(&self) -> Option<&str> {
        self.as_str().split_once("__").map(|(server, _)| server)
    }
}

/// Random bytes of the operating system, fetched for several ids at once, since a call for each would cost more than
/// everything else about an id.
struct Pool {
    bytes: [u8; 512],
    left: usize,
}

impl Pool {
    fn take(&mut self) -> [u8; 16] {
        if self.left < 16 {
            if getrandom::fill(&mut self.bytes).is_err() {
                // WHY: ids guard rows; ids that are not random would be worse than no process.
                std::process::abort();
            }
            self.left = self.bytes.len();
        }
        self.left -= 16;
        let mut taken = [0; 16];
        if let Some(fresh) = self.bytes.get_mut(self.left..self.left + 16) {
            // INVARIANT: bytes that were handed out are gone from the pool: none is used twice, and no key stays
            // behind.
            taken.swap_with_slice(fresh);
        }
        taken
    }
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { bytes: [0; 512], left: 0 }) };
}

/// Returns 128 random bits from the operating system, which can be neither guessed nor counted.
///
/// # Panics
/// Never in practice: if the operating system's generator fails, the process ends.
#[must_use]
pub fn random_bits() -> u128 {
    u128::from_be_bytes(POOL.with_borrow_mut(Pool::take))
}

/// Time part of an id without a time.
const UNTIMED: u64 = u64::MAX;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident => $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name {
            time: u64,
            bits: u128,
        }

        impl $name {
            const FORM: &'static str = concat!($prefix, "_<32 hexadecimal digits, or 44>");

            /// Creates a new id that cannot be guessed.
            #[must_use]
            pub fn random() -> Self {
                Self::from_bits(random_bits())
            }

            /// Creates a new id that begins with the time. Rows of one time then lie side by side, which makes them
            /// several times cheaper to write than rows in a thousand places.
            #[must_use]
            pub fn timed(now: Timestamp) -> Self {
                Self { time: now.0.cast_unsigned() & 0xffff_ffff_ffff, bits: random_bits() }
            }

            /// Returns the time of creation, by the clock of the node that made it, if the id contains one.
            #[must_use]
            pub fn moment(&self) -> Option<Timestamp> {
                i64::try_from(self.time).ok().filter(|_| self.time != UNTIMED).map(Timestamp)
            }

            /// Returns the id with these bits, for ids that are derived from other data.
            #[must_use]
            pub const fn from_bits(bits: u128) -> Self {
                Self { time: UNTIMED, bits }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!($prefix, "_"))?;
                if self.time != UNTIMED {
                    f.write_str(Digits::<12>::of(u128::from(self.time)).as_str())?;
                }
                f.write_str(Digits::<32>::of(self.bits).as_str())
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
                let canonical = matches!(digits.len(), 32 | 44)
                    && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
                let (time, bits) = digits.split_at_checked(digits.len().wrapping_sub(32)).ok_or_else(bad)?;
                if !canonical {
                    return Err(bad());
                }
                let time = if time.is_empty() { Ok(UNTIMED) } else { u64::from_str_radix(time, 16) };
                let (time, bits) = (time.map_err(|_| bad())?, u128::from_str_radix(bits, 16).map_err(|_| bad())?);
                Ok(Self { time, bits })
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
    /// A request for an approval.
    ApprovalId => "appr";
    /// A policy decision, as in the decision log.
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
        let timed = TurnId::timed(Timestamp(1_800_000_000_000));
        assert_eq!(timed.moment(), Some(Timestamp(1_800_000_000_000)));
        assert_eq!(TurnId::random().moment(), None);
        assert_eq!(timed.to_string().parse::<TurnId>(), Ok(timed));
        for text in [
            "",
            "turn_",
            "turn_1",
            "conv_00000000000000000000000000000001",
            "turn_0000000000000000000000000000000G",
            "turn_0000000000000000000000000000000000001",
            "turn_ä000000000000000000000000000000",
        ] {
            assert!(text.parse::<TurnId>().is_err(), "`{text}` passed");
        }
        let shouted = id.to_string().to_uppercase().replace("TURN", "turn");
        assert!(shouted == id.to_string() || shouted.parse::<TurnId>().is_err(), "one id has one spelling");
    }

    #[test]
    fn ids_of_later_moments_stand_behind_and_can_be_guessed_as_little() {
        let at = |second: i64| TurnId::timed(Timestamp(1_800_000_000_000 + second * 1_000));
        let ids: Vec<String> = (0..50).map(|second| at(second).to_string()).collect();
        assert!(ids.is_sorted(), "as texts, which is how rows are sorted");
        let random: std::collections::HashSet<&str> = ids.iter().filter_map(|id| id.get(17..)).collect();
        assert_eq!(random.len(), ids.len(), "beside the moment there are 128 bits of their own");
        assert!(random.iter().all(|bits| bits.len() == 32));
    }

    #[test]
    fn no_bits_are_handed_out_twice() {
        let made: std::collections::HashSet<u128> = (0..10_000).map(|_| random_bits()).collect();
        assert_eq!(made.len(), 10_000);
    }
}
