//! The engines of the guard profiles, and how one is asked: a detector that panics or comes too late has said nothing.

mod names;
mod reader;
mod screen;
mod seen;

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use cardea_core::{
    Result,
    guard::{Engine, Profile},
};

pub use self::{
    names::Names,
    reader::with_encoder,
    screen::{OutputWindow, Screened, Words},
    seen::{Found, Refused},
};

/// The engines of all profiles in use, compiled once.
#[derive(Debug)]
pub(super) struct Guards {
    default: String,
    /// Profiles beside those that ship.
    own: Vec<Profile>,
    engines: Mutex<HashMap<String, Engine>>,
}

impl Guards {
    pub(super) fn new(default: &str, own: Vec<Profile>) -> Result<Self> {
        let guards = Self { default: default.to_owned(), own, engines: Mutex::default() };
        guards.engine(None)?;
        Ok(guards)
    }

    pub(super) fn engine(&self, profile: Option<&str>) -> Result<Engine> {
        let name = profile.unwrap_or(&self.default);
        let mut engines = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = engines.get(name) {
            return Ok(engine.clone());
        }
        let profile = match self.own.iter().find(|profile| profile.name == name) {
            Some(own) => own.clone(),
            None => Profile::built_in(name)?,
        };
        let engine = with_encoder(Engine::new(&profile)?);
        engines.insert(name.to_owned(), engine.clone());
        Ok(engine)
    }
}

/// A verdict that comes later than this is none; the engine asks while it scans and gives up. It is linear, so being late
/// means that a detector went wrong.
pub(super) const LATEST: Duration = Duration::from_secs(5);

/// What a detector says, unless it panics or takes too long.
pub(super) fn watched<T>(latest: Duration, detect: impl FnOnce() -> T) -> Option<T> {
    let began = Instant::now();
    let said = catch_unwind(AssertUnwindSafe(detect)).ok()?;
    (began.elapsed() <= latest).then_some(said)
}

/// What a scan says that can be told that it is late, unless it fails.
pub(super) fn late_or<T>(scan: impl FnOnce(&dyn Fn() -> bool) -> Option<T>) -> Option<T> {
    let began = Instant::now();
    watched(LATEST, || scan(&|| began.elapsed() > LATEST)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detector_that_panics_or_comes_too_late_has_said_nothing() {
        assert_eq!(watched(LATEST, || 1), Some(1));
        assert_eq!(watched(LATEST, || -> i32 { panic!("a fault of our own") }), None);
        assert_eq!(watched(Duration::ZERO, || (0..100_000).map(std::hint::black_box).sum::<i64>()), None);
    }
}
