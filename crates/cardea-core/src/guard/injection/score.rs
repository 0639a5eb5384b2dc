//! The classifier: hashed grams and words, and concepts with their order, one byte of weight each.
//!
//! `models/injection/features.py` says the same in Python; a test compares the two on golden texts. What a user writes is
//! read as a whole and in windows of two blocks. What a tool returns is read in sentences, one to three at a time: an
//! order in a record is one sentence among many, and a mean over the record would drown it.

use std::ops::Range;

use super::concept::{Follower, Lexicon, START, hash};
use crate::{Code, Error, Result};

/// Bytes of squeezed text in one block; a window is two blocks.
const BLOCK: usize = 128;
const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;
const HEADER: usize = 56;
/// Concepts and their order have tables of 2 to this power.
const CONCEPT_BITS: u32 = 14;
/// A shorter sentence goes on with the next.
const SHORTEST: usize = 16;
/// A longer sentence is cut at the next blank.
const LONG: usize = 200;
/// Sentences that are read together.
const TOGETHER: usize = 3;
/// Stands before a sentence, where a blank stands before other words.
const FIRST: u8 = 1;

/// Two sets of weights: for what users write, and for what tools and documents hold.
pub(super) struct Model {
    lexicon: Lexicon,
    prompts: Linear,
    records: Linear,
}

/// Weights, scales, bias, and the lines of calibration.
struct Linear {
    weights: Weights,
    concepts: Weights,
    bias: f32,
    /// Margins that 5 %, 1 % and 0.1 % of unseen harmless texts reach.
    lines: [f32; 3],
}

/// Hashed weights of one byte.
struct Weights {
    bytes: Vec<i8>,
    shift: u32,
    scale: f32,
}

impl Weights {
    fn of(&self, value: u64) -> i8 {
        let place = usize::try_from(value.wrapping_mul(MULTIPLIER) >> self.shift).unwrap_or_default();
        self.bytes.get(place).copied().unwrap_or_default()
    }
}

/// Weights that were added up, and how many.
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

    /// Their sum over the square root of their number.
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
    /// Where its text begins.
    from: usize,
}

impl Model {
    /// Reads the file that the training script writes, and the list of concepts.
    pub(super) fn parse(file: &[u8], concepts: &str) -> Result<Self> {
        let broken = || Error::new(Code::Internal).detail("The injection classifier's weights are damaged.");
        let (body, sum) = file.split_at_checked(file.len().saturating_sub(4)).ok_or_else(broken)?;
        let word = |at: usize| body.get(at..at + 4).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
        let bits =
            word(4).map(u32::from_le_bytes).filter(|bits| (2..=24).contains(bits)).ok_or_else(broken)?;
        if word(0) != Some(*b"CGI3") || crc32(body).to_le_bytes() != *sum {
            return Err(broken());
        }
        let float = |at: usize| word(at).map(f32::from_le_bytes).ok_or_else(broken);
        let weights = |from: usize, bits: u32, scale: usize| -> Result<Weights> {
            let bytes = body.get(from..from + (1 << bits)).ok_or_else(broken)?;
            let bytes = bytes.iter().map(|byte| i8::from_le_bytes([*byte])).collect();
            Ok(Weights { bytes, shift: 64 - bits, scale: float(scale)? })
        };
        let linear = |head: usize, from: usize, bits: u32| -> Result<Linear> {
            Ok(Linear {
                weights: weights(from, bits, head)?,
                concepts: weights(from + (1 << bits), CONCEPT_BITS, head + 4)?,
                bias: float(head + 8)?,
                lines: [float(head + 12)?, float(head + 16)?, float(head + 20)?],
            })
        };
        let prompts = linear(8, HEADER, bits)?;
        let records = linear(32, HEADER + (1 << bits) + (1 << CONCEPT_BITS), bits - 1)?;
        Ok(Self { lexicon: Lexicon::parse(concepts), prompts, records })
    }

    const fn linear(&self, untrusted: bool) -> &Linear {
        if untrusted { &self.records } else { &self.prompts }
    }

    /// Margins that 5 %, 1 % and 0.1 % of unseen harmless texts reach.
    pub(super) const fn lines(&self, untrusted: bool) -> [f32; 3] {
        self.linear(untrusted).lines
    }

