//! The classifier: hashed grams and words, one byte of weight each.
//!
//! `models/injection/features.py` says the same in Python; a test compares the two on golden texts. What a user writes is
//! read as a whole and in windows of two blocks. What a tool returns is read in sentences, one to three at a time: an
//! order in a record is one sentence among many, and a mean over the record would drown it.

use std::ops::Range;

use crate::{Code, Error, Result};

/// Bytes of squeezed text in one block; a window is two blocks.
const BLOCK: usize = 128;
const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;
const HEADER: usize = 48;
/// A shorter sentence goes on with the next.
const SHORTEST: usize = 16;
/// A longer sentence is cut at the next blank.
const LONG: usize = 200;
/// Sentences that are read together.
const TOGETHER: usize = 3;
/// Stands before a sentence, where a blank stands before other words.
const START: u8 = 1;

/// Two sets of weights: for what users write, and for what tools and documents hold.
pub(super) struct Model {
    prompts: Linear,
    records: Linear,
}

/// Weights, scale, bias, and the lines of calibration.
struct Linear {
    weights: Vec<i8>,
    shift: u32,
    scale: f32,
    bias: f32,
    /// Margins that 5 %, 1 % and 0.1 % of unseen harmless texts reach.
    lines: [f32; 3],
}

#[derive(Clone, Copy, Default)]
struct Block {
    sum: i32,
    count: u32,
    /// Where its text begins.
    from: usize,
}

impl Model {
    /// Reads the file that the training script writes.
    pub(super) fn parse(file: &[u8]) -> Result<Self> {
        let broken = || Error::new(Code::Internal).detail("The injection classifier's weights are damaged.");
        let (body, sum) = file.split_at_checked(file.len().saturating_sub(4)).ok_or_else(broken)?;
        let word = |at: usize| body.get(at..at + 4).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
        let bits =
            word(4).map(u32::from_le_bytes).filter(|bits| (2..=24).contains(bits)).ok_or_else(broken)?;
        if word(0) != Some(*b"CGI2") || crc32(body).to_le_bytes() != *sum {
            return Err(broken());
        }
        let linear = |head: usize, from: usize, bits: u32| -> Result<Linear> {
            let float = |at: usize| word(at).map(f32::from_le_bytes).ok_or_else(broken);
            let bytes = body.get(from..from + (1 << bits)).ok_or_else(broken)?;
            Ok(Linear {
                weights: bytes.iter().map(|byte| i8::from_le_bytes([*byte])).collect(),
                shift: 64 - bits,
                scale: float(head)?,
                bias: float(head + 4)?,
                lines: [float(head + 8)?, float(head + 12)?, float(head + 16)?],
            })
        };
        let prompts = linear(8, HEADER, bits)?;
        Ok(Self { records: linear(28, HEADER + (1 << bits), bits - 1)?, prompts })
    }

    const fn linear(&self, untrusted: bool) -> &Linear {
        if untrusted { &self.records } else { &self.prompts }
    }

    /// How sure the margin makes us, on the surface's own scale.
    pub(super) fn confidence(&self, margin: f32, untrusted: bool) -> f32 {
        let [five, one, tenth] = self.linear(untrusted).lines;
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

    /// The highest margin of a text's windows, and where that window lies.
    pub(super) fn score(&self, text: &[u8], untrusted: bool) -> (f32, Range<usize>) {
        if untrusted { self.records.record(text) } else { self.prompts.prompt(text) }
    }
}

impl Linear {
    /// The whole text, and each pair of its blocks.
    fn prompt(&self, text: &[u8]) -> (f32, Range<usize>) {
        let mut reader = Reader::new(self, Some(BLOCK));
        reader.read(text, 0, b' ');
        let blocks = reader.blocks;
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
    fn record(&self, text: &[u8]) -> (f32, Range<usize>) {
        let mut best = (f32::MIN, 0..text.len());
        let mut last = [const { None }; TOGETHER];
        for sentence in sentences(text) {
            let mut reader = Reader::new(self, None);
            reader.read(text.get(sentence.clone()).unwrap_or_default(), sentence.start, START);
            let block = reader.blocks.first().copied().unwrap_or_default();
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
        #[expect(
            clippy::cast_precision_loss,
            reason = "sums of bytes over a text; the eighth digit does not matter"
        )]
        let (sum, count) = (block.sum as f32, block.count.max(1) as f32);
        sum * self.scale / count.sqrt() + self.bias
    }

