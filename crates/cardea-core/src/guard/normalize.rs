//! One way of writing for detectors, with a way back to the places in the original.
//!
//! Each character is folded by itself: compatibility forms (NFKD) without their marks, every kind of space, dash,
//! quote and digit to the one in ASCII, invisible and direction characters away. Then letters that only look Latin
//! become Latin, in words that mix scripts, and letters of other scripts become small. Folding needs no look at the rest of the text, which keeps it linear,
//! makes it the same in a stream as in the whole, and makes a second folding change nothing.

mod alike;

use std::{borrow::Cow, cell::OnceCell};

use unicode_normalization::char::{decompose_compatible, is_combining_mark};

use self::alike::{alike, has_one_form};
use super::stretch::Stretch;

/// More invisible characters than this in a row stand in no text that somebody wrote.
const MOST_INVISIBLE: usize = 8;

/// More than this in a row, of several sorts, hold a text wherever they stand: a flag has six and a family of people three.
/// Mailers fill previews with long runs of one sort.
const MOST_MIXED: usize = 16;

/// Fewest times that another sort follows in a row that holds a text.
const FEWEST_CHANGES: usize = 6;

/// So many invisible characters at the end of a text are most of it: a piece that was cut in the middle of them.
const MOST_AT_END: usize = 1000;

/// A digit so far before a sign makes what is between them a value.
pub(super) const LONGEST_VALUE: usize = 64;

/// Most letters of a word that are looked at together for mixed scripts.
const LONGEST_WORD: usize = 64;

/// A folded text that knows where each of its bytes came from.
#[derive(Debug, Clone)]
pub(super) struct View<'t> {
    pub(super) text: Cow<'t, str>,
    /// For each byte of `text`, where its source begins and ends; `None` where the text is its own source.
    source: Option<Vec<(u32, u32)>>,
    stretches: OnceCell<Vec<Stretch>>,
    /// Signs that nobody sees, and that may part two words.
    pub(super) parted: Vec<Parted>,
    /// Where in the source more of them stand in a row than anybody writes into a word.
    pub(super) hidden: Option<(usize, usize)>,
}

/// Signs in a row that nobody sees, between two letters or digits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parted {
    /// The place in the source behind them.
    pub(super) place: usize,
    /// Which they are, and how many: the first of them tells.
    pub(super) sort: (char, usize),
    /// People do not write them there.
    pub(super) odd: bool,
}

impl<'t> View<'t> {
    /// A text as it is.
    pub(super) fn plain(text: &'t str) -> Self {
        Self::new(Cow::Borrowed(text), None)
    }

    /// A text made of pieces of another, with the source range of each byte.
    pub(super) fn made(text: String, source: Vec<(u32, u32)>) -> Self {
        Self::new(Cow::Owned(text), Some(source))
    }

    const fn new(text: Cow<'t, str>, source: Option<Vec<(u32, u32)>>) -> Self {
        Self { text, source, stretches: OnceCell::new(), parted: Vec::new(), hidden: None }
    }

    /// What white space sets apart, found at the first call.
    pub(super) fn stretches(&self) -> &[Stretch] {
        self.stretches.get_or_init(|| Stretch::all(self.bytes()))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// The range in the source that a range of this text stands for.
    pub(super) fn back(&self, start: usize, end: usize) -> (usize, usize) {
        let Some(source) = &self.source else { return (start, end) };
        let first = source.get(start).or(source.last()).map_or(0, |place| place.0);
        let last = end.checked_sub(1).and_then(|last| source.get(last)).or(source.last());
        (first as usize, last.map_or(first, |place| place.1).max(first) as usize)
    }

    /// Where in this text the source place lies, or the first byte after it.
    pub(super) fn forth(&self, place: usize) -> usize {
        match &self.source {
            None => place.min(self.text.len()),
            Some(source) => source.partition_point(|(start, _)| (*start as usize) < place),
        }
    }
}

/// Folds a text. Gives it back unchanged where it is plain ASCII.
pub(super) fn fold(text: &str) -> View<'_> {
    if text.is_ascii() {
        return View::plain(text);
    }
    let mut folder = Folder {
        out: String::with_capacity(text.len()),
        source: Vec::with_capacity(text.len()),
        ..Folder::default()
    };
    for (place, c) in text.char_indices() {
        folder.take(c, place);
    }
    folder.close_word();
    folder.end_of_invisible(None, text.len());
    View { parted: folder.parted, hidden: folder.hidden, ..View::made(folder.out, folder.source) }
}

