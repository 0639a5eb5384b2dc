//! Budgets. They are reserved before anything is done. A turn pays in the commit that records its usage, everything
//! else within a tenth of a second.
//!
//! The reservations of a node are also recorded under the node's name. Should the node die, they are returned at its
//! next start, or by another node once its lease has expired. Reservations in the database that the node no longer
//! knows of, because a commit failed on the way, are returned within seconds.

mod account;
mod group_commit;
mod shares;

use std::time::Duration;

use cardea_core::{
    Code, Error, Result,
    policy::limit::{month, until_next_month},
    time::Millis,
};
use cardea_store::{Commit, CommitError, FromRow, Row, RowError, Stage, args};
use tokio_util::sync::CancellationToken;

pub use self::account::{Account, Spent, Sum};
pub(super) use self::{group_commit::GroupCommit, shares::Shares};
use self::{
    group_commit::{Change, Here, RowKey, hot, pay},
    shares::{Payment, Reservation, changes},
};
use super::Control;

/// Units of a budget, as named in its rows.
pub(super) const TOKENS: &str = "tokens";
pub(super) const MICROS: &str = "micros";

/// Retry delay if requests in progress hold what is left.
const HELD: Millis = Millis::from_secs(1);

/// How often usage is written.
const PAYMENTS: Duration = Duration::from_millis(100);

/// Limits for one calendar month. An absent value means no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Budget {
    /// Tokens, read and written.
    pub tokens: Option<u64>,
    /// Money, in millionths of a US dollar.
    pub cost_micros: Option<u64>,
}

impl Budget {
    pub(super) const fn is_set(&self) -> bool {
        self.tokens.is_some() || self.cost_micros.is_some()
    }
}

/// Upper estimate of what a request will use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Tokens, read and written.
    pub tokens: u64,
    /// Money, in millionths of a US dollar.
    pub cost_micros: u64,
}

/// Reservation of a node in a row of budgets.
#[derive(Debug)]
struct Held {
    node: String,
    tenant: String,
    account: String,
    period: String,
    unit: String,
    amount: i64,
}

impl FromRow for Held {
    fn from_row(row: &Row<'_>) -> Result<Self, RowError> {
        Ok(Self {
            node: row.get(0)?,
            tenant: row.get(1)?,
            account: row.get(2)?,
            period: row.get(3)?,
            unit: row.get(4)?,
            amount: row.get(5)?,
        })
    }
}

/// A reservation of one request, or one about to be made. Dropping it releases what is unused.
#[derive(Debug)]
pub(super) struct Reserved {
    control: Control,
    lines: Vec<Reservation>,
    asking: bool,
}

impl Reserved {
    /// Returns the payments for this usage.
    fn payment(&self, used: Estimate) -> impl Iterator<Item = (&RowKey, u64, u64)> {
        self.lines.iter().map(move |line| (&line.place, line.amount, used.of(line.place.unit)))
    }

    /// Pays for usage within a tenth of a second.
    pub(super) fn settle(mut self, used: Estimate) {
        let mut lines = std::mem::take(&mut self.lines);
        self.control.inner.shares.end(&mut lines, |line| used.of(line.place.unit));
        self.control.keep_purses();
    }

    /// Closes the reservation after it was paid.
    pub(super) fn paid(mut self) {
        self.control.inner.shares.paid(&mut std::mem::take(&mut self.lines));
        self.control.keep_purses(); // returns what is spare of the block that came with it
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if self.lines.is_empty() {
            return;
        }
        let shares = &self.control.inner.shares;
        if self.asking {
            shares.put_back(&mut self.lines);
        } else {
            shares.end(&mut self.lines, |_| 0);
        }
        self.control.keep_purses();
    }
}

/// Payments on their way. They arrive even if the caller stops waiting.
struct Paying<'a> {
    shares: &'a Shares,
    payments: Vec<Payment>,
    again: bool,
}

impl Drop for Paying<'_> {
    fn drop(&mut self) {
        self.shares.settled(std::mem::take(&mut self.payments), self.again);
    }
}

impl Estimate {
    fn of(self, unit: &str) -> u64 {
        if unit == TOKENS { self.tokens } else { self.cost_micros }
    }
}

