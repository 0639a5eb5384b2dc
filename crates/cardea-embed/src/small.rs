//! A model of one layer and random numbers, made here: for tests that interpret every step or damage the file.

use std::fmt::Write as _;

use proptest::prelude::{ProptestConfig, prop_assert, proptest};

use crate::{
    cpu::Cpu,
    encoder::Encoder,
    weights::{BadWeights, Data, HIDDEN, INNER},
};

/// Looks random and is the same in every run.
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

fn model() -> Vec<u8> {
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

/// Opens the file at an address that is `shift` bytes past wherever the allocator put it.
fn open(file: &[u8], shift: usize) -> Result<Encoder, BadWeights> {
    let mut bytes = vec![0; shift];
    bytes.extend_from_slice(file);
    Encoder::open(Data::Heap(bytes, shift))
}

#[test]
fn a_small_model_gives_the_same_vector_at_every_level_and_every_address() {
    let file = model();
    let encoder = open(&file, 0).unwrap();
    assert_eq!(encoder.tokens("paying pay!"), [101, 103, 104, 103, 100, 102]);
    let expected = encoder.encode("paying pay!");
    let length: f32 = encoder.encode_floats("pay").iter().map(|value| value * value).sum();
    assert!((length - 1.0).abs() < 1e-3 && !expected.truncated);
    assert!(expected.vector.cosine(&encoder.encode("w7").vector) < 0.999, "texts are told apart");
    for cpu in Cpu::here() {
        for shift in if cfg!(miri) { [1, 1] } else { [1, 35] } {
            let there = open(&file, shift).unwrap().on(cpu);
            assert_eq!(there.encode("paying pay!"), expected, "{cpu:?}, {shift}");
        }
    }
    assert!(encoder.encode("pay pay pay pay pay pay pay").truncated);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 256 }))]
    #[test]
    fn a_damaged_file_is_refused_or_read_within_its_bounds(
        at in proptest::collection::vec((0_usize..2_000_000, proptest::num::u8::ANY), 0..6),
        head in proptest::collection::vec((0_usize..128, proptest::num::u8::ANY), 0..3),
        cut in proptest::option::of(0_usize..2_200_000),
        text in "\\PC{0,12}",
    ) {
        let mut file = model();
        for (at, byte) in at.into_iter().chain(head) {
            if let Some(place) = file.get_mut(at) {
                *place = byte;
            }
        }
        file.truncate(cut.unwrap_or(usize::MAX));
        if let Ok(encoder) = open(&file, 0) {
            let tokens = encoder.tokens(&text);
            prop_assert!((2..=8).contains(&tokens.len()));
            let _ = encoder.with_limit(4).encode(&text);
        }
    }
}