#[derive(Default)]
struct Folder {
    out: String,
    source: Vec<(u32, u32)>,
    invisible: Invisible,
    parted: Vec<Parted>,
    hidden: Option<(usize, usize)>,
    word: Word,
    letters: Letters,
    value: Value,
    /// Where a sign stands that has just become letters, and its length.
    sign: Option<(usize, usize)>,
}

/// Letters and digits in a row that may be a value.
#[derive(Default)]
struct Value {
    /// Where its last digit stands in the folded text.
    digit: Option<usize>,
    /// The first of its parted places before which no digit stands.
    parted: usize,
}

/// Signs dropped in a row.
#[derive(Default)]
struct Invisible {
    start: usize,
    first: char,
    all: usize,
    /// Those that are no marks on the letter before them.
    apart: usize,
    /// Those that people do not write between two letters of ASCII.
    alien: usize,
    /// Those that change nothing that is seen, how often another sort follows among them, and the last of them.
    unseen: usize,
    changes: usize,
    last: char,
}

/// Signs that were asked for lately, and whether they are letters.
struct Letters([(char, bool); 64]);

impl Default for Letters {
    fn default() -> Self {
        Self([('\0', false); 64])
    }
}

impl Letters {
    /// As `char::is_alphabetic`, which looks long for most scripts.
    fn has(&mut self, c: char) -> bool {
        match c {
            '\0'..='\u{7f}' => c.is_ascii_alphabetic(),
            '\u{430}'..='\u{44f}'
            | '\u{3041}'..='\u{3096}'
            | '\u{4e00}'..='\u{9fff}'
            | '\u{ac00}'..='\u{d7a3}' => true,
            _ => {
                let place = usize::try_from(u32::from(c) % 64).unwrap_or_default();
                let Some(known) = self.0.get_mut(place) else { return c.is_alphabetic() };
                if known.0 != c {
                    *known = (c, c.is_alphabetic());
                }
                known.1
            }
        }
    }
}

/// The word being read: where it began and which scripts it has.
#[derive(Default)]
struct Word {
    start: usize,
    letters: usize,
    latin: bool,
    alike: bool,
    foreign: bool,
}

impl Invisible {
    fn take(&mut self, c: char, place: usize) {
        if self.all == 0 {
            (self.start, self.first) = (place, c);
        }
        let mark = is_combining_mark(c);
        self.all += 1;
        self.apart += usize::from(!mark);
        self.alien += usize::from(c != '\u{ad}' && (!mark || stands_in_words(c)));
        if !mark || stands_in_words(c) || c >= '\u{e0000}' {
            self.changes += usize::from(self.unseen > 0 && self.last != c);
            (self.unseen, self.last) = (self.unseen + 1, c);
        }
    }

    /// True if these are bytes or bits of a text.
    const fn spell(&self) -> bool {
        self.unseen > MOST_MIXED && self.changes >= FEWEST_CHANGES
    }
}

impl Folder {
    fn take(&mut self, c: char, place: usize) {
        if is_dropped(c) {
            return self.invisible.take(c, place);
        }
        if self.invisible.all > 0 {
            self.end_of_invisible(Some(c), place);
        }
        // WHY: `№4111` is a number, and no word that begins with `No`.
        if let Some((sign, length)) =
            self.sign.take().filter(|_| c.is_ascii_digit() || c.is_ascii_uppercase())
        {
            self.put(' ', sign, length);
        }
        if let Some(plain) = simple(c) {
            self.put(plain, place, c.len_utf8());
        } else if let Some([first, second]) = pair(c) {
            self.put(first, place, c.len_utf8());
            self.put(second, place, c.len_utf8());
        } else {
            decompose_compatible(c, |part| match pair(part) {
                Some(both) => both.into_iter().for_each(|part| self.put(part, place, c.len_utf8())),
                None if is_dropped(part) => {}
                None => self.put(simple(part).unwrap_or(part), place, c.len_utf8()),
            });
            self.sign = matches!(c, '№' | 'º' | 'ª' | '™' | '℠').then_some((place, c.len_utf8()));
        }
    }

