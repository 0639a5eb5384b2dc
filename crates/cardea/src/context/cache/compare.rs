//! Whether a served answer and a fresh one say the same.
//!
//! First the texts, normalised; then the facts: numbers and codes, quotations, negations, opposites, of which neither
//! answer may contradict the other; then the meaning, by the encoder's cosine. What falls between is in doubt.

use cardea_core::cache::{Reading, Veto, normalise, veto};

/// From this cosine on, two answers without a contradiction say the same.
const ALIKE: f32 = 0.85;
/// Below this one they speak of different things.
const APART: f32 = 0.60;

/// What came of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agreement {
    /// They say the same.
    Same,
    /// One says what the other contradicts; the word tells by what.
    Differs(&'static str),
    /// Neither can be said.
    Doubt,
}

/// Compares two answers; `cosine` is `None` if the encoder could not tell.
#[must_use]
pub fn agreement(served: &str, fresh: &str, cosine: Option<f32>) -> Agreement {
    if normalise(served) == normalise(fresh) {
        return Agreement::Same;
    }
    let (ours, theirs) = (Reading::new(served), Reading::new(fresh));
    let (mine, other) = (ours.numbers(), theirs.numbers());
    let alone = |one: &[&str], two: &[&str]| one.iter().any(|number| !two.contains(number));
    // A number more is detail; a number in place of another is another fact.
    if alone(&mine, &other) && alone(&other, &mine) {
        return Agreement::Differs("numbers");
    }
    let contradiction = match veto(&ours, &theirs) {
        Some(Veto::Negation) => Some("negation"),
        Some(Veto::Opposite) => Some("opposite"),
        Some(Veto::Quoted) => Some("quotation"),
        // A number or a name more: told above, or a matter of wording. The last three are good enough to ask the model
        // anew, not to call an answer wrong.
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
        // Long answers say many things; a contradiction counts only where they say nearly the same otherwise.
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
}
