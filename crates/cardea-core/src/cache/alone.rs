//! Decides which questions can be understood without the preceding messages.

use super::{lexicon::STOP, manner::tells_past, reading::Reading, tongue::Tongue, word::Word};

/// Returns whether a question can be understood without the preceding messages, so that it may be looked up by
/// meaning.
///
/// The first question of a conversation always can. A later one needs three content words, in a known language. It
/// must have no word that refers back (`it`, `their`), no definite noun (`the customer`, `our refund`, `this plan`)
/// that no name or number identifies, no past tense without one, and no beginning that continues the conversation.
/// When unsure the answer is no: that costs a model call, whereas the opposite mistake gives a wrong answer.
#[must_use]
pub fn stands_alone(text: &str, first: bool) -> bool {
    if first {
        return true;
    }
    let reading = Reading::new(text);
    let Some(tongue) = Tongue::surely(&reading.words) else { return false };
    !goes_on(text, tongue)
        && reading.words.iter().filter(|word| says_what(word, tongue)).count() >= 3
        && !reading.words.iter().any(|word| tongue.cut(&word.low).iter().any(|piece| tongue.points(piece)))
        && !compares(&reading, tongue)
        && !tells_of_one_event(&reading, tongue)
        && (0..reading.words.len()).all(|at| !refers_back(&reading.words, at, tongue))
}

/// Returns whether the beginning continues the conversation.
fn goes_on(text: &str, tongue: &Tongue) -> bool {
    let low = text.trim_start_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
    let begins = |opening: &&str| {
        low.strip_prefix(*opening).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
    };
    tongue.openings.iter().any(begins)
}

/// Returns whether this is a content word.
fn says_what(word: &Word, tongue: &Tongue) -> bool {
    word.number.is_some()
        || !STOP.contains(&word.low.as_str())
            && tongue
                .cut(&word.low)
                .iter()
                .any(|piece| !tongue.is_small(piece) && tongue.person(piece).is_none())
}

/// Nouns that are unique, or name a kind: definite without having been mentioned.
const KNOWN: &[&str] =
    &["way", "difference", "meaning", "definition", "internet", "web", "world", "weather", "weekend"];

/// Returns whether a definite word is here, and nothing in its phrase identifies what is meant: a name, a number, an
/// id.
fn refers_back(words: &[Word], at: usize, tongue: &Tongue) -> bool {
    let Some(word) = words.get(at) else { return false };
    let pieces = tongue.cut(&word.low);
    let Some(definite) = pieces.iter().position(|piece| tongue.is_definite(piece)) else { return false };
    let joined = definite + 1 < pieces.len();
    let phrase = words.get(at + usize::from(!joined)..).unwrap_or_default();
    // The phrase continues after `of` and ends where another one begins.
    let inside = |word: &&Word| {
        let low = word.low.as_str();
        !tongue.is_small(low) && tongue.person(low).is_none()
            || tongue.names(low)
            || matches!(low, "of" | "for" | "no")
            || tongue.means_of(low)
            || KNOWN.contains(&low)
    };
    let count = phrase.iter().take_while(inside).count();
    let phrase = phrase.get(..count).unwrap_or_default();
    !(phrase.iter().enumerate().any(|(at, word)| tells_which(phrase, at, word, tongue))
        || phrase.iter().any(|word| KNOWN.contains(&word.low.as_str())))
}

/// Returns whether the word is a name, or a number or code used as one: `order 17`, `A-771`, but not `5 days` or `$5`.
fn tells_which(phrase: &[Word], at: usize, word: &Word, tongue: &Tongue) -> bool {
    let Some(number) = &word.number else { return word.name && !tongue.capitals() && !is_date(&word.low) };
    if number.contains(['$', '€', '£', '%', ':']) || !number.contains(|c: char| c.is_ascii_digit()) {
        return false;
    }
    let digits = number.chars().filter(char::is_ascii_digit).count();
    let code = digits > 4 || number.contains('@') || word.low.contains(char::is_alphabetic) && digits > 1;
    let named = at > 0 && phrase.get(at - 1).is_some_and(|before| before.number.is_none() && !before.stop);
    code || named
}

