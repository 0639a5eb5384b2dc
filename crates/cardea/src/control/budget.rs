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
};
use cardea_store::{Commit, CommitError, args};

use super::{Admission, Control, Estimate};

/// A limit for one calendar month. Nothing set: no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Budget {
    /// Tokens, read and written.
    pub tokens: Option<u64>,
    /// Money, in millionths.
    pub cost_micros: Option<u64>,
}

impl Budget {
    const fn is_set(&self) -> bool {
        self.tokens.is_some() || self.cost_micros.is_some()
    }
}

/// Node, tenant, account, period, unit and amount.
type Held = (String, String, String, String, String, i64);

/// Tenant, account, period and unit.
type Place = (String, String, String, &'static str);

/// What this process holds for requests in work, or is about to. Never less than what the database says of them.
#[derive(Debug, Default)]
pub(super) struct Holding(Mutex<HashMap<Place, u64>>);

impl Holding {
    fn change(&self, reserved: &Reserved, change: impl Fn(u64, u64) -> u64) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for account in &reserved.accounts {
            for (unit, amount) in
                [("tokens", reserved.amount.tokens), ("micros", reserved.amount.cost_micros)]
            {
                let place = (reserved.tenant.clone(), account.clone(), reserved.period.clone(), unit);
                let held = all.entry(place).or_default();
                *held = change(*held, amount);
            }
        }
        all.retain(|_, held| *held > 0);
    }

    fn of(&self, tenant: &str, account: &str, period: &str, unit: &str) -> u64 {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let unit = if unit == "tokens" { "tokens" } else { "micros" };
        all.get(&(tenant.to_owned(), account.to_owned(), period.to_owned(), unit)).copied().unwrap_or(0)
    }
}

/// What is reserved for one request.
#[derive(Debug)]
pub(super) struct Reserved {
    holding: Arc<Holding>,
    tenant: String,
    /// The user's key and the tenant's (empty), where they have a budget.
    accounts: Vec<String>,
    period: String,
    pub(super) amount: Estimate,
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
        let settings = &self.inner.settings;
        let limited: Vec<(String, Budget)> =
            [(user.to_owned(), settings.user_budget), (String::new(), settings.tenant_budget)]
                .into_iter()
                .filter(|(_, budget)| budget.is_set())
                .collect();
        if limited.is_empty() {
            return Ok(None);
        }
        let (now, period) = (self.now(), month(self.now()));
        let accounts = limited.iter().map(|(account, _)| account.clone()).collect();
        let holding = Arc::clone(&self.inner.holding);
        let reserved = Reserved {
            holding,
            tenant: tenant.to_owned(),
            accounts,
            period: period.clone(),
            amount: estimate,
        };
        // INVARIANT: counted here before it is written, so that nothing of it can seem to be lost.
        self.inner.holding.change(&reserved, u64::saturating_add);
        let mut commit = Commit::new();
        for (account, budget) in &limited {
            for (unit, amount, limit) in [
                ("tokens", estimate.tokens, budget.tokens),
                ("micros", estimate.cost_micros, budget.cost_micros),
            ] {
                commit = commit.run(
                    "INSERT INTO budgets (tenant, user_id, period, unit, updated_at) VALUES ($1, $2, $3, $4, $5) \
                     ON CONFLICT DO NOTHING",
                    args![tenant, account, &period, unit, now],
                );
                // INVARIANT: what is reserved and spent never passes the limit; the guard and the write are one.
                commit = commit.guard(
                    "budget",
                    "UPDATE budgets SET reserved = reserved + $5, updated_at = $6 \
                     WHERE tenant = $1 AND user_id = $2 AND period = $3 AND unit = $4 \
                     AND spent + reserved < $7 AND spent + reserved + $5 <= $7",
                    args![tenant, account, &period, unit, amount, now, limit.unwrap_or(i64::MAX as u64)],
                );
                commit = commit.run(
                    "INSERT INTO budget_holds (node, tenant, user_id, period, unit, amount) \
                     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (node, tenant, user_id, period, unit) \
                     DO UPDATE SET amount = budget_holds.amount + excluded.amount",
                    args![&settings.node, tenant, account, &period, unit, amount],
                );
            }
        }
        match self.inner.db.commit(commit).await {
            Ok(()) => {}
            Err(CommitError::Conflict(_)) => {
                return Err(Error::new(Code::BudgetSpent).retry_after(until_next_month(now)));
            }
            Err(error) => return Err(error.into()),
        }
        Ok(Some(reserved))
    }

    /// The rows by which a budget pays what was used out of what was reserved: they belong into the commit that says
    /// what was used, so that no crash comes between the two. [`Control::paid`] must follow once they are durable.
    pub fn bill(&self, admission: &Admission, used: Estimate) -> Commit {
        admission.reserved.as_ref().map_or_else(Commit::new, |reserved| self.payment(reserved, used))
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

    fn payment(&self, reserved: &Reserved, used: Estimate) -> Commit {
        let node = &self.inner.settings.node;
        let mut commit = Commit::new();
        for account in &reserved.accounts {
            for (unit, amount, used) in [
                ("tokens", reserved.amount.tokens, used.tokens),
                ("micros", reserved.amount.cost_micros, used.cost_micros),
            ] {
                // WHY: what a node held that was taken for dead is given back already; it is given back once.
                commit = commit.run(
                    "UPDATE budgets SET spent = spent + $6, updated_at = $7, reserved = reserved - CASE \
                     WHEN NOT EXISTS (SELECT 1 FROM budget_holds h WHERE h.node = $8 AND h.tenant = $1 \
                       AND h.user_id = $2 AND h.period = $3 AND h.unit = $4 AND h.amount >= $5) THEN 0 \
                     WHEN reserved > $5 THEN $5 ELSE reserved END \
                     WHERE tenant = $1 AND user_id = $2 AND period = $3 AND unit = $4",
                    args![&reserved.tenant, account, &reserved.period, unit, amount, used, self.now(), node],
                );
                commit = commit.run(
                    "UPDATE budget_holds SET amount = amount - $6 WHERE node = $1 AND tenant = $2 \
                     AND user_id = $3 AND period = $4 AND unit = $5 AND amount >= $6",
                    args![node, &reserved.tenant, account, &reserved.period, unit, amount],
                );
            }
        }
        commit
    }

    pub(super) async fn pay(&self, reserved: &Reserved, used: Estimate) {
        if let Err(error) = self.inner.db.commit(self.payment(reserved, used)).await {
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
            let live = self.inner.holding.of(&tenant, &user, &period, &unit);
            let live = i64::try_from(live).unwrap_or(i64::MAX);
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
