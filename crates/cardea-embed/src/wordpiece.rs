//! Tokenisation of text into word pieces, like the published tokenizer of the model.
//!
//! Text is lower-cased, accents are removed, it is split at spaces and around punctuation and Chinese characters, and
//! each word is split greedily into the longest known pieces. One difference is deliberate: `[CLS]` and the like in a
//! user's text are plain text here, never marks.

use unicode_normalization::UnicodeNormalization;

use crate::weights::{Class, END, START, UNKNOWN, Weights};

/// Length beyond which a word becomes one unknown piece.
const LONGEST_WORD: usize = 100;

/// Token numbers with the marks around them, and whether the text was cut.
pub(crate) struct Tokens {
    pub(crate) numbers: Vec<u16>,
    pub(crate) truncated: bool,
}

/// Tokenises the text into at most `limit` tokens, marks included.
pub(crate) fn tokens(weights: &Weights, text: &str, limit: usize) -> Tokens {
    let room = limit.saturating_sub(2);
    let mut cutter = Cutter { weights, numbers: vec![START], room, word: String::new() };
    let mut truncated = false;
    for character in text.chars() {
        if cutter.numbers.len() > room + 1 {
            truncated = true;
            break;
        }
        cutter.character(character);
    }
    cutter.end_word();
    truncated |= cutter.numbers.len() > room + 1;
    let mut numbers = cutter.numbers;
    numbers.truncate(room + 1);
    numbers.push(END);
    Tokens { numbers, truncated }
}

struct Cutter<'a> {
    weights: &'a Weights,
    numbers: Vec<u16>,
    room: usize,
    word: String,
}

impl Cutter<'_> {
    fn character(&mut self, character: char) {
        match character {
            'a'..='z' | '0'..='9' => self.word.push(character),
            'A'..='Z' => self.word.push(character.to_ascii_lowercase()),
            ' ' | '\t' | '\n' | '\r' => self.end_word(),
            '\0'..='\x1f' | '\x7f' => {}
            '!'..='~' => self.alone(character),
            _ => self.foreign(character),
        }
    }

    /// Processes a character beyond ASCII: it may decompose, lose an accent, or stand alone.
    fn foreign(&mut self, character: char) {
        if self.weights.class(character) == Class::Dropped {
            return;
        }
        if character.is_whitespace() {
            return self.end_word();
        }
        if is_chinese(character) {
            self.end_word();
            self.word.extend(std::iter::once(character).nfd());
            return self.end_word();
        }
        for part in std::iter::once(character).nfd() {
            if !part.is_ascii() && self.weights.class(part) == Class::Accent {
                continue;
            }
            for small in part.to_lowercase() {
                if small.is_ascii_punctuation()
                    || (!small.is_ascii() && self.weights.class(small) == Class::Punctuation)
                {
                    self.alone(small);
                } else if small.is_whitespace() {
                    self.end_word();
                } else {
                    self.word.push(small);
                }
            }
        }
    }

    fn alone(&mut self, character: char) {
        self.end_word();
        self.word.push(character);
        self.end_word();
    }

    /// Splits the collected word into pieces: the longest known prefix first, the rest marked with `##`.
    fn end_word(&mut self) {
        if self.word.is_empty() {
            return;
        }
        let word = std::mem::take(&mut self.word);
        let before = self.numbers.len();
        let characters = word.chars().count();
        let mut rest = if characters > LONGEST_WORD { None } else { Some(word.as_str()) };
        let mut piece = String::with_capacity(word.len() + 2);
        while let Some(text) = rest.filter(|text| !text.is_empty()) {
            piece.clear();
            if self.numbers.len() > before {
                piece.push_str("##");
            }
            let mark = piece.len();
            piece.push_str(text);
            rest = loop {
                if piece.len() == mark {
                    break None;
                }
                if let Some(number) = self.weights.word(piece.as_bytes()) {
                    self.numbers.push(number);
                    break text.get(piece.len() - mark..);
                }
                piece.pop();
            };
        }
        if rest.is_none() {
            self.numbers.truncate(before);
            self.numbers.push(UNKNOWN);
        }
        debug_assert!(self.numbers.len() <= self.room + 2 + LONGEST_WORD * 4);
        self.word = word;
        self.word.clear();
    }
}

fn is_chinese(character: char) -> bool {
    matches!(u32::from(character),
        0x4E00..=0x9FFF | 0x3400..=0x4DBF | 0x2_0000..=0x2_A6DF | 0x2_A700..=0x2_B73F | 0x2_B740..=0x2_B81F
        | 0x2_B820..=0x2_CEAF | 0xF900..=0xFAFF | 0x2_F800..=0x2_FA1F)
}
