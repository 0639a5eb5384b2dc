//! The till: what requests reserve and pay at the same time is one commit.
//!
//! While one commit is on its way to the disk, whatever comes meanwhile waits for it, and goes with the next one, added
//! up: a budget that a hundred requests draw on is changed once for all of them. A request alone does not wait. If
//! the sum does not fit into a budget, payments are made first and reservations are tried one by one, so that nobody is
//! refused for the wishes of others.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use cardea_core::time::Timestamp;
use cardea_store::{Commit, CommitError, Stage, args};
use tokio::sync::oneshot;

use crate::control::Control;

/// The most that stands in a column: two of them and one more amount still fit into 64 bits.
const MOST: u64 = 1 << 61;

/// Orders that one commit takes at most.
const AT_ONCE: usize = 256;

/// A row of budgets: tenant, account (a user's key, or empty for the tenant), period and unit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub(super) tenant: String,
    pub(super) account: String,
    pub(super) period: String,
    pub(super) unit: &'static str,
}

/// What is to be done with one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Hold this much, if it fits.
    Reserve {
        /// How much.
        amount: u64,
        /// The most that may be spent and held.
        limit: Option<u64>,
    },
    /// Give back what was held, and note what was used.
    Pay {
        /// How much was held.
        held: u64,
        /// How much was used.
        used: u64,
    },
}

/// What one request wants, all or nothing.
#[derive(Debug)]
struct Order {
    changes: Vec<(Place, Change)>,
    done: oneshot::Sender<Result<(), CommitError>>,
}

impl Order {
    fn pays(&self) -> bool {
        self.changes.iter().all(|(_, change)| matches!(change, Change::Pay { .. }))
    }

    fn end(self, result: Result<(), CommitError>) {
        // Whoever waited may be gone; what it has reserved shows as lost and is given back.
        drop(self.done.send(result));
    }
}

#[derive(Debug, Default)]
struct Waiting {
    orders: Vec<Order>,
    /// Somebody makes commits, and goes on until nothing waits.
    busy: bool,
}

/// What waits for its commit.
#[derive(Debug, Default)]
pub(in crate::control) struct Till(Mutex<Waiting>);

impl Till {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an order. True if nobody makes commits yet: then the caller must see to it.
    fn add(&self, order: Order) -> bool {
        let mut waiting = self.waiting();
        waiting.orders.push(order);
        !std::mem::replace(&mut waiting.busy, true)
    }

    /// The next orders; none ends the work.
    fn next(&self) -> Vec<Order> {
        let mut waiting = self.waiting();
        let count = waiting.orders.len().min(AT_ONCE);
        waiting.busy = count > 0;
        waiting.orders.drain(..count).collect()
    }
}

/// Work that is dropped half way leaves the till open for others, and nobody waiting in it.
struct Open<'a>(&'a Till);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        *self.0.waiting() = Waiting::default();
    }
}

/// All changes of one row added up: what is paid, and what is reserved.
#[derive(Debug, Default)]
struct Sum {
    pay: Option<(u64, u64)>,
    reserve: Option<(u64, Option<u64>)>,
}

fn sums<'a>(orders: impl Iterator<Item = &'a Order>) -> BTreeMap<&'a Place, Sum> {
    let mut sums: BTreeMap<&Place, Sum> = BTreeMap::new();
    for (place, change) in orders.flat_map(|order| &order.changes) {
        let sum = sums.entry(place).or_default();
        match *change {
            Change::Pay { held, used } => {
                let (before, spent) = sum.pay.unwrap_or_default();
                sum.pay = Some((before.saturating_add(held), spent.saturating_add(used)));
            }
            Change::Reserve { amount, limit } => {
                let (before, known) = sum.reserve.unwrap_or_default();
                // One that has no limit goes along with those that have one, and is tried alone if they do not fit.
                sum.reserve = Some((before.saturating_add(amount), limit.or(known)));
            }
        }
    }
    sums
}

impl Control {
    /// Makes these changes, together with those of others, and waits until they are durable.
    ///
    /// # Errors
    /// `Conflict` if something is to be reserved that does not fit; else what the store says.
    pub(super) async fn change(&self, changes: Vec<(Place, Change)>) -> Result<(), CommitError> {
        let (done, answer) = oneshot::channel();
        if self.inner.till.add(Order { changes, done }) {
            let control = self.clone();
            let work = |_stop| async move { control.work().await };
            // WHY: its own task, so that a client that hangs up does not leave the others waiting.
            if self.inner.jobs.spawn_in(Stage::Upkeep, "budgets", work).is_err() {
                self.work().await;
            }
        }
        answer
            .await
            .unwrap_or_else(|_| Err(CommitError::Unknown("the work on budgets was cut off".to_owned())))
    }

    /// Makes commits until nothing waits.
    async fn work(&self) {
        let open = Open(&self.inner.till);
        loop {
            let orders = self.inner.till.next();
            if orders.is_empty() {
                // Nobody is left behind: the till was marked as free under the same lock that saw it empty.
                std::mem::forget(open);
                return;
            }
            let together = self.inner.db.commit(self.rows(orders.iter())).await;
            match together {
                Err(CommitError::Conflict(_)) if orders.len() > 1 => self.one_by_one(orders).await,
                result => orders.into_iter().for_each(|order| order.end(result.clone())),
            }
        }
    }