    /// The highest margin of a text's windows, and where that window lies.
    pub(super) fn score(&self, text: &[u8], untrusted: bool) -> (f32, Range<usize>) {
        if untrusted {
            self.records.record(text, &self.lexicon)
        } else {
            self.prompts.prompt(text, &self.lexicon)
        }
    }
}

/// How sure a margin makes us, between the lines of calibration.
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

impl Linear {
    /// The whole text, and each pair of its blocks.
    fn prompt(&self, text: &[u8], lexicon: &Lexicon) -> (f32, Range<usize>) {
        let reader = Reader::new(self, Follower::new(lexicon, START), Some(BLOCK));
        let blocks = reader.read(text, 0, b' ');
        let all = blocks.iter().fold(Block::default(), |all, block| join(all, *block));
        let mut best = (self.margin(all), 0..text.len());
        if blocks.len() > 2 {
            for (number, pair) in blocks.windows(2).enumerate() {
                let [a, b] = pair else { continue };
                let margin = self.margin(join(*a, *b));
                if margin > best.0 {
                    let end = blocks.get(number + 2).map_or(text.len(), |next| next.from);
                    best = (margin, a.from..end);
                }
            }
        }
        best
    }

    /// Each sentence, and each two and three that follow each other.
    fn record(&self, text: &[u8], lexicon: &Lexicon) -> (f32, Range<usize>) {
        let mut best = (f32::MIN, 0..text.len());
        let mut last = [const { None }; TOGETHER];
        let kind = kind_of(text);
        for sentence in sentences(text) {
            let reader = Reader::new(self, Follower::new(lexicon, kind), None);
            let blocks = reader.read(text.get(sentence.clone()).unwrap_or_default(), sentence.start, FIRST);
            let block = blocks.first().copied().unwrap_or_default();
            last.rotate_right(1);
            last[0] = Some(Block { from: sentence.start, ..block });
            let mut window = Block::default();
            for block in last.iter().flatten() {
                window = Block { from: block.from, ..join(window, *block) };
                let margin = self.margin(window);
                if margin > best.0 {
                    best = (margin, window.from..sentence.end);
                }
            }
        }
        if best.0 == f32::MIN { (self.bias, 0..text.len()) } else { best }
    }

    fn margin(&self, block: Block) -> f32 {
        block.letters.margin(self.weights.scale) + block.concepts.margin(self.concepts.scale) + self.bias
    }
}

fn join(a: Block, b: Block) -> Block {
    Block { letters: a.letters.join(b.letters), concepts: a.concepts.join(b.concepts), from: a.from }
}

