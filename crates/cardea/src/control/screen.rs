//! Guardrails at every crossing. What passes is a [`Screened`] value; a guardrail that fails is a refusal.

use std::{
    collections::HashMap,
    ops::Deref,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use cardea_core::{
    Code, Error, Result,
    guard::{Action, Engine, Finding, OnFailure, Profile, Surface, Taint, Verdict, Window},
    policy::taint::{SUSPICIOUS, words},
    tool::{Outcome, ToolCall},
};
use serde_json::{Value, json};

use super::{Control, Names, reader::with_encoder};
use crate::observe::Observe;

/// Proof that the guardrails of this agent ran on exactly this value.
#[derive(Debug, Clone)]
pub struct Screened<T> {
    value: T,
    taint: Vec<String>,
}

impl<T> Screened<T> {
    /// The value.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.value
    }

    /// Where untrusted or suspicious text came in, in the words of policies.
    #[must_use]
    pub fn taint(&self) -> &[String] {
        &self.taint
    }
}

impl<T> Deref for Screened<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

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

    fn engine(&self, profile: Option<&str>) -> Result<Engine> {
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

/// What one scan said, with the text or the value that may go on.
struct Scan<T> {
    action: Action,
    kinds: Vec<String>,
    passed: T,
    taint: Option<Taint>,
}

fn tell(observe: &Observe, names: &Names, surface: Surface, findings: &[Finding]) -> Vec<String> {
    names.finds(findings.len());
    let mut kinds: Vec<String> = Vec::new();
    for finding in findings {
        observe.finding(&finding.kind, surface.name(), action(finding.action));
        if finding.action == Action::Refuse && !kinds.iter().any(|kind| **kind == *finding.kind) {
            kinds.push(finding.kind.to_string());
        }
    }
    kinds
}

const fn action(action: Action) -> &'static str {
    match action {
        Action::Pass => "pass",
        Action::Mask => "mask",
        Action::Warn => "warn",
        Action::Refuse => "refuse",
    }
}

fn refused(kinds: &[String]) -> Error {
    let what = if kinds.is_empty() { "a guardrail that failed".to_owned() } else { kinds.join(", ") };
    Error::new(Code::GuardRefused).detail(format!("It was stopped by: {what}."))
}

/// A verdict that comes later than this is none; the engine asks while it scans and gives up. It is linear, so being late
/// means that a detector went wrong.
const LATEST: Duration = Duration::from_secs(5);

/// Letters that may become a title.
const TITLE: usize = 400;

/// What a detector says, unless it panics or takes too long.
fn watched<T>(latest: Duration, detect: impl FnOnce() -> T) -> Option<T> {
    let began = Instant::now();
    let said = catch_unwind(AssertUnwindSafe(detect)).ok()?;
    (began.elapsed() <= latest).then_some(said)
}

/// What a scan says that can be told that it is late, unless it fails.
fn late_or<T>(scan: impl FnOnce(&dyn Fn() -> bool) -> Option<T>) -> Option<T> {
    let began = Instant::now();
    watched(LATEST, || scan(&|| began.elapsed() > LATEST)).flatten()
}

impl Control {
    fn scan(
        &self,
        profile: Option<&str>,
        names: &Names,
        text: &str,
        surface: Surface,
    ) -> Result<Scan<String>> {
        let engine = self.inner.guards.engine(profile)?;
        let verdict = late_or(|late| {
            names.scan(|masks| engine.scan_until(text, surface, masks, late).map(Verdict::into_owned))
        });
        let Some(verdict) = verdict else { return self.failed(&engine, text.to_owned(), surface) };
        let kinds = tell(&self.inner.observe, names, surface, &verdict.findings);
        let passed = verdict.text.into_owned();
        Ok(Scan { action: verdict.action, kinds, passed, taint: verdict.taint })
    }

    fn scan_value(
        &self,
        (profile, names): (Option<&str>, &Names),
        value: Value,
        surface: Surface,
    ) -> Result<Scan<Value>> {
        let engine = self.inner.guards.engine(profile)?;
        let verdict =
            late_or(|late| names.scan(|masks| engine.scan_value_until(&value, surface, masks, late)));
        let Some(verdict) = verdict else { return self.failed(&engine, value, surface) };
        let kinds = tell(&self.inner.observe, names, surface, &verdict.findings);
        let passed = verdict.masked.unwrap_or(value);
        Ok(Scan { action: verdict.action, kinds, passed, taint: verdict.taint })
    }

