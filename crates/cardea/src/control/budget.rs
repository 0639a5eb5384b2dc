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

use super::{
    Admission, Control, Estimate,
    till::{Change, Place, pay},
};

/// The units that a budget counts, as its rows name them.
const TOKENS: &str = "tokens";
const MICROS: &str = "micros";

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
        let settings = &self.inner.settings;
        let limited: Vec<(String, Budget)> =
            [(user.to_owned(), settings.user_budget), (String::new(), settings.tenant_budget)]
                .into_iter()
                .filter(|(_, budget)| budget.is_set())
                .collect();
        if limited.is_empty() {
            return Ok(None);
        }
        let period = month(self.now());
        let (mut held, mut changes) = (Vec::new(), Vec::new());
        for (account, budget) in limited {
            for (unit, amount, limit) in
                [(TOKENS, estimate.tokens, budget.tokens), (MICROS, estimate.cost_micros, budget.cost_micros)]
            {
                let (tenant, account, period) = (tenant.to_owned(), account.clone(), period.clone());
                let place = Place { tenant, account, period, unit };
                held.push((place.clone(), amount));
                changes.push((place, Change::Reserve { amount, limit }));
            }
        }
        let reserved = Reserved { holding: Arc::clone(&self.inner.holding), held, amount: estimate };
        // INVARIANT: counted here before it is written, so that nothing of it can seem to be lost.
        self.inner.holding.change(&reserved, u64::saturating_add);
        match self.change(changes).await {
            Ok(()) => Ok(Some(reserved)),
            Err(CommitError::Conflict(_)) => {
                Err(Error::new(Code::BudgetSpent).retry_after(until_next_month(self.now())))
            }
            Err(error) => Err(error.into()),
        }
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