    async fn one_by_one(&self, orders: Vec<Order>) {
        let (pay, reserve): (Vec<_>, Vec<_>) = orders.into_iter().partition(Order::pays);
        if !pay.is_empty() {
            let result = self.inner.db.commit(self.rows(pay.iter())).await;
            pay.into_iter().for_each(|order| order.end(result.clone()));
        }
        for order in reserve {
            let result = self.inner.db.commit(self.rows(std::iter::once(&order))).await;
            order.end(result);
        }
    }

    fn rows<'a>(&self, orders: impl Iterator<Item = &'a Order>) -> Commit {
        let here = (self.inner.settings.node.as_str(), self.now());
        sums(orders).into_iter().fold(Commit::new(), |mut commit, (place, sum)| {
            // What is given back comes first: it makes room.
            if let Some(paid) = sum.pay {
                commit = pay(commit, place, paid, here);
            }
            match sum.reserve {
                Some(wanted) => reserve(commit, place, wanted, here),
                None => commit,
            }
        })
    }
}

/// Holds an amount, if it fits.
fn reserve(
    commit: Commit,
    place: &Place,
    (amount, limit): (u64, Option<u64>),
    (node, now): (&str, Timestamp),
) -> Commit {
    let Place { tenant, account, period, unit } = place;
    let (amount, limit) = (amount.min(MOST), limit.unwrap_or(MOST).min(MOST));
    commit
        .run(
            "INSERT INTO budgets (tenant, user_id, period, unit, updated_at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT DO NOTHING",
            args![tenant, account, period, *unit, now],
        )
        // INVARIANT: what is reserved and spent never passes the limit; the guard and the write are one.
        .guard(
            "budget",
            "UPDATE budgets SET reserved = reserved + $5, updated_at = $6 \
             WHERE tenant = $1 AND user_id = $2 AND period = $3 AND unit = $4 \
             AND spent + reserved < $7 AND spent + reserved + $5 <= $7",
            args![tenant, account, period, *unit, amount, now, limit],
        )
        .run(
            "INSERT INTO budget_holds (node, tenant, user_id, period, unit, amount) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (node, tenant, user_id, period, unit) \
             DO UPDATE SET amount = budget_holds.amount + excluded.amount",
            args![node, tenant, account, period, *unit, amount],
        )
}

/// Gives back what was held, and notes what was used.
pub(super) fn pay(
    commit: Commit,
    place: &Place,
    (held, used): (u64, u64),
    (node, now): (&str, Timestamp),
) -> Commit {
    let Place { tenant, account, period, unit } = place;
    let (held, used) = (held.min(MOST), used.min(MOST));
    commit
        // WHY: what a node held that was taken for dead is given back already; it is given back once.
        .run(
            "UPDATE budgets SET spent = CASE WHEN spent > CAST($9 AS BIGINT) - CAST($6 AS BIGINT) THEN CAST($9 AS BIGINT) \
             ELSE spent + CAST($6 AS BIGINT) END, updated_at = $7, reserved = reserved - CASE \
             WHEN NOT EXISTS (SELECT 1 FROM budget_holds h WHERE h.node = $8 AND h.tenant = $1 \
               AND h.user_id = $2 AND h.period = $3 AND h.unit = $4 AND h.amount >= $5) THEN 0 \
             WHEN reserved > $5 THEN $5 ELSE reserved END \
             WHERE tenant = $1 AND user_id = $2 AND period = $3 AND unit = $4",
            args![tenant, account, period, *unit, held, used, now, node, MOST],
        )
        .run(
            "UPDATE budget_holds SET amount = amount - $6 WHERE node = $1 AND tenant = $2 \
             AND user_id = $3 AND period = $4 AND unit = $5 AND amount >= $6",
            args![node, tenant, account, period, *unit, held],
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(account: &str, unit: &'static str) -> Place {
        Place { tenant: "acme".to_owned(), account: account.to_owned(), period: "2026-11".to_owned(), unit }
    }

    fn order(changes: Vec<(Place, Change)>) -> (Order, oneshot::Receiver<Result<(), CommitError>>) {
        let (done, answer) = oneshot::channel();
        (Order { changes, done }, answer)
    }

    #[test]
    fn changes_of_one_row_are_added_up_and_those_of_others_are_not() {
        let reserve = Change::Reserve { amount: 100, limit: Some(1_000) };
        let pay = Change::Pay { held: 100, used: 7 };
        let (ann, all) = (place("ann", "tokens"), place("", "tokens"));
        let orders = [
            order(vec![(ann.clone(), reserve), (all.clone(), reserve)]).0,
            order(vec![(ann.clone(), pay), (all.clone(), pay)]).0,
            order(vec![(all.clone(), reserve), (place("", "micros"), reserve)]).0,
        ];
        let sums = sums(orders.iter());
        assert_eq!((sums[&ann].pay, sums[&ann].reserve), (Some((100, 7)), Some((100, Some(1_000)))));
        assert_eq!((sums[&all].pay, sums[&all].reserve), (Some((100, 7)), Some((200, Some(1_000)))));
        assert_eq!(sums.len(), 3);
    }

    #[test]
    fn one_leads_at_a_time_and_work_that_breaks_off_leaves_nobody_waiting() {
        let till = Till::default();
        let (first, mut answer) = order(Vec::new());
        assert!(till.add(first), "the first sees to it");
        assert!(!till.add(order(Vec::new()).0), "the second goes along");
        drop(Open(&till));
        assert!(matches!(answer.try_recv(), Err(oneshot::error::TryRecvError::Closed)));
        assert!(till.add(order(Vec::new()).0), "somebody sees to it again");
        assert_eq!((till.next().len(), till.next().len()), (1, 0));
        assert!(till.add(order(Vec::new()).0), "it was left free");
    }
}