    /// A guardrail did not answer: a refusal, unless the profile has written another choice.
    fn failed<T>(&self, engine: &Engine, passed: T, surface: Surface) -> Result<Scan<T>> {
        tracing::error!(guard.surface = surface.name(), guard.profile = engine.name(), "a guardrail failed");
        self.inner.observe.finding("failure", surface.name(), "refuse");
        match engine.on_failure() {
            OnFailure::Refuse => Err(refused(&[])),
            OnFailure::Warn => {
                let taint = Some(Taint { source: surface, suspicious: true, rules: Vec::new() });
                Ok(Scan { action: Action::Warn, kinds: Vec::new(), passed, taint })
            }
        }
    }

    fn text(
        &self,
        profile: Option<&str>,
        names: &Names,
        text: &str,
        surface: Surface,
    ) -> Result<Screened<String>> {
        let scan = self.scan(profile, names, text, surface)?;
        if scan.action == Action::Refuse {
            return Err(refused(&scan.kinds));
        }
        let taint = scan.taint.iter().flat_map(words).map(str::to_owned).collect();
        Ok(Screened { value: scan.passed, taint })
    }

    /// Screens what a user wrote.
    ///
    /// # Errors
    /// `guard_refused`, naming the types that were found and never the values.
    pub fn screen_input(&self, profile: Option<&str>, names: &Names, text: &str) -> Result<Screened<String>> {
        self.text(profile, names, text, Surface::User)
    }

    /// Screens a whole answer: one from a cache, or one that a client brings along.
    ///
    /// # Errors
    /// As [`Control::screen_input`].
    pub fn screen_output(
        &self,
        profile: Option<&str>,
        names: &Names,
        text: &str,
    ) -> Result<Screened<String>> {
        self.text(profile, names, text, Surface::Output)
    }

    /// Screens a tool's text that a client brings along.
    ///
    /// # Errors
    /// As [`Control::screen_input`].
    pub fn screen_tool_text(
        &self,
        profile: Option<&str>,
        names: &Names,
        text: &str,
    ) -> Result<Screened<String>> {
        self.text(profile, names, text, Surface::ToolResult)
    }

    /// Screens the words that a conversation is named after. What it is called is shown in lists and logs.
    ///
    /// # Errors
    /// As [`Control::screen_input`].
    pub fn screen_title(&self, profile: Option<&str>, text: &str) -> Result<Screened<String>> {
        let first: String = text.chars().take(TITLE).collect();
        self.text(profile, &Names::default(), &first, Surface::Title)
    }

    /// Screens what a tool says of itself, before the tool can be offered to any model.
    ///
    /// # Errors
    /// As [`Control::screen_input`]: such a tool is not imported.
    pub fn screen_description(&self, text: &str) -> Result<Screened<String>> {
        self.text(None, &Names::default(), text, Surface::ToolDescription)
    }

    /// Screens the arguments of a call on their way out. They are not masked: a masked one would break the call.
    ///
    /// # Errors
    /// As [`Control::screen_input`].
    pub fn screen_arguments(&self, profile: Option<&str>, call: &ToolCall) -> Result<()> {
        let value = Value::Object(call.arguments.clone());
        let scan = self.scan_value((profile, &Names::default()), value, Surface::ToolArguments)?;
        if scan.action == Action::Refuse { Err(refused(&scan.kinds)) } else { Ok(()) }
    }

    /// Screens what a tool returned. Its work is done, so a refusal withholds the text and not the outcome.
    #[must_use]
    pub fn screen_result(&self, profile: Option<&str>, names: &Names, outcome: Outcome) -> Screened<Outcome> {
        let guard = (profile, names);
        let mut taint = vec![Surface::ToolResult.name().to_owned()];
        let value = match outcome {
            Outcome::Done { result } => Outcome::Done { result: self.value(guard, result, &mut taint) },
            Outcome::Failed { reason } => Outcome::Failed { reason: self.line(guard, &reason, &mut taint) },
            Outcome::Unknown { reason } => Outcome::Unknown { reason: self.line(guard, &reason, &mut taint) },
        };
        taint.sort();
        taint.dedup();
        Screened { value, taint }
    }

