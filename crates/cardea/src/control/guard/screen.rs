//! Guardrails at every boundary. A text that passes becomes a [`Screened`] value; a guardrail that fails is a refusal.

use std::ops::Deref;

use cardea_core::{
    Result,
    guard::{Action, Engine, OnFailure, Surface, Taint, Verdict},
    policy::taint::{SUSPICIOUS, words},
    tool::{Outcome, ToolCall},
};
use serde_json::{Value, json};

use super::{
    Found, Placeholders, Refused, late_or,
    seen::{Seen, is_refusal, kinds, tell, tell_of_failure, withheld},
};
use crate::{
    control::{Control, Requester},
    observe::Observe,
};

/// Proof that the guardrails of this agent ran on exactly this value. Questions, recorded outcomes, answers, cached
/// and replayed texts are all of this type.
///
/// ```
/// use cardea::{control::Screened, turn::{Asker, Question}};
/// use cardea_core::id::ConversationId;
///
/// fn ask<'a>(asker: Asker<'a>, words: Screened<String>, talk: ConversationId) -> Question<'a> {
///     Question::chat(asker, words, talk, None)
/// }
/// ```
///
/// A text that was not screened cannot be asked:
///
/// ```compile_fail,E0308
/// # use cardea::turn::{Asker, Question};
/// # use cardea_core::id::ConversationId;
/// fn ask<'a>(asker: Asker<'a>, words: String, talk: ConversationId) -> Question<'a> {
///     Question::chat(asker, words, talk, None)
/// }
/// ```
///
/// Only this room makes one; no one else can put another value into it:
///
/// ```compile_fail,E0451
/// # use cardea::control::Screened;
/// fn forged(screened: Screened<String>, words: String) -> Screened<String> {
///     Screened { value: words, ..screened }
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Screened<T> {
    value: T,
    taint: Vec<String>,
    found: Found,
}

impl<T> Screened<T> {
    /// Returns the value.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.value
    }

    /// Returns the sources of untrusted or suspicious text, as policies name them.
    #[must_use]
    pub fn taint(&self) -> &[String] {
        &self.taint
    }

    /// Wraps without a scan a sentence of Cardea or of the operator's files. `tests/it/rooms.rs` lists the callers.
    pub(crate) fn own_words(value: T) -> Self {
        Self { value, taint: Vec::new(), found: Found::default() }
    }

    /// Wraps without a scan a value from the journal. It was screened before it was written, and has tainted its turn.
    pub(crate) fn from_journal(value: T) -> Self {
        Self::own_words(value)
    }

    /// Wraps a whole answer that came through its window.
    pub(super) fn of_answer(value: T, taint: Vec<String>) -> Self {
        Self { value, taint, found: Found::default() }
    }

    /// Returns what was found in the value and did not stop it.
    #[must_use]
    pub fn found(&self) -> &Found {
        &self.found
    }
}

impl Screened<Outcome> {
    /// Returns the text that a client is given.
    #[must_use]
    pub fn words(&self) -> Screened<String> {
        let value = match &self.value {
            Outcome::Done { result } => result.to_string(),
            Outcome::Failed { reason, .. } | Outcome::Unknown { reason, .. } => reason.clone(),
        };
        Screened { value, taint: self.taint.clone(), found: self.found.clone() }
    }
}

impl<T> Deref for Screened<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// Result of one scan, with the text or value that may go on.
pub(super) struct Scan<T> {
    action: Action,
    surface: Surface,
    seen: Vec<Seen>,
    passed: T,
    taint: Option<Taint>,
}

impl<T> Scan<T> {
    /// Returns the sources of untrusted text, as policies name them.
    fn words(&self) -> impl Iterator<Item = String> + use<'_, T> {
        self.taint.iter().flat_map(words).map(str::to_owned)
    }

    /// Returns the value that may go on, unless a rule refuses it.
    fn allowed(self) -> Result<Screened<T>, Refused> {
        if self.action == Action::Refuse {
            return Err(Refused::of(self.surface, &self.seen, is_refusal));
        }
        let masked = kinds(&self.seen, |action| action == Action::Mask);
        let warned = kinds(&self.seen, |action| action == Action::Warn);
        Ok(Screened { taint: self.words().collect(), found: Found { masked, warned }, value: self.passed })
    }

    /// Does the same where nothing can be masked.
    fn whole(self) -> Result<Screened<T>, Refused> {
        let stops = |action| matches!(action, Action::Refuse | Action::Mask);
        if self.seen.iter().any(|seen| stops(seen.action)) {
            return Err(Refused::of(self.surface, &self.seen, stops));
        }
        self.allowed()
    }
}

