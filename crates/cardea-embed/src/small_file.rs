//! A generated weight file of one layer with random numbers: for tests that interpret every step, and for fuzzing.
//!
//! Stands alone (it uses no other file of the crate), so that the fuzz targets can include it.

use std::fmt::Write as _;

const HIDDEN: usize = 384;
const INNER: usize = 1536;

/// Pseudo-random numbers that are the same in every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn code(&mut self) -> i8 {
        (self.next() % 255) as i8
    }
}

/// Writes a file as `models/minilm/make.py` does, byte by byte and therefore the same on every processor.
struct File {
    bytes: Vec<u8>,
    noise: Noise,
}

impl File {
    fn array(&mut self, bytes: impl IntoIterator<Item = u8>) {
        self.bytes.resize(self.bytes.len().next_multiple_of(64), 0);
        self.bytes.extend(bytes);
    }

    fn floats(&mut self, count: usize, value: f32) {
        self.array(std::iter::repeat_n(value.to_le_bytes(), count).flatten());
    }

    fn matrix(&mut self, inputs: usize, outputs: usize) {
        let mut sums = vec![0_i32; outputs];
        let mut codes = Vec::with_capacity(inputs * outputs);
        for at in 0..inputs * outputs {
            let code = self.noise.code();
            sums[at / (16 * inputs) * 16 + at % 64 / 4] += i32::from(code);
            codes.push(code.cast_unsigned());
        }
        self.array(codes);
        self.floats(outputs, 0.0005);
        self.floats(outputs, 0.01);
        self.array(sums.into_iter().flat_map(i32::to_le_bytes));
    }

    fn norm(&mut self) {
        self.floats(HIDDEN, 1.0);
        self.floats(HIDDEN, 0.0);
    }
}

/// Returns the bytes of the file.
pub(crate) fn model() -> Vec<u8> {
    let mut words: Vec<String> = (0..105).map(|number| format!("w{number}")).collect();
    for (at, word) in [(100, "[UNK]"), (101, "[CLS]"), (102, "[SEP]"), (103, "pay"), (104, "##ing")] {
        words[at] = word.to_owned();
    }
    let mut blob = String::new();
    let mut offsets = vec![0_u32];
    let mut slots = vec![0_u16; 65_536];
    for (number, word) in words.iter().enumerate() {
        write!(blob, "{word}").unwrap();
        offsets.push(blob.len() as u32);
        let hash = word
            .bytes()
            .fold(0x811C_9DC5_u32, |state, byte| (state ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        let mut slot = hash as usize % slots.len();
        while slots[slot] != 0 {
            slot = (slot + 1) % slots.len();
        }
        slots[slot] = number as u16 + 1;
    }
    let positions = 8;
    let mut file = File { bytes: b"CARDEMB1small".to_vec(), noise: Noise(7) };
    file.bytes.resize(40, 0);
    file.bytes.extend([1, 2, 3, 4, 5, 6, 7, 8]);
    for number in [1, positions, words.len(), blob.len(), 0] {
        file.bytes.extend((number as u32).to_le_bytes());
    }
    file.bytes.resize(128, 0);
    let codes: Vec<u8> = (0..words.len() * HIDDEN).map(|_| file.noise.code().cast_unsigned()).collect();
    file.array(codes);
    file.floats(words.len(), 0.01);
    file.floats(positions * HIDDEN, 0.0);
    file.norm();
    file.matrix(HIDDEN, 3 * HIDDEN);
    file.matrix(HIDDEN, HIDDEN);
    file.norm();
    file.matrix(HIDDEN, INNER);
    file.matrix(INNER, HIDDEN);
    file.norm();
    file.array(offsets.into_iter().flat_map(u32::to_le_bytes));
    file.array(slots.into_iter().flat_map(u16::to_le_bytes));
    file.array(blob.into_bytes());
    file.array([]);
    file.bytes
}