/// Returns whether it is a day or month: these are capitalised but identify nothing.
fn is_date(low: &str) -> bool {
    const DATES: &str = "monday tuesday wednesday thursday friday saturday sunday january february march april june july \
                         august september october november december";
    DATES.split(' ').any(|date| date == low)
}

/// Returns whether something is compared with a thing that is not named: `is a larger one in stock`, `which is
/// cheaper`.
fn compares(reading: &Reading, tongue: &Tongue) -> bool {
    const COMPARED: &str = "cheaper dearer bigger larger smaller faster slower longer shorter later sooner older newer \
                            better worse higher lower easier alternative alternatives further extra additional second \
                            next last";
    let compared = |word: &str| COMPARED.split(' ').any(|with| with == word);
    tongue.is_english() && !reading.words().any(|word| word == "than") && reading.words().any(compared)
}

/// Returns whether it is about the past, and no name or number says of what: `which payment method was used`.
fn tells_of_one_event(reading: &Reading, tongue: &Tongue) -> bool {
    let words = &reading.words;
    let known = |(at, word): (usize, &Word)| tells_which(words, at, word, tongue);
    tongue.is_english() && tells_past(reading) && !words.iter().enumerate().any(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point_back(texts: &[&str]) {
        for text in texts {
            assert!(!stands_alone(text, false), "{text}");
            assert!(stands_alone(text, true), "{text}");
        }
    }

    #[test]
    fn a_follow_up_that_points_back_does_not_stand_alone() {
        point_back(&[
            "What about Berlin?",
            "and in euros?",
            "Why is it late?",
            "cancel that order please",
            "yes",
            "shipping?",
            "- and how long does shipping to Malta take?",
        ]);
    }

    #[test]
    fn what_is_definite_and_not_told_apart_points_back() {
        point_back(&[
            "What delivery address is on the order?",
            "Which payment method did the customer use?",
            "What did the customer complain about yesterday?",
            "Was the refund already paid out to the customer?",
            "What is the return policy?",
            "Did our courier damage a parcel on Monday?",
            "How many days of leave has this colleague taken?",
            "Where was my luggage seen for the last time?",
            "Was the refund of $5 paid out within 5 days?",
            "Did the customer pay with Visa?",
            "Is the customer's address in Norway?",
            "Which payment method was used?",
            "When did delivery fail?",
            "Is a larger size in stock?",
            "Which colour did she choose for a second pair?",
        ]);
    }

    #[test]
    fn what_is_definite_points_back_in_other_languages() {
        point_back(&[
            "Welche Lieferadresse steht auf der Bestellung?",
            "Hat unser Fahrer gestern ein Paket beschädigt?",
            "Wurde ihm schon eine Rechnung geschickt?",
            "Und wie lange dauert ein Versand nach Malta?",
            "Quelle adresse de livraison figure sur la commande ?",
            "Est-ce que l'agent a remboursé un client ?",
            "¿Qué dirección de entrega tiene el pedido?",
            "¿Cuándo pagó nuestro cliente una factura?",
            "Quale indirizzo di consegna ha l'ordine?",
            "Qual endereço de entrega tem o pedido?",
            "Welk adres staat er op de bestelling?",
            "Jaki adres dostawy widnieje na zamówieniu?",
            "注文の配送先住所は何ですか",
        ]);
    }

    #[test]
    fn a_later_question_that_says_all_stands_alone() {
        for text in [
            "How do I reset a forgotten password?",
            "Android app crashes at start",
            "What delivery address is on the order 12345?",
            "Where is order 17 now?",
            "Which payment method did customer Mara Jones use?",
            "What is the refund policy of Acme?",
            "Was the refund for order A-771 paid out?",
            "What is the best way to cook rice?",
            "What are your opening hours on Sundays?",
            "What does shipping to Malta cost?",
            "Wie lange dauert ein Versand nach Malta?",
            "Welche Adresse steht auf der Bestellung 12345?",
            "Combien coûte une livraison à Malte ?",
        ] {
            assert!(stands_alone(text, false), "{text}");
        }
    }
}
