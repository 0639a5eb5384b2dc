//! Upstreams whose tools could not be listed: each trouble is told once, and a server that refuses is asked more and more
//! rarely.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cardea_core::{Code, Error};
use tokio::time::Instant;

/// The pause after the first failure, and after each of a server that is only away.
const SOON: Duration = Duration::from_secs(1);

/// The longest pause.
const RARELY: Duration = Duration::from_secs(60);

/// The upstreams that could not be read the last time.
#[derive(Debug, Default)]
pub(super) struct Failing(Mutex<BTreeMap<String, Trouble>>);

#[derive(Debug)]
struct Trouble {
    /// What was told since it was last reached.
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

    /// True if this one may be asked again.
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

    /// Told once for each trouble, not at each try.
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

    /// Notes one more failure. False if the same was told before.
    fn is_new(&self, upstream: &str, code: Code, now: Instant) -> bool {
        let mut all = self.lock();
        let first = !all.contains_key(upstream);
        let trouble = all.entry(upstream.to_owned()).or_insert_with(|| Trouble {
            told: Vec::new(),
            pause: SOON,
            next: now,
        });
        // WHY not where it is silent: a server that is started anew is awaited by turns in the middle, and the breaker
        // spares it by itself.
        if !first && code != Code::UpstreamSilent {
            trouble.pause = (trouble.pause * 2).min(RARELY);
        }
        trouble.next = now + trouble.pause;
        // WHY all codes, and not the last: the breaker comes between, and its word is another one.
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
        // The breaker opens now and then, and says something else.
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
