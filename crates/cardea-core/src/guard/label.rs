//! Words before a value: the labels of rows, and names of facts about a secret.

use super::table::MOST_GAP;

/// Distance over which the beginning of a word is searched, in bytes.
pub(super) const BACK: usize = 96;

/// Largest distance of a label from a part of its value, in bytes.
pub(super) const FARTHEST: usize = MOST_GAP as usize + BACK;

/// Meaning of a word before a value, for one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Says {
    For,
    Beside,
    Against,
}

/// A label or its opposite, by the position of its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Label {
    pub(super) end: usize,
    pub(super) row: u16,
    pub(super) says: Says,
    pub(super) gap: u16,
    /// True if its row requires a label.
    pub(super) asked: bool,
}

impl Label {
    pub(super) fn is_near(self, row: u16, start: usize, says: Says) -> bool {
        self.row == row && self.says == says && self.end <= start && self.reaches(start)
    }

    /// Returns whether it is close enough to this later position.
    fn reaches(self, start: usize) -> bool {
        self.end + usize::from(self.gap) >= start
    }
}

/// Labels before a word, within the distance over which they apply.
pub(super) struct Near<'l> {
    all: &'l [Label],
    from: usize,
    to: usize,
    rows: usize,
    /// Index of the counts of each row, plus one; 0 for most rows. Allocated at the first label.
    places: Vec<u16>,
    /// Number of labels by meaning ([`Says`]), and the index of the last one.
    counts: Vec<[(u16, u32); 3]>,
    /// Rows that require a label and have one in range.
    asked: Vec<u16>,
}

impl<'l> Near<'l> {
    pub(super) const fn new(all: &'l [Label], rows: usize) -> Self {
        Self { all, from: 0, to: 0, rows, places: Vec::new(), counts: Vec::new(), asked: Vec::new() }
    }

    /// Advances to a later word. Labels are ordered by their ends, so each one is added and removed once.
    pub(super) fn go_to(&mut self, start: usize) {
        while let Some(label) = self.all.get(self.to).filter(|label| label.end <= start) {
            let place = u32::try_from(self.to).unwrap_or(u32::MAX);
            self.to += 1;
            let Some((count, last)) = self.count(label) else { continue };
            *count += 1;
            *last = place;
            if *count == 1 && label.asked {
                self.asked.push(label.row);
            }
        }
        while let Some(label) = self.all.get(self.from).filter(|label| label.end + FARTHEST < start) {
            self.from += 1;
            let Some((count, _)) = self.count(label) else { continue };
            *count -= 1;
            if *count == 0 && label.asked {
                self.asked.retain(|row| *row != label.row);
            }
        }
    }

    fn count(&mut self, label: &Label) -> Option<&mut (u16, u32)> {
        if self.places.is_empty() {
            self.places = vec![0; self.rows];
        }
        let place = self.places.get_mut(usize::from(label.row))?;
        if *place == 0 {
            self.counts.push(Default::default());
            *place = u16::try_from(self.counts.len()).ok()?;
        }
        self.counts.get_mut(usize::from(*place) - 1)?.get_mut(label.says as usize)
    }

    /// Returns the rows that require a label and have one in range.
    pub(super) fn asked(&self) -> &[u16] {
        &self.asked
    }

    /// Returns whether a label of this row, with this meaning, is in range of a position and satisfies `fits`.
    pub(super) fn says(&self, row: u16, start: usize, says: Says, fits: impl Fn(&Label) -> bool) -> bool {
        let place = self.places.get(usize::from(row)).and_then(|place| usize::from(*place).checked_sub(1));
        let counts = place.and_then(|place| self.counts.get(place));
        let said = counts.and_then(|counts| counts.get(says as usize)).filter(|(count, _)| *count > 0);
        let Some((_, last)) = said else { return false };
        // WHY: all labels of one kind of a row have the same range, so the last one before the position decides. A text
        // may consist of labels.
        let last = usize::try_from(*last).ok().and_then(|last| self.all.get(last));
        match last.filter(|last| last.end <= start) {
            Some(last) if !last.reaches(start) => false,
            Some(last) if fits(last) => true,
            _ => {
                let near = self.all.get(self.from..self.to).unwrap_or_default();
                near.iter().rev().any(|label| label.is_near(row, start, says) && fits(label))
            }
        }
    }

    /// Returns whether the row's value at this position has a label, and whether it has the opposite of one.
    pub(super) fn say(&self, row: u16, against: u16, start: usize) -> [bool; 2] {
        let says = |row: u16, says: Says| self.says(row, start, says, |_| true);
        [says(row, Says::For), says(against, Says::Against)]
    }
}

/// Returns whether a name stands for a fact about a secret and not for the secret: `private_key_id`, `passwordHash`.
pub(super) fn tells_about(name: &[u8]) -> bool {
    const ABOUT: [&[u8]; 35] = [
        b"id",
        b"ref",
        b"hash",
        b"name",
        b"length",
        b"field",
        b"hint",
        b"count",
        b"type",
        b"policy",
        b"rules",
        b"header",
        b"algorithm",
        b"algo",
        b"scheme",
        b"encoder",
        b"min",
        b"max",
        b"ttl",
        b"seconds",
        b"minutes",
        b"days",
        b"rounds",
        b"attempts",
        b"regex",
        b"laenge",
        b"lange",
        b"longitud",
        b"longueur",
        b"lunghezza",
        b"comprimento",
        b"lengte",
        b"dlugosc",
        b"uzunlugu",
        b"delka",
    ];
    // In these, the last word is part of the secret's name.
    const KEPT: [&[u8]; 4] = [b"session_id", b"sessionid", b"session-id", b"secret_id"];
    let ends = |word: &[u8]| {
        name.len().checked_sub(word.len()).and_then(|at| name.split_at_checked(at)).is_some_and(
            |(head, tail)| {
                let apart = head.last().is_some_and(|byte| matches!(byte, b'_' | b'-' | b'.'));
                let hump = tail.first().is_some_and(u8::is_ascii_uppercase)
                    && head.last().is_some_and(u8::is_ascii_lowercase);
                tail.eq_ignore_ascii_case(word) && (apart || hump)
            },
        )
    };
    let kept = |word: &&[u8]| {
        name.len() >= word.len()
            && name.iter().rev().zip(word.iter().rev()).all(|(a, b)| a.eq_ignore_ascii_case(b))
    };
    // Words for containers of secrets, and for references to them.
    const KEEPERS: [&[u8]; 6] =
        [b"secretsmanager", b"secretmanager", b"secretref", b"secretkeyref", b"secretname", b"tokenizer"];
    let keeper = |word: &&[u8]| name.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
    KEEPERS.iter().any(keeper) || (ABOUT.iter().any(|word| ends(word)) && !KEPT.iter().any(kept))
}

/// Returns whether a text ends with the account number in a resource name: `arn:…:123456789012:secret:app/db`.
pub(super) fn is_inside_resource(before: &[u8]) -> bool {
    const ACCOUNT: usize = 12;
    let number = before.strip_suffix(b":").unwrap_or_default();
    number.len() > ACCOUNT && number.iter().rev().take(ACCOUNT).all(u8::is_ascii_digit)
}
