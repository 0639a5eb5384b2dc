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
    guard::{Action, Engine, Finding, Masks, OnFailure, Profile, Surface, Taint, Verdict, Window},
    policy::taint::{SUSPICIOUS, words},
    tool::{Outcome, ToolCall},
};
use serde_json::{Map, Value, json};

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

/// What one scan said, with the text that may go on.
struct Scan {
    action: Action,
    kinds: Vec<String>,
    text: String,
    taint: Option<Taint>,
}

fn tell(observe: &Observe, surface: Surface, findings: &[Finding]) -> Vec<String> {
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

impl Control {
    fn scan(&self, profile: Option<&str>, names: &Names, text: &str, surface: Surface) -> Result<Scan> {
        let engine = self.inner.guards.engine(profile)?;
        let began = Instant::now();
        let late = || began.elapsed() > LATEST;
        let scan =
            |masks: &mut Masks| engine.scan_until(text, surface, masks, &late).map(Verdict::into_owned);
        let Some(Some(verdict)) = watched(LATEST, || names.scan(scan)) else {
            return self.failed(&engine, text, surface);
        };
        let kinds = tell(&self.inner.observe, surface, &verdict.findings);
        Ok(Scan { action: verdict.action, kinds, text: verdict.text.into_owned(), taint: verdict.taint })
    }

    /// A guardrail did not answer: a refusal, unless the profile has written another choice.
    fn failed(&self, engine: &Engine, text: &str, surface: Surface) -> Result<Scan> {
        tracing::error!(guard.surface = surface.name(), guard.profile = engine.name(), "a guardrail failed");
        self.inner.observe.finding("failure", surface.name(), "refuse");
        match engine.on_failure() {
            OnFailure::Refuse => Err(refused(&[])),
            OnFailure::Warn => {
                let taint = Some(Taint { source: surface, suspicious: true, rules: Vec::new() });
                Ok(Scan { action: Action::Warn, kinds: Vec::new(), text: text.to_owned(), taint })
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
        Ok(Screened { value: scan.text, taint })
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
        let text = Value::Object(call.arguments.clone()).to_string();
        let scan = self.scan(profile, &Names::default(), &text, Surface::ToolArguments)?;
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
                scan.text
            }
            _ => {
                taint.push(SUSPICIOUS.to_owned());
                "(withheld by a guardrail)".to_owned()
            }
        }
    }

    /// Screens a JSON value: as a whole, since a key says what its value is, and part by part where the whole has
    /// something to hide.
    fn value(&self, guard: (Option<&str>, &Names), value: Value, taint: &mut Vec<String>) -> Value {
        let text = value.to_string();
        match self.scan(guard.0, guard.1, &text, Surface::ToolResult) {
            Ok(scan) if scan.action == Action::Refuse => {
                taint.push(SUSPICIOUS.to_owned());
                json!({ "withheld": format!("a guardrail held this back: {}", scan.kinds.join(", ")) })
            }
            Ok(scan) => {
                taint.extend(scan.taint.iter().flat_map(words).map(str::to_owned));
                if scan.text == text {
                    return value;
                }
                // A placeholder in the place of a bare number is no JSON any more; then each part is screened alone.
                serde_json::from_str(&scan.text)
                    .unwrap_or_else(|_| parts(value, &mut |text| self.line(guard, text, taint)))
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
        (profile, names): (Option<&str>, &Names),
        value: Value,
        surface: Surface,
    ) -> Result<Value> {
        let text = value.to_string();
        let scan = self.scan(profile, names, &text, surface)?;
        if scan.action == Action::Refuse {
            return Err(refused(&scan.kinds));
        }
        if scan.text == text {
            return Ok(value);
        }
        let withheld = || "(withheld by a guardrail)".to_owned();
        let alone = |part: &str| {
            self.scan(profile, names, part, surface).map_or_else(|_| withheld(), |scan| scan.text)
        };
        Ok(serde_json::from_str(&scan.text).unwrap_or_else(|_| parts(value, &mut |part| alone(part))))
    }

    /// A window through which an answer is streamed.
    ///
    /// # Errors
    /// `misconfigured` if the profile does not exist.
    pub fn window(&self, profile: Option<&str>, names: &Names) -> Result<OutputWindow> {
        let engine = self.inner.guards.engine(profile)?;
        let (names, observe) = (names.clone(), self.inner.observe.clone());
        Ok(OutputWindow { engine, names, window: Some(Place::Closed), unhurried: false, observe })
    }
}

/// The value with each of its texts and numbers screened alone. A number that has something to hide becomes a text.
fn parts(value: Value, screen: &mut dyn FnMut(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(screen(&text)),
        Value::Number(number) => {
            let text = number.to_string();
            let screened = screen(&text);
            if screened == text { Value::Number(number) } else { Value::String(screened) }
        }
        Value::Array(items) => items.into_iter().map(|item| parts(item, screen)).collect(),
        Value::Object(members) => {
            let screened = members.into_iter().map(|(key, member)| (key, parts(member, screen)));
            Value::Object(screened.collect::<Map<_, _>>())
        }
        other => other,
    }
}

/// Where a window stands: it opens with the first text, so that it knows what was found before.
enum Place {
    Closed,
    /// With how many values the conversation had then.
    Open(Box<Window>, usize),
}

/// The guard window of one answer. Text leaves it only screened.
pub struct OutputWindow {
    engine: Engine,
    names: Names,
    window: Option<Place>,
    unhurried: bool,
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
        Self { unhurried: true, ..self }
    }

    /// Takes the next piece and gives what may be shown now; often nothing.
    ///
    /// # Errors
    /// `guard_refused`: nothing more may be shown.
    pub fn push(&mut self, piece: &str) -> Result<String> {
        let (mut window, known) = match self.window.take().ok_or_else(|| refused(&[]))? {
            Place::Open(window, known) => (window, known),
            Place::Closed => {
                let (masks, known) = self.names.copy();
                let window = self.engine.window(Surface::Output, masks);
                (Box::new(if self.unhurried { window.unhurried() } else { window }), known)
            }
        };
        let pushed = watched(LATEST, move || {
            let shown = window.push(piece);
            (shown, window)
        });
        let (shown, window) = pushed.ok_or_else(|| refused(&[]))?;
        if window.refused() {
            let kinds = tell(&self.observe, Surface::Output, &window.finish().findings);
            return Err(refused(&kinds));
        }
        self.window = Some(Place::Open(window, known));
        Ok(shown)
    }

    /// Ends the stream and gives the last text.
    ///
    /// # Errors
    /// `guard_refused`.
    pub fn finish(mut self) -> Result<String> {
        let (window, known) = match self.window.take().ok_or_else(|| refused(&[]))? {
            Place::Open(window, known) => (window, known),
            Place::Closed => return Ok(String::new()),
        };
        let finished = watched(LATEST, move || window.finish()).ok_or_else(|| refused(&[]))?;
        let kinds = tell(&self.observe, Surface::Output, &finished.findings);
        if finished.action == Action::Refuse {
            return Err(refused(&kinds));
        }
        self.names.take_up(known, finished.masks);
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
