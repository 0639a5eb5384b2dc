//! Prices of model calls, read from a file.

use serde::Deserialize;

use crate::message::Usage;

/// One row of `prices.toml`, in US dollars per million tokens.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    /// Name of the model; a `*` at the end matches any ending.
    model: String,
    input: f64,
    /// Price of input that the provider had cached; if absent, that of `input`.
    cached_input: Option<f64>,
    output: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    price: Vec<Row>,
}

/// Prices of one model, in millionths of a US dollar per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price {
    input: u64,
    cached_input: u64,
    output: u64,
}

/// Prices of models. Empty by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prices(Vec<(String, Price)>);

/// Error for a price file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPrices {
    /// The file is not TOML, or has an unknown key.
    #[error("{0}")]
    Form(String),
    /// A price is negative, not a number, or implausibly high.
    #[error("the price `{key}` of `{model}` is not between 0 and 100000")]
    Price {
        /// The model.
        model: String,
        /// Name of the price.
        key: &'static str,
    },
    /// Two rows are for the same model.
    #[error("`{0}` has two prices")]
    Twice(String),
}

impl Prices {
    /// Reads a price file.
    ///
    /// # Errors
    /// [`BadPrices`] names the row.
    pub fn parse(text: &str) -> Result<Self, BadPrices> {
        let file: File = toml::from_str(text).map_err(|error| BadPrices::Form(error.to_string()))?;
        let mut prices: Vec<(String, Price)> = Vec::with_capacity(file.price.len());
        for row in file.price {
            let micros =
                |key, amount: f64| micros(amount).ok_or(BadPrices::Price { model: row.model.clone(), key });
            let input = micros("input", row.input)?;
            let price = Price {
                input,
                cached_input: row.cached_input.map_or(Ok(input), |amount| micros("cached_input", amount))?,
                output: micros("output", row.output)?,
            };
            if prices.iter().any(|(model, _)| *model == row.model) {
                return Err(BadPrices::Twice(row.model));
            }
            prices.push((row.model, price));
        }
        Ok(Self(prices))
    }

    /// Returns the price of a model: its own row, else the row with the longest prefix before a `*`.
    #[must_use]
    pub fn of(&self, model: &str) -> Option<Price> {
        if let Some((_, price)) = self.0.iter().find(|(name, _)| name == model) {
            return Some(*price);
        }
        let fits = |(name, price): &(String, Price)| {
            let start = name.strip_suffix('*')?;
            model.starts_with(start).then_some((start.len(), *price))
        };
        self.0.iter().filter_map(fits).max_by_key(|(length, _)| *length).map(|(_, price)| price)
    }
}

impl Price {
    /// Returns the cost of this usage in millionths of a US dollar, rounded up, so that a sum of parts is never too
    /// small.
    #[must_use]
    pub fn cost(self, usage: Usage) -> u64 {
        let fresh = usage.input.saturating_sub(usage.cached_input);
        let part = |tokens: u64, price: u64| u128::from(tokens) * u128::from(price);
        let sum = part(fresh, self.input)
            + part(usage.cached_input.min(usage.input), self.cached_input)
            + part(usage.output, self.output);
        u64::try_from(sum.div_ceil(1_000_000)).unwrap_or(u64::MAX)
    }
}

impl Price {
    /// Returns how many tokens can be written for so many millionths after `reads` tokens; zero if not even those can
    /// be paid.
    #[must_use]
    pub fn room(self, reads: u64, micros: u64) -> Option<u64> {
        let left = u128::from(micros) * 1_000_000;
        let left = left.checked_sub(u128::from(reads) * u128::from(self.input))?;
        let room = left.checked_div(u128::from(self.output)); // `None` if writing is free
        Some(room.and_then(|room| u64::try_from(room).ok()).unwrap_or(u64::MAX))
    }
}

fn micros(amount: f64) -> Option<u64> {
    (0.0..=100_000.0).contains(&amount).then(|| millionths(amount))
}

/// Converts an amount of money to millionths, rounded; zero for a negative amount.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast keeps to what a number can hold"
)]
pub fn millionths(amount: f64) -> u64 {
    (amount * 1e6).round() as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILE: &str = r#"
        [[price]]
        model = "small*"
        input = 0.15
        cached_input = 0.075
        output = 0.60
        [[price]]
        model = "small-new*"
        input = 1
        output = 2
        [[price]]
        model = "small-new-1"
        input = 0
        output = 0
    "#;

    fn cost(model: &str, input: u64, cached_input: u64, output: u64) -> Option<u64> {
        let prices = Prices::parse(FILE).unwrap();
        prices.of(model).map(|price| price.cost(Usage { input, cached_input, output }))
    }

    #[test]
    fn the_nearest_row_gives_the_price() {
        assert_eq!(cost("small-2024", 1_000_000, 0, 0), Some(150_000));
        assert_eq!(cost("small-2024", 1_000_000, 1_000_000, 1_000_000), Some(75_000 + 600_000));
        assert_eq!(cost("small-new-2", 1_000_000, 500_000, 0), Some(1_000_000), "cached input costs as much");
        assert_eq!(cost("small-new-1", 1_000_000, 0, 1_000_000), Some(0));
        assert_eq!(cost("large", 1, 0, 0), None);
        assert_eq!(cost("small", 1, 0, 0), Some(1), "rounded up");
    }

    #[test]
    fn a_bad_file_names_its_row() {
        let bad = |text: &str| Prices::parse(text).unwrap_err().to_string();
        assert!(bad("[[price]]\nmodel='m'\ninput=-1\noutput=1").contains("`input` of `m`"));
        assert!(bad("[[price]]\nmodel='m'\ninput=nan\noutput=1").contains("`input` of `m`"));
        assert!(
            bad("[[price]]\nmodel='m'\ninput=1\noutput=1\n[[price]]\nmodel='m'\ninput=1\noutput=1")
                .contains("two prices")
        );
        assert!(bad("[[price]]\nmodel='m'\ninput=1\noutput=1\nper=5").contains("per"));
    }

    #[test]
    fn the_file_in_the_project_can_be_read() {
        let prices = Prices::parse(include_str!("../../../prices.toml")).unwrap();
        assert_eq!(prices.of("rehearsal").unwrap().cost(Usage { input: 9, cached_input: 0, output: 9 }), 0);
    }

    proptest! {
        #[test]
        fn parts_never_cost_less_than_the_whole(a in 0..1_u64 << 40, b in 0..1_u64 << 40, out in 0..1_u64 << 40) {
            let (one, two) = (cost("small", a, 0, out).unwrap(), cost("small", b, 0, 0).unwrap());
            prop_assert!(one + two >= cost("small", a + b, 0, out).unwrap());
        }
    }

    #[test]
    fn what_there_is_room_for_can_be_paid_and_no_token_more() {
        let price = Price { input: 3_000_000, cached_input: 0, output: 15_000_000 };
        assert_eq!(price.room(1_000, 18_000), Some(1_000));
        assert_eq!(price.room(1_000, 3_000), Some(0));
        assert_eq!(price.room(1_000, 2_999), None);
        assert_eq!(Price { output: 0, ..price }.room(1_000, 3_000), Some(u64::MAX));
        for micros in 3_000..3_100 {
            let output = price.room(1_000, micros).unwrap();
            let cost = |output| price.cost(Usage { input: 1_000, cached_input: 0, output });
            assert!(cost(output) <= micros && cost(output + 1) > micros, "{micros}");
        }
    }
}
