//! Profiles: which action applies to which finding on which surface. Agents refer to them by name.
//!
//! Rules are evaluated from top to bottom. The last one that matches decides, so broad rules come first. A finding that
//! no rule matches passes: a profile without rules does nothing.

use serde::{Deserialize, Serialize};

use super::verdict::{Action, Surface};
use crate::{Code, Error, Result};

/// The guardrail profile of an agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Name by which agents refer to it.
    pub name: String,
    /// Reason for its choices, for reviewers.
    #[serde(default)]
    pub about: String,
    /// Policy for a detector that fails (panic, timeout, missing model).
    #[serde(default)]
    pub on_failure: OnFailure,
    /// Surfaces on which the sentence encoder examines texts of which the classifier is unsure; none if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second_look: Option<SecondLook>,
    /// Rules, broad ones first. The last rule that matches a finding decides.
    #[serde(default, rename = "rule")]
    pub rules: Vec<Rule>,
    /// Phrases and patterns that are not allowed.
    #[serde(default)]
    pub deny: Vec<Deny>,
    /// Topics, defined by example sentences, that the agent must not discuss, or to which it is limited.
    #[serde(default, rename = "topic", skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<Topic>,
    /// Texts that are never findings, such as the company's own address.
    #[serde(default)]
    pub allow: Vec<Allow>,
}

/// Action if the scan itself fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// Refuse the text. The default.
    #[default]
    Refuse,
    /// Pass the text, tainted. Only for data that is trusted anyway.
    Warn,
}

/// Second look: the sentence encoder examines texts of which the classifier is unsure. It takes some milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecondLook {
    /// Surfaces to which it applies.
    pub surfaces: Vec<Surface>,
    /// Action if the encoder is missing or does not answer in time.
    #[serde(default)]
    pub on_silence: OnSilence,
    /// Reason, for reviewers.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// Action on a text that needed a second look and did not get it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnSilence {
    /// Refuse the text. The default.
    #[default]
    Refuse,
    /// Pass the text, with a warning.
    Warn,
    /// Use the result of the classifier alone.
    FirstVerdict,
}

/// A rule of a profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Families (`personal`, `credential`, `injection`, `content`), kinds (`card`), or `*`.
    pub kinds: Vec<String>,
    /// Surfaces; all if absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub surfaces: Vec<Surface>,
    /// Action on the finding.
    pub action: Action,
    /// Minimum confidence. Findings below it are not reported. For `classifier`, the guide lists the error rates by
    /// threshold.
    #[serde(default = "half")]
    pub threshold: f32,
    /// Reason, for reviewers.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// A list of phrases, or a pattern, that is not allowed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deny {
    /// Rule id in findings. The kind is `deny`.
    pub name: String,
    /// Phrases of whole words. Letter case, accents and light separators between the words are ignored.
    #[serde(default)]
    pub phrases: Vec<String>,
    /// Regular expression of at most 200 bytes. Letter case and accents are ignored. Matching starts at word starts,
    /// takes linear time and covers at most 256 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
    /// Surfaces; all if absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub surfaces: Vec<Surface>,
    /// Action on the finding.
    pub action: Action,
}

/// A topic, defined by example sentences. The sentence encoder compares each text with them, which takes some
/// milliseconds per text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topic {
    /// Rule id in findings. The kind is `topic`.
    pub name: String,
    /// Sentences about the topic, as users would write them. Five to twenty work best.
    pub examples: Vec<String>,
    /// Sentences close to the topic but not about it. A text that is closer to one of these is not a finding.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unlike: Vec<String>,
    /// Minimum similarity of a text to one of the examples: a cosine from 0 to 1.
    #[serde(default = "near")]
    pub near: f32,
    /// True for an allowed topic: a text about none of the allowed topics is a finding of the kind `off_topic`.
    #[serde(default)]
    pub only: bool,
    /// Surfaces; `user` if absent. `output` is not possible, since answers are streamed in pieces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub surfaces: Vec<Surface>,
    /// Action: `refuse`, `warn` or `pass`.
    pub action: Action,
    /// Action if the encoder is missing or does not answer in time.
    #[serde(default)]
    pub on_silence: OnSilence,
}

/// Texts that are not findings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allow {
    /// Kinds to which it applies; all if absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<String>,
    /// The texts, compared exactly.
    pub texts: Vec<String>,
    /// Reason, for reviewers.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

const fn half() -> f32 {
    0.5
}

const fn near() -> f32 {
    0.4
}

/// Built-in profiles: name and TOML text.
const BUILT_IN: [(&str, &str); 3] = [
    ("strict", include_str!("profiles/strict.toml")),
    ("standard", include_str!("profiles/standard.toml")),
    ("off-for-trusted-data", include_str!("profiles/off-for-trusted-data.toml")),
];

impl Profile {
    /// Returns the names of the built-in profiles.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// Returns a built-in profile by name.
    ///
    /// # Errors
    /// [`Code::Misconfigured`] if there is no such profile; the detail lists the names.
    pub fn built_in(name: &str) -> Result<Self> {
        let Some((_, text)) = BUILT_IN.iter().find(|(known, _)| *known == name) else {
            let known: Vec<_> = Self::names().collect();
            return Err(Error::new(Code::Misconfigured)
                .detail(format!("There is no guard profile `{name}`; there are {}.", known.join(", "))));
        };
        Self::parse(text)
    }

    /// Parses a profile from TOML.
    ///
    /// # Errors
    /// [`Code::Misconfigured`] with the position in the text.
    pub fn parse(text: &str) -> Result<Self> {
        toml::from_str(text).map_err(|bad| {
            Error::new(Code::Misconfigured).detail(format!("The guard profile is not well formed: {bad}"))
        })
    }
}
