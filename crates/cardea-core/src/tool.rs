//! Tools: what a model may call, and the outcome of a call.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    id::ToolName,
    time::Millis,
    written::{self, Lost},
};

/// Effect of a tool on the world. An undeclared effect counts as the worst.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Reads, and changes nothing.
    Read,
    /// Changes something reversibly.
    Write,
    /// Changes something irreversibly.
    #[default]
    Destructive,
}

impl Effect {
    /// Returns whether calling the tool twice could do harm.
    #[must_use]
    pub const fn changes_things(self) -> bool {
        !matches!(self, Self::Read)
    }

    /// Returns the name in files, policies, logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Destructive => "destructive",
        }
    }

    /// Returns the effect with this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Read, Self::Write, Self::Destructive].into_iter().find(|effect| effect.name() == name)
    }
}

/// Whose cached results may be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sharing {
    /// Only the caller's own earlier result.
    #[default]
    User,
    /// Any result inside the tenant: the result does not depend on the caller.
    Tenant,
}

/// How long, and for whom, results of a read tool may be reused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheHint {
    /// Lifetime of a result.
    pub ttl: Millis,
    /// Templates such as `order:{order_id}`, filled from the arguments; a write that declares the tag clears it.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Whose results may be reused.
    #[serde(default)]
    pub sharing: Sharing,
}

/// A tool as a model sees it, with what Cardea needs to know to call it safely.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// Name for callers and models.
    pub name: ToolName,
    /// Description for the model. Untrusted if it comes from an upstream.
    pub description: String,
    /// JSON Schema (2020-12) of the arguments: an object.
    pub input_schema: Value,
    /// Effect on the world.
    #[serde(default)]
    pub effect: Effect,
    /// Whether a second call with the same arguments changes nothing more.
    #[serde(default)]
    pub idempotent: bool,
    /// Whether it sends data outside the tenant (mail, chat, payment, web).
    #[serde(default)]
    pub sends_outside: bool,
    /// Example utterances that ask for this tool: used by tool selection only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
    /// How results may be reused; `None` means never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheHint>,
    /// Tags that a successful call of this write tool clears.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clears: Vec<String>,
}

/// A tool call as requested by a model. Nothing has been checked yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The provider's id for this call; unique in its turn.
    pub id: String,
    /// Name of the tool as written by the model.
    pub name: String,
    /// The arguments, as a JSON object.
    pub arguments: Map<String, Value>,
    /// The arguments as written, if serialising [`Self::arguments`] would give another text: other numbers, another
    /// order, or no object at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<String>,
}

/// Member that holds arguments which are not an object.
const NO_OBJECT: &str = "arguments";

impl ToolCall {
    /// Parses a call with written arguments.
    ///
    /// # Errors
    /// If they are not a JSON object.
    pub fn read(id: String, name: String, text: &str) -> serde_json::Result<Self> {
        let arguments: Map<String, Value> = match text.trim() {
            "" => Map::new(),
            text => serde_json::from_str(text)?,
        };
        let same = text.trim().is_empty() || serde_json::to_string(&arguments)? == text;
        Ok(Self { id, name, arguments, written: (!same).then(|| text.to_owned()) })
    }

    /// Parses a call even if the arguments are not a JSON object; they are then one text.
    #[must_use]
    pub fn read_any(id: String, name: String, text: &str) -> Self {
        Self::read(id.clone(), name.clone(), text).unwrap_or_else(|_| {
            let arguments = Map::from_iter([(NO_OBJECT.to_owned(), Value::from(text))]);
            Self { id, name, arguments, written: Some(text.to_owned()) }
        })
    }

    /// Returns the arguments as they were written.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        match &self.written {
            Some(written) => Cow::Borrowed(written),
            // Serialising a map of values does not fail.
            None => Cow::Owned(serde_json::to_string(&self.arguments).unwrap_or_default()),
        }
    }

    /// Returns why the arguments are not a JSON object, if they are not.
    #[must_use]
    pub fn unreadable(&self) -> Option<String> {
        let written = self.written.as_deref()?;
        match serde_json::from_str::<Value>(written) {
            Ok(Value::Object(_)) => None,
            Ok(_) => Some("the arguments are no JSON object".to_owned()),
            Err(error) => Some(format!("the arguments are not valid JSON: {error}")),
        }
    }

    /// Fixes the arguments for acting on them: only [`Self::arguments`] remains, with whole numbers written as
    /// integers. Returns what of the written text the arguments lose.
    pub fn settle(&mut self) -> Option<Lost> {
        self.arguments.values_mut().for_each(written::whole_numbers);
        written::read(&self.written.take()?)?.lost
    }
}

