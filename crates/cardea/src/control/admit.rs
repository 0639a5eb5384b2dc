//! Rate, load and budget: what a request must pass before anything is done for it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use cardea_auth::Caller;
use cardea_core::{
    Code, Error, Result,
    message::Usage,
    policy::limit::{month, until_next_month},
    time::Millis,
};
use cardea_store::{Commit, CommitError, args, shared::Taken};

use super::Control;

/// What a request may use up at most, as far as anybody can say before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Tokens, read and written.
    pub tokens: u64,
    /// Money, in millionths.
    pub cost_micros: u64,
}

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

/// Proof that rate and load passed and that a budget is reserved. What was reserved is given back when it is dropped.
#[must_use = "dropping it gives the place and the reservation back"]
#[derive(Debug)]
pub struct Admission {
    control: Control,
    _place: Place,
    reserved: Option<Reserved>,
}

#[derive(Debug, Clone)]
struct Reserved {
    tenant: String,
    /// The user's key and the tenant's (empty), where they have a budget.
    accounts: Vec<String>,
    period: String,
    amount: Estimate,
}

impl Drop for Admission {
    fn drop(&mut self) {
        if let Some(reserved) = self.reserved.take().filter(|reserved| reserved.amount != Estimate::default())
        {
            let control = self.control.clone();
            self.control.inner.jobs.spawn("give back", async move {
                control.pay(&reserved, Estimate::default()).await;
            });
        }
    }
}

/// Requests in work: everybody's, each tenant's, each user's.
#[derive(Debug)]
pub(super) struct Places {
    limits: [u32; 3],
    taken: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: u32,
    tenants: HashMap<String, u32>,
    users: HashMap<String, u32>,
}

/// A place among the requests in work.
#[derive(Debug)]
struct Place {
    places: Arc<Places>,
    tenant: String,
    user: String,
}

impl Places {
    pub(super) fn new(limits: [u32; 3]) -> Self {
        Self { limits, taken: Mutex::default() }
    }

    fn take(self: &Arc<Self>, tenant: &str, user: &str) -> Option<Place> {
        let [all, per_tenant, per_user] = self.limits;
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_tenant = taken.tenants.get(tenant).copied().unwrap_or(0);
        let of_user = taken.users.get(user).copied().unwrap_or(0);
        if taken.all >= all || of_tenant >= per_tenant || of_user >= per_user {
            return None;
        }
        taken.all += 1;
        taken.tenants.insert(tenant.to_owned(), of_tenant + 1);
        taken.users.insert(user.to_owned(), of_user + 1);
        Some(Place { places: Arc::clone(self), tenant: tenant.to_owned(), user: user.to_owned() })
    }
}

fn one_less(counts: &mut HashMap<String, u32>, key: &str) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(1);
        one_less(&mut taken.tenants, &self.tenant);
        one_less(&mut taken.users, &self.user);
    }
}

impl Control {
    /// Lets a request in, or says why not and when to try again.
    ///
    /// # Errors
    /// `draining`, `overloaded`, `rate_limited`, `budget_spent`, or what the store says.
    pub async fn admit(&self, caller: &Caller, estimate: Estimate) -> Result<Admission> {
        if self.inner.jobs.draining() {
            return Err(Error::new(Code::Draining));
        }
        let (tenant, user) = (caller.tenant.to_string(), caller.key());
        self.take_rate(&tenant, &user).await?;
        let place = self.inner.places.take(&tenant, &user);
        let place = place.ok_or_else(|| Error::new(Code::Overloaded).retry_after(Millis::from_secs(1)))?;
        let reserved = self.reserve(&tenant, &user, estimate).await?;
        Ok(Admission { control: self.clone(), _place: place, reserved })
    }

    async fn take_rate(&self, tenant: &str, user: &str) -> Result<()> {
        let settings = &self.inner.settings;
        for (key, rate) in [
            (format!("rate/user/{user}"), settings.per_user),
            (format!("rate/tenant/{tenant}"), settings.per_tenant),
        ] {
            if let Taken::No { after } = self.inner.shared.take(&key, rate, 1).await {
                let after = after.unwrap_or(Millis::from_secs(60));
                return Err(Error::new(Code::RateLimited).retry_after(after));
            }
        }
        Ok(())
    }

    async fn reserve(&self, tenant: &str, user: &str, estimate: Estimate) -> Result<Option<Reserved>> {
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
            }
        }
        match self.inner.db.commit(commit).await {
            Ok(()) => {}
            Err(CommitError::Conflict(_)) => {
                return Err(Error::new(Code::BudgetSpent).retry_after(until_next_month(now)));
            }
            Err(error) => return Err(error.into()),
        }
        let accounts = limited.into_iter().map(|(account, _)| account).collect();
        Ok(Some(Reserved { tenant: tenant.to_owned(), accounts, period, amount: estimate }))
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
        let mut commit = Commit::new();
        for account in &reserved.accounts {
            for (unit, amount, used) in [
                ("tokens", reserved.amount.tokens, used.tokens),
                ("micros", reserved.amount.cost_micros, used.cost_micros),
            ] {
                commit = commit.run(
                    "UPDATE budgets SET reserved = CASE WHEN reserved > $5 THEN reserved - $5 ELSE 0 END, \
                     spent = spent + $6, updated_at = $7 \
                     WHERE tenant = $1 AND user_id = $2 AND period = $3 AND unit = $4",
                    args![&reserved.tenant, account, &reserved.period, unit, amount, used, self.now()],
                );
            }
        }
        commit
    }

    async fn pay(&self, reserved: &Reserved, used: Estimate) {
        if let Err(error) = self.inner.db.commit(self.payment(reserved, used)).await {
            // The reservation stands, so the budget errs on the safe side.
            tracing::error!(error.cause = %error, "a budget could not be settled");
        }
    }

    /// Frees reservations of requests that an earlier process of the only node did not live to settle.
    ///
    /// # Errors
    /// What the store says.
    pub async fn forget_reservations(&self) -> Result<()> {
        let commit = Commit::new().run("UPDATE budgets SET reserved = 0 WHERE reserved > 0", args![]);
        Ok(self.inner.db.commit(commit).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_cannot_take_the_places_of_all() {
        let places = Arc::new(Places::new([3, 2, 1]));
        let ann = places.take("acme", "ann").unwrap();
        assert!(places.take("acme", "ann").is_none(), "one for each user");
        let _bob = places.take("acme", "bob").unwrap();
        assert!(places.take("acme", "eve").is_none(), "two for each tenant");
        let _zed = places.take("other", "zed").unwrap();
        assert!(places.take("third", "zoe").is_none(), "three in all");
        drop(ann);
        assert!(places.take("acme", "eve").is_some(), "a place that was given back");
    }
}