    /// Invisible signs end before this sign, or at the end of the text.
    fn end_of_invisible(&mut self, next: Option<char>, place: usize) {
        let signs = std::mem::take(&mut self.invisible);
        if signs.spell() {
            self.hidden.get_or_insert((signs.start, place));
        }
        let before = self.out.chars().next_back().filter(|c| c.is_alphanumeric());
        let Some(before) = before.filter(|_| next.is_none_or(char::is_alphanumeric)) else { return };
        let most = if next.is_some() { MOST_INVISIBLE } else { MOST_AT_END };
        if signs.apart > most {
            self.hidden.get_or_insert((signs.start, place));
        }
        let Some(next) = next else { return };
        let latin = before.is_ascii() && is_latin(next);
        // WHY: with some of these signs people write words, but no numbers.
        let value = self.value.digit.is_some_and(|digit| self.out.len() - digit <= LONGEST_VALUE);
        let odd = signs.all > MOST_INVISIBLE || (latin && (signs.alien > 0 || value));
        if odd || latin {
            self.parted.push(Parted { place, sort: (signs.first, signs.all), odd });
        }
    }

    fn put(&mut self, c: char, place: usize, length: usize) {
        let letter = self.letters.has(c);
        if !letter || self.word.letters >= LONGEST_WORD {
            self.close_word();
        }
        if c.is_ascii_digit() {
            let before = self.parted.get_mut(self.value.parted..).unwrap_or_default();
            before.iter_mut().for_each(|parted| parted.odd = true);
            self.value = Value { digit: Some(self.out.len()), parted: self.parted.len() };
        } else if !letter {
            self.value = Value { digit: None, parted: self.parted.len() };
        }
        if letter {
            if self.word.letters == 0 {
                self.word.start = self.out.len();
            }
            self.word.letters += 1;
            self.word.latin |= c.is_ascii();
            self.word.alike |= alike(c).is_some();
            self.word.foreign |= !c.is_ascii();
        }
        let start = u32::try_from(place).unwrap_or(u32::MAX);
        let end = u32::try_from(place + length).unwrap_or(u32::MAX);
        self.source.extend(std::iter::repeat_n((start, end), c.len_utf8()));
        self.out.push(c);
    }

    /// Ends a word. If it mixes Latin letters with ones that look alike, all become Latin; letters of other scripts
    /// otherwise become small.
    fn close_word(&mut self) {
        let word = std::mem::take(&mut self.word);
        let mixed = word.latin && word.alike;
        let stays = |c: char| c.is_ascii() || has_one_form(c);
        if !word.foreign || self.out.get(word.start..).is_some_and(|word| word.chars().all(stays)) {
            return;
        }
        let tail = self.out.split_off(word.start);
        let places = self.source.split_off(word.start);
        let mut from = 0;
        for c in tail.chars() {
            let latin = match alike(c) {
                Some(latin) if mixed => latin,
                _ if c.is_ascii() => c,
                _ => c.to_lowercase().next().unwrap_or(c),
            };
            let place = places.get(from).copied().unwrap_or_default();
            self.source.extend(std::iter::repeat_n(place, latin.len_utf8()));
            self.out.push(latin);
            from += c.len_utf8();
        }
    }
}

/// True if this is a letter or digit of ASCII once it is folded.
fn is_latin(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric();
    }
    let mut first = None;
    decompose_compatible(c, |part| {
        let plain = pair(part).map_or_else(|| simple(part).unwrap_or(part), |[part, _]| part);
        first.get_or_insert(alike(plain).unwrap_or(plain));
    });
    first.is_some_and(|first| first.is_ascii_alphanumeric())
}

