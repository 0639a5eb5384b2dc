//! Finds names without a label: a common given name followed by a family name (`… and Odin Falk is late`).
//!
//! The list contains given names of many languages in Latin script, except those that are more often another word. The
//! family name begins with a capital letter and needs no list. Two such words can also be the name of a street, a
//! company or a show; the words before and after them decide. This runs on whole texts only, not on streams. It reads
//! each word once.

use std::{
    cmp::Ordering,
    ops::Range,
    sync::{Arc, LazyLock},
};

use super::{
    catalogue::{Catalogue, KindId},
    check,
    normalize::View,
    seen::Seen,
    verdict::Family,
};

/// Given names, sorted, one per line.
const NAMES: &str = include_str!("patterns/given.txt");

const LETTERS: usize = 26;

/// Offsets in [`NAMES`] at which the names with each pair of first letters begin, followed by the end of the last ones.
static BEGINS: LazyLock<Vec<usize>> = LazyLock::new(|| {
    let mut begins = Vec::with_capacity(LETTERS * LETTERS + 1);
    let mut place = 0;
    for line in NAMES.split_inclusive('\n') {
        // Comments do not begin with a letter, and precede the names.
        let missing = pair(line.as_bytes()).map_or(0, |pair| (pair + 1).saturating_sub(begins.len()));
        begins.extend(std::iter::repeat_n(place, missing));
        place += line.len();
    }
    begins.resize(LETTERS * LETTERS + 1, place);
    begins
});

/// Number of bytes around a name that are examined.
const NEAR: usize = 24;

/// Maximum length of a part of a name, in letters.
const LONGEST: usize = 40;

/// Maximum number of parts of a name.
const PARTS: usize = 4;

/// Words between a given name and a family name, or at the beginning of a family name.
static JOINTS: List = List(LazyLock::new(|| {
    words("van von de der den da di del dos das la le du bin ben al el ibn af ter ten e y mac zu", ' ')
}));

/// Length of the longest of them, in letters.
const LONGEST_JOINT: usize = 3;

/// Words after two capitalized words that show that they are not a person.
static THINGS: List = List(LazyLock::new(|| {
    words(
        "academy accessories act afc ag airport allee apartments aps arena art asa association athletic ave avenue award \
    awards bach baker bakery bank bay beach blvd books boulevard bowl bridge bros brothers brewery bros bv cafe campus \
    canyon castle cathedral cave center centre championship chapel church city classic clinic close club co coffee \
    collection college community company conjecture consulting corp corporation county court cove creek crescent cup day \
    disease doo drive driveway drugstore dr effect elementary enterprises entertainment equation estate estates falls \
    farm farms fashion fc festival field films foundation furniture gallery games garden gardens garten gate gazette gmbh \
    gorge grand grill group grove hall harbor harbour haus heights herald high highway hill hills holdings home homes \
    hospital hotel house inc incorporated industries inn institute international invitational island jewelers jewellers \
    journal junction kg kft lab laboratories labs lake land lane law league lecture library limited line lines llc llp \
    lodge ltd mall manor marathon market media medal memorial method mews middle model monastery motors mountain museum \
    music network news newspaper nv office open orchard orchestra oval oy oyj park parkway partners pass peak pharmacy \
    pier pictures place plaza plc point pond port post preis press primary principle prison prize productions pub \
    quartet raceway radio ranch range records recipe reservoir resort restaurant ridge rink river road room rovers row \
    rule sa salon sarl sas school schule scholarship secondary series shop show sons spa spitze spring springs square st \
    stadion stadium station statue store strasse street studio studios summit surgery symphony syndrome systems tavern \
    technologies telegraph temple terrace test theater theatre theorem times tower towers trail tribune trio trophy \
    tunnel tv united university vale valley view villa village vineyard vineyards way weg wharf winery wines wood woods \
    works yard zoo",
        ' ',
    )
}));

/// Words before two capitalized words that show that they are not a person.
static PLACES: List = List(LazyLock::new(|| {
    words(
        "aeroporto aeropuerto airport allee alley ave avda avenida avenue boulevard calle cafe camino cape carrer \
    carretera cerro chateau chemin cite city colegio college collège corso cours curso ecole editorial escola escuela estadio \
    faculdade fort fundacion gare hospital hotel institut instituto isla jardin kolegium lac lago lake liceo lycee mall \
    mercado mount mt museo musee north parque passage paseo piazza place plac placa plaza plein pont port praca premio \
    prix puerto quai rua rue saint san santa south square st stade stadio strada street teatro theatre the trg ul ulica \
    universidad university via viale vicolo villa west east",
        ' ',
    )
}));

