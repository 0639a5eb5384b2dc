//! The circuit breaker of a host. Pure: the time is passed in.

use cardea_core::time::{Millis, Timestamp};

const WINDOW: Millis = Millis::from_secs(10);

/// Permission for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    /// Normal operation.
    Free,
    /// The only request, which tests whether the host is back.
    Probe,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Open { since: Timestamp },
    Probing { since: Timestamp },
}

/// Result of a request with regard to the health of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    Good,
    Bad,
    /// Nothing was learnt: the caller went away.
    Unknown,
}

/// The breaker of one host: closed, open for a pause, then a probe decides.
#[derive(Debug)]
pub(crate) struct Breaker {
    failures_to_open: u32,
    pause: Millis,
    state: State,
    window_start: Timestamp,
    good: u32,
    bad: u32,
}

impl Breaker {
    pub(crate) fn new(failures_to_open: u32, pause: Millis) -> Self {
        Self {
            failures_to_open: failures_to_open.max(1),
            pause,
            state: State::Closed,
            window_start: Timestamp(0),
            good: 0,
            bad: 0,
        }
    }

    /// Asks whether a request may be made; if not, returns when to ask again.
    pub(crate) fn ask(&mut self, now: Timestamp) -> Result<Pass, Millis> {
        self.heed(now);
        match self.state {
            State::Closed => Ok(Pass::Free),
            // WHY: a probe that never reported back (its caller was dropped) must not block for ever.
            State::Open { since } | State::Probing { since } => {
                let waited = now.since(since);
                if waited < self.pause {
                    return Err(Millis(self.pause.0.saturating_sub(waited.0)));
                }
                self.state = State::Probing { since: now };
                Ok(Pass::Probe)
            }
        }
    }

    /// Reports the result of a request.
    pub(crate) fn tell(&mut self, pass: Pass, health: Health, now: Timestamp) {
        self.heed(now);
        match (self.state, pass, health) {
            (State::Probing { .. }, Pass::Probe, Health::Good) => self.close(now),
            (State::Probing { .. }, Pass::Probe, Health::Bad) => self.state = State::Open { since: now },
            // The next request probes at once.
            (State::Probing { .. }, Pass::Probe, Health::Unknown) => {
                self.state = State::Open { since: Timestamp(now.0.saturating_sub(millis(self.pause))) };
            }
            (State::Closed, _, health) => self.count(health, now),
            // A late result of a request from before the breaker opened.
            _ => {}
        }
    }

    /// Handles a clock that was set back. WHY: otherwise a pause that began before would last longer by as much, and
    /// keep a healthy host closed; so it begins anew.
    fn heed(&mut self, now: Timestamp) {
        if let State::Open { since } | State::Probing { since } = &mut self.state {
            *since = now.min(*since);
        }
        self.window_start = now.min(self.window_start);
    }

    fn count(&mut self, health: Health, now: Timestamp) {
        if now.since(self.window_start) > WINDOW {
            (self.window_start, self.good, self.bad) = (now, 0, 0);
        }
        match health {
            Health::Good => self.good = self.good.saturating_add(1),
            Health::Bad => self.bad = self.bad.saturating_add(1),
            Health::Unknown => {}
        }
        if self.bad >= self.failures_to_open && self.bad >= self.good {
            self.state = State::Open { since: now };
        }
    }

    fn close(&mut self, now: Timestamp) {
        self.state = State::Closed;
        (self.window_start, self.good, self.bad) = (now, 0, 0);
    }

    /// Returns whether the host is avoided, or being probed.
    pub(crate) fn is_open(&self) -> bool {
        self.state != State::Closed
    }

    /// Returns whether forgetting this breaker changes nothing.
    pub(crate) fn is_calm(&self, now: Timestamp) -> bool {
        self.state == State::Closed && (now < self.window_start || now.since(self.window_start) > WINDOW)
    }
}

fn millis(length: Millis) -> i64 {
    i64::try_from(length.0).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp(1_000_000 + ms)
    }

    fn opened() -> Breaker {
        let mut breaker = Breaker::new(3, Millis(5_000));
        for _ in 0..3 {
            let pass = breaker.ask(at(0)).unwrap();
            breaker.tell(pass, Health::Bad, at(0));
        }
        breaker
    }

    #[test]
    fn a_failing_host_is_left_alone_then_probed_by_one_request() {
        let mut breaker = opened();
        assert_eq!(breaker.ask(at(1_000)), Err(Millis(4_000)));
        assert_eq!(breaker.ask(at(5_000)), Ok(Pass::Probe));
        assert!(breaker.ask(at(5_001)).is_err(), "only one probe at a time");
        breaker.tell(Pass::Probe, Health::Bad, at(5_100));
        assert_eq!(breaker.ask(at(10_000)), Err(Millis(100)), "a failed probe starts the pause anew");
        assert_eq!(breaker.ask(at(10_100)), Ok(Pass::Probe));
        breaker.tell(Pass::Probe, Health::Good, at(10_200));
        assert_eq!(breaker.ask(at(10_201)), Ok(Pass::Free));
    }

    #[test]
    fn a_probe_whose_caller_left_gives_its_place_to_the_next() {
        let mut breaker = opened();
        assert_eq!(breaker.ask(at(5_000)), Ok(Pass::Probe));
        breaker.tell(Pass::Probe, Health::Unknown, at(5_001));
        assert_eq!(breaker.ask(at(5_002)), Ok(Pass::Probe));
    }

    #[test]
    fn a_clock_that_is_set_back_delays_a_probe_and_a_new_window_by_one_length_at_most() {
        let mut breaker = opened();
        assert_eq!(breaker.ask(at(5_000)), Ok(Pass::Probe));
        assert_eq!(breaker.ask(at(-900_000)), Err(Millis(5_000)), "the probe is still on its way");
        assert_eq!(breaker.ask(at(-895_000)), Ok(Pass::Probe));
        let mut breaker = Breaker::new(3, Millis(5_000));
        for n in [0, -900_000, -880_000, -860_000] {
            breaker.tell(Pass::Free, Health::Bad, at(n));
        }
        assert_eq!(breaker.ask(at(-860_000)), Ok(Pass::Free), "these are far apart");
        assert!(breaker.is_calm(at(-900_000)));
    }

    #[test]
    fn failures_among_many_successes_or_far_apart_do_not_open_it() {
        let mut breaker = Breaker::new(3, Millis(5_000));
        for n in 0..100 {
            let health = if n % 10 == 0 { Health::Bad } else { Health::Good };
            breaker.tell(Pass::Free, health, at(n));
        }
        assert_eq!(breaker.ask(at(100)), Ok(Pass::Free));
        let mut breaker = Breaker::new(3, Millis(5_000));
        for n in 0..10 {
            breaker.tell(Pass::Free, Health::Bad, at(n * 11_000));
        }
        assert_eq!(breaker.ask(at(110_000)), Ok(Pass::Free));
    }
}
