//! Conditions on the words that wake a row of the table.

use serde::Deserialize;

/// Conditions on a word that wakes a row.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tokens {
    /// Possible first bytes, such as `A-Z13`.
    pub(super) first: String,
    /// Minimum and maximum length of the first run of letters and digits.
    pub(super) length: (usize, usize),
    /// Bytes that may follow this run; any if absent. `$` stands for the end of the text.
    #[serde(default)]
    pub(super) next: String,
    /// Bytes that may follow that byte, if there is one; any if absent.
    #[serde(default)]
    pub(super) then: String,
    /// The run consists of digits only.
    #[serde(default)]
    pub(super) number: bool,
    /// The regex begins this many bytes before the word: letters, and a space.
    #[serde(default)]
    pub(super) ahead: usize,
}

impl Tokens {
    /// Returns whether a word may begin with this byte.
    pub(super) fn begins(&self, byte: u8) -> bool {
        in_set(&self.first, byte)
    }

    /// Returns whether this byte (or the end) may follow the first run.
    pub(super) fn goes_on(&self, byte: Option<u8>) -> bool {
        self.next.is_empty() || byte.map_or_else(|| self.next.contains('$'), |byte| in_set(&self.next, byte))
    }

    /// Returns whether this byte may follow that one.
    pub(super) fn goes_further(&self, byte: u8) -> bool {
        self.then.is_empty() || in_set(&self.then, byte)
    }
}

/// Tests a set, which is written as in a regex class: `A-Z`, single bytes, and a final `-` for itself.
fn in_set(set: &str, byte: u8) -> bool {
    let mut rest = set.as_bytes();
    loop {
        match rest {
            [from, b'-', to, after @ ..] => {
                if (*from..=*to).contains(&byte) {
                    return true;
                }
                rest = after;
            }
            [one, after @ ..] => {
                if *one == byte {
                    return true;
                }
                rest = after;
            }
            [] => return false,
        }
    }
}
