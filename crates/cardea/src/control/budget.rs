//! Budgets: reserved before anything is done, paid in the commit that says what was used.
//!
//! What a node has reserved stands beside its name as well: should it die, that is given back by itself at its next
//! start, or by another node once its lease has run out. What it holds in the database and knows nothing of any more,
//! because a commit failed on the way, it gives back within seconds.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use cardea_core::{
    Code, Error, Result,
    message::Usage,
    policy::limit::{month, until_next_month},
    time::Millis,
};
use cardea_store::{Commit, CommitError, args};

use super::{
    Admission, Control, Estimate,
    till::{Change, Place, pay},
};

/// The units that a budget counts, as its rows name them.
pub(super) const TOKENS: &str = "tokens";
pub(super) const MICROS: &str = "micros";

/// When to come again where requests in work hold what is left.
const HELD: Millis = Millis::from_secs(1);

/// A limit for one calendar month. Nothing set: no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Budget {
    /// Tokens, read and written.
    pub tokens: Option<u64>,
    /// Money, in millionths.
    pub cost_micros: Option<u64>,
}

impl Budget {
    pub(super) const fn is_set(&self) -> bool {
        self.tokens.is_some() || self.cost_micros.is_some()
    }
}

/// Node, tenant, account, period, unit and amount.
type Held = (String, String, String, String, String, i64);

/// What this process holds for requests in work, or is about to. Never less than what the database says of them.
#[derive(Debug, Default)]
pub(super) struct Holding(Mutex<HashMap<Place, u64>>);

impl Holding {
    fn change(&self, reserved: &Reserved, change: impl Fn(u64, u64) -> u64) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (place, amount) in &reserved.held {
            let held = all.entry(place.clone()).or_default();
            *held = change(*held, *amount);
        }
        all.retain(|_, held| *held > 0);
    }

    fn of(&self, place: &Place) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(place).copied().unwrap_or(0)
    }
}

/// What is reserved for one request.
#[derive(Debug)]
pub(super) struct Reserved {
    holding: Arc<Holding>,
    /// How much of each row, of those that have a budget.
    held: Vec<(Place, u64)>,
    amount: Estimate,
}

impl Reserved {
    /// True if there is nothing to give back.
    pub(super) fn is_nothing(&self) -> bool {
        self.amount == Estimate::default()
    }

    /// What is to be done to pay this out of it.
    fn payment(&self, used: Estimate) -> impl Iterator<Item = (&Place, u64, u64)> {
        let used = move |unit| if unit == TOKENS { used.tokens } else { used.cost_micros };
        self.held.iter().map(move |(place, held)| (place, *held, used(place.unit)))
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        Arc::clone(&self.holding).change(self, u64::saturating_sub);
    }
}

impl Control {
    pub(super) async fn reserve(
        &self,
        tenant: &str,
        user: &str,
        estimate: Estimate,
    ) -> Result<Option<Reserved>> {
        let rows = self.budgeted(tenant, user);
        if rows.is_empty() {
            return Ok(None);
        }
        let amount =
            |place: &Place| if place.unit == TOKENS { estimate.tokens } else { estimate.cost_micros };
        let held = rows.iter().map(|(place, _)| (place.clone(), amount(place))).collect();
        let changes = rows
            .iter()
            .map(|(place, limit)| (place.clone(), Change::Reserve { amount: amount(place), limit: *limit }));
        let changes = changes.collect();
        let reserved = Reserved { holding: Arc::clone(&self.inner.holding), held, amount: estimate };
        // INVARIANT: counted here before it is written, so that nothing of it can seem to be lost.
        self.inner.holding.change(&reserved, u64::saturating_add);
        match self.change(changes).await {
            Ok(()) => Ok(Some(reserved)),
            Err(CommitError::Conflict(_)) => Err(self.no_room(&rows, amount).await?),
            Err(error) => Err(error.into()),
        }
    }

    /// The rows of which a request of this user is paid, and their limits. None if there is no budget.
    fn budgeted(&self, tenant: &str, user: &str) -> Vec<(Place, Option<u64>)> {
        let settings = &self.inner.settings;
        let period = month(self.now());
        [(user, settings.user_budget), ("", settings.tenant_budget)]
            .into_iter()
            .filter(|(_, budget)| budget.is_set())
            .flat_map(|(account, budget)| {
                let place = |unit| Place {
                    tenant: tenant.to_owned(),
                    account: account.to_owned(),
                    period: period.clone(),
                    unit,
                };
                [(place(TOKENS), budget.tokens), (place(MICROS), budget.cost_micros)]
            })
            .collect()
    }

    /// Holds nothing, and pays all the same: for a turn that was let in before.
    pub(super) async fn account(&self, tenant: &str, user: &str) -> Result<Option<Reserved>> {
        let rows = self.budgeted(tenant, user);
        if rows.is_empty() {
            return Ok(None);
        }
        let nothing = Change::Reserve { amount: 0, limit: None };
        self.change(rows.iter().map(|(place, _)| (place.clone(), nothing)).collect()).await?;
        let held = rows.into_iter().map(|(place, _)| (place, 0)).collect();
        let holding = Arc::clone(&self.inner.holding);
        Ok(Some(Reserved { holding, held, amount: Estimate::default() }))
    }

