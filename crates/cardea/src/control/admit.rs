//! Rate and concurrency limits, which a request must pass before anything is done for it. Money and tokens are in
//! `budget`.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use cardea_auth::Caller;
use cardea_core::{Code, Error, Result, message::Usage, principal::Principal, time::Millis};
use cardea_store::{Commit, shared::Taken};

use super::{
    Control,
    budget::{Estimate, Reserved},
};

/// Names of the token buckets: one for all requests, one for revocations.
const REQUESTS: &str = "rate";
const REVOCATIONS: &str = "rate/revoke";

/// Proof that rate and concurrency limits have passed and that a budget is reserved. Dropping it returns the
/// reservation.
///
/// Only this room makes one:
///
/// ```compile_fail,E0451
/// # use cardea::control::Admission;
/// fn forged(admitted: Admission) -> Admission {
///     Admission { reserved: None, ..admitted }
/// }
/// ```
#[must_use = "dropping it gives the place and the reservation back"]
#[derive(Debug)]
pub struct Admission {
    _place: Slot,
    reserved: Option<Reserved>,
}

/// Requests in progress: in total, per tenant, and per user.
#[derive(Debug)]
pub(super) struct Slots {
    limits: [u32; 3],
    taken: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: u32,
    tenants: HashMap<String, u32>,
    users: HashMap<String, u32>,
}

/// A place among the requests in progress.
#[derive(Debug)]
struct Slot {
    slots: Arc<Slots>,
    tenant: String,
    user: String,
}

/// A place among the open event streams.
#[must_use = "dropping it gives the place back"]
#[derive(Debug)]
pub struct Listening {
    _place: Slot,
}

/// The scope whose places are all taken.
#[derive(Debug, PartialEq, Eq)]
enum Full {
    User(u32),
    Tenant(u32),
    All,
}

impl Full {
    /// WHY: a user or tenant can end its own requests; that the server is full is not in anybody's power.
    fn error(&self) -> Error {
        let (whose, most) = match self {
            Self::User(most) => ("You have", most),
            Self::Tenant(most) => ("Your tenant has", most),
            Self::All => return Error::new(Code::Overloaded),
        };
        let detail = format!("{whose} {most} requests in work, which is the most; wait until one has ended.");
        Error::new(Code::RateLimited).detail(detail)
    }
}

impl Slots {
    pub(super) fn new(limits: [u32; 3]) -> Self {
        Self { limits, taken: Mutex::default() }
    }

    fn take(self: &Arc<Self>, tenant: &str, user: &str) -> Result<Slot, Full> {
        let [all, per_tenant, per_user] = self.limits;
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_tenant = taken.tenants.get(tenant).copied().unwrap_or(0);
        let of_user = taken.users.get(user).copied().unwrap_or(0);
        if of_user >= per_user {
            return Err(Full::User(per_user));
        }
        if of_tenant >= per_tenant {
            return Err(Full::Tenant(per_tenant));
        }
        if taken.all >= all {
            return Err(Full::All);
        }
        taken.all += 1;
        taken.tenants.insert(tenant.to_owned(), of_tenant + 1);
        taken.users.insert(user.to_owned(), of_user + 1);
        Ok(Slot { slots: Arc::clone(self), tenant: tenant.to_owned(), user: user.to_owned() })
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

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(1);
        one_less(&mut taken.tenants, &self.tenant);
        one_less(&mut taken.users, &self.user);
    }
}

impl Control {
    /// Admits a request, or refuses it with the reason and the time to try again.
    ///
    /// # Errors
    /// `draining`, `overloaded`, `rate_limited`, `budget_spent`, or a store error.
    pub async fn admit(&self, caller: &Caller, estimate: Estimate) -> Result<Admission> {
        if self.inner.jobs.draining() {
            return Err(Error::new(Code::Draining));
        }
        let (tenant, user) = (caller.tenant.to_string(), caller.key());
        self.take_rate(REQUESTS, &tenant, &user).await?;
        let place = self.place(&tenant, &user)?;
        // A request with a zero estimate passes even if the budget is spent.
        let reserved = match estimate == Estimate::default() {
            true => None,
            false => self.reserve(&tenant, &user, estimate).await?,
        };
        Ok(Admission { _place: place, reserved })
    }

    /// Counts a request that asks no agent, model or tool but leaves something behind or takes long.
    ///
    /// # Errors
    /// `rate_limited`.
    pub async fn count(&self, caller: &Caller) -> Result<()> {
        self.take_rate(REQUESTS, caller.tenant.as_str(), &caller.key()).await
    }

