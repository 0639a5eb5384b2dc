//! Lengths of time, sizes and rates as people write them in files: `"30s"`, `"64KiB"`, `"60/min"`.
//!
//! A number without a unit is refused everywhere: nobody should have to guess whether `30` means seconds.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::time::Millis;

/// A text that is not a value of the wanted kind, with what would be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {wanted}")]
pub struct BadUnit {
    text: String,
    wanted: &'static str,
}

/// A length of time: a whole number and `ms`, `s`, `min` (or `m`), `h` or `d`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(Millis);

/// A number of bytes: a whole number and `B`, `KiB`, `MiB` or `GiB` (`KB`, `MB`, `GB` for powers of ten).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(u64);

/// How often something may happen: a whole number, `/`, and `s`, `min`, `h` or `day`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// How many times.
    pub count: u32,
    /// In which time.
    pub per: Window,
}

/// The time that a [`Rate`] counts in.
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

const PERIODS: &[(&str, u64)] =
    &[("ms", 1), ("s", 1_000), ("min", 60_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

const SIZES: &[(&str, u64)] = &[
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

const WINDOWS: &[(&str, Window)] = &[
    ("s", Window::Second),
    ("min", Window::Minute),
    ("m", Window::Minute),
    ("h", Window::Hour),
    ("day", Window::Day),
    ("d", Window::Day),
];

impl Period {
    /// What a text of this kind looks like.
    pub const FORM: &'static str = "a length of time such as \"30s\" (units: ms, s, min, h, d)";

    /// Whole milliseconds.
    #[must_use]
    pub const fn from_millis(ms: u64) -> Self {
        Self(Millis(ms))
    }

    /// Whole seconds.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(Millis::from_secs(secs))
    }

    /// As milliseconds.
    #[must_use]
    pub const fn millis(self) -> Millis {
        self.0
    }

    /// As the standard library's type.
    #[must_use]
    pub const fn duration(self) -> Duration {
        self.0.duration()
    }
}

impl Size {
    /// What a text of this kind looks like.
    pub const FORM: &'static str = "a size such as \"64KiB\" (units: B, KiB, MiB, GiB, KB, MB, GB)";

    /// This many bytes.
    #[must_use]
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// This many times 1,024 bytes.
    #[must_use]
    pub const fn from_kib(kib: u64) -> Self {
        Self(kib.saturating_mul(1 << 10))
    }

    /// As a number of bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// As a length of something in memory; what does not fit is as good as no limit.
    #[must_use]
    pub fn len(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// True for zero bytes.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl Window {
    /// Its length.
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
    /// What a text of this kind looks like.
    pub const FORM: &'static str = "a rate such as \"60/min\" (units: s, min, h, day)";

    /// So many each minute.
    #[must_use]
    pub const fn per_minute(count: u32) -> Self {
        Self { count, per: Window::Minute }
    }
}

/// Splits `"64KiB"` into 64 and the unit; no sign, no fraction, no leading zero, at most one space between.
fn number_and_unit<T: Copy>(text: &str, units: &[(&str, T)]) -> Option<(u64, T)> {
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = text.split_at_checked(at)?;
    if digits.len() > 1 && digits.starts_with('0') {
        return None;
    }
    let unit = unit.strip_prefix(' ').unwrap_or(unit);
    let scale = units.iter().find(|(name, _)| *name == unit)?.1;
    Some((digits.parse().ok()?, scale))
}

/// The largest unit that leaves no rest.
fn fitting(value: u64, units: &[(&'static str, u64)]) -> (u64, &'static str) {
    let fits = units.iter().filter(|(_, scale)| value != 0 && value.is_multiple_of(*scale));
    match fits.max_by_key(|(_, scale)| *scale) {
        Some((name, scale)) => (value / scale, name),
        None => (value, units.first().map_or("", |(name, _)| name)),
    }
}

fn bad<T>(text: &str, wanted: &'static str) -> Result<T, BadUnit> {
    Err(BadUnit { text: text.chars().take(40).collect(), wanted })
}

impl FromStr for Period {
    type Err = BadUnit;

    fn from_str(text: &str) -> Result<Self, BadUnit> {
        match number_and_unit(text, PERIODS).and_then(|(n, scale)| n.checked_mul(scale)) {
            Some(ms) => Ok(Self(Millis(ms))),
            None => bad(text, Self::FORM),
        }
    }
}

impl FromStr for Size {
    type Err = BadUnit;

    fn from_str(text: &str) -> Result<Self, BadUnit> {
        match number_and_unit(text, SIZES).and_then(|(n, scale)| n.checked_mul(scale)) {
            Some(bytes) => Ok(Self(bytes)),
            None => bad(text, Self::FORM),
        }
    }
}

impl FromStr for Rate {
    type Err = BadUnit;

    fn from_str(text: &str) -> Result<Self, BadUnit> {
        let Some((count, unit)) = text.split_once('/') else { return bad(text, Self::FORM) };
        let window = WINDOWS.iter().find(|(name, _)| *name == unit);
        match (count.parse(), window) {
            (Ok(count), Some((_, per))) if !count_is_odd(text) => Ok(Self { count, per: *per }),
            _ => bad(text, Self::FORM),
        }
    }
}

/// `u32::from_str` takes `+5` and `005`; a file should not.
fn count_is_odd(text: &str) -> bool {
    text.starts_with('+') || (text.starts_with('0') && !text.starts_with("0/"))
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, unit) = fitting(self.0.0, PERIODS);
        write!(f, "{count}{unit}")
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, unit) = fitting(self.0, SIZES);
        write!(f, "{count}{unit}")
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = WINDOWS.iter().find(|(_, window)| *window == self.per).map_or("", |(name, _)| name);
        write!(f, "{}/{unit}", self.count)
    }
}

macro_rules! as_text {
    ($($name:ident => $format:literal;)*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }

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

as_text! {
    Period => "duration";
    Size => "size";
    Rate => "rate";
}

impl From<Period> for Millis {
    fn from(period: Period) -> Self {
        period.0
    }
}

impl From<Millis> for Period {
    fn from(millis: Millis) -> Self {
        Self(millis)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn people_write_lengths_sizes_and_rates_with_units() {
        assert_eq!("30s".parse(), Ok(Period::from_secs(30)));
        assert_eq!("5min".parse(), Ok(Period::from_secs(300)));
        assert_eq!("5m".parse(), Ok(Period::from_secs(300)));
        assert_eq!("0s".parse(), Ok(Period::default()));
        assert_eq!("64KiB".parse(), Ok(Size::from_bytes(65_536)));
        assert_eq!("10 MB".parse(), Ok(Size::from_bytes(10_000_000)));
        assert_eq!("60/min".parse(), Ok(Rate::per_minute(60)));
        assert_eq!(Period::from_secs(90).to_string(), "90s");
        assert_eq!(Period::from_secs(86_400).to_string(), "1d");
        assert_eq!(Size::from_kib(1_024).to_string(), "1MiB");
    }

    #[test]
    fn what_has_no_unit_or_an_odd_number_is_refused() {
        for text in ["", "30", "s", "1.5s", "-1s", "+1s", "030s", "30 seconds", "30S", "99999999999999999999s", "18446744073709551615d"] {
            assert!(text.parse::<Period>().is_err(), "`{text}` passed as a length");
        }
        for text in ["64", "64kib", "64K", "1e3B", "18446744073709551615GiB"] {
            assert!(text.parse::<Size>().is_err(), "`{text}` passed as a size");
        }
        for text in ["60", "60/", "/min", "+6/min", "06/min", "60/week", "6 /min", "5000000000/s"] {
            assert!(text.parse::<Rate>().is_err(), "`{text}` passed as a rate");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(ms in any::<u64>(), bytes in any::<u64>(), count in any::<u32>()) {
            let (period, size, rate) = (Period::from_millis(ms), Size::from_bytes(bytes), Rate::per_minute(count));
            prop_assert_eq!(period.to_string().parse(), Ok(period));
            prop_assert_eq!(size.to_string().parse(), Ok(size));
            prop_assert_eq!(rate.to_string().parse(), Ok(rate));
        }

        #[test]
        fn no_text_makes_the_parsers_fall(text in ".{0,40}") {
            let _ = (text.parse::<Period>(), text.parse::<Size>(), text.parse::<Rate>());
        }
    }
}
