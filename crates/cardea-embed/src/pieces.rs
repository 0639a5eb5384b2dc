//! A text as token vectors, each in the context of the whole text.
//!
//! A single vector represents a text as a whole, and in a long request the important part is lost in it. Here every
//! token of one text is matched with its nearest in the other, so that a short text is found inside a long one. It
//! costs a product for each pair of tokens, so it is for a few dozen texts that were preselected.

use crate::vector::{DIMS, Query, Shifted, Vector, shifted};

/// Limit of tokens kept of a text: 392 bytes each.
const MOST: usize = 64;

/// The tokens of a text, without marks. Only those of the same encoder may be compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Pieces {
    cpu: crate::cpu::Cpu,
    numbers: Vec<u16>,
    rows: Vec<Shifted>,
    scales: Vec<f32>,
}

impl Pieces {
    /// Builds from the numbers of a text's tokens and the encoder's states, marks included.
    pub(crate) fn new(cpu: crate::cpu::Cpu, numbers: &[u16], states: &[f32]) -> Self {
        let inner = 1..numbers.len().saturating_sub(1).clamp(1, MOST + 1);
        let numbers = numbers.get(inner.clone()).unwrap_or_default().to_vec();
        let states = states.as_chunks::<DIMS>().0.get(inner).unwrap_or_default();
        let vectors: Vec<Vector> = states.iter().map(Vector::from_floats).collect();
        let rows = vectors.iter().map(shifted).collect();
        Self { cpu, numbers, rows, scales: vectors.iter().map(|vector| vector.scale).collect() }
    }

    /// Returns the number of tokens.
    #[must_use]
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Returns whether the text has no tokens.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// Returns, for each of the other texts, how well this one covers its tokens, with rare ones weighing more, and
    /// how well it covers the tokens of this one. Both are means of best cosines; −1 if there is nothing to compare.
    #[must_use]
    pub fn fits<'a>(&self, others: impl Iterator<Item = &'a Self>, rarity: &Rarity) -> Vec<[f32; 2]> {
        let unshifted = |row: &Shifted| Vector::from_bytes(&row.map(|code| code ^ 0x80));
        let vectors: Vec<Vector> = self.rows.iter().filter_map(unshifted).collect();
        let queries: Vec<Query<'_>> = vectors.iter().map(|vector| Query::new(self.cpu, vector)).collect();
        let mut dots = Vec::new();
        let fit = |other: &Self| {
            if queries.is_empty() || other.is_empty() {
                return [-1.0; 2];
            }
            let mut best = vec![-1.0_f32; other.len()];
            let mut mine = 0.0;
            for (query, scale) in queries.iter().zip(&self.scales) {
                dots.clear();
                query.dots(&other.rows, &mut dots);
                let mut top = -1.0_f32;
                for ((dot, with), best) in dots.iter().zip(&other.scales).zip(&mut best) {
                    let cosine = *dot as f32 * scale * with;
                    top = top.max(cosine);
                    *best = best.max(cosine);
                }
                mine += top;
            }
            let weights = other.numbers.iter().map(|number| rarity.of(*number));
            let (sum, all) = best
                .iter()
                .zip(weights)
                .fold((0.0, 0.0), |(sum, all), (best, weight)| (sum + best * weight, all + weight));
            [if all > 0.0 { sum / all } else { -1.0 }, mine / queries.len() as f32]
        };
        others.map(fit).collect()
    }
}

/// Rarity of each token among some texts.
#[derive(Debug, Clone)]
pub struct Rarity {
    holders: Vec<u32>,
    texts: f32,
}

impl Rarity {
    /// Counts in how many of the texts each token occurs.
    #[must_use]
    pub fn among<'a>(texts: impl Iterator<Item = &'a Pieces>) -> Self {
        let (mut holders, mut last) = (Vec::<u32>::new(), Vec::<usize>::new());
        let mut count = 0;
        for text in texts {
            count += 1;
            for number in text.numbers.iter().map(|number| usize::from(*number)) {
                if number >= holders.len() {
                    holders.resize(number + 1, 0);
                    last.resize(number + 1, 0);
                }
                if let (Some(holders), Some(last)) = (holders.get_mut(number), last.get_mut(number))
                    && *last != count
                {
                    (*last, *holders) = (count, *holders + 1);
                }
            }
        }
        Self { holders, texts: count as f32 }
    }

    /// Returns the weight of a token: high if few texts have it, above zero for all.
    fn of(&self, number: u16) -> f32 {
        let held = self.holders.get(usize::from(number)).copied().unwrap_or_default() as f32;
        ((self.texts - held + 0.5) / (held + 0.5)).ln_1p()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Cpu;

    /// Builds tokens whose states point along one axis each.
    fn text(cpu: Cpu, tokens: &[u16]) -> Pieces {
        let numbers: Vec<u16> = [101].iter().chain(tokens).chain(&[102]).copied().collect();
        let mut states = vec![0.0; numbers.len() * DIMS];
        for (at, number) in numbers.iter().enumerate() {
            states[at * DIMS + usize::from(*number)] = 2.0;
        }
        Pieces::new(cpu, &numbers, &states)
    }

    #[test]
    fn a_short_text_is_found_inside_a_long_one() {
        for cpu in Cpu::here() {
            let wish = text(cpu, &[1, 2, 3, 4, 5, 6, 7, 8]);
            let tools = [text(cpu, &[3, 4]), text(cpu, &[3, 9]), text(cpu, &[]), text(cpu, &[10, 11])];
            let rarity = Rarity::among(tools.iter());
            let fits = wish.fits(tools.iter(), &rarity);
            assert!((fits[0][0] - 1.0).abs() < 1e-5 && (fits[0][1] - 0.25).abs() < 1e-5, "{fits:?}");
            assert!(fits[1][0] < 0.5, "the common token counts less than the rare one: {fits:?}");
            assert_eq!((fits[2], fits[3]), ([-1.0; 2], [0.0; 2]));
            assert_eq!(text(cpu, &[]).fits(tools.iter(), &rarity), [[-1.0; 2]; 4]);
        }
    }

    #[test]
    fn a_long_text_keeps_its_beginning() {
        let numbers: Vec<u16> = (1..=200).collect();
        let long = text(Cpu::best(), &numbers);
        assert_eq!((long.len(), long.numbers.last()), (MOST, Some(&64)));
        assert!(!long.is_empty() && text(Cpu::best(), &[]).is_empty());
    }
}
