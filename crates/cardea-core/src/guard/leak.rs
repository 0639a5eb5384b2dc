//! Finds personal data and credentials: one pass over all keywords, then the regexes of the rows that they wake.
//!
//! INVARIANT: a finding at a position depends only on the `BEFORE` bytes before it and the bytes up to the reach of
//! its row after it. So a piece of text with enough context gives the same findings as the whole text. Each regex reads
//! at most `REACH` bytes, and the work is bounded by the number of keywords in the text.

use std::ops::Range;

use super::{
    bounds::UNLESS_GAP,
    compiled::{Leaks, Piece, Read},
    label::{Label, Near, Says},
    scan::Scan,
    seen::{Pace, Seen},
    words::{Use, Word, is_hump, is_word},
};

/// Number of bytes after which the deadline is checked.
const ASK_EVERY: usize = 16 * 1024;

impl Leaks {
    /// Examines a piece. Returns `None` if the deadline has passed.
    pub(super) fn find(&self, piece: &Piece<'_>, seen: &mut Vec<Seen>) -> Option<Read> {
        let bytes = piece.view.bytes();
        let mut scan = Scan::new(self, piece, seen);
        let (mut labels, mut turns, mut asked) =
            (Vec::<Label>::with_capacity(bytes.len() / 8), Vec::new(), 0);
        for (Range { start, end }, uses) in self.words.of(bytes) {
            if is_late(piece.pace, end, &mut asked) {
                return None;
            }
            let whole = is_word(bytes, start, end);
            let again = wakes_some(uses) && scan.again(start..end);
            for meaning in uses {
                let (row, says, gap) = match *meaning {
                    Use::Wake(row) => {
                        if !again && scan.may_wake(row, start..end) {
                            scan.woken(row, start..end, &labels);
                        }
                        continue;
                    }
                    Use::Tells(turn) => {
                        if !turns.contains(&turn) {
                            turns.push(turn);
                        }
                        continue;
                    }
                    Use::Behind(row) => {
                        if whole {
                            scan.behind.push((start..end, row));
                        }
                        continue;
                    }
                    Use::Label(row, gap) if whole => (row, Says::For, u16::from(gap)),
                    Use::Beside(row, gap) if whole => (row, Says::Beside, u16::from(gap)),
                    Use::Unless(row) if whole || is_hump(bytes, end) => {
                        (row, Says::Against, UNLESS_GAP as u16)
                    }
                    Use::Label(..) | Use::Beside(..) | Use::Unless(_) => continue,
                };
                let asked = says == Says::For
                    && self.patterns.get(usize::from(row)).is_some_and(|pattern| pattern.row.alone == 0.0);
                labels.push(Label { end, row, says, gap, asked });
            }
            scan.remember();
        }
        if !self.by_word.iter().any(|family| piece.has(*family)) {
            return Some(Read { open: scan.open, turns });
        }
        let (mut place, mut near) = (0, Near::new(&labels, self.patterns.len()));
        asked = 0;
        scan.start_over();
        while let Some(word) = Word::next(bytes, &mut place) {
            if is_late(piece.pace, word.end(), &mut asked) {
                return None;
            }
            near.go_to(word.start);
            if !scan.again(word.start..word.end()) {
                scan.word(&word, &near);
                scan.remember();
            }
        }
        Some(Read { open: scan.open, turns })
    }
}

/// Returns whether a word wakes rows.
fn wakes_some(uses: &[Use]) -> bool {
    let wakes = |one: Option<&Use>| matches!(one, Some(Use::Wake(_)));
    wakes(uses.first()) || wakes(uses.last())
}

/// Checks the deadline every few kilobytes.
fn is_late(pace: Pace<'_>, place: usize, asked: &mut usize) -> bool {
    let due = place >= *asked + ASK_EVERY;
    if due {
        *asked = place;
    }
    due && (pace.late)()
}

#[cfg(test)]
mod tests {
    use super::{
        super::{catalogue::Catalogue, compiled::WRITTEN, normalize::fold, verdict::Action},
        *,
    };

    fn found(text: &str) -> Vec<String> {
        let leaks = Leaks::build(&mut Catalogue::default()).unwrap();
        let (view, pace) = (fold(text), Pace::patient(false));
        let piece = Piece { view: &view, pace, detector: WRITTEN, untrusted: true, only: &[] };
        let mut seen = Vec::new();
        leaks.find(&piece, &mut seen).unwrap();
        seen.iter().map(|one| one.rule.to_string()).collect()
    }

    #[test]
    fn labels_of_many_words_are_known_however_a_field_spells_them() {
        for (text, rule) in [
            (r#"{"account_number": "73920185"}"#, "bank_account"),
            (r#"{"accountNumber":"73920185"}"#, "bank_account"),
            ("account-number=73920185", "bank_account"),
            (r#""dateOfBirth" : "1946-05-19""#, "birth_date"),
            ("passportNumber: 553920817", "passport"),
            ("holder.passport_number = 553920817", "passport"),
            ("social_security_number=536829401", "us_ssn"),
            ("sort_code,20-45-77", "bank_sort_code"),
            (r#"{"phoneNumber": "020 7946 0018"}"#, "phone_labelled"),
            (r#"{"clientIp": "10.0.0.7"}"#, "ip_address"),
            (r#"{"customerName":"Thandeka Mkhwanazi"}"#, "person_field"),
        ] {
            assert!(found(text).iter().any(|one| one == rule), "{rule} {text}");
        }
        for text in ["an iPhone 0207 946 0018", "className: \"Garden Hose\"", "neLe 12.03.1980"] {
            assert!(found(text).is_empty(), "{text} {:?}", found(text));
        }
    }

    #[test]
    fn a_key_longer_than_its_row_expects_is_found_to_its_end() {
        let leaks = Leaks::build(&mut Catalogue::default()).unwrap();
        let key = "Q7o9OGIsAbvdndWn1FcHYNXC/3bQZJSSo87Ke8vss".repeat(9);
        let text = format!("gh secret set AWS_SESSION_TOKEN --body \"{key}\" --repo acme/shop");
        let (view, pace) = (fold(&text), Pace::patient(false));
        let piece = Piece { view: &view, pace, detector: WRITTEN, untrusted: true, only: &[] };
        let mut seen = Vec::new();
        leaks.find(&piece, &mut seen).unwrap();
        let end = text.find(&key).unwrap() + key.len();
        assert!(!seen.is_empty() && seen.iter().all(|one| one.span.end == end), "{seen:?}");
    }

    #[test]
    fn a_row_that_cannot_look_refuses_what_wakes_it() {
        let mut leaks = Leaks::build(&mut Catalogue::default()).unwrap();
        for pattern in &mut leaks.patterns {
            pattern.row.regex = "(".to_owned();
        }
        let (view, pace) = (fold("my password: hunter2"), Pace::patient(false));
        let piece = Piece { view: &view, pace, detector: WRITTEN, untrusted: true, only: &[] };
        let mut seen = Vec::new();
        assert!(leaks.find(&piece, &mut seen).is_some());
        assert!(seen.iter().any(|one| one.forced == Some(Action::Refuse)), "{seen:?}");
    }
}
