//! A circuit breaker for each tool.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use cardea_core::{Code, Error, Result, time::Millis};

/// Opens after so many failures in a row that were not the caller's fault; then lets one call try again. A read that its
/// caller has cancelled is neither a failure nor a success.
pub struct Breaker {
    failures: u32,
    rest: Duration,
    tools: Mutex<HashMap<String, Circuit>>,
}

#[derive(Debug, Clone, Copy)]
enum Circuit {
    Closed { failures: u32 },
    Open { until: Instant },
    Trying,
}

/// A call that the breaker let through. Its end must be told, or counts as a failure.
pub(crate) struct Let<'a> {
    breaker: &'a Breaker,
    tool: &'a str,
    /// It is the one call that may try.
    tries: bool,
    told: bool,
}

impl Breaker {
    /// Opens after `failures` in a row, for `rest`.
    #[must_use]
    pub fn new(failures: u32, rest: Millis) -> Self {
        Self { failures: failures.max(1), rest: rest.duration(), tools: Mutex::default() }
    }

    pub(crate) fn enter<'a>(&'a self, tool: &'a str) -> Result<Let<'a>> {
        let mut tools = self.tools.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let refused = |wait: Duration| Err(Error::new(Code::Overloaded).retry_after(wait.into()));
        match tools.get(tool) {
            Some(Circuit::Open { until }) if *until > now => return refused(until.duration_since(now)),
            Some(Circuit::Trying) => return refused(self.rest),
            Some(Circuit::Open { .. }) => {
                tools.insert(tool.to_owned(), Circuit::Trying);
                return Ok(Let { breaker: self, tool, tries: true, told: false });
            }
            _ => {}
        }
        Ok(Let { breaker: self, tool, tries: false, told: false })
    }

    fn release(&self, tool: &str) {
        let mut tools = self.tools.lock().unwrap_or_else(PoisonError::into_inner);
        // WHY: a call from before may have told of its end meanwhile, and that stands.
        if let Some(circuit @ Circuit::Trying) = tools.get_mut(tool) {
            *circuit = Circuit::Open { until: Instant::now() };
        }
    }

    fn record(&self, tool: &str, failed: bool) {
        let mut tools = self.tools.lock().unwrap_or_else(PoisonError::into_inner);
        let open = Circuit::Open { until: Instant::now() + self.rest };
        let next = match (tools.get(tool), failed) {
            (None, false) => return,
            (_, false) => Circuit::Closed { failures: 0 },
            (Some(Circuit::Closed { failures }), true) if failures + 1 < self.failures => {
                Circuit::Closed { failures: failures + 1 }
            }
            (None, true) if self.failures > 1 => Circuit::Closed { failures: 1 },
            (_, true) => open,
        };
        tools.insert(tool.to_owned(), next);
    }
}

impl Let<'_> {
    /// Tells how the call ended.
    pub(crate) fn ended(mut self, code: Option<Code>) {
        self.told = true;
        self.breaker.record(self.tool, code.is_some_and(counts));
    }

    /// Tells that the caller did not wait for the end, which says nothing about the tool. If this was the one call that may
    /// try, the next one may.
    pub(crate) fn given_up(mut self) {
        self.told = true;
        if self.tries {
            self.breaker.release(self.tool);
        }
    }
}

impl Drop for Let<'_> {
    fn drop(&mut self) {
        if !self.told {
            self.breaker.record(self.tool, true);
        }
    }
}

/// Only failures of the server and its neighbours count; a caller's mistake must not close the door for others.
fn counts(code: Code) -> bool {
    matches!(
        code,
        Code::UpstreamFailed
            | Code::UpstreamSilent
            | Code::UpstreamUnknown
            | Code::StoreUnavailable
            | Code::TimeSpent
            | Code::Internal
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_fails_rests_and_then_gets_one_try() {
        let breaker = Breaker::new(2, Millis(0));
        breaker.enter("t").unwrap().ended(Some(Code::UpstreamFailed));
        breaker.enter("t").unwrap().ended(Some(Code::InvalidArguments));
        breaker.enter("t").unwrap().ended(Some(Code::UpstreamFailed));
        breaker.enter("t").unwrap().ended(Some(Code::UpstreamFailed));
        let attempt = breaker.enter("t").expect("the rest is over");
        assert!(breaker.enter("t").is_err(), "only one call may try");
        attempt.ended(None);
        assert!(breaker.enter("t").is_ok());

        let nervous = Breaker::new(1, Millis(0));
        let before = nervous.enter("t").unwrap();
        nervous.enter("t").unwrap().ended(Some(Code::UpstreamFailed));
        let attempt = nervous.enter("t").expect("the rest is over");
        before.given_up();
        assert!(nervous.enter("t").is_err(), "the one that tries has not given up");
        attempt.given_up();
        let attempt = nervous.enter("t").expect("the next one may try");
        assert!(nervous.enter("t").is_err(), "and only that one");
        attempt.ended(None);
        assert!(nervous.enter("t").is_ok());

        let patient = Breaker::new(1, Millis::from_secs(3_600));
        drop(patient.enter("t").unwrap());
        assert_eq!(
            patient.enter("t").err().map(|e| e.code()),
            Some(Code::Overloaded),
            "a lost call is a failure"
        );
        assert!(patient.enter("u").is_ok(), "other tools go on");
    }
}
