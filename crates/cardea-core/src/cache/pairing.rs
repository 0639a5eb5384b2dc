//! Grouping: which words belong to the same part of a sentence, and in which order.
//!
//! `Mail on and SMS off` has the same words as `mail off and SMS on`. Only a plain list may be in any order: `oil and
//! gas`.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    alike::{classes, same_word},
    lexicon::POLITE,
    reading::Reading,
    tongue::{ENGLISH, Tongue},
    word::Word,
};

/// Length limit of texts that are compared block by block.
const MOST: usize = 32;

/// Returns whether the texts have the same parts, but grouped differently.
pub(super) fn repaired(a: &Reading, b: &Reading) -> bool {
    renumbered(a, b) || crossed(a, b)
}

/// Returns the language, or English if it is unknown: its lists then do as well as none.
fn tongue(reading: &Reading) -> &'static Tongue {
    reading.tongue().unwrap_or(&ENGLISH)
}

/// Returns whether a word matters for the request, however short: `off`.
fn tells(word: &Word) -> bool {
    !word.light() || word.number.is_some() || classes(&word.low).next().is_some()
}

/// Returns all words except articles and politeness.
fn said(reading: &Reading) -> Vec<&Word> {
    let article = |word: &Word| !word.name && tongue(reading).is_article(&word.low);
    let idle = |word: &&Word| article(word) || POLITE.contains(&word.low.as_str());
    reading.words.iter().filter(|word| !idle(word)).collect()
}

/// Returns whether the texts are equal except that two parts have changed places: `the chair may overrule the board`.
/// False if both are named side by side and nothing else is: `oil and gas`.
pub(super) fn exchanged(a: &Reading, b: &Reading) -> bool {
    let (ours, theirs) = (said(a), said(b));
    let same = |(one, other): &(&&Word, &&Word)| same_word(one, other);
    let before = ours.iter().zip(&theirs).take_while(same).count();
    if ours.len() != theirs.len() || before == ours.len() {
        return false;
    }
    let after = ours.iter().rev().zip(theirs.iter().rev()).take_while(same).count();
    let (Some(here), Some(there)) =
        (ours.get(before..ours.len() - after), theirs.get(before..theirs.len() - after))
    else {
        return false;
    };
    let (tongue, lead) = (tongue(a), before.checked_sub(1).and_then(|at| ours.get(at)).copied());
    let one_list = ours.iter().filter(|word| tongue.joins(&word.low)).count() == 1;
    let harmless = |found: &[&[&Word]; 3]| {
        let [_, between, right] = found;
        let counted = right.len() > 1 || right.iter().all(|word| word.number.is_none());
        one_list && counted && listed(between, lead, tongue) || phrases(found, tongue)
    };
    here.len() <= MOST
        && blocks(here, there)
            .any(|found| changes_places(found[0], found[1], found[2], tongue) && !harmless(&found))
}

/// Returns whether two blocks that change places then mean something else, as far as the language is known.
fn changes_places(left: &[&Word], between: &[&Word], right: &[&Word], tongue: &Tongue) -> bool {
    let alone = left.len() == 1 && right.len() == 1;
    let told = [left, right].iter().all(|block| block.iter().any(|word| tells(word)));
    match (between.is_empty(), tongue.is_english()) {
        (false, _) if alone => true,
        // In other languages grammar alone may swap blocks, and neighbours.
        (_, false) => false,
        (true, true) => alone && told,
        (false, true) => told,
    }
}

/// Matches phrases that keep their prepositions at any position: `call Ann at 9pm on May 3`.
fn phrases(blocks: &[&[&Word]; 3], tongue: &Tongue) -> bool {
    let phrase =
        |block: &&&[&Word]| block.len() > 1 && block.first().is_some_and(|word| tongue.gives_role(&word.low));
    blocks.iter().filter(phrase).count() > 1
}

/// Returns each way to see the first text as the second with two blocks swapped, and what is between them.
fn blocks<'p, 'w>(here: &'p [&'w Word], there: &'p [&'w Word]) -> impl Iterator<Item = [&'p [&'w Word]; 3]> {
    let same = |one: &[&Word], other: &[&Word]| {
        one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same_word(one, other))
    };
    let count = here.len();
    (1..count).flat_map(move |left| (left..count).map(move |right| (left, right))).filter_map(
        move |(left, right)| {
            let found = [here.get(..left)?, here.get(left..right)?, here.get(right..)?];
            let turned = [
                there.get(..count - right)?,
                there.get(count - right..count - left)?,
                there.get(count - left..)?,
            ];
            let fits = same(found[0], turned[2]) && same(found[1], turned[1]) && same(found[2], turned[0]);
            fits.then_some(found)
        },
    )
}

/// Returns whether only `and` is between two parts, and the preposition that precedes the first as well.
fn listed(between: &[&Word], lead: Option<&Word>, tongue: &Tongue) -> bool {
    let Some((join, rest)) = between.split_first() else { return false };
    let again = |word: &&Word| lead.is_some_and(|lead| lead.low == word.low);
    tongue.joins(&join.low)
        && !matches!(join.low.as_str(), "versus" | "vs") | rest.is_empty()
        && rest.iter().all(again)
}

