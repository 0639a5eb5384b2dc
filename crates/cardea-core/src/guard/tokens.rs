//! Which words wake a row of the table.

use serde::Deserialize;

/// Which words wake a row.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tokens {
    /// Possible first bytes, such as `A-Z13`.
    pub(super) first: String,
    /// Length of the first stretch of letters and digits, from and to.
    pub(super) length: (usize, usize),
    /// What may come after that stretch; anything if left out. `$` stands for the end of the text.
    #[serde(default)]
    pub(super) next: String,
    /// What may come after that byte, if anything does; anything if left out.
    #[serde(default)]
    pub(super) then: String,
    /// The stretch is made of digits only.
    #[serde(default)]
    pub(super) number: bool,
    /// The regex begins this many bytes before it: letters, and a space.
    #[serde(default)]
    pub(super) ahead: usize,
}

impl Tokens {
    /// True if a word may begin with this byte.
    pub(super) fn begins(&self, byte: u8) -> bool {
        in_set(&self.first, byte)
    }

    /// True if this byte (or the end) may follow the first stretch.
    pub(super) fn goes_on(&self, byte: Option<u8>) -> bool {
        self.next.is_empty() || byte.map_or_else(|| self.next.contains('$'), |byte| in_set(&self.next, byte))
    }

    /// True if this byte may follow that one.
    pub(super) fn goes_further(&self, byte: u8) -> bool {
        self.then.is_empty() || in_set(&self.then, byte)
    }
}

/// Sets are written as in a regex class: `A-Z`, single bytes, a `-` at the end for itself.
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
