//! What stands before a value: the labels of rows, and names that tell about a secret rather than hold it.

use super::table::MOST_GAP;

/// How far back the beginning of a word is looked for.
pub(super) const BACK: usize = 96;

/// How far before a part of a value its label may end.
pub(super) const FARTHEST: usize = MOST_GAP as usize + BACK;

/// What a word before a value says of it to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Says {
    For,
    Beside,
    Against,
}

/// A label or its opposite, by where it ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Label {
    pub(super) end: usize,
    pub(super) row: u16,
    pub(super) says: Says,
    pub(super) gap: usize,
    /// Its row speaks only beside one.
    pub(super) asked: bool,
}

impl Label {
    pub(super) fn is_near(self, row: u16, start: usize, says: Says) -> bool {
        self.row == row && self.says == says && self.end <= start && self.end + self.gap >= start
    }
}

/// The labels before a word, as far back as they may stand.
pub(super) struct Near<'l> {
    all: &'l [Label],
    from: usize,
    to: usize,
    /// For each row how many of them speak for it, and how many against: most have none.
    counts: Vec<[u16; 2]>,
}

impl<'l> Near<'l> {
    pub(super) fn new(all: &'l [Label], rows: usize) -> Self {
        Self { all, from: 0, to: 0, counts: vec![[0; 2]; if all.is_empty() { 0 } else { rows }] }
    }

    /// Goes on to a later word. Labels come in the order of their ends, so each is taken in and left behind once.
    pub(super) fn go_to(&mut self, start: usize) {
        while let Some(label) = self.all.get(self.to).filter(|label| label.end <= start) {
            self.count(label).into_iter().for_each(|count| *count += 1);
            self.to += 1;
        }
        while let Some(label) = self.all.get(self.from).filter(|label| label.end + FARTHEST < start) {
            self.count(label).into_iter().for_each(|count| *count -= 1);
            self.from += 1;
        }
    }

    fn count(&mut self, label: &Label) -> Option<&mut u16> {
        let [speak, against] = self.counts.get_mut(usize::from(label.row))?;
        match label.says {
            Says::For => Some(speak),
            Says::Against => Some(against),
            Says::Beside => None,
        }
    }

    pub(super) fn labels(&self) -> &'l [Label] {
        self.all.get(self.from..self.to).unwrap_or_default()
    }

    /// Whether a value of the row at this place has a label, and whether it has the opposite of one.
    pub(super) fn say(&self, row: u16, start: usize) -> [bool; 2] {
        let counts = self.counts.get(usize::from(row)).copied().unwrap_or_default();
        let near = |says: Says| self.labels().iter().any(|label| label.is_near(row, start, says));
        [counts[0] > 0 && near(Says::For), counts[1] > 0 && near(Says::Against)]
    }
}

/// True for names of what is told about a secret, not of the secret: `private_key_id`, `passwordHash`.
pub(super) fn tells_about(name: &[u8]) -> bool {
    const ABOUT: [&[u8]; 33] = [
        b"id",
        b"hash",
        b"name",
        b"length",
        b"field",
        b"hint",
        b"count",
        b"type",
        b"policy",
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
    // With these the last word belongs to the name of a secret.
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
    // What keeps secrets, or points at one.
    const KEEPERS: [&[u8]; 6] =
        [b"secretsmanager", b"secretmanager", b"secretref", b"secretkeyref", b"secretname", b"tokenizer"];
    let keeper = |word: &&[u8]| name.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
    KEEPERS.iter().any(keeper) || (ABOUT.iter().any(|word| ends(word)) && !KEPT.iter().any(kept))
}

/// True if a text ends with the number of an account in the name of a resource: `arn:…:123456789012:secret:app/db`.
pub(super) fn is_inside_resource(before: &[u8]) -> bool {
    const ACCOUNT: usize = 12;
    let number = before.strip_suffix(b":").unwrap_or_default();
    number.len() > ACCOUNT && number.iter().rev().take(ACCOUNT).all(u8::is_ascii_digit)
}
