//! Points in time, lengths of time, and the clock that all rooms use.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// A length of time in milliseconds, never negative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Millis {
    /// Returns a length of whole seconds.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000))
    }

    /// Converts to the type of the standard library.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }

    /// Returns the seconds, rounded up: `Retry-After` counts whole seconds and must not be early.
    #[must_use]
    pub const fn secs_up(self) -> u64 {
        self.0.div_ceil(1_000)
    }
}

/// Error for a text that is not a length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a length of time: write a whole number and one of ms, s, min, h, d, for example \"30s\""
)]
pub struct BadLength(String);

impl std::str::FromStr for Millis {
    type Err = BadLength;

    /// Parses `250ms`, `30s`, `5min`, `2h`, `7d`.
    fn from_str(text: &str) -> Result<Self, BadLength> {
        let bad = || BadLength(text.chars().take(32).collect());
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at_checked(digits).ok_or_else(bad)?;
        let factor = match unit {
            "ms" => 1,
            "s" => 1_000,
            "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(bad()),
        };
        number.parse::<u64>().ok().and_then(|n| n.checked_mul(factor)).map(Self).ok_or_else(bad)
    }
}

/// Lengths of time in configuration files: `#[serde(with = "cardea_core::time::text")]` on a [`Millis`].
pub mod text {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Millis;

    /// Writes the length in its largest whole unit.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(length: &Millis, serializer: S) -> Result<S::Ok, S::Error> {
        let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")];
        match units.iter().find(|(factor, _)| length.0 > 0 && length.0.is_multiple_of(*factor)) {
            Some((factor, unit)) => serializer.collect_str(&format_args!("{}{unit}", length.0 / factor)),
            None => serializer.collect_str(&format_args!("{}ms", length.0)),
        }
    }

    /// Reads a length of time.
    ///
    /// # Errors
    /// If the text is not one.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Millis, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl From<Duration> for Millis {
    fn from(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 4] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")];
        let whole = UNITS.into_iter().find(|(unit, _)| self.0 >= *unit && self.0.is_multiple_of(*unit));
        match whole {
            Some((unit, name)) => write!(f, "{} {name}", self.0 / unit),
            None if self.0 < 1_000 => write!(f, "{} ms", self.0),
            None => write!(f, "{:.1} s", self.0 as f64 / 1_000.0),
        }
    }
}

/// A point in time: milliseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Converts from whole seconds since 1970, as in JSON Web Tokens (RFC 7519 section 2, NumericDate).
    #[must_use]
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1_000))
    }

    /// Returns whole seconds since 1970, rounded down.
    #[must_use]
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Returns this point moved forward.
    #[must_use]
    pub const fn plus(self, by: Millis) -> Self {
        Self(self.0.saturating_add_unsigned(by.0))
    }

    /// Returns this point moved back.
    #[must_use]
    pub const fn minus(self, by: Millis) -> Self {
        Self(self.0.saturating_sub_unsigned(by.0))
    }

    /// Returns the time from `earlier` to here; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Millis {
        Millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    /// Formats as RFC 3339 in UTC with milliseconds. The calendar arithmetic is Howard Hinnant's `civil_from_days`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, ms) = (self.0.div_euclid(86_400_000), self.0.rem_euclid(86_400_000));
        let z = days + 719_468;
        let era = z.div_euclid(146_097);
        let day_of_era = z.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let (h, m, s) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
        let ms = ms % 1_000;
        if !(0..=9_999).contains(&year) {
            return write!(f, "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{ms:03}Z");
        }
        // WHY: every line of the log and of the audit log holds one, and padding numbers would cost a call of the
        // formatter.
        let mut text = *b"0000-00-00T00:00:00.000Z";
        for (number, from, to) in
            [(year, 0, 4), (month, 5, 7), (day, 8, 10), (h, 11, 13), (m, 14, 16), (s, 17, 19), (ms, 20, 23)]
        {
            let mut rest = number.unsigned_abs();
            for place in text.get_mut(from..to).into_iter().flatten().rev() {
                *place = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

/// Tells the time. Every room uses the clock that it was given, so that tests can move it.
///
/// For lengths (deadlines, timings) use `tokio::time` or `std::time::Instant`, which no wall-clock jump disturbs.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Returns the current time.
    fn now(&self) -> Timestamp;
}

/// A clock shared between rooms.
pub type SharedClock = Arc<dyn Clock>;

/// The system clock; the only place that reads it.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that the rule points to")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// A clock that moves only when told to. For tests and replays.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// Creates a clock that shows `at`.
    #[must_use]
    pub fn at(at: Timestamp) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(at.0)))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Millis) {
        self.0.fetch_add(i64::try_from(by.0).unwrap_or(i64::MAX), Ordering::SeqCst);
    }

    /// Sets the clock; it may go back.
    pub fn set(&self, at: Timestamp) {
        self.0.store(at.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_prints_as_rfc_3339() {
        assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp(1_709_210_096_789).to_string(), "2024-02-29T12:34:56.789Z");
        assert_eq!(Timestamp(-1).to_string(), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn a_length_of_time_is_a_number_with_a_unit() {
        let read = |text: &str| text.parse::<Millis>().ok();
        assert_eq!(read("250ms"), Some(Millis(250)));
        assert_eq!(read("5min"), Some(Millis(300_000)));
        for text in ["", "30", "s", "1.5s", "-1s", "30 s", "30m", "99999999999999999999s", "999999999999999d"]
        {
            assert_eq!(read(text), None, "`{text}` passed");
        }
        let write = |ms| text::serialize(&Millis(ms), serde_json::value::Serializer).unwrap();
        assert_eq!((write(0), write(90_000), write(7_200_000)), ("0ms".into(), "90s".into(), "2h".into()));
    }

    #[test]
    fn retry_after_is_never_early() {
        assert_eq!(Millis(1).secs_up(), 1);
        assert_eq!(Millis(2_000).secs_up(), 2);
    }
}
