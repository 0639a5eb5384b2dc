//! Rates, and how lengths of time, sizes, rates and secrets are described in schemas.
//!
//! A length of time is a [`Millis`] with `#[serde(with = "cardea_core::time::text")]` and `#[schemars(with =
//! "LengthText")]`; a size is [`Bytes`]; a secret is a `SecretString` with `#[schemars(with = "SecretText")]`. A
//! number without a unit is always refused: nobody should have to guess whether `30` means seconds.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{size::Bytes, time::Millis};

/// Error for a text that is not a rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a rate: write a whole number, `/` and one of s, min, h, d, for example \"60/min\"")]
pub struct BadRate(String);

/// A number of events per time window. Written `"10/s"`, `"60/min"`, `"500/h"`, `"1000/d"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// Number of events.
    pub count: u32,
    /// Time window.
    pub per: Window,
}

/// Time window of a [`Rate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Window {
    /// One second.
    Second,
    /// One minute.
    Minute,
    /// One hour.
    Hour,
    /// 24 hours.
    Day,
}

const WINDOWS: [(&str, Window); 4] =
    [("s", Window::Second), ("min", Window::Minute), ("h", Window::Hour), ("d", Window::Day)];

impl Window {
    /// Returns the length of the window.
    #[must_use]
    pub const fn millis(self) -> Millis {
        match self {
            Self::Second => Millis::from_secs(1),
            Self::Minute => Millis::from_secs(60),
            Self::Hour => Millis::from_secs(3_600),
            Self::Day => Millis::from_secs(86_400),
        }
    }
}

impl Rate {
    /// Returns a rate per minute.
    #[must_use]
    pub const fn per_minute(count: u32) -> Self {
        Self { count, per: Window::Minute }
    }
}

impl FromStr for Rate {
    type Err = BadRate;

    fn from_str(text: &str) -> Result<Self, BadRate> {
        let bad = || BadRate(text.chars().take(32).collect());
        let (count, unit) = text.split_once('/').ok_or_else(bad)?;
        // `u32::from_str` accepts `+5` and `005`; a file should not.
        let plain = count == "0" || (!count.starts_with(['+', '0']));
        let (_, per) = WINDOWS.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?;
        let count = count.parse().ok().filter(|_| plain).ok_or_else(bad)?;
        Ok(Self { count, per: *per })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = WINDOWS.iter().find(|(_, window)| *window == self.per).map_or("", |(name, _)| name);
        write!(f, "{}/{unit}", self.count)
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Schema stand-in for a [`Millis`] that is written with its unit.
#[derive(Debug)]
pub struct LengthText;

/// Schema stand-in for a `SecretString`: a text that is never printed, which a file may also give as `{ file = "…" }`
/// or `{ env = "…" }`.
#[derive(Debug)]
pub struct SecretText;

/// Schema stand-in for an address with its port.
#[derive(Debug)]
pub struct SocketText;

macro_rules! described {
    ($($name:ident => $format:literal;)*) => {$(
        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": $format })
            }
        }
    )*};
}

described! {
    LengthText => "duration";
    Bytes => "size";
    Rate => "rate";
    SecretText => "secret";
    SocketText => "socket";
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_has_no_unit_or_an_odd_number_is_no_rate() {
        assert_eq!("60/min".parse(), Ok(Rate::per_minute(60)));
        for text in ["", "60", "60/", "/min", "+6/min", "06/min", "60/week", "6 /min", "5000000000/s", "-1/s"]
        {
            assert!(text.parse::<Rate>().is_err(), "`{text}` passed");
        }
    }

    proptest! {
        #[test]
        fn a_rate_reads_back_what_it_prints(count in any::<u32>(), window in 0_usize..4) {
            let rate = Rate { count, per: WINDOWS[window].1 };
            prop_assert_eq!(rate.to_string().parse(), Ok(rate));
        }

        #[test]
        fn no_text_makes_the_parser_fall(text in ".{0,40}") {
            let _ = text.parse::<Rate>();
        }
    }
}