impl Control {
    pub(super) async fn reserve(
        &self,
        tenant: &str,
        user: &str,
        estimate: Estimate,
    ) -> Result<Option<Reserved>> {
        let lines = self.lines(tenant, user, estimate);
        if lines.is_empty() {
            return Ok(None);
        }
        let mut reserved = Reserved { control: self.clone(), lines, asking: true };
        let shares = &self.inner.shares;
        let mut done = self.ask(shares.take(&mut reserved.lines, true)).await;
        if let Err(CommitError::Conflict(_)) = done {
            // No request is refused because of what this node holds idle.
            shares.put_back(&mut reserved.lines);
            let lines = std::mem::take(&mut reserved.lines);
            self.pay(shares.empty(lines.iter().map(|line| &line.place))).await;
            reserved.lines = lines;
            done = self.ask(shares.take(&mut reserved.lines, false)).await;
        }
        match done {
            Ok(()) => {
                shares.came(&mut reserved.lines);
                reserved.asking = false;
                Ok(Some(reserved))
            }
            Err(CommitError::Conflict(_)) => Err(self.no_room(&reserved.lines).await?),
            Err(error) => Err(error.into()),
        }
    }

    async fn ask(&self, wanted: Vec<(RowKey, Change)>) -> Result<(), CommitError> {
        if wanted.is_empty() { Ok(()) } else { self.change(wanted).await }
    }

    /// Returns the reservations that a request of this user needs; none without a budget.
    fn lines(&self, tenant: &str, user: &str, estimate: Estimate) -> Vec<Reservation> {
        let settings = &self.inner.settings;
        let period = month(self.now());
        [(user, settings.user_budget), ("", settings.tenant_budget)]
            .into_iter()
            .filter(|(_, budget)| budget.is_set())
            .flat_map(|(account, budget)| {
                let line = |unit, limit| {
                    let (tenant, account) = (tenant.to_owned(), account.to_owned());
                    Reservation::new(
                        RowKey { tenant, account, period: period.clone(), unit },
                        limit,
                        estimate.of(unit),
                    )
                };
                [line(TOKENS, budget.tokens), line(MICROS, budget.cost_micros)]
            })
            .collect()
    }

    /// Returns a reservation of nothing that can still pay, for a turn that was admitted before.
    pub(super) async fn account(&self, tenant: &str, user: &str) -> Result<Option<Reserved>> {
        let lines = self.lines(tenant, user, Estimate::default());
        if lines.is_empty() {
            return Ok(None);
        }
        let nothing = Change::Reserve { amount: 0, limit: None };
        self.change(lines.iter().map(|line| (line.place.clone(), nothing)).collect()).await?;
        Ok(Some(Reserved { control: self.clone(), lines, asking: false }))
    }

    /// Returns the error for a request that does not fit, with the time to retry.
    async fn no_room(&self, lines: &[Reservation]) -> Result<Error> {
        let error = Error::new(Code::BudgetSpent);
        for Reservation { place, limit, amount, .. } in lines {
            let Some(limit) = *limit else { continue };
            let spent = self.spent(place).await?;
            let left = limit.saturating_sub(spent);
            if *amount > left || left == 0 {
                let whose = if place.account.is_empty() { "tenant" } else { "user" };
                let unit = if place.unit == TOKENS { TOKENS } else { "millionths of a US dollar" };
                let detail = format!(
                    "The {whose} has {left} of {limit} {unit} left for this month, and this may use up to {amount}."
                );
                let error = error.detail(detail);
                // An amount larger than the whole budget will not fit next month either.
                return Ok(if *amount > limit {
                    error.hopeless()
                } else {
                    error.retry_after(until_next_month(self.now()))
                });
            }
        }
        let detail = "What is left of it is held by requests in work, which give back what they do not use.";
        Ok(error.detail(detail).retry_after(HELD))
    }

    async fn spent(&self, place: &RowKey) -> Result<u64> {
        let sql =
            "SELECT spent FROM budgets WHERE tenant = $1 AND user_id = $2 AND period = $3 AND unit = $4";
        let args = args![&place.tenant, &place.account, &place.period, place.unit];
        let rows: Vec<(u64,)> = self.inner.db.rows(sql, args).await?;
        Ok(rows.first().map_or(0, |row| row.0))
    }

    /// Returns the rows that pay for usage out of the reservation.
    pub(super) fn payment(&self, reserved: &Reserved, used: Estimate) -> Commit {
        let here = Here { node: &self.inner.settings.node, now: self.now() };
        let payment = reserved.payment(used);
        payment.fold(Commit::new(), |commit, (place, held, used)| pay(commit, place, held, used, here))
    }

    /// Starts the task that pays out of the shares until they are empty.
    fn keep_purses(&self) {
        if !self.inner.shares.keep() {
            return;
        }
        let control = self.clone();
        let keep = |stop: CancellationToken| async move {
            loop {
                let last = stop.run_until_cancelled(tokio::time::sleep(PAYMENTS)).await.is_none();
                control.pay(control.inner.shares.due(last)).await;
                if control.inner.shares.rest() || last {
                    return;
                }
            }
        };
        if let Err(stopping) = self.inner.jobs.spawn_in(Stage::Upkeep, "shares", keep) {
            tracing::debug!("{stopping}"); // `close_purses` pays them
        }
    }

