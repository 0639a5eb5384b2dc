//! The engines of the guard profiles, and how they are run: a detector that panics or takes too long gives no verdict.

mod placeholders;
mod reader;
mod screen;
mod seen;
mod window;

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
    placeholders::Placeholders,
    reader::with_encoder,
    screen::{Screen, Screened, Words},
    seen::{Found, Refused},
    window::OutputWindow,
};

/// The engines of all profiles in use, compiled once.
#[derive(Debug)]
pub(super) struct Guards {
    default: String,
    /// Profiles beside the built-in ones.
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

/// Time limit of a scan; the engine checks it while scanning and gives up. The engine is linear, so a late verdict
/// means that a detector went wrong.
pub(super) const LATEST: Duration = Duration::from_secs(5);

/// Runs a detector; `None` if it panics or takes too long.
pub(super) fn watched<T>(latest: Duration, detect: impl FnOnce() -> T) -> Option<T> {
    let began = Instant::now();
    let said = catch_unwind(AssertUnwindSafe(detect)).ok()?;
    (began.elapsed() <= latest).then_some(said)
}

/// Runs a scan that can check whether it is late; `None` if it fails.
pub(super) fn late_or<T>(scan: impl FnOnce(&dyn Fn() -> bool) -> Option<T>) -> Option<T> {
    let began = Instant::now();
    watched(LATEST, || scan(&|| began.elapsed() > LATEST)).flatten()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cardea_core::{Code, cost::Prices, guard::Surface, log::ChainKey, time::SystemClock};
    use cardea_store::{Db, DbConfig};

    use super::*;
    use crate::observe::Observe;

    #[test]
    fn a_detector_that_panics_or_comes_too_late_has_said_nothing() {
        assert_eq!(watched(LATEST, || 1), Some(1));
        assert_eq!(watched(LATEST, || -> i32 { panic!("a fault of our own") }), None);
        assert_eq!(watched(Duration::ZERO, || (0..100_000).map(std::hint::black_box).sum::<i64>()), None);
    }

    async fn observe() -> Observe {
        let config = DbConfig { url: "sqlite::memory:".to_owned(), ..DbConfig::default() };
        let db = Db::open(config, ChainKey::new(&[0; 32])).await.unwrap();
        Observe::new(db, Arc::new(SystemClock), Prices::default())
    }

    fn engine(on_failure: &str) -> Engine {
        let profile =
            format!("name = 'own'\non_failure = '{on_failure}'\n[[rule]]\nkinds = ['*']\naction = 'mask'");
        Engine::new(&Profile::parse(&profile).unwrap()).unwrap()
    }

    fn failures(surface: &str, action: &str) -> String {
        let labels = format!("kind=\"failure\",surface=\"{surface}\",action=\"{action}\"");
        format!("cardea_guard_findings_total{{{labels}}} 1\n")
    }

    #[tokio::test]
    async fn a_guardrail_that_failed_is_counted_by_what_came_of_it() {
        for (choice, action) in [("refuse", "refuse"), ("warn", "warn")] {
            let observe = observe().await;
            let went = screen::failed(&observe, &engine(choice), "Hello.", Surface::User);
            assert_eq!(went.is_ok(), choice == "warn");
            let told = observe.metrics_text();
            assert!(told.contains(&failures("user", action)), "{told}");
        }
    }

    #[tokio::test]
    async fn an_answer_is_refused_when_its_guardrail_failed_whatever_the_profile_says_and_counted() {
        for ends in [false, true] {
            let observe = observe().await;
            let mut window = OutputWindow::new(&engine("warn"), &Placeholders::default(), &observe);
            window.latest = Duration::ZERO;
            let went = if ends { window.finish().map(drop) } else { window.push("Hello. ").map(drop) };
            assert_eq!(went.unwrap_err().code(), Code::GuardRefused);
            let told = observe.metrics_text();
            assert!(told.contains(&failures("output", "refuse")), "{told}");
        }
    }
}