/// Capitalized words that follow a given name and are not a family name.
static OTHERS: List = List(LazyLock::new(|| {
    words(
        "a about after all also am an and are as asked at be been before but by called can could dear did do does for \
    from had has have he hello her hi his how if ii iii in is it iv jr just let my name namen new no nor not now of off \
    on or our out please said says sent she should so sr than thank thanks that the their then there they this to told \
    up us vi was we were what when where which who why will with would you your",
        ' ',
    )
}));

/// Fictional and historical people, and names of things: not personal data.
static KNOWN: List = List(LazyLock::new(|| {
    words(
        "abraham lincoln/ada lovelace/adolf hitler/agatha christie/alan turing/albert einstein/alfred hitchcock/\
    andy warhol/angela merkel/anne frank/audrey hepburn/barack obama/blaise pascal/boris johnson/brad pitt/calvin klein/\
    charles darwin/charles dickens/charlie brown/charlie chaplin/che guevara/christian dior/christopher columbus/\
    claude monet/cristiano ronaldo/david hilbert/dennis ritchie/diego maradona/donald duck/donald knuth/donald trump/\
    edgar allan/elon musk/elvis presley/emily dickinson/emmanuel macron/erika mustermann/ernest hemingway/eva peron/\
    fidel castro/florence nightingale/franz kafka/frida kahlo/friedrich nietzsche/fyodor dostoevsky/galileo galilei/\
    george orwell/george washington/harry potter/hermione granger/hillary clinton/hugo boss/immanuel kant/isaac newton/\
    ivan ivanov/jackie chan/james bond/jan kowalski/jane austen/jane doe/jean dupont/jeff bezos/joe biden/johann sebastian/\
    john doe/john kennedy/joseph stalin/juan perez/jules verne/julius caesar/karl marx/kurt godel/leo tolstoy/leonardo da/\
    leonhard euler/lewis carroll/linus torvalds/lionel messi/louis vuitton/ludwig van/magna carta/mahatma gandhi/marco polo/\
    marie curie/marilyn monroe/mario rossi/mark twain/mark zuckerberg/martha stewart/martin luther/max mustermann/\
    michael jackson/michael jordan/michelle obama/mickey mouse/muhammad ali/neil armstrong/nelson mandela/nikola tesla/\
    oscar wilde/pablo picasso/peter pan/quentin tarantino/rafael nadal/ralph lauren/rene descartes/robin hood/roger federer/\
    serena williams/sherlock holmes/simon bolivar/stephen king/steve jobs/steven spielberg/taylor swift/thomas edison/\
    tom hanks/tommy hilfiger/usain bolt/victor hugo/vincent van/virginia woolf/vladimir putin/wells fargo/\
    william shakespeare/winston churchill/wolfgang amadeus/yuri gagarin/yves saint",
        '/',
    )
}));

/// Detector for unlabelled names.
pub(super) struct Given {
    kind: KindId,
    rule: Arc<str>,
}

impl Given {
    pub(super) fn build(catalogue: &mut Catalogue) -> Self {
        Self { kind: catalogue.add("person", Family::Personal, "PERSON"), rule: Arc::from("person_given") }
    }

    /// Adds the names in a text.
    pub(super) fn find(&self, view: &View<'_>, seen: &mut Vec<Seen>) {
        let bytes = view.bytes();
        let mut place = 0;
        while let Some(first) = capital(bytes, place) {
            place = first.end;
            let Some(to) = name(bytes, &first) else { continue };
            place = to;
            let (from, to) = view.back(first.start, to);
            let (kind, rule, detector) = (self.kind, self.rule.clone(), "pattern");
            seen.push(Seen { kind, span: from..to, confidence: 0.7, detector, rule, rank: 4, forced: None });
        }
    }
}

/// Returns the next capitalized word at a position where a name could begin.
fn capital(bytes: &[u8], from: usize) -> Option<Range<usize>> {
    let mut at = from;
    loop {
        at = large(bytes, at)?;
        let before = at.checked_sub(1).and_then(|before| bytes.get(before));
        let touched = before.is_some_and(|byte| {
            byte.is_ascii_alphanumeric() || !byte.is_ascii() || b"@#/&'-_\\=".contains(byte)
        });
        // WHY this order: otherwise a long run of letters would be read to its end at each of its capitals.
        match Some(at).filter(|_| !touched).and_then(|at| word(bytes, at)) {
            Some(end) => return Some(at..end),
            None => at += 1,
        }
    }
}

