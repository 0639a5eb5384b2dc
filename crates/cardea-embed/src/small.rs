//! Tests with a model of one layer: every processor level, every alignment, every damage.

use proptest::prelude::{ProptestConfig, prop_assert, proptest};

use crate::{
    cpu::Cpu,
    encoder::Encoder,
    small_file::model,
    weights::{BadWeights, Data},
};

/// Opens the file at an address `shift` bytes past its allocation.
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

/// The bytes are fixed: other kinds of processors must give them too (`scripts/foreign-embed.sh`).
#[test]
fn a_small_model_gives_these_very_bytes_on_every_machine() {
    let encoder = open(&model(), 1).unwrap();
    let (encoding, pieces) = encoder.read("pay");
    assert_eq!((encoding.tokens, pieces.len()), (3, 1));
    let print = encoding.vector.to_bytes().iter().fold(0xcbf2_9ce4_8422_2325_u64, |print, byte| {
        (print ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    assert_eq!(format!("{print:016x}"), "3de18319bbef00ef");
}

#[test]
fn sums_that_no_codes_can_make_are_refused() {
    let mut file = model();
    // The sums of the first matrix begin here. Found by a fuzzer, whose build stops at an overflow.
    file[507_840..507_844].copy_from_slice(&i32::MAX.to_le_bytes());
    assert!(matches!(open(&file, 0), Err(BadWeights::Misshapen)));
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
