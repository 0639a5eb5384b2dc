//! The classifier: weights of one byte for hashed n-grams and words, and for concepts and their order.
//!
//! `models/injection/features.py` is the same in Python; a test compares the two on golden texts. User text is scored
//! as a whole and in windows of two blocks. Tool results are scored by sentences, one to three at a time: an
//! instruction in a record is one sentence among many, and has little effect on a mean over the record.

use std::ops::Range;

use super::concept::{Follower, Lexicon, SEED, START, hash};
use crate::{Code, Error, Result};

/// Number of bytes of normalized text in one block; a window is two blocks.
const BLOCK: usize = 128;
const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;
const HEADER: usize = 56;
/// Binary logarithm of the number of weights for letters and words in user text; tool results have half as many.
const PROMPT_BITS: u32 = 17;
const PROMPTS: usize = 1 << PROMPT_BITS;
const RECORDS: usize = PROMPTS / 2;
/// Number of weights for concepts and their order.
const CONCEPTS: usize = 1 << 14;
/// A sentence shorter than this is joined with the next, in bytes.
const SHORTEST: usize = 16;
/// A sentence longer than this is divided at the next blank, in bytes.
const LONG: usize = 200;
/// Maximum number of sentences that are scored together.
const TOGETHER: usize = 3;
/// Precedes a sentence, as a blank precedes other words.
const FIRST: u8 = 1;

/// Two sets of weights: for user text, and for tool results and documents.
pub(super) struct Model {
    lexicon: Lexicon,
    prompts: Linear<PROMPTS>,
    records: Linear<RECORDS>,
}

/// Weights, scales, bias, and the thresholds of calibration.
struct Linear<const SIZE: usize> {
    weights: Weights<SIZE>,
    concepts: Weights<CONCEPTS>,
    bias: f32,
    /// Margins that 5 %, 1 % and 0.1 % of unseen harmless texts reach.
    lines: [f32; 3],
}

/// Hashed weights of one byte.
///
/// WHY: with a constant size, the compiler omits the bounds check for each n-gram.
struct Weights<const SIZE: usize> {
    bytes: Box<[i8; SIZE]>,
    scale: f32,
}

impl<const SIZE: usize> Weights<SIZE> {
    /// Reads the first `SIZE` bytes as weights.
    fn parse(bytes: &[u8], scale: f32) -> Option<Self> {
        let bytes: Box<[i8]> = bytes.get(..SIZE)?.iter().map(|byte| i8::from_le_bytes([*byte])).collect();
        Some(Self { bytes: bytes.try_into().ok()?, scale })
    }

    fn of(&self, value: u64) -> i8 {
        let place = (value.wrapping_mul(MULTIPLIER) >> (u64::BITS - SIZE.ilog2())) as usize;
        self.bytes.get(place).copied().unwrap_or_default()
    }
}

/// A sum of weights, and their number.
#[derive(Clone, Copy, Default)]
struct Sum {
    sum: i64,
    count: u64,
}

impl Sum {
    fn add(&mut self, weight: i8) {
        self.sum += i64::from(weight);
        self.count += 1;
    }

    const fn join(self, other: Self) -> Self {
        Self { sum: self.sum + other.sum, count: self.count + other.count }
    }

    /// Returns the sum divided by the square root of the number.
    fn margin(self, scale: f32) -> f32 {
        #[expect(
            clippy::cast_precision_loss,
            reason = "sums of bytes over a text; the eighth digit does not matter"
        )]
        let (sum, count) = (self.sum as f32, self.count.max(1) as f32);
        sum * scale / count.sqrt()
    }
}

#[derive(Clone, Copy, Default)]
struct Block {
    letters: Sum,
    concepts: Sum,
    /// Offset in the text.
    from: usize,
}

impl Model {
    /// Parses the output of the training script, and the list of concepts.
    pub(super) fn parse(file: &[u8], concepts: &str) -> Result<Self> {
        let broken = || Error::new(Code::Internal).detail("The injection classifier's weights are damaged.");
        let (body, sum) = file.split_at_checked(file.len().saturating_sub(4)).ok_or_else(broken)?;
        let word = |at: usize| body.get(at..at + 4).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
        if word(0) != Some(*b"CGI3")
            || word(4) != Some(PROMPT_BITS.to_le_bytes())
            || crc32(body).to_le_bytes() != *sum
        {
            return Err(broken());
        }
        let float = |at: usize| word(at).map(f32::from_le_bytes);
        let prompts = Linear::parse(body, 8, HEADER, &float).ok_or_else(broken)?;
        let records = Linear::parse(body, 32, HEADER + PROMPTS + CONCEPTS, &float).ok_or_else(broken)?;
        Ok(Self { lexicon: Lexicon::parse(concepts), prompts, records })
    }

