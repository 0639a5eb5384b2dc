//! Shares: what this node holds of each budget, so that most requests wait for no commit.
//!
//! If a budget is large, a reservation takes a block beyond what it needs from the database, and the following
//! reservations are made out of that block in memory. Usage is written every tenth of a second, and idle amounts are
//! returned. A node that dies therefore loses what completions have used since the last write (a turn pays in its own
//! last commit); its reservations are returned through `budget_holds`. Nothing is spent that was not reserved in the
//! database before.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::group_commit::{Change, RowKey};

/// Size limit of a block, as a fraction (1/N) of the budget: idle nodes then withhold next to nothing from others.
const PART_OF_BUDGET: u64 = 1_000;

/// Size limit of a block, as a multiple of the reservation that fetches it.
const RESERVATIONS: u64 = 64;

/// Number of rounds without a payment after which a share is returned.
const IDLE_LOOKS: u8 = 10;

/// A reservation in one row.
#[derive(Debug, Clone)]
pub(super) struct Reservation {
    pub(super) place: RowKey,
    /// Limit of the sum of spent and reserved in the row.
    pub(super) limit: Option<u64>,
    /// Amount.
    pub(super) amount: u64,
    /// Source of the amount.
    from: From,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Share,
    /// The database, together with a block of this size.
    Database(u64),
}

impl Reservation {
    pub(super) const fn new(place: RowKey, limit: Option<u64>, amount: u64) -> Self {
        Self { place, limit, amount, from: From::Database(0) }
    }

    fn block(&self) -> u64 {
        let wanted = self.amount.max(1).saturating_mul(RESERVATIONS);
        let block = self.limit.map_or(wanted, |limit| wanted.min(limit / PART_OF_BUDGET));
        if block < self.amount.max(1) { 0 } else { block }
    }
}

/// What this node holds of one row. The database never holds less, and more only while a commit is on its way.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Share {
    /// Reserved for requests in progress.
    live: u64,
    /// The block that a commit on its way will bring.
    coming: u64,
    /// Not reserved for any request.
    free: u64,
    /// To be released by the next payment: used, or spare.
    owed: u64,
    /// Usage that the next payment records.
    used: u64,
    /// To be released by payments on their way.
    paying: u64,
    /// Limit of `free`.
    block: u64,
    /// Rounds since the last payment.
    idle: u8,
}

impl Share {
    const fn held(&self) -> u64 {
        self.live.saturating_add(self.coming).saturating_add(self.free).saturating_add(self.owed)
    }

    /// Ends a request: what it did not use becomes free for the next.
    fn end(&mut self, held: u64, used: u64) {
        self.live = self.live.saturating_sub(held);
        self.free = self.free.saturating_add(held.saturating_sub(used));
        let more = used.saturating_sub(held).min(self.free); // it used more than estimated
        self.free -= more;
        self.owed = self.owed.saturating_add(held.min(used)).saturating_add(more);
        self.used = self.used.saturating_add(used);
    }

    /// Takes what is owed, and what is free beyond `keep`.
    fn pay(&mut self, keep: u64) -> Option<(u64, u64)> {
        let spare = self.free.saturating_sub(keep);
        self.free -= spare;
        let (held, used) =
            (std::mem::take(&mut self.owed).saturating_add(spare), std::mem::take(&mut self.used));
        self.paying = self.paying.saturating_add(held);
        (held > 0 || used > 0).then_some((held, used))
    }

    const fn is_empty(&self) -> bool {
        self.held() == 0 && self.used == 0 && self.paying == 0
    }
}

/// A payment on its way to the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Payment {
    place: RowKey,
    held: u64,
    used: u64,
}

/// Translates payments into changes for the group commit.
pub(super) fn changes(payments: &[Payment]) -> Vec<(RowKey, Change)> {
    let change = |paid: &Payment| (paid.place.clone(), Change::Pay { held: paid.held, used: paid.used });
    payments.iter().map(change).collect()
}

#[derive(Debug, Default)]
struct All {
    shares: HashMap<RowKey, Share>,
    /// True while a task pays out of the shares, until they are empty.
    kept: bool,
}

/// What this node holds of all budgets.
#[derive(Debug, Default)]
pub(in crate::control) struct Shares(Mutex<All>);