/// The outcome of a call, as far as it is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The tool did its work.
    Done {
        /// What it returned.
        result: Value,
    },
    /// The tool, or the way to it, refused before anything was done.
    Failed {
        /// Reason, in words that a model and a person may read.
        reason: String,
        /// HTTP status with which the service answered, if it did: for the audit log, not for the model.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
    },
    /// It is unknown whether the work was done. Never retried automatically.
    Unknown {
        /// Last observation.
        reason: String,
        /// As in `Failed`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
    },
}

impl Outcome {
    /// Creates the outcome of a call that was refused before anything was done.
    #[must_use]
    pub fn failed(reason: impl Into<String>) -> Self {
        Self::Failed { reason: reason.into(), status: None }
    }

    /// Creates the outcome of a call of which it is unknown whether it was done.
    #[must_use]
    pub fn unknown(reason: impl Into<String>) -> Self {
        Self::Unknown { reason: reason.into(), status: None }
    }

    /// Adds the status with which the service answered.
    #[must_use]
    pub fn answered(mut self, with: Option<u16>) -> Self {
        if let Self::Failed { status, .. } | Self::Unknown { status, .. } = &mut self {
            *status = with;
        }
        self
    }

    /// Returns why the call was not done, or is not known to be.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Done { .. } => None,
            Self::Failed { reason, .. } | Self::Unknown { reason, .. } => Some(reason),
        }
    }

    /// Returns the status with which the service answered, if it has not done its work.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Done { .. } => None,
            Self::Failed { status, .. } | Self::Unknown { status, .. } => *status,
        }
    }

    /// Returns the name in logs and metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Done { .. } => "done",
            Self::Failed { .. } => "failed",
            Self::Unknown { .. } => "unknown",
        }
    }
}

/// One try of a call that has not done its work, as far as is known: makes the outcomes that say so.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    /// What the call does.
    pub effect: Effect,
    /// True if an earlier try may have arrived.
    pub again: bool,
}

impl Attempt {
    /// Nothing was done by this try. Where an earlier try of the same write may have arrived, that says nothing.
    #[must_use]
    pub fn not_done(self, reason: impl Into<String>) -> Outcome {
        let reason = reason.into();
        if self.again && self.effect.changes_things() {
            let earlier = "An earlier try may have been done, so it is not known whether it was.";
            return Outcome::unknown(format!("{reason} {earlier}"));
        }
        Outcome::failed(reason)
    }

    /// Something may have been done, if the call does anything.
    #[must_use]
    pub fn unsure(self, reason: impl Into<String>) -> Outcome {
        if self.effect.changes_things() { Outcome::unknown(reason) } else { Outcome::failed(reason) }
    }

    /// The same of a service of which this is all that is known, without a full stop.
    #[must_use]
    pub fn unanswered(self, known: &str) -> Outcome {
        let so =
            if self.effect.changes_things() { ", so it is not known whether it did the work" } else { "" };
        self.unsure(format!("{known}{so}."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_write_may_have_been_done_by_this_try_or_by_an_earlier_one() {
        let of = |effect, again| {
            let attempt = Attempt { effect, again };
            [attempt.not_done("No."), attempt.unsure("Oh."), attempt.unanswered("`shop` broke off")]
        };
        let names = |effect, again| of(effect, again).map(|outcome| outcome.name());
        assert_eq!(names(Effect::Read, false), ["failed"; 3]);
        assert_eq!(names(Effect::Read, true), ["failed"; 3]);
        assert_eq!(names(Effect::Write, false), ["failed", "unknown", "unknown"]);
        assert_eq!(names(Effect::Destructive, true), ["unknown"; 3]);
        let told = |effect| of(effect, true).map(|outcome| outcome.reason().unwrap_or_default().to_owned());
        assert_eq!(told(Effect::Read), ["No.", "Oh.", "`shop` broke off."]);
        let [refused, _, silent] = told(Effect::Write);
        assert_eq!(refused, "No. An earlier try may have been done, so it is not known whether it was.");
        assert_eq!(silent, "`shop` broke off, so it is not known whether it did the work.");
    }

    #[test]
    fn an_outcome_is_read_as_an_older_version_wrote_it_and_tells_a_status_where_there_is_one() {
        let older = r#"{"outcome":"failed","reason":"`shop` answered with status 402"}"#;
        let failed: Outcome = serde_json::from_str(older).unwrap();
        assert_eq!((failed.reason(), failed.status()), (Some("`shop` answered with status 402"), None));
        assert_eq!(serde_json::to_string(&failed).unwrap(), older, "nothing is made up");
        let unknown = Outcome::unknown("`shop` answered").answered(Some(503));
        let written = serde_json::to_string(&unknown).unwrap();
        assert_eq!(written, r#"{"outcome":"unknown","reason":"`shop` answered","status":503}"#);
        assert_eq!(serde_json::from_str::<Outcome>(&written).unwrap(), unknown);
        let done = Outcome::Done { result: Value::Null }.answered(Some(200));
        assert_eq!((done.reason(), done.status()), (None, None));
    }
}