    /// Why there is no room for a request, and when there will be.
    async fn no_room(&self, rows: &[(Place, Option<u64>)], amount: impl Fn(&Place) -> u64) -> Result<Error> {
        let error = Error::new(Code::BudgetSpent);
        for (place, limit) in rows {
            let Some(limit) = *limit else { continue };
            let (amount, spent) = (amount(place), self.spent(place).await?);
            let left = limit.saturating_sub(spent);
            if amount > left || left == 0 {
                let whose = if place.account.is_empty() { "tenant" } else { "user" };
                let unit = if place.unit == TOKENS { TOKENS } else { "millionths of a US dollar" };
                let detail = format!(
                    "The {whose} has {left} of {limit} {unit} left for this month, and this may use up to {amount}."
                );
                let error = error.detail(detail);
                // What is larger than the whole budget will not fit next month either.
                return Ok(if amount > limit {
                    error.hopeless()
                } else {
                    error.retry_after(until_next_month(self.now()))
                });
            }
        }
        let detail = "What is left of it is held by requests in work, which give back what they do not use.";
        Ok(error.detail(detail).retry_after(HELD))
    }

    async fn spent(&self, place: &Place) -> Result<u64> {
        let sql =
            "SELECT spent FROM budgets WHERE tenant = $1 AND user_id = $2 AND period = $3 AND unit = $4";
        let args = args![&place.tenant, &place.account, &place.period, place.unit];
        let rows: Vec<(u64,)> = self.inner.db.rows(sql, args).await?;
        Ok(rows.first().map_or(0, |row| row.0))
    }

    /// The rows by which a budget pays what was used out of what was reserved: they belong into the commit that says
    /// what was used, so that no crash comes between the two. [`Control::paid`] must follow once they are durable.
    pub fn bill(&self, admission: &Admission, used: Estimate) -> Commit {
        let here = (self.inner.settings.node.as_str(), self.now());
        let payment = admission.reserved.iter().flat_map(|reserved| reserved.payment(used));
        payment.fold(Commit::new(), |commit, (place, held, used)| pay(commit, place, (held, used), here))
    }

    /// The bill is durable: nothing is left to give back.
    pub fn paid(&self, mut admission: Admission) {
        admission.reserved = None;
    }

    /// Pays what was used out of what was reserved, where nothing else is written.
    pub async fn settle(&self, mut admission: Admission, usage: Usage, cost_micros: u64) {
        if let Some(reserved) = admission.reserved.take() {
            self.pay(&reserved, Estimate { tokens: usage.total(), cost_micros }).await;
        }
    }

    pub(super) async fn pay(&self, reserved: &Reserved, used: Estimate) {
        let payment = reserved.payment(used);
        let changes =
            payment.map(|(place, held, used)| (place.clone(), Change::Pay { held, used })).collect();
        if let Err(error) = self.change(changes).await {
            // The reservation stands for a moment, so the budget errs on the safe side.
            tracing::error!(error.cause = %error, "a budget could not be settled");
        }
    }

    /// Gives back what an earlier process of this node did not live to settle. Only before the first request.
    ///
    /// # Errors
    /// What the store says.
    pub async fn forget_reservations(&self) -> Result<()> {
        self.give_back(self.own_holds().await?).await
    }

    /// Gives back what this node holds in the database and not for any request: a commit failed on the way.
    ///
    /// # Errors
    /// What the store says.
    pub async fn forget_lost_reservations(&self) -> Result<()> {
        let mut lost = Vec::new();
        for (node, tenant, user, period, unit, amount) in self.own_holds().await? {
            let place = Place {
                tenant: tenant.clone(),
                account: user.clone(),
                period: period.clone(),
                unit: if unit == TOKENS { TOKENS } else { MICROS },
            };
            let live = i64::try_from(self.inner.holding.of(&place)).unwrap_or(i64::MAX);
            if amount > live {
                lost.push((node, tenant, user, period, unit, (amount, live)));
            }
        }
        for (node, tenant, user, period, unit, (amount, live)) in lost {
            // INVARIANT: if anything was reserved or paid since it was read, nothing is given back now.
            let commit = Commit::new()
                .guard(
                    "hold",
                    "UPDATE budget_holds SET amount = $7 WHERE node = $1 AND tenant = $2 AND user_id = $3 \
                     AND period = $4 AND unit = $5 AND amount = $6",
                    args![node, &tenant, &user, &period, &unit, amount, live],
                )
                .and(self.less_reserved((&tenant, &user, &period, &unit), amount - live));
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

    fn less_reserved(&self, (tenant, user, period, unit): (&str, &str, &str, &str), by: i64) -> Commit {
        Commit::new().run(
            "UPDATE budgets SET reserved = CASE WHEN reserved > $5 THEN reserved - $5 ELSE 0 END, \
             updated_at = $6 WHERE tenant = $1 AND user_id = $2 AND period = $3 AND unit = $4",
            args![tenant, user, period, unit, by, self.now()],
        )
    }

    /// Gives back what nodes hold that have died, as their leases say.
    ///
    /// # Errors
    /// What the store says.
    pub async fn forget_dead_nodes(&self) -> Result<()> {
        let sql = "SELECT node, tenant, user_id, period, unit, amount FROM budget_holds h WHERE node <> $1 \
                   AND NOT EXISTS (SELECT 1 FROM leases l WHERE l.name = 'node/' || h.node AND l.expires_at > $2)";
        let dead = self.inner.db.rows(sql, args![&self.inner.settings.node, self.now()]).await?;
        self.give_back(dead).await
    }

    async fn give_back(&self, held: Vec<Held>) -> Result<()> {
        for (node, tenant, user, period, unit, amount) in held {
            // INVARIANT: of several nodes that find it, the one that takes the row away gives it back.
            let commit = Commit::new()
                .guard(
                    "hold",
                    "DELETE FROM budget_holds WHERE node = $1 AND tenant = $2 AND user_id = $3 AND period = $4 \
                     AND unit = $5 AND amount = $6",
                    args![node, &tenant, &user, &period, &unit, amount],
                )
                .and(self.less_reserved((&tenant, &user, &period, &unit), amount));
            match self.inner.db.commit(commit).await {
                Ok(()) | Err(CommitError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