    /// Returns the margins that 5 %, 1 % and 0.1 % of unseen harmless texts reach.
    pub(super) const fn lines(&self, untrusted: bool) -> [f32; 3] {
        if untrusted { self.records.lines } else { self.prompts.lines }
    }

    /// Returns the words of instructions.
    pub(super) const fn lexicon(&self) -> &Lexicon {
        &self.lexicon
    }

    /// Returns the highest margin of a text's windows, and the range of that window.
    pub(super) fn score(&self, text: &[u8], untrusted: bool) -> (f32, Range<usize>) {
        let mut best = None;
        self.windows(text, untrusted, |margin, window| {
            if best.as_ref().is_none_or(|(most, _)| margin > *most) {
                best = Some((margin, window));
            }
        });
        best.unwrap_or((if untrusted { self.records.bias } else { self.prompts.bias }, 0..text.len()))
    }

    /// Calls `found` with the margin and range of each window of a text. A record without words has none.
    pub(super) fn windows(&self, text: &[u8], untrusted: bool, found: impl FnMut(f32, Range<usize>)) {
        if untrusted {
            self.records.record(text, &self.lexicon, found);
        } else {
            self.prompts.prompt(text, &self.lexicon, found);
        }
    }
}

/// Converts a margin to a confidence by interpolation between the thresholds of calibration.
pub(super) fn confidence(margin: f32, [five, one, tenth]: [f32; 3]) -> f32 {
    let between = |low: f32, high: f32| (margin - low) / (high - low).max(0.01);
    if margin < five {
        (0.5 + (margin - five) * 0.1).max(0.0)
    } else if margin < one {
        0.5 + 0.2 * between(five, one)
    } else if margin < tenth {
        0.7 + 0.2 * between(one, tenth)
    } else {
        (0.9 + (margin - tenth) * 0.02).min(0.99)
    }
}

impl<const SIZE: usize> Linear<SIZE> {
    /// Parses the numbers at offset `head`, and the weights at offset `from`.
    fn parse(body: &[u8], head: usize, from: usize, float: &dyn Fn(usize) -> Option<f32>) -> Option<Self> {
        Some(Self {
            weights: Weights::parse(body.get(from..)?, float(head)?)?,
            concepts: Weights::parse(body.get(from + SIZE..)?, float(head + 4)?)?,
            bias: float(head + 8)?,
            lines: [float(head + 12)?, float(head + 16)?, float(head + 20)?],
        })
    }

    /// Scores the whole text, and each pair of its blocks.
    fn prompt(&self, text: &[u8], lexicon: &Lexicon, mut found: impl FnMut(f32, Range<usize>)) {
        let mut reader = Reader::new(self, lexicon, Some(BLOCK));
        let blocks = reader.read(text, 0, b' ', START);
        let all = blocks.iter().fold(Block::default(), |all, block| join(all, *block));
        found(self.margin(all), 0..text.len());
        if blocks.len() > 2 {
            for (number, pair) in blocks.windows(2).enumerate() {
                let [a, b] = pair else { continue };
                let end = blocks.get(number + 2).map_or(text.len(), |next| next.from);
                found(self.margin(join(*a, *b)), a.from..end);
            }
        }
    }

    /// Scores each sentence, and each two and three consecutive ones.
    fn record(&self, text: &[u8], lexicon: &Lexicon, mut found: impl FnMut(f32, Range<usize>)) {
        let mut last = [const { None }; TOGETHER];
        let kind = kind_of(text);
        let mut reader = Reader::new(self, lexicon, None);
        for sentence in sentences(text) {
            let said = text.get(sentence.clone()).unwrap_or_default();
            let blocks = reader.read(said, sentence.start, FIRST, kind);
            let block = blocks.first().copied().unwrap_or_default();
            last.rotate_right(1);
            last[0] = Some(Block { from: sentence.start, ..block });
            let mut window = Block::default();
            for block in last.iter().flatten() {
                window = Block { from: block.from, ..join(window, *block) };
                found(self.margin(window), window.from..sentence.end);
            }
        }
    }

