//! Months in which budgets count. `control::budget` counts reservations and usage, in the database.

use crate::time::{Millis, Timestamp};

/// Returns the calendar month of a point in time, in UTC: `2026-11`.
#[must_use]
pub fn month(at: Timestamp) -> String {
    let mut text = at.to_string();
    text.truncate(7);
    text
}

/// Returns the time until the next calendar month begins.
#[must_use]
pub fn until_next_month(at: Timestamp) -> Millis {
    const DAY: i64 = 86_400_000;
    let this = month(at);
    let midnight = at.0.div_euclid(DAY) * DAY;
    let next = (1..=31).map(|days| Timestamp(midnight + days * DAY)).find(|day| month(*day) != this);
    next.map_or(Millis::from_secs(86_400), |day| day.since(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_month_begins_at_its_first_midnight() {
        let at = |text: &str| -> Timestamp {
            let days: i64 = text.parse().unwrap();
            Timestamp(days * 86_400_000 + 1)
        };
        // 20 772 days after 1970 is 2026-11-15.
        let middle = at("20772");
        assert_eq!(month(middle), "2026-11");
        assert_eq!(until_next_month(middle), Millis(16 * 86_400_000 - 1));
        // 2024-02-29 is a valid date.
        assert_eq!(
            (month(at("19782")), until_next_month(at("19782"))),
            ("2024-02".to_owned(), Millis(86_399_999))
        );
    }
}