/// Returns the next capital letter, reading eight bytes at a time, since it reads all of every text.
fn large(bytes: &[u8], from: usize) -> Option<usize> {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGH: u64 = ONES * 0x80;
    let (eights, rest) = bytes.get(from..)?.as_chunks::<8>();
    for (number, eight) in eights.iter().enumerate() {
        let eight = u64::from_le_bytes(*eight);
        // The high bit of each byte: set for bytes from `A` on, for bytes after `Z`, and for bytes outside ASCII.
        let (low, over) = (eight & !HIGH, eight & HIGH);
        let reached = low + ONES * (0x80 - u64::from(b'A'));
        let passed = low + ONES * (0x7f - u64::from(b'Z'));
        let found = reached & !passed & !over & HIGH;
        if found != 0 {
            return Some(from + number * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let before = from + eights.len() * 8;
    rest.iter().position(u8::is_ascii_uppercase).map(|at| before + at)
}

/// Returns the end of a capitalized word that begins here: `Falk`, `O'Hara`, `Anne-Marie`, but not `FALK` or `f`.
fn word(bytes: &[u8], at: usize) -> Option<usize> {
    let letter = |place: usize| bytes.get(place).is_some_and(u8::is_ascii_alphabetic);
    bytes.get(at).filter(|byte| byte.is_ascii_uppercase())?;
    let mut end = at + 1;
    while end <= at + LONGEST {
        match bytes.get(end) {
            Some(byte) if byte.is_ascii_alphabetic() => end += 1,
            // The possessive `'s` is not part of the name.
            Some(b'\'') if letter(end + 1) && (bytes.get(end + 1) != Some(&b's') || letter(end + 2)) => {
                end += 1
            }
            Some(b'-') if bytes.get(end + 1).is_some_and(u8::is_ascii_uppercase) => end += 1,
            Some(byte) if byte.is_ascii_digit() || !byte.is_ascii() || b"@_\\".contains(byte) => return None,
            _ => break,
        }
    }
    let second = bytes.get(at + 1)?;
    let spoken = second.is_ascii_lowercase()
        || (*second == b'\'' && bytes.get(at + 2).is_some_and(u8::is_ascii_uppercase));
    (spoken && (at + 2..=at + LONGEST).contains(&end)).then_some(end)
}

/// Returns the end of the name that begins with this word.
fn name(bytes: &[u8], first: &Range<usize>) -> Option<usize> {
    let mut part = family(bytes, first.end)?; // most capital words have none behind them
    let given = bytes.get(first.clone())?.split(|byte| !byte.is_ascii_alphabetic()).next()?;
    if !is_given(given) || is_behind_a_place(bytes, first.start) {
        return None;
    }
    let is_person = check::named("person")?;
    let mut end = None;
    for _ in 0..PARTS {
        let text = bytes.get(part.clone())?;
        if THINGS.has(text) {
            return None;
        }
        let is_label = bytes.get(part.end) == Some(&b':');
        if is_label || OTHERS.has(text) || !is_person(text) {
            break;
        }
        end = Some(part.end);
        match family(bytes, part.end) {
            Some(next) => part = next,
            None => break,
        }
    }
    let end = end?;
    (!names_a_thing(bytes, end) && !is_known(bytes.get(first.start..end)?)).then_some(end)
}

/// Returns the next part of a family name: initials and words such as `van` before a capitalized word, each separated
/// by one space.
fn family(bytes: &[u8], from: usize) -> Option<Range<usize>> {
    let mut at = from;
    for _ in 0..PARTS {
        at = at.checked_add(1).filter(|_| bytes.get(at) == Some(&b' '))?;
        let rest = bytes.get(at..)?;
        if rest.first()?.is_ascii_uppercase() && rest.get(1) == Some(&b'.') {
            at += 2;
            continue;
        }
        let length =
            rest.iter().take(LONGEST_JOINT + 1).take_while(|byte| byte.is_ascii_alphabetic()).count();
        if length <= LONGEST_JOINT && JOINTS.has(rest.get(..length)?) {
            at += length;
            continue;
        }
        return word(bytes, at).map(|end| at..end);
    }
    None
}

/// Returns whether a word is a given name.
fn is_given(word: &[u8]) -> bool {
    let names = NAMES.as_bytes();
    let Some(pair) = pair(word) else { return false };
    let Some([mut from, mut to]) =
        BEGINS.get(pair..pair + 2).and_then(|ends| <[usize; 2]>::try_from(ends).ok())
    else {
        return false;
    };
    // INVARIANT: `from` and `to` are line starts.
    while from < to {
        let middle = from + (to - from) / 2;
        let before = names.get(from..middle).unwrap_or_default();
        let begin = before.iter().rposition(|byte| *byte == b'\n').map_or(from, |at| from + at + 1);
        let rest = names.get(begin..to).unwrap_or_default();
        let length = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        let name = rest.get(..length).unwrap_or_default();
        match name.iter().copied().cmp(word.iter().map(u8::to_ascii_lowercase)) {
            Ordering::Equal => return true,
            Ordering::Less => from = begin + length + 1,
            Ordering::Greater => to = begin,
        }
    }
    false
}

/// Returns an index for the first two letters of a word.
fn pair(word: &[u8]) -> Option<usize> {
    let number = |at: usize| {
        let byte = word.get(at)?.to_ascii_lowercase();
        byte.is_ascii_lowercase().then(|| usize::from(byte - b'a'))
    };
    Some(number(0)? * LETTERS + number(1)?)
}

/// A sorted list of words.
struct List(LazyLock<Vec<&'static str>>);

impl List {
    /// Returns whether the list contains a word, in any letter case.
    fn has(&self, word: &[u8]) -> bool {
        let lower = || word.iter().map(u8::to_ascii_lowercase);
        self.0.binary_search_by(|known| known.bytes().cmp(lower())).is_ok()
    }
}

/// Splits a text into words and sorts them.
fn words(text: &'static str, between: char) -> Vec<&'static str> {
    let mut words: Vec<_> = text.split(between).filter(|word| !word.is_empty()).collect();
    words.sort_unstable();
    words
}

/// Returns whether the word before shows that a place or a thing is meant.
fn is_behind_a_place(bytes: &[u8], at: usize) -> bool {
    let Some(before) = bytes.get(at.saturating_sub(NEAR)..at) else { return false };
    let Some(before) = before.strip_suffix(b" ") else { return false };
    let before = before.strip_suffix(b".").unwrap_or(before);
    let word = before.rsplit(|byte| !byte.is_ascii_alphabetic()).next().unwrap_or_default();
    before.ends_with(b"&") || PLACES.has(word)
}

/// Returns whether the word after shows it.
fn names_a_thing(bytes: &[u8], at: usize) -> bool {
    let rest = bytes.get(at..).unwrap_or_default();
    let rest = rest.get(..rest.len().min(NEAR)).unwrap_or_default();
    let Some(rest) = rest.strip_prefix(b" ").or(rest.strip_prefix(b"'s ")) else { return false };
    let length = rest.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    rest.starts_with(b"&") || THINGS.has(rest.get(..length).unwrap_or_default())
}

/// Returns whether the first two words are a well-known person.
fn is_known(name: &[u8]) -> bool {
    let second = name.iter().position(|byte| *byte == b' ').map_or(name.len(), |at| at + 1);
    let rest = name.get(second..).unwrap_or_default();
    let end = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
    KNOWN.has(name.get(..second + end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::samples::people;

    #[test]
    fn the_list_is_in_order_and_folded() {
        let names: Vec<&str> = NAMES.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(names.is_sorted() && names.len() > 10_000);
        let folded = |name: &&str| name.len() > 2 && name.bytes().all(|byte| byte.is_ascii_lowercase());
        assert_eq!(names.iter().find(|name| !folded(name)), None);
        for name in [names.first(), names.last(), Some(&"maria")] {
            assert!(is_given(name.unwrap().as_bytes()));
        }
        assert!(!is_given(b"Invoice") && !is_given(b"Q"));
    }

    #[test]
    fn the_next_capital_letter_is_found_wherever_it_stands() {
        let text = "ab@[`{zé Äß A 12345678 zzzzzzzzzzzzzzzZ".as_bytes();
        for from in 0..=text.len() {
            let plain = text[from..].iter().position(u8::is_ascii_uppercase).map(|at| from + at);
            assert_eq!(large(text, from), plain, "{from}");
        }
    }

    #[test]
    fn a_person_of_whom_nothing_is_said_is_found() {
        for (text, name) in [
            ("and then Petra Lindqvist went home early", "Petra Lindqvist"),
            ("Yesterday we met Marisol Echeverría Paz.", "Marisol Echeverría Paz"),
            ("Oluwaseun Adeyemi's desk is empty", "Oluwaseun Adeyemi"),
            ("I think Joost van der Meer has it", "Joost van der Meer"),
            ("moved to Fatima B. Rahmani, who left", "Fatima B. Rahmani"),
            ("Son las llaves de Agnieszka Wróbel.", "Agnieszka Wróbel"),
            ("either Declan O'Hara or nobody", "Declan O'Hara"),
            ("seen by Anne-Marie Dubois twice", "Anne-Marie Dubois"),
        ] {
            assert_eq!(people(text), [name], "{text}");
        }
    }

    #[test]
    fn two_capital_words_that_are_a_place_a_firm_or_a_show_are_left() {
        for text in [
            "The shop is on Victoria Street, near Maria Theresa Square.",
            "We stayed at rue Pierre Curie for a week",
            "Petra Lindqvist GmbH has not paid",
            "the Martin Luther King memorial",
            "Albert Einstein wrote to Niels",
            "Anna Monday works for me",
            "Emma Said nothing",
            "Wells Fargo and Calvin Klein",
            "HOLGER LINDQVIST",
            "holger lindqvist",
            "Simon\nLindqvist",
        ] {
            assert!(people(text).is_empty(), "{text} {:?}", people(text));
        }
    }
}
