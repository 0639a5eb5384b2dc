//! Budgets: the arithmetic of reserving before a call and settling after it.
//!
//! A reservation is what a call may cost at most, as far as anybody can say before; the settlement is what it did
//! cost. What is reserved counts as used, so that calls at the same time cannot together spend what only one may.

use crate::time::{Millis, Timestamp};

/// One budget in one period, in tokens or in millionths of money.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Account {
    /// What calls in work may still use up.
    pub reserved: u64,
    /// What is used up.
    pub spent: u64,
}

impl Account {
    /// The account with a further reservation, or `None` if it does not fit under the limit.
    ///
    /// A reservation of nothing fits as long as anything is left.
    #[must_use]
    pub fn reserve(self, amount: u64, limit: u64) -> Option<Self> {
        let used = self.spent.saturating_add(self.reserved);
        let fits = used < limit && used.checked_add(amount)? <= limit;
        fits.then(|| Self { reserved: self.reserved.saturating_add(amount), ..self })
    }

    /// The account once a call that had `reserved` has used `used`. It may be more than was reserved: then it is owed.
    #[must_use]
    pub fn settle(self, reserved: u64, used: u64) -> Self {
        Self { reserved: self.reserved.saturating_sub(reserved), spent: self.spent.saturating_add(used) }
    }
}

/// The calendar month of a point in time, in UTC: `2026-11`.
#[must_use]
pub fn month(at: Timestamp) -> String {
    let mut text = at.to_string();
    text.truncate(7);
    text
}

/// How long it is until the next calendar month begins.
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
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn two_calls_at_once_cannot_spend_what_one_may() {
        let account = Account { reserved: 0, spent: 60 };
        let one = account.reserve(40, 100).unwrap();
        assert_eq!(one.reserve(1, 100), None);
        assert_eq!(
            one.reserve(0, 100),
            None,
            "nothing is left, not even for a call that costs nothing known"
        );
        assert_eq!(one.settle(40, 10), Account { reserved: 0, spent: 70 });
        assert_eq!(Account::default().reserve(u64::MAX, 100), None);
    }

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
        // 2024-02-29 is a day.
        assert_eq!(
            (month(at("19782")), until_next_month(at("19782"))),
            ("2024-02".to_owned(), Millis(86_399_999))
        );
    }

    proptest! {
        #[test]
        fn never_more_is_reserved_and_spent_than_the_limit(amounts in prop::collection::vec((0_u64..50, any::<bool>()), 0..40)) {
            let mut account = Account::default();
            let mut open = Vec::new();
            for (amount, settle) in amounts {
                if let Some(next) = account.reserve(amount, 100) {
                    account = next;
                    open.push(amount);
                }
                if settle && let Some(amount) = open.pop() {
                    account = account.settle(amount, amount / 2);
                }
                prop_assert!(account.reserved + account.spent <= 100);
                prop_assert_eq!(account.reserved, open.iter().sum::<u64>());
            }
        }
    }
}