/// The definition of a tool.
#[derive(Debug, Clone)]
pub struct Words {
    /// Description.
    pub description: String,
    /// Schema of the arguments.
    pub schema: Value,
}

/// Returns whether two values that are otherwise alike have the same names at the same places.
fn same_names(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(name, value)| other.get(name).is_some_and(|other| same_names(value, other)))
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same_names(one, other))
        }
        _ => true,
    }
}

/// Handles a guardrail that did not answer: a refusal, unless the profile makes another choice. Output is always
/// refused, including output from the cache.
pub(super) fn failed<T>(
    observe: &Observe,
    engine: &Engine,
    passed: T,
    surface: Surface,
) -> Result<Scan<T>, Refused> {
    match engine.on_failure() {
        OnFailure::Warn if surface != Surface::Output => {
            tell_of_failure(observe, engine.name(), surface, Action::Warn);
            let taint = Some(Taint { source: surface, suspicious: true, rules: Vec::new() });
            Ok(Scan { action: Action::Warn, surface, seen: Vec::new(), passed, taint })
        }
        OnFailure::Warn | OnFailure::Refuse => {
            tell_of_failure(observe, engine.name(), surface, Action::Refuse);
            Err(Refused::of(surface, &[], is_refusal))
        }
    }
}

/// Limit of characters that may become a title.
const TITLE: usize = 400;

/// The guardrails of one profile, with the placeholders of one conversation. Made by [`Control::screen`].
#[derive(Debug, Clone, Copy)]
pub struct Screen<'a> {
    pub(super) control: &'a Control,
    pub(super) profile: Option<&'a str>,
    pub(super) names: &'a Placeholders,
}

impl Control {
    /// Returns the guardrails of a profile; `None` stands for the installation's.
    #[must_use]
    pub const fn screen<'a>(&'a self, profile: Option<&'a str>, names: &'a Placeholders) -> Screen<'a> {
        Screen { control: self, profile, names }
    }

    /// Runs a screening and returns its result. A refusal first goes into the audit log: the caller, the surface, the
    /// kinds and the rules, but never the text.
    ///
    /// # Errors
    /// The refusal; store errors.
    pub async fn audit_refusal<T>(
        &self,
        who: Requester<'_>,
        screen: impl FnOnce() -> Result<T, Refused>,
    ) -> Result<T> {
        match screen() {
            Ok(value) => Ok(value),
            Err(refused) => {
                self.inner.db.commit(self.input_refused(who, &refused)).await?;
                Err(refused.into())
            }
        }
    }

    /// Screens the description of a tool, before the tool can be offered to any model.
    ///
    /// # Errors
    /// As [`Screen::input`]: such a tool is not imported.
    pub fn screen_description(&self, text: &str) -> Result<Screened<String>, Refused> {
        self.screen(None, &Placeholders::default()).text(text, Surface::ToolDescription)
    }

    /// Screens the definition of a tool, before the tool can be offered to any model. Texts are masked but names never
    /// are: a tool whose arguments had other names could not be called.
    ///
    /// # Errors
    /// As [`Screen::input`]: such a tool is not imported.
    pub fn screen_tool(&self, words: Words) -> Result<Screened<Words>, Refused> {
        let Words { description, schema } = words;
        let whole = self.screen_description(&schema.to_string())?; // an instruction can be spread over several texts
        let names = Placeholders::default();
        let screen = self.screen(None, &names);
        let said = screen.text(&description, Surface::ToolDescription)?;
        let scan = screen.scan_value(schema.clone(), Surface::ToolDescription)?;
        if !same_names(&schema, &scan.passed) {
            return Err(Refused::of(scan.surface, &scan.seen, |action| action != Action::Pass));
        }
        let masked = scan.allowed()?;
        let taint = [whole.taint(), said.taint(), masked.taint()].concat();
        let value = Words { description: said.value, schema: masked.value };
        Ok(Screened { value, taint, found: Found::default() })
    }
}