    /// Pays everything owed and returns all reservations of this node. The last budget operation of a node.
    ///
    /// # Errors
    /// Store errors.
    pub async fn close_purses(&self) -> Result<()> {
        self.pay(self.inner.shares.due(true)).await;
        self.forget_lost_reservations().await
    }

    /// Makes payments and waits until they are durable.
    async fn pay(&self, payments: Vec<Payment>) {
        if payments.is_empty() {
            return;
        }
        let orders = changes(&payments);
        let mut paying = Paying { shares: &self.inner.shares, payments, again: false };
        match self.change(orders).await {
            Ok(()) => {}
            // The reservation stands for a moment longer, so the budget errs on the safe side.
            Err(error @ CommitError::Unknown(_)) => {
                tracing::error!(error.cause = %error, "what was used of a budget may not be written");
            }
            Err(error) => {
                paying.again = true;
                tracing::warn!(error.cause = %error, "what was used of a budget is not written yet");
            }
        }
    }

    /// Returns reservations that an earlier process of this node left behind. Must run before the first request.
    ///
    /// # Errors
    /// Store errors.
    pub async fn forget_reservations(&self) -> Result<()> {
        self.give_back(self.own_holds().await?).await
    }

    /// Returns reservations of this node in the database that belong to no request, because a commit failed on the
    /// way.
    ///
    /// # Errors
    /// Store errors.
    pub async fn forget_lost_reservations(&self) -> Result<()> {
        let lost = self.lost(self.own_holds().await?);
        self.give_back_lost(lost).await
    }

    /// Finds reservations that exceed what this node knows of, each with the known amount.
    fn lost(&self, held: Vec<Held>) -> Vec<(Held, i64)> {
        let seen = held.into_iter().map(|row| {
            let live = self.live(&row);
            (row, live)
        });
        seen.filter(|(row, live)| row.amount > *live).collect()
    }

    /// Returns the amount that this node knows to be reserved in a row.
    fn live(&self, row: &Held) -> i64 {
        let unit = if row.unit == TOKENS { TOKENS } else { MICROS };
        let (tenant, account, period) = (row.tenant.clone(), row.account.clone(), row.period.clone());
        let live = self.inner.shares.held(&RowKey { tenant, account, period, unit });
        i64::try_from(live).unwrap_or(i64::MAX)
    }

