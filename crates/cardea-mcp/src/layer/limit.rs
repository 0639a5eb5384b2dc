//! How often, and how many at once.

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use cardea_core::{Code, Error, Result, principal::Principal, time::Millis};
use cardea_net::counted_as;
use governor::{DefaultKeyedRateLimiter, Quota, clock::Clock as _};

use super::{
    Layer, Next,
    seat::{Room, Taken},
};
use crate::{
    BoxFuture, Context,
    call::{Call, Reply},
};

/// Over this many keys the buckets that are full again are dropped.
const KEYS: usize = 10_000;
/// They are looked for after this time, and earlier where there are twice as many as were left.
const SWEEP_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Per {
    User,
    Client,
    Tenant,
}

/// A number of calls in a length of time, for each user, client or tenant.
pub struct Rate {
    per: Per,
    each_tool: bool,
    limiter: DefaultKeyedRateLimiter<String>,
    swept: Mutex<Swept>,
}

/// The last time that full buckets were dropped, and how many were left.
#[derive(Default)]
struct Swept {
    at: Option<Instant>,
    left: usize,
}

impl Swept {
    fn is_due(&self, keys: usize) -> bool {
        self.at.is_none_or(|at| at.elapsed() >= SWEEP_AFTER) || keys / 2 >= self.left.max(KEYS)
    }
}

impl Rate {
    fn new(per: Per, calls: u32, window: Millis) -> Self {
        let calls = NonZeroU32::new(calls).unwrap_or(NonZeroU32::MIN);
        let step =
            window.duration().checked_div(calls.get()).unwrap_or_default().max(Duration::from_nanos(1));
        let quota = Quota::with_period(step).unwrap_or_else(|| Quota::per_second(calls)).allow_burst(calls);
        let limiter = DefaultKeyedRateLimiter::keyed(quota);
        Self { per, each_tool: false, limiter, swept: Mutex::default() }
    }

    /// For each user of each tenant. A user without sign-in is an address, or a network of IPv6 (its first 64 bits).
    #[must_use]
    pub fn per_user(calls: u32, window: Millis) -> Self {
        Self::new(Per::User, calls, window)
    }

    /// For each client or API key, together for all its users; a user without a client counts alone.
    #[must_use]
    pub fn per_client(calls: u32, window: Millis) -> Self {
        Self::new(Per::Client, calls, window)
    }

    /// For each tenant, together for all its users.
    #[must_use]
    pub fn per_tenant(calls: u32, window: Millis) -> Self {
        Self::new(Per::Tenant, calls, window)
    }

    /// Counts each tool alone.
    #[must_use]
    pub fn each_tool(mut self) -> Self {
        self.each_tool = true;
        self
    }

    /// `known` is what the called goes by: never the caller's own text, of which there is no end.
    pub(crate) fn take(&self, context: &Context, known: &str) -> Result<()> {
        self.sweep();
        let not_until = match self.limiter.check_key(&self.key(context, known)) {
            Ok(()) => return Ok(()),
            Err(not_until) => not_until,
        };
        let wait = not_until.wait_time_from(self.limiter.clock().now());
        Err(Error::new(Code::RateLimited).retry_after(Millis(Millis::from(wait).0.saturating_add(1))))
    }

    /// Drops buckets that are full again. WHY not at each call: it looks at all of them.
    fn sweep(&self) {
        let keys = self.limiter.len();
        if keys <= KEYS {
            return;
        }
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        if swept.is_due(keys) {
            self.limiter.retain_recent();
            *swept = Swept { at: Some(Instant::now()), left: self.limiter.len() };
        }
    }

    fn key(&self, context: &Context, known: &str) -> String {
        let mut key = match (context.caller(), self.per) {
            (None, _) => context.address().map(|address| counted_as(address).to_string()).unwrap_or_default(),
            (Some(caller), Per::Tenant) => format!("t:{}", caller.tenant),
            (Some(Principal { client: Some(client), issuer, .. }), Per::Client) => {
                format!("c:{issuer}:{client}")
            }
            (Some(_), _) => format!("u:{}", context.owner().unwrap_or_default()),
        };
        if self.each_tool {
            key.push('|');
            key.push_str(known);
        }
        key
    }
}

/// For the tools of one router: it stands behind guards and the check of arguments, so that only calls that would run
/// are counted. The server's own limit ([`super::Layers::rate`]) stands before them and counts every call.
impl Layer for Rate {
    fn call(self: Arc<Self>, call: Call, next: Next) -> BoxFuture<'static, Reply> {
        Box::pin(async move {
            self.take(call.context(), call.tool())?;
            next.run(call).await
        })
    }
}

/// A number of calls at once. Others wait for a seat, and are refused when the wait is over. A call that waits for its user
/// ([`Context::ask`]) needs none meanwhile.
pub struct Concurrency {
    room: Room,
    wait: Duration,
}

impl Concurrency {
    /// So many calls at once, and so long a wait for a seat.
    #[must_use]
    pub fn new(calls: usize, wait: Millis) -> Self {
        Self { room: Room::new(calls), wait: wait.duration() }
    }

    pub(crate) async fn seat(&self) -> Result<Taken> {
        let (room, seats) = (self.room.clone(), &self.room.seats);
        if let Ok(seat) = seats.clone().try_acquire_owned() {
            return Ok(Taken { room, _seat: seat });
        }
        let busy = || Error::new(Code::Overloaded).retry_after(Millis::from_secs(1));
        match tokio::time::timeout(self.wait, seats.clone().acquire_owned()).await {
            Ok(Ok(seat)) => Ok(Taken { room, _seat: seat }),
            _ => Err(busy()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_looked_through_now_and_then_and_not_at_each_call() {
        let now = |left| Swept { at: Some(Instant::now()), left };
        assert!(Swept::default().is_due(KEYS + 1));
        assert!(!now(KEYS + 1).is_due(KEYS + 2), "they were looked through just now");
        assert!(now(KEYS + 1).is_due(2 * KEYS + 2), "and are twice as many");
        assert!(!now(3).is_due(KEYS + 1));
        let long_ago = Instant::now().checked_sub(SWEEP_AFTER).expect("a clock that runs for a second");
        assert!(Swept { at: Some(long_ago), left: KEYS }.is_due(KEYS + 1));
    }
}