    fn weight(&self, value: u64) -> i32 {
        let place = usize::try_from(value.wrapping_mul(MULTIPLIER) >> self.shift).unwrap_or_default();
        self.weights.get(place).copied().map_or(0, i32::from)
    }
}

fn join(a: Block, b: Block) -> Block {
    Block { sum: a.sum.saturating_add(b.sum), count: a.count.saturating_add(b.count), from: a.from }
}

/// The sentences of a record: they end at line breaks, quotes, tags and bars, and after a full stop before white space.
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
            return Some(sentence);
        }
        None
    })
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

/// Lower case, digits to `0`, white space to one kind.
const fn squeezed(byte: u8) -> u8 {
    match byte {
        b'A'..=b'Z' => byte + 32,
        b'1'..=b'9' => b'0',
        b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => b' ',
        byte => byte,
    }
}

struct Reader<'m> {
    model: &'m Linear,
    blocks: Vec<Block>,
    /// Bytes to a block; all is one block if there is none.
    block: Option<usize>,
    /// Bytes read, after squeezing.
    length: usize,
    /// The last eight of them, the oldest lowest.
    last: u64,
    /// The hash of the word being read; zero between words.
    word: u32,
    /// The two words before.
    before: [Option<u32>; 2],
}

impl<'m> Reader<'m> {
    fn new(model: &'m Linear, block: Option<usize>) -> Self {
        Self { model, blocks: Vec::new(), block, length: 0, last: 0, word: 0, before: [None, None] }
    }

    fn read(&mut self, text: &[u8], from: usize, first: u8) {
        self.byte(first, from);
        for (place, byte) in text.iter().enumerate() {
            self.byte(squeezed(*byte), from + place);
        }
        self.byte(b' ', from + text.len());
        self.end_word();
    }

    fn byte(&mut self, byte: u8, place: usize) {
        if byte == b' ' && self.length > 0 && matches!(self.last.to_le_bytes()[7], b' ' | START) {
            return;
        }
        let letter = matches!(byte, b'a'..=b'z' | b'0' | b'\'' | 0x80..);
        if !letter {
            self.end_word();
        }
        self.last = (self.last >> 8) | (u64::from(byte) << 56);
        self.length += 1;
        let block = self.number();
        if block == self.blocks.len() {
            self.blocks.push(Block { from: place, ..Block::default() });
        }
        if letter {
            let hash = if self.word == 0 { 0x811C_9DC5 } else { self.word };
            self.word = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
        let (mut sum, mut count) = (0, 0);
        if self.length >= 4 {
            sum += self.model.weight((self.last >> 32) | (4 << 56));
            count += 1;
        }
        if self.length >= 6 {
            sum += self.model.weight((self.last >> 16) | (6 << 56));
            count += 1;
        }
        self.add(block, sum, count);
    }

    /// The number of the block that the last byte lies in.
    fn number(&self) -> usize {
        self.block.map_or(0, |block| (self.length - 1) / block)
    }

    fn add(&mut self, block: usize, sum: i32, count: u32) {
        if let Some(block) = self.blocks.get_mut(block) {
            block.sum = block.sum.saturating_add(sum);
            block.count = block.count.saturating_add(count);
        }
    }

    fn end_word(&mut self) {
        if self.word == 0 {
            return;
        }
        const LOW: u64 = (1 << 56) - 1;
        let word = self.word;
        let pair = |first: u32| (u64::from(first).wrapping_mul(0x85EB_CA6B) ^ u64::from(word)) & LOW;
        let mut sum = self.model.weight(u64::from(word) | (1 << 56));
        let mut count = 1;
        for (before, tag) in self.before.iter().zip([2_u64, 3]) {
            if let Some(before) = before {
                sum += self.model.weight(pair(*before) | (tag << 56));
                count += 1;
            }
        }
        self.add(self.number(), sum, count);
        self.before = [Some(word), self.before[0]];
        self.word = 0;
    }
}

/// The check sum of zip files, over the weights.
fn crc32(bytes: &[u8]) -> u32 {
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
