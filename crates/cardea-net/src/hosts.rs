//! State of each host: its requests in progress, and its health.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cardea_core::time::{Millis, SharedClock};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    breaker::{Breaker, Health, Pass},
    config::NetConfig,
    error::{Busy, NetError},
};

/// Number of hosts beyond which only busy and failing ones are remembered.
const REMEMBERED: usize = 1_024;

struct Host {
    slots: Arc<Semaphore>,
    breaker: Mutex<Breaker>,
}

/// All hosts that requests went to.
pub(crate) struct Hosts {
    known: Mutex<HashMap<String, Arc<Host>>>,
    per_host: usize,
    queue_timeout: Millis,
    breaker_failures: u32,
    breaker_pause: Millis,
    clock: SharedClock,
}

impl Hosts {
    pub(crate) fn new(config: &NetConfig, clock: SharedClock) -> Self {
        Self {
            known: Mutex::default(),
            per_host: config.per_host.max(1),
            queue_timeout: config.queue_timeout,
            breaker_failures: config.breaker_failures,
            breaker_pause: config.breaker_pause,
            clock,
        }
    }

    /// Waits for a place at the host.
    pub(crate) async fn enter(&self, name: &str) -> Result<Visit, NetError> {
        let host = self.host(name);
        let busy = |why, retry_after| NetError::Busy { host: name.to_owned(), why, retry_after };
        let slots = Arc::clone(&host.slots);
        let slot = match tokio::time::timeout(self.queue_timeout.duration(), slots.acquire_owned()).await {
            Ok(Ok(slot)) => slot,
            Ok(Err(_)) | Err(_) => return Err(busy(Busy::Bulkhead, self.queue_timeout)),
        };
        let pass = lock(&host.breaker).ask(self.clock.now()).map_err(|after| busy(Busy::Breaker, after))?;
        Ok(Visit { host, pass, clock: Arc::clone(&self.clock), told: false, _slot: slot })
    }

    /// Returns the number of hosts whose breaker is open.
    pub(crate) fn left_alone(&self) -> usize {
        lock(&self.known).values().filter(|host| lock(&host.breaker).is_open()).count()
    }

    fn host(&self, name: &str) -> Arc<Host> {
        let mut known = lock(&self.known);
        if let Some(host) = known.get(name) {
            return Arc::clone(host);
        }
        if known.len() >= REMEMBERED {
            let now = self.clock.now();
            known.retain(|_, host| Arc::strong_count(host) > 1 || !lock(&host.breaker).is_calm(now));
        }
        let host = Arc::new(Host {
            slots: Arc::new(Semaphore::new(self.per_host)),
            breaker: Mutex::new(Breaker::new(self.breaker_failures, self.breaker_pause)),
        });
        known.insert(name.to_owned(), Arc::clone(&host));
        host
    }
}

/// A place at a host, held until the answer is read.
pub(crate) struct Visit {
    host: Arc<Host>,
    pass: Pass,
    clock: SharedClock,
    told: bool,
    _slot: OwnedSemaphorePermit,
}

impl Visit {
    /// Reports the result. Only the first report counts.
    pub(crate) fn tell(&mut self, health: Health) {
        if !std::mem::replace(&mut self.told, true) {
            lock(&self.host.breaker).tell(self.pass, health, self.clock.now());
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.tell(Health::Unknown);
    }
}

/// Locks a mutex. No code that holds these locks can panic half way through a change, so a poisoned one is still
/// valid.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
