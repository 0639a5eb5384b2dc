//! The encoder against the published tokenizer and float model.
#![cfg(all(test, feature = "bundled"))]

use std::{io::Write, sync::Arc};

use cardea_embed::{BadWeights, Cpu, DIMS, Encoder};

const WEIGHTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/minilm/minilm-l6-v2.int8");

use tests::reference;

#[cfg(test)]
mod tests {
    use cardea_embed::Vector;

    /// Texts with the tokens and the vector of the float model, written by `models/minilm/check.py`.
    pub(super) fn reference() -> Vec<(String, Vec<u16>, Vector)> {
        let rows = include_str!("reference.jsonl").lines().map(|line| {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            let ids = row["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u16).collect();
            let codes = row["vector"].as_array().unwrap().iter();
            let bytes: Vec<u8> = codes.map(|code| (code.as_i64().unwrap() as i8).cast_unsigned()).collect();
            (row["text"].as_str().unwrap().to_owned(), ids, Vector::from_bytes(&bytes).unwrap())
        });
        rows.collect()
    }
}

#[test]
fn texts_in_many_scripts_are_cut_and_placed_as_by_the_published_model() {
    let encoder = Encoder::bundled().unwrap();
    let rows = reference();
    assert!(rows.len() > 40);
    let mut total = 0.0;
    for (text, ids, vector) in &rows {
        assert_eq!(&encoder.tokens(text), ids, "{text:?}");
        let near = encoder.encode(text).vector.cosine(vector);
        assert!(near > 0.97, "{text:?} is {near} from the float model");
        total += near / rows.len() as f32;
    }
    assert!(total > 0.995, "the mean cosine to the float model is {total}");
}

#[test]
fn every_processor_level_gives_the_same_vector_bit_for_bit() {
    let encoder = Encoder::bundled().unwrap();
    let long = "The parcel for order 7 has not come yet. ".repeat(12);
    for text in ["", "Hi", "Where is my parcel?", &long] {
        let expected = encoder.encode_floats(text).map(f32::to_bits);
        for cpu in Cpu::here() {
            assert!(
                encoder.clone().on(cpu).encode_floats(text).map(f32::to_bits) == expected,
                "{cpu:?} {text:?}"
            );
        }
    }
}

#[test]
fn a_long_text_is_cut_and_the_result_says_so() {
    let encoder = Encoder::bundled().unwrap();
    let fits = encoder.encode(&"word ".repeat(254));
    let long = encoder.encode(&"word ".repeat(255));
    assert_eq!((fits.tokens, fits.truncated), (256, false));
    assert_eq!((long.tokens, long.truncated), (256, true));
    assert_eq!(fits.vector, long.vector, "what follows the cut has no say");
    let short = encoder.clone().with_limit(8).encode("one two three four five six seven");
    assert_eq!((short.tokens, short.truncated), (8, true));
    assert!(!encoder.with_limit(8).encode("one two three four five six   ").truncated);
}

#[test]
fn marks_in_a_users_text_are_plain_text() {
    let encoder = Encoder::bundled().unwrap();
    let tokens = encoder.tokens("a [SEP] b");
    assert_eq!(tokens.iter().filter(|token| **token == 102).count(), 1, "only the end mark: {tokens:?}");
}

#[test]
fn a_weight_file_is_the_same_encoder_and_a_damaged_one_is_refused() {
    let bundled = Encoder::bundled().unwrap();
    let other = Encoder::from_file(WEIGHTS).unwrap();
    assert_eq!(other.id(), bundled.id());
    assert_eq!(other.encode("same"), bundled.encode("same"));
    let bytes = std::fs::read(WEIGHTS).unwrap();
    let refused = |bytes: &[u8]| {
        let path = std::env::temp_dir().join(format!("cardea-weights-{}", std::process::id()));
        std::fs::File::create(&path).unwrap().write_all(bytes).unwrap();
        let opened = Encoder::from_file(&path);
        std::fs::remove_file(&path).unwrap();
        opened.map(|_| ()).unwrap_err()
    };
    assert!(matches!(refused(b"nothing"), BadWeights::Foreign | BadWeights::Misshapen));
    assert!(matches!(refused(&bytes[..bytes.len() - 1]), BadWeights::Misshapen));
    let mut shape = bytes.clone();
    shape[48] = 7; // one layer more than there is
    assert!(matches!(refused(&shape), BadWeights::Misshapen));
    let mut words = bytes;
    let end = words.len();
    words[end - 400_000..].fill(0);
    assert!(matches!(refused(&words), BadWeights::Vocabulary | BadWeights::Misshapen));
}

#[test]
fn threads_share_one_encoder() {
    let encoder = Arc::new(Encoder::bundled().unwrap());
    let expected = encoder.encode("Where is my parcel?");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..5).for_each(|_| assert_eq!(encoder.encode("Where is my parcel?"), expected)));
        }
    });
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn any_text_gives_a_vector_of_length_one(text in "\\PC{0,80}") {
        let encoder = Encoder::bundled().unwrap();
        let floats = encoder.encode_floats(&text);
        let length: f32 = floats.iter().map(|value| value * value).sum();
        proptest::prop_assert!((length - 1.0).abs() < 1e-3, "length {}", length);
        proptest::prop_assert_eq!(floats.len(), DIMS);
        let tokens = encoder.tokens(&text);
        proptest::prop_assert!(tokens.len() <= 256 && tokens.first() == Some(&101) && tokens.last() == Some(&102));
    }
}