    fn line(&self, guard: (Option<&str>, &Names), text: &str, taint: &mut Vec<String>) -> String {
        match self.scan(guard.0, guard.1, text, Surface::ToolResult) {
            Ok(scan) if scan.action != Action::Refuse => {
                taint.extend(scan.taint.iter().flat_map(words).map(str::to_owned));
                scan.passed
            }
            _ => {
                taint.push(SUSPICIOUS.to_owned());
                "(withheld by a guardrail)".to_owned()
            }
        }
    }

    /// Screens a JSON value. A refusal withholds all of it.
    fn value(&self, guard: (Option<&str>, &Names), value: Value, taint: &mut Vec<String>) -> Value {
        match self.scan_value(guard, value, Surface::ToolResult) {
            Ok(scan) if scan.action == Action::Refuse => {
                taint.push(SUSPICIOUS.to_owned());
                json!({ "withheld": format!("a guardrail held this back: {}", scan.kinds.join(", ")) })
            }
            Ok(scan) => {
                taint.extend(scan.taint.iter().flat_map(words).map(str::to_owned));
                scan.passed
            }
            Err(_) => {
                taint.push(SUSPICIOUS.to_owned());
                json!({ "withheld": "a guardrail failed on this" })
            }
        }
    }

    /// Screens JSON that a client or a model has written: arguments of calls, descriptions and schemas of tools.
    ///
    /// # Errors
    /// As [`Control::screen_input`].
    pub fn screen_json(
        &self,
        guard: (Option<&str>, &Names),
        value: Value,
        surface: Surface,
    ) -> Result<Value> {
        let scan = self.scan_value(guard, value, surface)?;
        if scan.action == Action::Refuse { Err(refused(&scan.kinds)) } else { Ok(scan.passed) }
    }

    /// A window through which an answer is streamed.
    ///
    /// # Errors
    /// `misconfigured` if the profile does not exist.
    pub fn window(&self, profile: Option<&str>, names: &Names) -> Result<OutputWindow> {
        let engine = self.inner.guards.engine(profile)?;
        let window = Some(Box::new(engine.window(Surface::Output)));
        Ok(OutputWindow { window, names: names.clone(), observe: self.inner.observe.clone() })
    }
}

/// The guard window of one answer. Text leaves it only screened.
pub struct OutputWindow {
    /// Gone after a refusal.
    window: Option<Box<Window>>,
    names: Names,
    observe: Observe,
}

impl std::fmt::Debug for OutputWindow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OutputWindow")
    }
}

impl OutputWindow {
    /// The same, for an answer that nobody reads before its end.
    #[must_use]
    pub fn unhurried(self) -> Self {
        Self { window: self.window.map(|window| Box::new(window.unhurried())), ..self }
    }

    /// Takes the next piece and gives what may be shown now; often nothing.
    ///
    /// # Errors
    /// `guard_refused`: nothing more may be shown.
    pub fn push(&mut self, piece: &str) -> Result<String> {
        let mut window = self.window.take().ok_or_else(|| refused(&[]))?;
        let names = &self.names;
        let pushed = watched(LATEST, move || {
            let shown = names.scan(|masks| window.push(piece, masks));
            (shown, window)
        });
        let (shown, window) = pushed.ok_or_else(|| refused(&[]))?;
        if window.refused() {
            let findings = names.scan(|masks| window.finish(masks)).findings;
            return Err(refused(&tell(&self.observe, names, Surface::Output, &findings)));
        }
        self.window = Some(window);
        Ok(shown)
    }

    /// Ends the stream and gives the last text.
    ///
    /// # Errors
    /// `guard_refused`.
    pub fn finish(mut self) -> Result<String> {
        let window = self.window.take().ok_or_else(|| refused(&[]))?;
        let names = &self.names;
        let finished = watched(LATEST, move || names.scan(|masks| window.finish(masks)));
        let finished = finished.ok_or_else(|| refused(&[]))?;
        let kinds = tell(&self.observe, names, Surface::Output, &finished.findings);
        if finished.action == Action::Refuse {
            return Err(refused(&kinds));
        }
        Ok(finished.text)
    }
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
