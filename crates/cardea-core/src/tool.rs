//! Tools: what a model may ask for, and what came of it.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    id::ToolName,
    time::Millis,
    written::{self, Lost},
};

/// What a tool does to the world. An undeclared effect counts as the worst.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Looks, and changes nothing.
    Read,
    /// Changes something that can be changed back.
    Write,
    /// Changes something that cannot.
    #[default]
    Destructive,
}

impl Effect {
    /// True if calling the tool twice could do harm.
    #[must_use]
    pub const fn changes_things(self) -> bool {
        !matches!(self, Self::Read)
    }

    /// The word in files, policies, logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Destructive => "destructive",
        }
    }

    /// The effect with this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Read, Self::Write, Self::Destructive].into_iter().find(|effect| effect.name() == name)
    }
}

/// Whose cached result may be served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sharing {
    /// Only the caller's own earlier result.
    #[default]
    User,
    /// Any result inside the tenant: the answer does not depend on who asks.
    Tenant,
}

/// How long, and for whom, results of a read tool may be reused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheHint {
    /// How long a result stays good.
    pub ttl: Millis,
    /// Templates such as `order:{order_id}`, filled from the arguments; a write that declares the tag clears it.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Whose results may be reused.
    #[serde(default)]
    pub sharing: Sharing,
}

/// A tool as a model sees it, with what Cardea must know to call it safely.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// Its name for callers and models.
    pub name: ToolName,
    /// What it does, for the model. Untrusted if it comes from an upstream.
    pub description: String,
    /// JSON Schema (2020-12) of the arguments: an object.
    pub input_schema: Value,
    /// What it does to the world.
    #[serde(default)]
    pub effect: Effect,
    /// True if a second call with the same arguments changes nothing more.
    #[serde(default)]
    pub idempotent: bool,
    /// True if it sends data outside the tenant (mail, chat, payment, web).
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

/// A model's wish to call a tool. Nothing has been checked yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The provider's id for this call; unique in its turn.
    pub id: String,
    /// The tool's name as the model wrote it.
    pub name: String,
    /// The arguments, as a JSON object.
    pub arguments: Map<String, Value>,
    /// The arguments as they were written, where [`Self::arguments`] would be written otherwise: with other numbers, in
    /// other places, or as what is no object at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<String>,
}

/// The member under which arguments stand that are no object.
const NO_OBJECT: &str = "arguments";

impl ToolCall {
    /// A call of this tool with arguments that somebody has written.
    ///
    /// # Errors
    /// If they are no JSON object.
    pub fn read(id: String, name: String, text: &str) -> serde_json::Result<Self> {
        let arguments: Map<String, Value> = match text.trim() {
            "" => Map::new(),
            text => serde_json::from_str(text)?,
        };
        let same = text.trim().is_empty() || serde_json::to_string(&arguments)? == text;
        Ok(Self { id, name, arguments, written: (!same).then(|| text.to_owned()) })
    }

    /// The same, also if the arguments are no JSON object: then they are one text.
    #[must_use]
    pub fn read_any(id: String, name: String, text: &str) -> Self {
        Self::read(id.clone(), name.clone(), text).unwrap_or_else(|_| {
            let arguments = Map::from_iter([(NO_OBJECT.to_owned(), Value::from(text))]);
            Self { id, name, arguments, written: Some(text.to_owned()) }
        })
    }

    /// The arguments as they were written.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        match &self.written {
            Some(written) => Cow::Borrowed(written),
            // A map of values can always be written.
            None => Cow::Owned(serde_json::to_string(&self.arguments).unwrap_or_default()),
        }
    }

    /// Why the arguments are no JSON object, if they are none.
    #[must_use]
    pub fn unreadable(&self) -> Option<String> {
        let written = self.written.as_deref()?;
        match serde_json::from_str::<Value>(written) {
            Ok(Value::Object(_)) => None,
            Ok(_) => Some("the arguments are no JSON object".to_owned()),
            Err(error) => Some(format!("the arguments are not valid JSON: {error}")),
        }
    }

    /// Settles what the arguments are, for who acts on them: [`Self::arguments`] and nothing else, with numbers that are
    /// integers written as such. What that does not say of what was written is told.
    pub fn settle(&mut self) -> Option<Lost> {
        self.arguments.values_mut().for_each(written::whole_numbers);
        written::read(&self.written.take()?)?.lost
    }
}

/// How a call ended, as far as anybody can know.
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
        /// Why, in words that a model and a person may read.
        reason: String,
        /// The status of HTTP with which the service answered, if it did: for the audit log, and for no model.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
    },
    /// Nobody can say whether it was done. Never retried by itself.
    Unknown {
        /// What was seen last.
        reason: String,
        /// As of one that failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
    },
}

impl Outcome {
    /// It was refused before anything was done.
    #[must_use]
    pub fn failed(reason: impl Into<String>) -> Self {
        Self::Failed { reason: reason.into(), status: None }
    }

    /// Nobody can say whether it was done.
    #[must_use]
    pub fn unknown(reason: impl Into<String>) -> Self {
        Self::Unknown { reason: reason.into(), status: None }
    }

    /// The same, of a service that has answered with this status.
    #[must_use]
    pub fn answered(mut self, with: Option<u16>) -> Self {
        if let Self::Failed { status, .. } | Self::Unknown { status, .. } = &mut self {
            *status = with;
        }
        self
    }

    /// Why it was not done, or is not known to be.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Done { .. } => None,
            Self::Failed { reason, .. } | Self::Unknown { reason, .. } => Some(reason),
        }
    }

    /// The status with which the service answered, if it has not done its work.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Done { .. } => None,
            Self::Failed { status, .. } | Self::Unknown { status, .. } => *status,
        }
    }

    /// The word in logs and metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Done { .. } => "done",
            Self::Failed { .. } => "failed",
            Self::Unknown { .. } => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