    async fn give_back_lost(&self, lost: Vec<(Held, i64)>) -> Result<()> {
        for (held, live) in lost {
            // WHY: payments and reservations made since may leave the row as it was read although its amount now
            // belongs to another request.
            if self.live(&held) != live {
                continue;
            }
            let Held { node, tenant, account, period, unit, amount } = &held;
            // INVARIANT: if anything was reserved or paid since the row was read, nothing is returned now.
            let commit = Commit::new()
                .guard(
                    "hold",
                    "UPDATE budget_holds SET amount = $7 WHERE node = $1 AND tenant = $2 AND user_id = $3 \
                     AND period = $4 AND unit = $5 AND amount = $6",
                    args![node, tenant, account, period, unit, *amount, live],
                )
                .and(self.less_reserved(&held, amount - live));
            match self.inner.db.commit(commit).await {
                Ok(()) | Err(CommitError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn own_holds(&self) -> Result<Vec<Held>> {
        let sql = "SELECT node, tenant, user_id, period, unit, amount FROM budget_holds WHERE node = $1 AND amount > 0";
        self.inner.db.rows(sql, args![&self.inner.settings.node]).await
    }

    fn less_reserved(&self, held: &Held, by: i64) -> Commit {
        let Held { tenant, account, period, unit, .. } = held;
        Commit::new().touches(hot(tenant, account)).run(
            "UPDATE budgets SET reserved = CASE WHEN reserved > $5 THEN reserved - $5 ELSE 0 END, \
             updated_at = $6 WHERE tenant = $1 AND user_id = $2 AND period = $3 AND unit = $4",
            args![tenant, account, period, unit, by, self.now()],
        )
    }

    /// Returns the reservations of nodes whose lease has expired.
    ///
    /// # Errors
    /// Store errors.
    pub async fn forget_dead_nodes(&self) -> Result<()> {
        let sql = "SELECT node, tenant, user_id, period, unit, amount FROM budget_holds h WHERE node <> $1 \
                   AND NOT EXISTS (SELECT 1 FROM leases l WHERE l.name = 'node/' || h.node AND l.expires_at > $2)";
        let dead = self.inner.db.rows(sql, args![&self.inner.settings.node, self.now()]).await?;
        self.give_back(dead).await
    }

    async fn give_back(&self, all: Vec<Held>) -> Result<()> {
        for held in all {
            let Held { node, tenant, account, period, unit, amount } = &held;
            // INVARIANT: of several nodes that find the row, the one that deletes it returns the reservation.
            let commit = Commit::new()
                .guard(
                    "hold",
                    "DELETE FROM budget_holds WHERE node = $1 AND tenant = $2 AND user_id = $3 AND period = $4 \
                     AND unit = $5 AND amount = $6",
                    args![node, tenant, account, period, unit, *amount],
                )
                .and(self.less_reserved(&held, *amount));
            match self.inner.db.commit(commit).await {
                Ok(()) | Err(CommitError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cardea_core::{
        cost::Prices,
        log::ChainKey,
        policy::Installation,
        time::{ManualClock, SharedClock, Timestamp},
    };
    use cardea_store::{
        Db, DbConfig, Jobs,
        shared::{Memory, MemoryConfig, Rate},
    };

    use super::*;
    use crate::{
        control::{Neighbours, Settings},
        observe::Observe,
        vault::{self, RootKey, Vault},
    };

    /// Creates a control room whose users have this many tokens per month.
    async fn control(tokens: u64) -> Control {
        let config = vault::Config {
            root_key: Some("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".into()),
            ..vault::Config::default()
        };
        let root = RootKey::load(&config, std::path::Path::new("/nowhere")).unwrap();
        let db = Db::open(DbConfig::at("sqlite::memory:"), ChainKey::new(&[1; 32])).await.unwrap();
        db.migrate().await.unwrap();
        let clock: SharedClock = ManualClock::at(Timestamp(1_800_000_000_000));
        let observe = Observe::new(db.clone(), Arc::clone(&clock), Prices::default());
        let vault = Vault::new(db.clone(), observe.clone(), root, Arc::clone(&clock)).await;
        let shared = Arc::new(Memory::new(MemoryConfig::default(), Arc::clone(&clock)));
        let neighbours = Neighbours { db, shared, observe, vault, clock, jobs: Jobs::new() };
        let rate = Rate { burst: 100, refill: 100, per: Millis::from_secs(60) };
        let settings = Settings {
            node: "main".to_owned(),
            policies: "/nowhere".into(),
            approver: "approver".to_owned(),
            approval: Millis::from_secs(1),
            per_user: rate,
            per_tenant: rate,
            in_flight: [8; 3],
            streams_per_user: 8,
            user_budget: Budget { tokens: Some(tokens), cost_micros: None },
            tenant_budget: Budget::default(),
            guard: "standard".to_owned(),
            guards: Vec::new(),
            names: Installation::default(),
        };
        Control::new(neighbours, settings).unwrap()
    }

    #[tokio::test]
    async fn who_asks_what_was_used_takes_no_share_of_others_away() {
        let control = control(10_000_000).await;
        assert!(control.inner.shares.keep(), "nobody else looks after the shares here");
        drop(control.reserve("acme", "ann", Estimate { tokens: 1_000, cost_micros: 0 }).await.unwrap());
        let (tenant, account) = ("acme".to_owned(), "ann".to_owned());
        let row = RowKey { tenant, account, period: month(control.now()), unit: TOKENS };
        assert!(control.inner.shares.free(&row) > 0);
        let stranger = crate::identity::operator(&"rival".into());
        for _ in 0..20 {
            drop(control.account_of(&stranger).await.unwrap());
        }
        assert!(control.inner.shares.free(&row) > 0, "a share at rest stays");
    }

    #[tokio::test]
    async fn what_was_reserved_while_lost_reservations_were_looked_for_is_not_given_back() {
        let control = control(3_000).await;
        let reserve = || control.reserve("acme", "ann", Estimate { tokens: 1_000, cost_micros: 0 });
        let held = async || -> i64 { control.own_holds().await.unwrap().iter().map(|row| row.amount).sum() };
        let first = reserve().await.unwrap();
        let read = control.own_holds().await.unwrap();
        drop(first);
        control.pay(control.inner.shares.due(true)).await;
        let lost = control.lost(read);
        assert!(!lost.is_empty() && held().await == 0, "it looks lost, and was paid meanwhile");
        let second = reserve().await.unwrap();
        let holds = held().await; // as much as the first request used
        control.give_back_lost(lost).await.unwrap();
        assert_eq!((held().await, holds >= 1_000), (holds, true));
        drop(second);
    }
}