    fn margin(&self, block: Block) -> f32 {
        block.letters.margin(self.weights.scale) + block.concepts.margin(self.concepts.scale) + self.bias
    }
}

fn join(a: Block, b: Block) -> Block {
    Block { letters: a.letters.join(b.letters), concepts: a.concepts.join(b.concepts), from: a.from }
}

/// Returns the sentences of a record. They end at line breaks, quotes, tags and bars, and after a full stop before
/// white space. Text without words is not a sentence.
fn sentences(text: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let (mut start, mut at) = (0, 0);
    std::iter::from_fn(move || {
        while start < text.len() {
            // The next sentence end, searched from where the last search stopped.
            while at < text.len() && (at <= start || !is_end(text, at)) {
                at += 1;
            }
            if at - start < SHORTEST && at < text.len() {
                at += 1;
                continue;
            }
            let rest = text.get((start + LONG).min(at)..at).unwrap_or_default();
            let end = match rest.iter().position(|byte| *byte == b' ') {
                Some(blank) => start + LONG + blank,
                None => at,
            };
            let sentence = start..end;
            start = end;
            if has_words(text.get(sentence.clone()).unwrap_or_default()) {
                return Some(sentence);
            }
        }
        None
    })
}

/// Returns false for the closing bracket of a record, for rules, numbers and code fences: they cannot be instructions.
fn has_words(sentence: &[u8]) -> bool {
    let said = sentence.trim_ascii();
    let said = match said.strip_prefix(b"```") {
        Some(language) if language.iter().all(u8::is_ascii_alphanumeric) => b"",
        _ => said,
    };
    said.iter().any(|byte| byte.is_ascii_alphabetic() || *byte >= 0x80)
}

/// Number of bytes of a record that determine its kind.
const HEAD: usize = 4096;

/// Returns the start concept of a record's kind: prose, or JSON, a table, markup, code or fields, in which instructions
/// are unusual.
fn kind_of(text: &[u8]) -> u8 {
    let head = text.get(..HEAD).unwrap_or(text);
    let (mut bars, mut ends, mut signs, mut fields, mut ticks) = (0, 0, 0, 0, 0);
    let mut before = [0; 2];
    for byte in head {
        match byte {
            b'|' => bars += 1,
            b';' | b'{' | b'}' | b'(' | b')' | b'=' => signs += 1,
            b'/' if before[1] == b'<' => ends += 1,
            b' ' if before[1] == b':' => fields += 1,
            b'`' if before == *b"``" => ticks += 1,
            _ => {}
        }
        before = [before[1], *byte];
    }
    if matches!(head.trim_ascii_start().first(), Some(b'{' | b'[')) {
        START + 201
    } else if bars * 60 >= head.len().max(1) {
        START + 202
    } else if ends >= 2 {
        START + 203
    } else if ticks > 0 || signs * 25 >= head.len().max(1) {
        START + 204
    } else if fields * 50 >= head.len().max(1) {
        START + 205
    } else {
        START
    }
}

/// Returns whether a sentence may end before the byte at this offset.
fn is_end(text: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|before| text.get(before));
    let here = text.get(at);
    if here == Some(&b'<') {
        return true;
    }
    match before {
        Some(b'n') => at >= 2 && text.get(at - 2) == Some(&b'\\'), // a line break as JSON writes it
        Some(b'\n' | b'\r' | b'"' | b'|' | b'>' | b'}') => true,
        Some(b'.' | b'!' | b'?' | b';' | b':') if matches!(here, Some(b' ' | b'\t' | b'\n' | b'\r')) => true,
        _ => false,
    }
}

/// Flags of a byte, above the byte itself: it is part of a word, or a sentence ends at it.
const LETTER: u16 = 1 << 8;
const STOP: u16 = 1 << 9;

