//! Pagination: the size of a page, and the place where the next page begins.
//!
//! A page ends at a [`Place`] in the order of its list and not at a count, so that no entry is shown twice or left out
//! if rows are added meanwhile.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize, Serializer};

use crate::time::Timestamp;

/// Limit of entries per page: 1 to 1,000; 100 by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub struct Limit(u32);

impl Limit {
    /// The largest limit.
    pub const MOST: Self = Self(1_000);

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Returns the number as a count of rows.
    #[must_use]
    pub fn rows(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(100)
    }
}

impl TryFrom<u32> for Limit {
    type Error = String;

    fn try_from(wanted: u32) -> Result<Self, String> {
        if (1..=Self::MOST.0).contains(&wanted) {
            return Ok(Self(wanted));
        }
        Err(format!("`{wanted}` is not between 1 and {}", Self::MOST.0))
    }
}

/// A place in a list that is ordered by time, and by id for equal times.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Place {
    /// Time of the entry at this place.
    pub at: Timestamp,
    /// Id of that entry. Empty: before all entries of that time.
    pub id: String,
}

impl Place {
    /// The place before all entries.
    pub const START: Self = Self { at: Timestamp(0), id: String::new() };
    /// The place after all entries.
    pub const END: Self = Self { at: Timestamp(i64::MAX), id: String::new() };
}

/// Formats as `TIME.ID`, or `TIME` alone, in milliseconds since 1970.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.at.0, self.id)
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (at, id) = text.split_once('.').unwrap_or((text, ""));
        let at = at.parse().map_err(|_| {
            "it is neither a time in milliseconds since 1970 nor the `next` of an answer".to_owned()
        })?;
        Ok(Self { at: Timestamp(at), id: id.to_owned() })
    }
}

impl TryFrom<String> for Place {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// Its entries.
    pub entries: Vec<T>,
    /// Place where the next page begins; `None` on the last page.
    pub next: Option<Place>,
}

impl<T> Page<T> {
    /// Builds a page of the first `limit` entries. `entries` holds one more entry if there is another page.
    #[must_use]
    pub fn of(mut entries: Vec<T>, limit: Limit, place: impl Fn(&T) -> Place) -> Self {
        let more = entries.len() > limit.rows();
        entries.truncate(limit.rows());
        let next = entries.last().filter(|_| more).map(place);
        Self { entries, next }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_limit_is_one_to_a_thousand() {
        assert_eq!(Limit::try_from(1).map(Limit::get), Ok(1));
        assert_eq!(Limit::try_from(1_000), Ok(Limit::MOST));
        for wrong in [0, 1_001, u32::MAX] {
            assert!(Limit::try_from(wrong).unwrap_err().contains("between 1 and 1000"));
        }
    }

    #[test]
    fn only_a_page_with_another_behind_it_says_where_that_begins() {
        let place = |number: &i64| Place { at: Timestamp(*number), id: "x".to_owned() };
        let limit = Limit::try_from(2).unwrap();
        assert_eq!(Page::of(vec![1, 2], limit, place), Page { entries: vec![1, 2], next: None });
        assert_eq!(
            Page::of(vec![1, 2, 3], limit, place),
            Page { entries: vec![1, 2], next: Some(place(&2)) }
        );
        assert_eq!(Page::of(Vec::new(), limit, place).next, None);
    }

    #[test]
    fn a_time_alone_is_a_place_and_a_word_is_none() {
        assert_eq!("17".parse(), Ok(Place { at: Timestamp(17), id: String::new() }));
        assert!("soon".parse::<Place>().unwrap_err().contains("milliseconds"));
    }

    proptest! {
        #[test]
        fn a_place_is_read_as_it_was_written(at in any::<i64>(), id in "[a-z0-9._-]{0,20}") {
            let place = Place { at: Timestamp(at), id };
            prop_assert_eq!(place.to_string().parse(), Ok(place));
        }
    }
}
