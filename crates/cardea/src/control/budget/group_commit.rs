//! Group commit of budgets: reservations and payments of concurrent requests go into one commit.
//!
//! While one commit is on its way to the disk, further changes wait and go, added up, into the next one: a budget that
//! a hundred requests draw on is updated once for all of them. A request alone does not wait. If the sum does not fit
//! into a budget, payments are made first and reservations are tried one by one, so that no request is refused because
//! of another.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use cardea_core::time::Timestamp;
use cardea_store::{Commit, CommitError, Stage, args};
use tokio::sync::oneshot;

use crate::control::Control;

/// Largest value of a column: two such values and one more amount still fit into 64 bits.
const MOST: u64 = 1 << 61;

/// Limit of orders in one commit.
const AT_ONCE: usize = 256;

/// A row of budgets: tenant, account (a user's key, or empty for the tenant), period and unit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct RowKey {
    pub(super) tenant: String,
    pub(super) account: String,
    pub(super) period: String,
    pub(super) unit: &'static str,
}

/// Returns the lock name of a commit that writes rows of this tenant and account. All units and months share one name,
/// since a server has room for only some thousands of locks.
pub(super) fn hot(tenant: &str, account: &str) -> String {
    format!("budgets/{tenant}/{account}")
}

/// A change of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Reserve this amount, if it fits.
    Reserve {
        /// Amount to reserve.
        amount: u64,
        /// Limit of the sum of spent and reserved.
        limit: Option<u64>,
    },
    /// Release a reservation and record the usage.
    Pay {
        /// Reserved amount.
        held: u64,
        /// Used amount.
        used: u64,
    },
}

/// The changes of one request, all or nothing.
#[derive(Debug)]
struct Order {
    changes: Vec<(RowKey, Change)>,
    done: oneshot::Sender<Result<(), CommitError>>,
}

impl Order {
    fn pays(&self) -> bool {
        self.changes.iter().all(|(_, change)| matches!(change, Change::Pay { .. }))
    }

    fn end(self, result: Result<(), CommitError>) {
        // The caller may be gone; its reservation then counts as lost and is returned.
        drop(self.done.send(result));
    }
}

#[derive(Debug, Default)]
struct Waiting {
    orders: Vec<Order>,
    /// True while a task makes commits, until nothing waits.
    busy: bool,
}

/// Orders that wait for their commit.
#[derive(Debug, Default)]
pub(in crate::control) struct GroupCommit(Mutex<Waiting>);

impl GroupCommit {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an order. True if no task makes commits yet; the caller must then start one.
    fn add(&self, order: Order) -> bool {
        let mut waiting = self.waiting();
        waiting.orders.push(order);
        !std::mem::replace(&mut waiting.busy, true)
    }

    /// Returns the next orders; an empty list ends the work.
    fn next(&self) -> Vec<Order> {
        let mut waiting = self.waiting();
        let count = waiting.orders.len().min(AT_ONCE);
        waiting.busy = count > 0;
        waiting.orders.drain(..count).collect()
    }
}

/// Reopens the group if the committing task is dropped half way: waiting orders are discarded.
struct Open<'a>(&'a GroupCommit);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        *self.0.waiting() = Waiting::default();
    }
}

/// Sum of all changes of one row: payments and reservations.
#[derive(Debug, Default)]
struct Sum {
    pay: Option<(u64, u64)>,
    reserve: Option<(u64, Option<u64>)>,
}

fn sums<'a>(orders: impl Iterator<Item = &'a Order>) -> BTreeMap<&'a RowKey, Sum> {
    let mut sums: BTreeMap<&RowKey, Sum> = BTreeMap::new();
    for (place, change) in orders.flat_map(|order| &order.changes) {
        let sum = sums.entry(place).or_default();
        match *change {
            Change::Pay { held, used } => {
                let (before, spent) = sum.pay.unwrap_or_default();
                sum.pay = Some((before.saturating_add(held), spent.saturating_add(used)));
            }
            Change::Reserve { amount, limit } => {
                let (before, known) = sum.reserve.unwrap_or_default();
                // A reservation without a limit is added to those with one, and is tried alone if they do not fit.
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
    /// `Conflict` if a reservation does not fit; else store errors.
    pub(super) async fn change(&self, changes: Vec<(RowKey, Change)>) -> Result<(), CommitError> {
        let (done, answer) = oneshot::channel();
        if self.inner.group_commit.add(Order { changes, done }) {
            let control = self.clone();
            let work = |_stop| async move { control.work().await };
            // WHY: a task of its own, so that a client that disconnects does not leave the others waiting.
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
        let open = Open(&self.inner.group_commit);
        loop {
            let orders = self.inner.group_commit.next();
            if orders.is_empty() {
                // No order is left behind: the group was marked as free under the same lock that saw it empty.
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
        let here = Here { node: &self.inner.settings.node, now: self.now() };
        sums(orders).into_iter().fold(Commit::new(), |mut commit, (place, sum)| {
            // Payments come first, since they make room.
            if let Some((held, used)) = sum.pay {
                commit = pay(commit, place, held, used, here);
            }
            match sum.reserve {
                Some((amount, limit)) => reserve(commit, place, amount, limit, here),
                None => commit,
            }
        })
    }
}

/// The writing node and the time.
#[derive(Clone, Copy)]
pub(super) struct Here<'a> {
    pub(super) node: &'a str,
    pub(super) now: Timestamp,
}

/// Reserves an amount, if it fits.
fn reserve(commit: Commit, place: &RowKey, amount: u64, limit: Option<u64>, here: Here<'_>) -> Commit {
    let Here { node, now } = here;
    let RowKey { tenant, account, period, unit } = place;
    let (amount, limit) = (amount.min(MOST), limit.unwrap_or(MOST).min(MOST));
    commit
        .touches(hot(tenant, account))
        .run(
            "INSERT INTO budgets (tenant, user_id, period, unit, updated_at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT DO NOTHING",
            args![tenant, account, period, *unit, now],
        )
        // INVARIANT: the sum of reserved and spent never exceeds the limit; the guard and the write are one statement.
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

/// Releases a reservation and records the usage.
pub(super) fn pay(commit: Commit, place: &RowKey, held: u64, used: u64, here: Here<'_>) -> Commit {
    let Here { node, now } = here;
    let RowKey { tenant, account, period, unit } = place;
    let (held, used) = (held.min(MOST), used.min(MOST));
    commit
        .touches(hot(tenant, account))
        // WHY: holds of a node that was taken for dead were returned already, and must be returned only once.
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

    fn place(account: &str, unit: &'static str) -> RowKey {
        RowKey { tenant: "acme".to_owned(), account: account.to_owned(), period: "2026-11".to_owned(), unit }
    }

    fn order(changes: Vec<(RowKey, Change)>) -> (Order, oneshot::Receiver<Result<(), CommitError>>) {
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
        let group_commit = GroupCommit::default();
        let (first, mut answer) = order(Vec::new());
        assert!(group_commit.add(first), "the first sees to it");
        assert!(!group_commit.add(order(Vec::new()).0), "the second goes along");
        drop(Open(&group_commit));
        assert!(matches!(answer.try_recv(), Err(oneshot::error::TryRecvError::Closed)));
        assert!(group_commit.add(order(Vec::new()).0), "somebody sees to it again");
        assert_eq!((group_commit.next().len(), group_commit.next().len()), (1, 0));
        assert!(group_commit.add(order(Vec::new()).0), "it was left free");
    }
}