impl Shares {
    fn all(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes each reservation out of its share, or returns what to request from the database; nothing if all fit.
    /// Requested amounts count as held from now on, so that none of them can appear lost. With `blocks`, more is
    /// requested than is needed.
    pub(super) fn take(&self, lines: &mut [Reservation], blocks: bool) -> Vec<(RowKey, Change)> {
        let mut all = self.all();
        let mut wanted = Vec::new();
        for line in lines {
            let share = all.shares.entry(line.place.clone()).or_default();
            share.live = share.live.saturating_add(line.amount);
            // A reservation of zero needs something free too: else a spent budget would admit it.
            if share.free >= line.amount.max(1) {
                share.free -= line.amount;
                line.from = From::Share;
                continue;
            }
            share.block = line.block();
            // One block at a time: concurrent requests ask for just what they need.
            let block = if blocks && share.coming == 0 { share.block } else { 0 };
            share.coming = share.coming.saturating_add(block);
            line.from = From::Database(block);
            let amount = line.amount.saturating_add(block);
            wanted.push((line.place.clone(), Change::Reserve { amount, limit: line.limit }));
        }
        wanted
    }

    /// Records that the requested amounts have arrived.
    pub(super) fn came(&self, lines: &mut [Reservation]) {
        self.each(lines, |share, line| {
            if let From::Database(block) = std::mem::replace(&mut line.from, From::Share) {
                share.coming = share.coming.saturating_sub(block);
                share.free = share.free.saturating_add(block);
            }
        });
    }

    /// Takes back requested amounts that have not arrived, or that no one waited for.
    pub(super) fn put_back(&self, lines: &mut [Reservation]) {
        self.each(lines, |share, line| {
            share.live = share.live.saturating_sub(line.amount);
            match line.from {
                From::Share => share.free = share.free.saturating_add(line.amount),
                From::Database(block) => share.coming = share.coming.saturating_sub(block),
            }
        });
    }

    /// Ends a request that used this much of each reservation.
    pub(super) fn end(&self, lines: &mut [Reservation], used: impl Fn(&Reservation) -> u64) {
        self.each(lines, |share, line| share.end(line.amount, used(line)));
    }

    /// Ends a request that was paid in a commit of its own.
    pub(super) fn paid(&self, lines: &mut [Reservation]) {
        self.each(lines, |share, line| {
            share.live = share.live.saturating_sub(line.amount);
            share.idle = 0;
        });
    }

    fn each(&self, lines: &mut [Reservation], change: impl Fn(&mut Share, &mut Reservation)) {
        let mut all = self.all();
        for line in lines {
            change(all.shares.entry(line.place.clone()).or_default(), line);
        }
    }

    /// Takes everything that these rows owe and have free, as payments on their way.
    pub(super) fn empty<'a>(&self, places: impl Iterator<Item = &'a RowKey>) -> Vec<Payment> {
        let mut all = self.all();
        let pay = |place: &'a RowKey| {
            let (held, used) = all.shares.get_mut(place)?.pay(0)?;
            Some(Payment { place: place.clone(), held, used })
        };
        places.filter_map(pay).collect()
    }

    /// Takes what these rows owe, as payments on their way. Idle shares are kept: this is not a round of the paying
    /// task.
    pub(super) fn owed<'a>(&self, places: impl Iterator<Item = &'a RowKey>) -> Vec<Payment> {
        let mut all = self.all();
        let pay = |place: &'a RowKey| {
            let share = all.shares.get_mut(place)?;
            let (held, used) = share.pay(share.block)?;
            Some(Payment { place: place.clone(), held, used })
        };
        places.filter_map(pay).collect()
    }

    /// Takes what is due now, as payments on their way; with `last`, everything.
    pub(super) fn due(&self, last: bool) -> Vec<Payment> {
        let mut all = self.all();
        let mut due = Vec::new();
        for (place, share) in &mut all.shares {
            let rests = share.owed == 0 && share.used == 0;
            share.idle = if rests { share.idle.saturating_add(1) } else { 0 };
            let keep = if last || share.idle >= IDLE_LOOKS { 0 } else { share.block };
            if let Some((held, used)) = share.pay(keep) {
                due.push(Payment { place: place.clone(), held, used });
            }
        }
        due
    }

    /// Records the end of payments: they have arrived, or their fate is unknown. With `again`, they certainly have
    /// not, and are to be made again.
    pub(super) fn settled(&self, payments: Vec<Payment>, again: bool) {
        let mut all = self.all();
        for Payment { place, held, used } in payments {
            let share = all.shares.entry(place).or_default();
            share.paying = share.paying.saturating_sub(held);
            if again {
                share.owed = share.owed.saturating_add(held);
                share.used = share.used.saturating_add(used);
            }
        }
        all.shares.retain(|_, share| !share.is_empty());
    }

    /// Returns whether no task pays out of the shares yet; the caller must then start one.
    pub(super) fn keep(&self) -> bool {
        !std::mem::replace(&mut self.all().kept, true)
    }

    /// Returns whether nothing is left to look after, which ends the paying task.
    pub(super) fn rest(&self) -> bool {
        let mut all = self.all();
        all.shares.retain(|_, share| !share.is_empty());
        all.kept = !all.shares.values().all(|share| share.held() == share.live && share.used == 0);
        !all.kept
    }

    /// Returns the amount that this node holds of a row, or is about to.
    pub(super) fn held(&self, place: &RowKey) -> u64 {
        self.all().shares.get(place).map_or(0, |share| share.held().saturating_add(share.paying))
    }

    /// Returns the free part of it.
    pub(super) fn free(&self, place: &RowKey) -> u64 {
        self.all().shares.get(place).map_or(0, |share| share.free)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> RowKey {
        RowKey {
            tenant: "acme".to_owned(),
            account: "ann".to_owned(),
            period: "2026-11".to_owned(),
            unit: "tokens",
        }
    }

    fn line(limit: u64, amount: u64) -> [Reservation; 1] {
        [Reservation::new(place(), Some(limit), amount)]
    }

    fn asked(wanted: &[(RowKey, Change)]) -> Vec<u64> {
        let amount = |(_, change): &(RowKey, Change)| match *change {
            Change::Reserve { amount, .. } => amount,
            Change::Pay { .. } => panic!("{change:?} is no reservation"),
        };
        wanted.iter().map(amount).collect()
    }

    fn payments(shares: &Shares, last: bool) -> Vec<(u64, u64)> {
        let due = shares.due(last);
        let told = due.iter().map(|paid| (paid.held, paid.used)).collect();
        shares.settled(due, false);
        told
    }

    #[test]
    fn one_commit_brings_a_block_and_the_next_requests_need_none() {
        let shares = Shares::default();
        let mut first = line(10_000_000, 100);
        assert_eq!(asked(&shares.take(&mut first, true)), [100 + 6_400]);
        let mut beside = line(10_000_000, 100);
        assert_eq!(asked(&shares.take(&mut beside, true)), [100], "one block at a time");
        shares.came(&mut first);
        shares.came(&mut beside);
        let mut third = line(10_000_000, 100);
        assert_eq!(asked(&shares.take(&mut third, true)), [0; 0]);
        for mut request in [first, beside, third] {
            shares.end(&mut request, |_| 30);
        }
        // 300 were held, 90 used, and 6,400 may stay.
        assert_eq!(payments(&shares, false), [(90 + 110, 90)]);
        assert_eq!((shares.held(&place()), shares.free(&place())), (6_400, 6_400));
        let idle: Vec<_> = (0..IDLE_LOOKS).flat_map(|_| payments(&shares, false)).collect();
        assert_eq!(idle, [(6_400, 0)], "given back once, when nothing was paid for a while");
        assert!(shares.rest() && shares.keep());
    }

    #[test]
    fn a_small_budget_is_reserved_to_the_last_unit() {
        let shares = Shares::default();
        let mut first = line(3_300, 1_000);
        assert_eq!(asked(&shares.take(&mut first, true)), [1_000]);
        shares.came(&mut first);
        assert_eq!(asked(&shares.take(&mut line(3_300, 1_000), true)), [1_000]);
        shares.end(&mut first, |_| 20);
        assert_eq!(payments(&shares, false), [(1_000, 20)], "nothing stays behind");
    }

    #[test]
    fn nothing_that_was_not_reserved_is_free_and_what_uses_nothing_needs_something_free() {
        let shares = Shares::default();
        let mut refused = line(10_000_000, 500);
        assert_eq!(asked(&shares.take(&mut refused, true)), [500 + 10_000]);
        shares.put_back(&mut refused);
        assert_eq!(shares.held(&place()), 0);
        let mut nothing = line(10_000_000, 0);
        assert_eq!(
            asked(&shares.take(&mut nothing, false)),
            [0],
            "the database says whether anything is left"
        );
        shares.came(&mut nothing);
        assert_eq!(asked(&shares.take(&mut line(10_000_000, 0), false)), [0]);
    }

    #[test]
    fn what_used_more_than_it_held_takes_it_from_what_is_free() {
        let shares = Shares::default();
        let mut request = line(10_000_000, 100);
        drop(shares.take(&mut request, true));
        shares.came(&mut request);
        shares.end(&mut request, |_| 150);
        assert_eq!(shares.free(&place()), 6_350);
        assert_eq!(payments(&shares, true), [(6_500, 150)]);
    }

    #[test]
    fn a_payment_that_did_not_arrive_is_made_again_and_one_that_may_have_is_not() {
        for (again, left) in [(true, vec![(100, 30)]), (false, vec![])] {
            let shares = Shares::default();
            let mut request = line(1_000, 100);
            drop(shares.take(&mut request, true));
            shares.came(&mut request);
            shares.end(&mut request, |_| 30);
            let due = shares.due(false);
            assert_eq!(shares.held(&place()), 100, "as long as it is on its way");
            shares.settled(due, again);
            assert_eq!(payments(&shares, false), left);
        }
    }
}
