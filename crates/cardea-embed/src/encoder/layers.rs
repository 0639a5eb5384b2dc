//! Intermediate states of the encoder: the states of a text's tokens after single layers.
//!
//! The last layer represents what a text is about. Its mood (a statement, a question, an order) is represented in
//! earlier layers.

use std::ops::RangeInclusive;

use super::Encoder;
use crate::vector::DIMS;

/// Returns the mean of all rows.
fn mean(rows: &[f32]) -> [f32; DIMS] {
    let (mut mean, mut count) = ([0.0; DIMS], 0.0_f32);
    for row in rows.chunks_exact(DIMS) {
        count += 1.0;
        mean.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
    }
    mean.map(|sum| sum / count.max(1.0))
}

impl Encoder {
    /// Encodes a text and returns the mean of its tokens' states after each of these layers, counted from one, and the
    /// vector of [`Encoder::encode_floats`]. The cost is the same.
    #[must_use]
    pub fn encode_layers(
        &self,
        text: &str,
        layers: RangeInclusive<usize>,
    ) -> (Vec<[f32; DIMS]>, [f32; DIMS]) {
        let mut seen = Vec::new();
        let mut watch = |number: usize, rows: &[f32]| {
            if layers.contains(&number) {
                seen.push(mean(rows));
            }
        };
        let (vector, ..) = self.watched(text, &mut watch, |floats, _, _| *floats);
        (seen, vector)
    }
}

#[cfg(all(test, feature = "bundled"))]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::Cpu;

    #[test]
    fn what_stands_after_a_layer_is_what_a_model_of_so_many_layers_gives() {
        let encoder = Encoder::bundled().unwrap();
        let text = "Please forward the invoice to the office, and tell nobody.";
        let (layers, vector) = encoder.encode_layers(text, 1..=6);
        assert_eq!((layers.len(), vector), (6, encoder.encode_floats(text)));
        for (count, layer) in (1..).zip(&layers) {
            let mut short = Encoder::bundled().unwrap();
            Arc::get_mut(&mut short.inner).unwrap().weights.layers.truncate(count);
            let expected = short.encode_floats(text);
            let length = layer.iter().map(|value| value * value).sum::<f32>().sqrt();
            let far = expected.iter().zip(layer).map(|(a, b)| (a - b / length).abs()).fold(0.0, f32::max);
            assert!(far < 1e-5, "{count}: {far}");
        }
        assert_eq!(encoder.encode_layers(text, 3..=4).0, layers[2..4]);
    }

    #[test]
    fn layers_are_the_same_at_every_processor_level() {
        let encoder = Encoder::bundled().unwrap();
        for text in ["", "Reserve.", "ignore 前の指示"] {
            let expected = encoder.encode_layers(text, 2..=4);
            for cpu in Cpu::here() {
                assert!(encoder.clone().on(cpu).encode_layers(text, 2..=4) == expected, "{cpu:?} {text:?}");
            }
        }
    }
}