    /// Counts a revocation, with the same rate as requests. Revocations have buckets of their own, so that a thief who
    /// uses up the rate with a stolen token cannot keep its owner from revoking it.
    ///
    /// # Errors
    /// `rate_limited`.
    pub async fn count_revocation(&self, caller: &Caller) -> Result<()> {
        self.take_rate(REVOCATIONS, caller.tenant.as_str(), &caller.key()).await
    }

    /// Takes a place for an event stream, which stays open for as long as its turn. Each stream occupies a connection,
    /// and connections are limited.
    ///
    /// # Errors
    /// `rate_limited` if the caller has as many streams as one user may.
    pub fn listen(&self, caller: &Caller) -> Result<Listening> {
        let most = self.inner.settings.streams_per_user;
        match self.inner.streams.take(caller.tenant.as_str(), &caller.key()) {
            Ok(place) => Ok(Listening { _place: place }),
            Err(_) => {
                let detail = format!("You have {most} streams open, which is the most; close one.");
                Err(Error::new(Code::RateLimited).detail(detail).retry_after(Millis::from_secs(1)))
            }
        }
    }

    /// Admits a turn that was admitted before. It has passed rate and budget once, and what it has begun must be
    /// ended. It reserves nothing of the budget, but pays what it uses, even beyond the limit.
    ///
    /// # Errors
    /// `overloaded`, or a store error.
    pub async fn admit_again(&self, who: &Principal) -> Result<Admission> {
        let (tenant, user) = (who.tenant.to_string(), who.key());
        let place = self.place(&tenant, &user)?;
        let reserved = self.account(&tenant, &user).await?;
        Ok(Admission { _place: place, reserved })
    }

    /// Returns the rows that pay for usage out of the reservation. They belong in the commit that records the usage,
    /// so that no crash comes between the two. [`Control::paid`] must follow once they are durable.
    pub fn bill(&self, admission: &Admission, used: Estimate) -> Commit {
        admission.reserved.as_ref().map(|reserved| self.payment(reserved, used)).unwrap_or_default()
    }

    /// Releases the admission after its bill has become durable. Nothing is left to return.
    pub fn paid(&self, mut admission: Admission) {
        if let Some(reserved) = admission.reserved.take() {
            reserved.paid();
        }
    }

    /// Pays for usage out of the reservation within a tenth of a second, where nothing else is written.
    pub fn settle(&self, mut admission: Admission, usage: Usage, cost_micros: u64) {
        if let Some(reserved) = admission.reserved.take() {
            reserved.settle(Estimate { tokens: usage.total(), cost_micros });
        }
    }

    fn place(&self, tenant: &str, user: &str) -> Result<Slot> {
        let place = self.inner.slots.take(tenant, user);
        place.map_err(|full| full.error().retry_after(Millis::from_secs(1)))
    }

    async fn take_rate(&self, bucket: &str, tenant: &str, user: &str) -> Result<()> {
        let (settings, shared) = (&self.inner.settings, &self.inner.shared);
        let limited = |after: Option<Millis>| {
            Err(Error::new(Code::RateLimited).retry_after(after.unwrap_or(Millis::from_secs(60))))
        };
        let of_user = format!("{bucket}/user/{user}");
        if let Taken::No { after } = shared.take(&of_user, settings.per_user, 1).await {
            return limited(after);
        }
        let of_tenant = format!("{bucket}/tenant/{tenant}");
        if let Taken::No { after } = shared.take(&of_tenant, settings.per_tenant, 1).await {
            shared.give_back(&of_user, settings.per_user, 1).await; // the refusal is not the user's doing
            return limited(after);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_cannot_take_the_places_of_all() {
        let slots = Arc::new(Slots::new([3, 2, 1]));
        let ann = slots.take("acme", "ann").unwrap();
        assert_eq!(slots.take("acme", "ann").unwrap_err(), Full::User(1));
        let _bob = slots.take("acme", "bob").unwrap();
        assert_eq!(slots.take("acme", "eve").unwrap_err(), Full::Tenant(2));
        let _zed = slots.take("other", "zed").unwrap();
        assert_eq!(slots.take("third", "zoe").unwrap_err(), Full::All);
        drop(ann);
        assert!(slots.take("acme", "eve").is_ok(), "a place that was given back");
    }
}