/// Soft hyphens, joiners and selectors, with which people write words.
const fn stands_in_words(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{180b}'..='\u{180f}' | '\u{200c}'..='\u{200f}' | '\u{fe00}'..='\u{fe0f}')
}

/// Invisible characters, direction marks, tags, selectors and combining marks.
pub(super) fn is_dropped(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}')
        || (c >= '\u{300}' && is_combining_mark(c) && !is_indic(c))
}

/// Vowel signs of scripts in which they are letters, not ornaments.
const fn is_indic(c: char) -> bool {
    matches!(c, '\u{900}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{a8e0}'..='\u{abff}')
}

/// Letters that people without them on their keyboard write as two.
const fn pair(c: char) -> Option<[char; 2]> {
    Some(match c {
        'æ' => ['a', 'e'],
        'Æ' => ['A', 'E'],
        _ => return None,
    })
}

/// Characters with one plain form, and those that need none.
fn simple(c: char) -> Option<char> {
    Some(match c {
        '\0'..='\u{7f}' => c,
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => ' ',
        '\u{85}' | '\u{2028}' | '\u{2029}' => '\n',
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}' => '-',
        '\u{2018}'..='\u{201b}' | '\u{2032}' | '\u{ff07}' => '\'',
        '\u{201c}'..='\u{201f}' | '\u{2033}' | '\u{ff02}' => '"',
        '\u{2024}' | '\u{3002}' | '\u{ff61}' => '.',
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        '\u{660}'..='\u{669}' => digit(c, 0x660),
        '\u{6f0}'..='\u{6f9}' => digit(c, 0x6f0),
        '\u{966}'..='\u{96f}' => digit(c, 0x966),
        '\u{9e6}'..='\u{9ef}' => digit(c, 0x9e6),
        '\u{e50}'..='\u{e59}' => digit(c, 0xe50),
        // Whole sentences.
        '\u{fdfa}' | '\u{fdfb}' => c,
        // Letters with a stroke or without their dot, which have no plainer form in Unicode but in people's eyes.
        'ł' => 'l',
        'Ł' => 'L',
        'ø' => 'o',
        'Ø' => 'O',
        'đ' => 'd',
        'Đ' => 'D',
        'ı' => 'i',
        // Letters in filled circles and squares, and small capitals.
        '\u{1f150}'..='\u{1f169}' => latin(c, 0x1_f150),
        '\u{1f170}'..='\u{1f189}' => latin(c, 0x1_f170),
        '\u{262}'..='\u{29f}' | '\u{1d00}'..='\u{1d22}' | '\u{a730}'..='\u{a731}' | '\u{a7af}' => {
            return small_capital(c);
        }
        // Letters of large scripts that have no plainer form.
        '\u{370}'..='\u{373}'
        | '\u{391}'..='\u{3a9}'
        | '\u{3b1}'..='\u{3c9}'
        | '\u{410}'..='\u{418}'
        | '\u{41a}'..='\u{438}'
        | '\u{43a}'..='\u{44f}'
        | '\u{5d0}'..='\u{5ea}'
        | '\u{620}'..='\u{621}'
        | '\u{627}'..='\u{64a}'
        | '\u{3041}'..='\u{304b}'
        | '\u{4e00}'..='\u{9fff}'
        | '\u{ac00}'..='\u{d7a3}' => c,
        _ => return None,
    })
}

/// The letter so far behind the first of its block.
fn latin(c: char, first: u32) -> char {
    u8::try_from(u32::from(c).saturating_sub(first)).map_or(c, |number| char::from(b'A' + number))
}

/// What a small capital is a form of.
fn small_capital(c: char) -> Option<char> {
    let place = "ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘꞯʀꜱᴛᴜᴠᴡxʏᴢ".chars().position(|known| known == c)?;
    u8::try_from(place).ok().map(|place| char::from(b'a' + place))
}

fn digit(c: char, zero: u32) -> char {
    char::from_digit(u32::from(c).saturating_sub(zero), 10).unwrap_or(c)
}

#[cfg(test)]
mod tests;
