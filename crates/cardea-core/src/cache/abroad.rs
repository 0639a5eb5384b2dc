//! Comparison of texts in languages of which only the function words are known, or none.
//!
//! WHY: in such a language `genehmigen` and `ablehnen` are two unknown words, and every language has ways to negate
//! that no list has. So no word except articles may differ; without knowledge of the articles, no word at all.

use super::{lexicon::POLITE, reading::Reading, tongue::Tongue, word::Word};

/// Returns whether the texts are not both English and one of them has a word that the other lacks.
pub(super) fn abroad(a: &Reading, b: &Reading) -> bool {
    match (a.tongue(), b.tongue()) {
        (Some(one), Some(other)) if one.is_english() && other.is_english() => false,
        (Some(one), Some(other)) if one.same(other) => said(a, one) != said(b, other),
        (None, None) => !a.words().eq(b.words()),
        _ => true,
    }
}

/// Returns all words except articles and politeness, in alphabetical order.
fn said<'a>(reading: &'a Reading, tongue: &Tongue) -> Vec<&'a str> {
    let idle = |piece: &&str| tongue.is_article(piece) || POLITE.contains(piece) || KINDLY.contains(piece);
    let words = reading.words.iter().enumerate().filter(|(at, _)| !only_asks(&reading.words, *at));
    let mut said: Vec<&str> = words
        .flat_map(|(_, word)| {
            word.number.as_deref().map_or_else(|| tongue.pieces(&word.low), |number| vec![number])
        })
        .filter(|piece| !idle(piece))
        .map(|piece| if piece == "puis" { "peux" } else { piece })
        .collect();
    said.sort_unstable();
    said
}

/// Words like `please`.
const KINDLY: &[&str] = &["bitte", "svp", "alstublieft", "alsjeblieft"];

/// Matches `est-ce que`.
fn only_asks(words: &[Word], at: usize) -> bool {
    let low = |at: usize| words.get(at).map(|word| word.low.as_str()).unwrap_or_default();
    low(at) == "est-ce" || low(at) == "que" && at > 0 && low(at - 1) == "est-ce"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn other(a: &str, b: &str) -> bool {
        let (a, b) = (Reading::new(a), Reading::new(b));
        assert_eq!(abroad(&a, &b), abroad(&b, &a));
        abroad(&a, &b)
    }

    #[test]
    fn another_word_is_another_question_where_no_words_are_known() {
        for (a, b) in [
            ("Wer darf Erstattungen genehmigen?", "Wer darf Erstattungen ablehnen?"),
            ("Wer darf zahlen?", "Wer darf gar nicht zahlen?"),
            ("Que puis-je retourner ?", "Que ne puis-je pas retourner ?"),
            ("Chi può pagare?", "Chi non può mai pagare?"),
            ("Kto zatwierdza zwroty?", "Kto nie zatwierdza zwrotów?"),
            ("Kan jag returnera en stol?", "Kan jag inte returnera en stol?"),
            ("可以退货吗？", "不可以退货吗？"),
            ("Где мой заказ?", "Где мой счёт?"),
            ("Wo ist mein Paket?", "Where is my parcel?"),
        ] {
            assert!(other(a, b), "{a} / {b}");
        }
    }

    #[test]
    fn another_article_or_place_is_not() {
        for (a, b) in [
            ("Wie lange dauert die Lieferung?", "Wie lange dauert eine Lieferung, bitte?"),
            ("Am Montag, wann öffnet das Museum?", "Wann öffnet das Museum am Montag?"),
            ("Est-ce que je peux payer par carte ?", "Puis-je payer par carte ?"),
            ("¿Quién puede aprobar un reembolso?", "quién puede aprobar el reembolso"),
            ("Kto zatwierdza zwroty?", "kto zatwierdza zwroty"),
            ("可以退货吗？", "可以退货吗"),
            ("Where is my parcel?", "What is the state of my parcel?"),
        ] {
            assert!(!other(a, b), "{a} / {b}");
        }
    }

    #[test]
    fn a_foreign_word_in_an_english_question_leaves_it_english() {
        for text in [
            "cancel parcel A-771",
            "mute all string tracks",
            "what is the timezone for san francisco",
            "reset my kubectl",
        ] {
            assert!(Reading::new(text).tongue().is_some_and(Tongue::is_english), "{text}");
        }
        for text in [
            "Hvilke varer kan returneres?",
            "Hangi ürünler iade edilebilir?",
            "товары",
            "Quins productes puc retornar?",
        ] {
            assert!(!Reading::new(text).tongue().is_some_and(Tongue::is_english), "{text}");
        }
    }
}