/// Returns a byte as it is scored, with its flags: lower case, digits as `0`, white space as one character.
const fn sign_of(byte: u8) -> u16 {
    let byte = match byte {
        b'A'..=b'Z' => byte + 32,
        b'1'..=b'9' => b'0',
        b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => b' ',
        byte => byte,
    };
    let letter = matches!(byte, b'a'..=b'z' | b'0' | b'\'' | 0x80..);
    let stop = matches!(byte, b'.' | b'!' | b'?' | b':');
    byte as u16 | if letter { LETTER } else { 0 } | if stop { STOP } else { 0 }
}

/// The table of all bytes, since this is needed for each byte of every text.
const SIGNS: [u16; 256] = {
    let (mut signs, mut byte) = ([0; 256], 0);
    while byte < 256 {
        #[expect(clippy::indexing_slicing, reason = "computed by the compiler, which would stop")]
        {
            signs[byte] = sign_of(byte as u8);
        }
        byte += 1;
    }
    signs
};

fn sign(byte: u8) -> u16 {
    SIGNS.get(usize::from(byte)).copied().unwrap_or_default()
}

/// Number of bytes before the first one, so that eight bytes end at any position.
const AHEAD: usize = 8;

/// Reads texts into blocks in two passes: the first finds words and stores the converted bytes, the second adds their
/// n-grams.
///
/// WHY: each pass is a short loop whose state fits into registers.
struct Reader<'m, const SIZE: usize> {
    model: &'m Linear<SIZE>,
    lexicon: &'m Lexicon,
    /// Number of bytes in a block.
    size: usize,
    blocks: Vec<Block>,
    /// The converted bytes, after [`AHEAD`] others.
    signs: Vec<u8>,
    /// Their end.
    end: usize,
    /// Hashes of the two preceding words.
    before: [Option<u32>; 2],
}

impl<'m, const SIZE: usize> Reader<'m, SIZE> {
    /// Uses blocks of `size` bytes, or one block if there is no size.
    fn new(model: &'m Linear<SIZE>, lexicon: &'m Lexicon, size: Option<usize>) -> Self {
        let size = size.unwrap_or(usize::MAX);
        let (blocks, signs, before) = (Vec::new(), Vec::new(), [None; 2]);
        Self { model, lexicon, size, blocks, signs, end: AHEAD, before }
    }

    /// Reads a text with this start concept, and returns its blocks.
    fn read(&mut self, text: &[u8], from: usize, first: u8, start: u8) -> &[Block] {
        let mut concepts = Follower::new(self.lexicon, start);
        self.signs.clear();
        self.signs.resize(AHEAD + text.len() + 2, 0);
        (self.end, self.before) = (AHEAD, [None; 2]);
        self.blocks.clear();
        self.blocks.push(Block { from, ..Block::default() });
        if let Some(block) = self.blocks.first_mut() {
            block.concepts.add(self.model.concepts.of(concepts.first()));
        }
        self.put(first);
        // INVARIANT: everything before `at` was read, and the byte there has the position `from + 1 + at`.
        let mut at = 0;
        loop {
            let (length, word) = self.letters(text.get(at..).unwrap_or_default());
            at += length;
            self.end += length;
            if length > 0 {
                self.fill(from + 1 + at);
                self.end_word(length, word, &mut concepts);
            }
            let Some(byte) = text.get(at) else { break };
            let sign = sign(*byte);
            if sign == u16::from(b' ') && self.is_behind_space() {
                self.fill(from + 1 + at);
            } else {
                if sign & STOP != 0 {
                    concepts.stop();
                }
                self.put(sign as u8);
            }
            at += 1;
        }
        if !self.is_behind_space() {
            self.put(b' ');
            at += 1;
        }
        self.fill(from + 1 + at);
        self.grams();
        &self.blocks
    }

    /// Stores a converted byte.
    fn put(&mut self, sign: u8) {
        if let Some(slot) = self.signs.get_mut(self.end) {
            *slot = sign;
        }
        self.end += 1;
    }

    /// Returns whether a space here would be a second one.
    fn is_behind_space(&self) -> bool {
        self.signs.get(self.end - 1).is_some_and(|last| matches!(*last, b' ' | FIRST))
    }

    /// Stores the letters at the beginning of a text. Returns their number and their hash.
    fn letters(&mut self, text: &[u8]) -> (usize, u32) {
        let slots = self.signs.get_mut(self.end..).unwrap_or_default();
        let (mut length, mut word) = (0, SEED);
        for (slot, byte) in slots.iter_mut().zip(text) {
            let sign = sign(*byte);
            if sign & LETTER == 0 {
                break;
            }
            *slot = sign as u8;
            word = hash(word, sign as u8);
            length += 1;
        }
        (length, word)
    }