impl Screen<'_> {
    fn scan(&self, text: &str, surface: Surface) -> Result<Scan<String>, Refused> {
        let (engine, observe) = (self.engine(surface)?, &self.control.inner.observe);
        let verdict = late_or(|late| {
            self.names.scan(|masks| engine.scan_until(text, surface, masks, late).map(Verdict::into_owned))
        });
        let Some(verdict) = verdict else { return failed(observe, &engine, text.to_owned(), surface) };
        let seen = tell(observe, self.names, surface, &verdict.findings);
        let passed = verdict.text.into_owned();
        Ok(Scan { action: verdict.action, surface, seen, passed, taint: verdict.taint })
    }

    fn scan_value(&self, value: Value, surface: Surface) -> Result<Scan<Value>, Refused> {
        let (engine, observe) = (self.engine(surface)?, &self.control.inner.observe);
        let verdict =
            late_or(|late| self.names.scan(|masks| engine.scan_value_until(&value, surface, masks, late)));
        let Some(verdict) = verdict else { return failed(observe, &engine, value, surface) };
        let seen = tell(observe, self.names, surface, &verdict.findings);
        let passed = verdict.masked.unwrap_or(value);
        Ok(Scan { action: verdict.action, surface, seen, passed, taint: verdict.taint })
    }

    fn engine(&self, surface: Surface) -> Result<Engine, Refused> {
        self.control.inner.guards.engine(self.profile).map_err(|error| Refused::new(error, surface))
    }

    fn text(&self, text: &str, surface: Surface) -> Result<Screened<String>, Refused> {
        self.scan(text, surface)?.allowed()
    }

    /// Screens what a user wrote.
    ///
    /// # Errors
    /// `guard_refused`, naming the kinds that were found and never the values.
    pub fn input(&self, text: &str) -> Result<Screened<String>, Refused> {
        self.text(text, Surface::User)
    }

    /// Screens a name given by a client. It is not masked, since a masked name would not be found again.
    ///
    /// # Errors
    /// As [`Screen::input`], also for what would be masked.
    pub fn name(&self, text: &str) -> Result<(), Refused> {
        self.scan(text, Surface::User)?.whole().map(drop)
    }

    /// Screens a whole answer: one from a cache, or one that a client sends along.
    ///
    /// # Errors
    /// As [`Screen::input`].
    pub fn output(&self, text: &str) -> Result<Screened<String>, Refused> {
        self.text(text, Surface::Output)
    }

    /// Screens a tool's text that a client sends along.
    ///
    /// # Errors
    /// As [`Screen::input`].
    pub fn tool_text(&self, text: &str) -> Result<Screened<String>, Refused> {
        self.text(text, Surface::ToolResult)
    }

    /// Screens the words that a conversation is named after. Titles appear in lists and logs, so their placeholders are
    /// not those of the conversation.
    ///
    /// # Errors
    /// As [`Screen::input`].
    pub fn title(&self, text: &str) -> Result<Screened<String>, Refused> {
        let first: String = text.chars().take(TITLE).collect();
        Screen { names: &Placeholders::default(), ..*self }.text(&first, Surface::Title)
    }

    /// Screens the arguments of a call on their way out and returns the sources of untrusted text. They are not
    /// masked, since that would make another call: a call whose arguments contain what a rule masks is refused.
    ///
    /// # Errors
    /// As [`Screen::input`], also for what would be masked.
    pub fn arguments(&self, call: &ToolCall) -> Result<Vec<String>, Refused> {
        let value = Value::Object(call.arguments.clone());
        self.scan_value(value, Surface::ToolArguments)?.whole().map(|screened| screened.taint)
    }

    /// Screens the result of a tool. The work is done, so a refusal withholds the text and not the outcome.
    #[must_use]
    pub fn result(&self, outcome: Outcome) -> Screened<Outcome> {
        let mut taint = vec![Surface::ToolResult.name().to_owned()];
        let value = match outcome {
            Outcome::Done { result } => Outcome::Done { result: self.value(result, &mut taint) },
            Outcome::Failed { reason, status } => {
                Outcome::Failed { reason: self.line(&reason, &mut taint), status }
            }
            Outcome::Unknown { reason, status } => {
                Outcome::Unknown { reason: self.line(&reason, &mut taint), status }
            }
        };
        taint.sort();
        taint.dedup();
        Screened { value, taint, found: Found::default() }
    }

    fn line(&self, text: &str, taint: &mut Vec<String>) -> String {
        match self.scan(text, Surface::ToolResult) {
            Ok(scan) if scan.action != Action::Refuse => {
                taint.extend(scan.words());
                scan.passed
            }
            _ => {
                taint.push(SUSPICIOUS.to_owned());
                "(withheld by a guardrail)".to_owned()
            }
        }
    }

    /// Screens a JSON value. A refusal withholds all of it.
    fn value(&self, value: Value, taint: &mut Vec<String>) -> Value {
        match self.scan_value(value, Surface::ToolResult) {
            Ok(scan) if scan.action == Action::Refuse => {
                taint.push(SUSPICIOUS.to_owned());
                Value::Object(withheld(&kinds(&scan.seen, is_refusal)))
            }
            Ok(scan) => {
                taint.extend(scan.words());
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
    /// As [`Screen::input`].
    pub fn json(&self, value: Value, surface: Surface) -> Result<Value, Refused> {
        self.scan_value(value, surface)?.allowed().map(Screened::into_inner)
    }
}
