//! Compares a cached answer with a newly generated one.
//!
//! The normalised texts are compared first. Then the facts: numbers and codes, quotations, negations and opposites, in
//! which neither answer may contradict the other. Then the meaning, by the encoder's cosine. What falls between the
//! thresholds is in doubt. Of long answers only numbers and meaning are compared.

use std::collections::BTreeSet;

use cardea_core::cache::{Reading, Veto, normalise, veto};

/// Cosine from which two answers without a contradiction count as the same.
const ALIKE: f32 = 0.85;
/// Cosine below which two answers are about different things.
const APART: f32 = 0.60;

/// Words or bytes from which an answer is too long to be compared word by word.
const LONG: (usize, usize) = (1_000, 16 * 1_024);

fn is_long(answer: &str) -> bool {
    answer.len() > LONG.1 || answer.split_whitespace().count() > LONG.0
}

/// Result of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agreement {
    /// Both say the same.
    Same,
    /// One contradicts the other; the text names the kind of contradiction.
    Differs(&'static str),
    /// Undecided.
    Doubt,
}

/// Compares two answers; `cosine` is `None` if the encoder gave none.
#[must_use]
pub fn agreement(served: &str, fresh: &str, cosine: Option<f32>) -> Agreement {
    if normalise(served) == normalise(fresh) {
        return Agreement::Same;
    }
    let (ours, theirs) = (Reading::new(served), Reading::new(fresh));
    let numbers =
        |reading: &Reading| reading.numbers().into_iter().map(str::to_owned).collect::<BTreeSet<_>>();
    let (mine, other) = (numbers(&ours), numbers(&theirs));
    // An additional number is detail; a number in place of another one is a different fact.
    if !mine.is_subset(&other) && !other.is_subset(&mine) {
        return Agreement::Differs("numbers");
    }
    // WHY: the veto compares each word with each, and is made for questions.
    let vetoed = if is_long(served) || is_long(fresh) { None } else { veto(&ours, &theirs) };
    let contradiction = match vetoed {
        Some(Veto::Negation) => Some("negation"),
        Some(Veto::Opposite) => Some("opposite"),
        Some(Veto::Quoted) => Some("quotation"),
        // An additional number or name was handled above, or is a matter of wording. The last three are reason enough
        // to ask the model again, but not to call an answer wrong.
        Some(
            Veto::Number
            | Veto::Entity
            | Veto::Order
            | Veto::Manner
            | Veto::Scope
            | Veto::Tongue
            | Veto::Replaced,
        )
        | None => None,
    };
    match (contradiction, cosine) {
        (_, Some(cosine)) if !cosine.ge(&APART) => Agreement::Differs("meaning"),
        // Long answers say many things: a contradiction counts only if they say nearly the same otherwise.
        (Some(fact), Some(cosine)) if cosine >= ALIKE => Agreement::Differs(fact),
        (None, Some(cosine)) if cosine >= ALIKE => Agreement::Same,
        _ => Agreement::Doubt,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_compared_by_text_then_facts_then_meaning() {
        let near = Some(0.93);
        for (served, fresh, cosine, want) in [
            ("We open at 9.", "we open at 9", None, Agreement::Same),
            ("We open at 9.", "Our shop opens at 9.", near, Agreement::Same),
            ("We open at 9.", "We open at 10.", near, Agreement::Differs("numbers")),
            ("We open at 9.", "We open at 10.", None, Agreement::Differs("numbers")),
            ("Order 17 is delivered.", "Order 17 was delivered by van 3.", near, Agreement::Same),
            ("You can cancel it.", "You cannot cancel it.", near, Agreement::Differs("negation")),
            ("Roaming is enabled.", "Roaming is disabled.", near, Agreement::Differs("opposite")),
            ("We open at 9.", "Cats are mammals.", Some(0.1), Agreement::Differs("meaning")),
            ("We open at 9.", "Opening is in the morning, at 9.", Some(0.7), Agreement::Doubt),
            ("We open early.", "Our shop opens early.", None, Agreement::Doubt),
            ("We open early.", "Our shop opens early.", Some(f32::NAN), Agreement::Differs("meaning")),
        ] {
            assert_eq!(agreement(served, fresh, cosine), want, "{served} / {fresh}");
        }
    }

    #[test]
    fn long_answers_are_compared_by_their_numbers_and_their_meaning_alone() {
        let book = |last: &str| format!("{} {last}", "Each guest is told what to bring. ".repeat(150));
        let (may, not) = (book("You can cancel it."), book("You cannot cancel it."));
        assert_eq!(agreement(&may, &not, Some(0.93)), Agreement::Same);
        assert_eq!(agreement(&may, &not, Some(0.7)), Agreement::Doubt);
        assert_eq!(agreement(&may, &not, None), Agreement::Doubt);
        let (nine, ten) = (book("We open at 9."), book("We open at 10."));
        assert_eq!(agreement(&nine, &ten, Some(0.93)), Agreement::Differs("numbers"));
        let short = "Each guest is told what to bring. You can cancel it.";
        assert_eq!(agreement(&may, short, Some(0.7)), Agreement::Doubt);
    }
}