/// Returns whether the same numbers are in another order, and not each with its own word: `5 chairs and 7 desks`.
fn renumbered(a: &Reading, b: &Reading) -> bool {
    let (ours, theirs) = (numbers(a), numbers(b));
    if ours.iter().map(|(number, _)| number).eq(theirs.iter().map(|(number, _)| number)) {
        return false;
    }
    let shape = |number: &str| number.replace(|c: char| c.is_ascii_digit() || matches!(c, '.' | ','), "");
    let alone = |number: &str| ours.iter().filter(|(other, _)| shape(other) == shape(number)).count() == 1;
    let stays = |(number, around): &(&str, [Option<&str>; 2])| {
        alone(number)
            || theirs.iter().any(|(same, with)| {
                same == number && around.iter().zip(with).any(|(one, other)| one.is_some() && one == other)
            })
    };
    sorted(&ours) == sorted(&theirs) && !ours.iter().all(stays)
}

/// Returns numbers with the preceding word and the thing that is counted.
fn numbers(reading: &Reading) -> Vec<(&str, [Option<&str>; 2])> {
    let words = &reading.words;
    let counted = reading.counted().into_iter().map(|(_, what)| what.map(|what| what.stem.as_str()));
    let at = (0..words.len()).filter(|at| words.get(*at).is_some_and(|word| word.number.is_some()));
    let before = |at: usize| {
        let word = words.get(at.checked_sub(1)?)?;
        (!word.ends && !tongue(reading).joins(&word.low)).then_some(word.low.as_str())
    };
    let number = |at: usize| words.get(at).and_then(|word| word.number.as_deref()).unwrap_or_default();
    at.zip(counted).map(|(at, counted)| (number(at), [before(at), counted])).collect()
}

fn sorted<'a>(numbers: &[(&'a str, [Option<&str>; 2])]) -> Vec<&'a str> {
    let mut numbers: Vec<&str> = numbers.iter().map(|(number, _)| *number).collect();
    numbers.sort_unstable();
    numbers
}

/// Returns whether two words in one part of the first text are in two parts of the second, and the same is true of
/// their neighbours there.
fn crossed(a: &Reading, b: &Reading) -> bool {
    let (ours, theirs) = (parts(a), parts(b));
    let met: BTreeSet<(usize, usize)> =
        ours.iter().filter_map(|(word, here)| Some(((*here)?, (*theirs.get(word)?)?))).collect();
    met.iter().any(|(i, j)| {
        met.iter().any(|(k, l)| k != i && l != j && met.contains(&(*i, *l)) && met.contains(&(*k, *j)))
    })
}

/// Returns the part of the text that each word is in; `None` for a word in several parts.
fn parts(reading: &Reading) -> BTreeMap<&str, Option<usize>> {
    let tongue = tongue(reading);
    let divides = |word: &str| {
        let clause = matches!(
            word,
            "but"
                | "while"
                | "whereas"
                | "then"
                | "if"
                | "when"
                | "because"
                | "unless"
                | "although"
                | "though"
                | "than"
        );
        tongue.joins(word) || tongue.is_english() && clause
    };
    let (mut parts, mut part) = (BTreeMap::new(), 0);
    for (at, word) in reading.words.iter().enumerate() {
        if divides(&word.low) && at > 0 {
            part += 1;
        } else if tells(word) {
            let found = parts.entry(word.stem.as_str()).or_insert(Some(part));
            if *found != Some(part) {
                *found = None;
            }
        }
        part += usize::from(word.ends);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn other(a: &str, b: &str) -> bool {
        let (a, b) = (Reading::new(a), Reading::new(b));
        let found = repaired(&a, &b) || exchanged(&a, &b);
        assert_eq!(repaired(&b, &a) || exchanged(&b, &a), found);
        found
    }

    #[test]
    fn what_goes_with_another_part_is_seen() {
        for (a, b) in [
            ("turn mail on and SMS off", "turn mail off and SMS on"),
            ("is mail on, is SMS off", "is mail off, is SMS on"),
            ("how do I turn SMS off and mail on", "how do I turn mail off and SMS on"),
            (
                "the bill to the buyer and the box to the seller",
                "the bill to the seller and the box to the buyer",
            ),
            ("should I buy 7 and sell 5", "should I buy 5 and sell 7"),
            ("chairs and desks, 5 and 7", "chairs and desks, 7 and 5"),
            ("chairs and desks, red and blue", "chairs and desks, blue and red"),
            ("cancel order 5 after order 7", "cancel order 7 after order 5"),
            ("can customers who paid cancel", "can customers who cancelled pay"),
            ("may the old board overrule the new chair", "may the new chair overrule the old board"),
            ("mail an Ann und Post an Bob", "Mail an Bob und Post an Ann"),
        ] {
            assert!(other(a, b), "{a} / {b}");
        }
    }

    #[test]
    fn a_list_and_a_moved_phrase_are_let_through() {
        for (a, b) in [
            ("price of oil and gas", "price of gas and oil"),
            ("may I pay by card or by cash", "may I pay by cash or by card"),
            ("on friday, book 4 seats", "book 4 seats on friday"),
            ("red chairs and blue desks", "blue desks and red chairs"),
            ("5 chairs and 7 desks", "7 desks and 5 chairs"),
            ("call Ann at 9pm on May 3", "on May 3 at 9pm call Ann"),
            ("why is the screen black", "why the screen is black"),
            ("à quelle heure ouvre le musée", "le musée ouvre à quelle heure"),
        ] {
            assert!(!other(a, b), "{a} / {b}");
        }
    }
}