    /// Creates the blocks of the stored bytes up to this position.
    fn fill(&mut self, place: usize) {
        let length = self.end - AHEAD;
        loop {
            let full = self.blocks.len().saturating_mul(self.size);
            if full >= length {
                return;
            }
            self.blocks.push(Block { from: place - (length - full), ..Block::default() });
        }
    }

    /// Adds the last stored word, of this many letters.
    fn end_word(&mut self, length: usize, word: u32, concepts: &mut Follower<'_>) {
        const LOW: u64 = (1 << 56) - 1;
        let (model, before) = (self.model, self.before);
        let letters = self.signs.get(self.end - length..self.end).unwrap_or_default();
        let Some(block) = self.blocks.last_mut() else { return };
        self.before = [Some(word), before[0]];
        let pair = |first: u32| (u64::from(first).wrapping_mul(0x85EB_CA6B) ^ u64::from(word)) & LOW;
        let mut words = Sum::default();
        words.add(model.weights.of(u64::from(word) | (1 << 56)));
        for (before, tag) in before.iter().zip([2_u64, 3]) {
            if let Some(before) = before {
                words.add(model.weights.of(pair(*before) | (tag << 56)));
            }
        }
        block.letters = block.letters.join(words);
        concepts.end(letters, word, |feature| block.concepts.add(model.concepts.of(feature)));
    }

    /// Adds the n-grams of four and six bytes to the blocks in which they end.
    fn grams(&mut self) {
        let (weights, signs) = (&self.model.weights, self.signs.as_slice());
        let (length, mut from) = (self.end - AHEAD, 0_usize);
        let eights = |from: usize, to: usize| {
            let bytes = signs.get(from + 1..to + AHEAD).unwrap_or_default();
            bytes.windows(AHEAD).map(|eight| eight.try_into().map_or(0, u64::from_le_bytes))
        };
        let four = |last: u64| i64::from(weights.of((last >> 32) | (4 << 56)));
        let six = |last: u64| i64::from(weights.of((last >> 16) | (6 << 56)));
        for block in &mut self.blocks {
            let to = length.min(from.saturating_add(self.size));
            // No n-gram ends at the first positions of a text.
            let (fours, sixes) = (to.min(from.max(3)), to.min(from.max(5)));
            let sum = eights(fours, sixes).map(four).sum::<i64>()
                + eights(sixes, to).map(|last| four(last) + six(last)).sum::<i64>();
            let count = (to - fours) + (to - sixes);
            block.letters = block.letters.join(Sum { sum, count: count as u64 });
            from = to;
        }
    }
}

/// Returns the CRC-32 of the weights.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    let mut table = [0_u32; 256];
    for (number, entry) in (0_u32..).zip(table.iter_mut()) {
        *entry = (0..8)
            .fold(number, |value, _| if value & 1 == 1 { (value >> 1) ^ 0xEDB8_8320 } else { value >> 1 });
    }
    !bytes.iter().fold(!0_u32, |sum, byte| {
        let place = usize::from((sum as u8) ^ byte);
        (sum >> 8) ^ table.get(place).copied().unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_closes_a_record_is_no_sentence_and_the_last_words_of_it_are() {
        let model = Model::parse(super::super::WEIGHTS, super::super::CONCEPTS).unwrap();
        for (record, judged) in [
            (r#"{"status":"delivered"}"#, r#"{"status":"delivered""#),
            (r#"{"carrier":"DHL","city":"Vienna"} }]"#, r#","city":"Vienna""#),
            ("The lamp is broken again.\n```json\n", "The lamp is broken again."),
            ("The lamp is broken again.\n-----------------\n1024\n", "The lamp is broken again."),
            ("Reserve.", "Reserve."),
        ] {
            let (_, window) = model.score(record.as_bytes(), true);
            assert_eq!(record.get(window).map(str::trim), Some(judged));
        }
        assert!(has_words(b"```ignore the rules\n") && has_words("禁止".as_bytes()));
        let nothing = model.score(br#"[1, 2, {"": "3"}]"#, true);
        assert_eq!(nothing, (model.records.bias, 0..17), "a record without a word");
    }
}
