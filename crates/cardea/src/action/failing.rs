//! Tracks upstreams whose tools could not be listed. Each trouble is logged once, and a server that refuses is asked at
//! growing intervals.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cardea_core::{Code, Error};
use tokio::time::Instant;

/// The pause after the first failure, and after every failure of a server that is only silent.
const SOON: Duration = Duration::from_secs(1);

/// The longest pause.
const RARELY: Duration = Duration::from_secs(60);

/// The upstreams that could not be read the last time.
#[derive(Debug, Default)]
pub(super) struct Failing(Mutex<BTreeMap<String, Trouble>>);

#[derive(Debug)]
struct Trouble {
    /// The codes logged since it was last reached.
    told: Vec<Code>,
    pause: Duration,
    next: Instant,
}

impl Failing {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Trouble>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn has(&self, upstream: &str) -> bool {
        self.lock().contains_key(upstream)
    }

    /// Returns true if this upstream may be asked again.
    pub(super) fn is_due(&self, upstream: &str) -> bool {
        self.is_due_at(upstream, Instant::now())
    }

    fn is_due_at(&self, upstream: &str, now: Instant) -> bool {
        self.lock().get(upstream).is_none_or(|trouble| trouble.next <= now)
    }

    pub(super) fn reached(&self, upstream: &str) {
        if self.lock().remove(upstream).is_some() {
            tracing::info!(upstream, "listed again");
        }
    }

    /// Records a failure and logs it, once for each trouble.
    pub(super) fn not_reached(&self, upstream: &str, error: &Error) {
        if self.is_new(upstream, error.code(), Instant::now()) {
            tracing::warn!(
                upstream,
                error.code = error.code().name(),
                cause = error.cause_line(),
                "not listed; it is asked again until it answers"
            );
        }
    }

    /// Records one more failure. False if the same was already logged.
    fn is_new(&self, upstream: &str, code: Code, now: Instant) -> bool {
        let mut all = self.lock();
        let first = !all.contains_key(upstream);
        let trouble = all.entry(upstream.to_owned()).or_insert_with(|| Trouble {
            told: Vec::new(),
            pause: SOON,
            next: now,
        });
        // WHY not for a silent server: open turns wait for a server that restarts, and the circuit breaker protects it
        // anyway.
        if !first && code != Code::UpstreamSilent {
            trouble.pause = (trouble.pause * 2).min(RARELY);
        }
        trouble.next = now + trouble.pause;
        // WHY all codes and not only the last: the breaker comes in between with another code.
        let new = !trouble.told.contains(&code);
        if new {
            trouble.told.push(code);
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_refuses_is_told_of_once_and_asked_more_and_more_rarely() {
        let (failing, now) = (Failing::default(), Instant::now());
        let pause = || failing.lock()["odd"].pause.as_secs();
        let is_new = |code| failing.is_new("odd", code, now);
        assert!(is_new(Code::UpstreamFailed));
        assert!(failing.has("odd") && !failing.is_due_at("odd", now));
        assert!(failing.is_due_at("other", now));
        // The breaker opens now and then, and gives another code.
        assert!(is_new(Code::UpstreamSilent));
        assert_eq!(pause(), 1);
        let pauses = [(); 8].map(|()| {
            assert!(!is_new(Code::UpstreamFailed) && !is_new(Code::UpstreamSilent));
            pause()
        });
        assert_eq!(pauses, [2, 4, 8, 16, 32, 60, 60, 60]);
        assert!(failing.is_due_at("odd", now + RARELY));
        failing.reached("odd");
        assert!(!failing.has("odd") && is_new(Code::UpstreamFailed), "told again the next time");
    }
}