/// The sentences of a record: they end at line breaks, quotes, tags and bars, and after a full stop before white space.
/// What has no words is none.
fn sentences(text: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let (mut start, mut at) = (0, 0);
    std::iter::from_fn(move || {
        while start < text.len() {
            // The next place where a sentence ends, from where the last search stopped.
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

/// False for the bracket that closes a record, for lines, numbers and the fence around code: nobody orders anything there.
fn has_words(sentence: &[u8]) -> bool {
    let said = sentence.trim_ascii();
    let said = match said.strip_prefix(b"```") {
        Some(language) if language.iter().all(u8::is_ascii_alphanumeric) => b"",
        _ => said,
    };
    said.iter().any(|byte| byte.is_ascii_alphabetic() || *byte >= 0x80)
}

/// Bytes of a record that tell of what kind it is.
const HEAD: usize = 4096;

/// What a sentence begins in: prose, or JSON, a table, markup, code or fields, where an order is a stranger.
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

/// True if a sentence may end before the byte at this place.
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

/// A byte as it is read.
#[derive(Clone, Copy)]
struct Sign {
    /// Lower case, digits to `0`, white space to one kind.
    byte: u8,
    /// It is part of a word.
    letter: bool,
    /// A sentence ends here.
    stop: bool,
}

impl Sign {
    const fn of(byte: u8) -> Self {
        let byte = match byte {
            b'A'..=b'Z' => byte + 32,
            b'1'..=b'9' => b'0',
            b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => b' ',
            byte => byte,
        };
        let letter = matches!(byte, b'a'..=b'z' | b'0' | b'\'' | 0x80..);
        Self { byte, letter, stop: matches!(byte, b'.' | b'!' | b'?' | b':') }
    }
}

/// All bytes as they are read: this is asked for each byte of every text.
const SIGNS: [Sign; 256] = {
    let (mut signs, mut byte) = ([Sign::of(0); 256], 0);
    while byte < 256 {
        #[expect(clippy::indexing_slicing, reason = "computed by the compiler, which would stop")]
        {
            signs[byte] = Sign::of(byte as u8);
        }
        byte += 1;
    }
    signs
};

struct Reader<'m> {
    model: &'m Linear,
    /// Blocks that are full.
    blocks: Vec<Block>,
    /// The one being filled.
    block: Block,
    /// Bytes to a block.
    size: usize,
    /// Bytes that the current block still takes.
    left: usize,
    /// Bytes read, after squeezing.
    length: usize,
    /// The last eight of them, the oldest lowest.
    last: u64,
    /// The hash of the word being read; zero between words.
    word: u32,
    /// The two words before.
    before: [Option<u32>; 2],
    concepts: Follower<'m>,
}

impl<'m> Reader<'m> {
    /// Reads into blocks of so many bytes; into one if no size is given.
    fn new(model: &'m Linear, concepts: Follower<'m>, size: Option<usize>) -> Self {
        let size = size.unwrap_or(usize::MAX);
        let (blocks, block) = (Vec::new(), Block::default());
        Self {
            model,
            blocks,
            block,
            size,
            left: size,
            length: 0,
            last: 0,
            word: 0,
            before: [None, None],
            concepts,
        }
    }

    /// Reads a text and gives its blocks.
    fn read(mut self, text: &[u8], from: usize, first: u8) -> Vec<Block> {
        self.block.from = from;
        self.block.concepts.add(self.model.concepts.of(self.concepts.first()));
        let bytes = std::iter::once(first).chain(text.iter().copied()).chain(std::iter::once(b' '));
        // WHY: told from inside, the three parts are three plain loops.
        let mut place = from;
        bytes.for_each(|byte| {
            self.byte(byte, place);
            place += 1;
        });
        self.end_word();
        self.blocks.push(self.block);
        self.blocks
    }

    #[inline]
    fn byte(&mut self, byte: u8, place: usize) {
        let Some(Sign { byte, letter, stop }) = SIGNS.get(usize::from(byte)).copied() else { return };
        if byte == b' ' && self.length > 0 && matches!((self.last >> 56) as u8, b' ' | FIRST) {
            return;
        }
        if !letter {
            self.end_word();
        }
        if stop {
            self.concepts.stop();
        }
        if self.left == 0 {
            self.blocks.push(std::mem::replace(&mut self.block, Block { from: place, ..Block::default() }));
            self.left = self.size;
        }
        self.left -= 1;
        self.last = (self.last >> 8) | (u64::from(byte) << 56);
        self.length += 1;
        if letter {
            self.word = hash(self.word, byte);
            self.concepts.letter(byte, self.word, self.last);
        }
        let model = self.model;
        if self.length >= 4 {
            self.block.letters.add(model.weights.of((self.last >> 32) | (4 << 56)));
        }
        if self.length >= 6 {
            self.block.letters.add(model.weights.of((self.last >> 16) | (6 << 56)));
        }
    }

    fn end_word(&mut self) {
        if self.word == 0 {
            return;
        }
        const LOW: u64 = (1 << 56) - 1;
        let (word, model, block) = (std::mem::take(&mut self.word), self.model, &mut self.block);
        let before = self.before;
        self.before = [Some(word), before[0]];
        let pair = |first: u32| (u64::from(first).wrapping_mul(0x85EB_CA6B) ^ u64::from(word)) & LOW;
        block.letters.add(model.weights.of(u64::from(word) | (1 << 56)));
        for (before, tag) in before.iter().zip([2_u64, 3]) {
            if let Some(before) = before {
                block.letters.add(model.weights.of(pair(*before) | (tag << 56)));
            }
        }
        self.concepts.end(word, |feature| block.concepts.add(model.concepts.of(feature)));
    }
}

/// The check sum of zip files, over the weights.
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
