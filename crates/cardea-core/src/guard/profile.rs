//! What to do about which finding, where: a reviewed text per agent.
//!
//! Rules are read from top to bottom and the last one that fits decides, so a profile starts broad and ends narrow.
//! Where no rule fits, the finding passes: a profile without rules is off, and says so by its shortness.

use serde::{Deserialize, Serialize};

use super::verdict::{Action, Surface};
use crate::{Code, Error, Result};

/// What an agent's text is screened for, and what happens then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The name that agents use.
    pub name: String,
    /// Why it is as it is, for people.
    #[serde(default)]
    pub about: String,
    /// What a detector that fails (panic, time-out, missing model) means.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// Where the sentence encoder reads what the classifier is unsure of; nowhere if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second_look: Option<SecondLook>,
    /// Actions, broad ones first; the last rule that fits a finding decides.
    #[serde(default, rename = "rule")]
    pub rules: Vec<Rule>,
    /// Phrases and patterns that this agent does not want.
    #[serde(default)]
    pub deny: Vec<Deny>,
    /// Topics, told by example sentences, that this agent does not talk about, or that alone it talks about.
    #[serde(default, rename = "topic", skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<Topic>,
    /// Texts that are never a finding here, such as the company's own address.
    #[serde(default)]
    pub allow: Vec<Allow>,
}

/// What the caller does when screening itself fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// Nothing goes through. The default.
    #[default]
    Refuse,
    /// The text goes through, tainted. A written choice for data that is trusted anyway.
    Warn,
}

/// A second look, by the sentence encoder, at texts of which the classifier is unsure. It takes some milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecondLook {
    /// Surfaces that get one.
    pub surfaces: Vec<Surface>,
    /// What it means that the encoder is missing or does not answer in time.
    #[serde(default)]
    pub on_silence: OnSilence,
    /// Why, for the reviewer.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// What happens to a text that should have had a second look and did not get it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnSilence {
    /// It does not go on. The default.
    #[default]
    Refuse,
    /// It goes on, marked.
    Warn,
    /// What the classifier alone said counts.
    FirstVerdict,
}

/// One line of a profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Families (`personal`, `credential`, `injection`, `content`), kinds (`card`), or `*`.
    pub kinds: Vec<String>,
    /// Surfaces; all if left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub surfaces: Vec<Surface>,
    /// What happens.
    pub action: Action,
    /// Findings below this confidence are not reported. For `classifier`, see the guide for what a value costs.
    #[serde(default = "half")]
    pub threshold: f32,
    /// Why, for the reviewer.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// Something that this agent does not want to read or say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deny {
    /// The rule id in findings; the kind is `deny`.
    pub name: String,
    /// Whole words; letter case, accents, and what is light between the words are ignored.
    #[serde(default)]
    pub phrases: Vec<String>,
    /// A regular expression, at most 200 bytes; letter case and accents are ignored. It is tried where words begin, runs in
    /// linear time and matches at most 256 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
    /// Surfaces; all if left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub surfaces: Vec<Surface>,
    /// What happens.
    pub action: Action,
}

/// A topic told by example sentences. The sentence encoder compares them with a text: some milliseconds for each text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topic {
    /// The rule id in findings; the kind is `topic`.
    pub name: String,
    /// Sentences about the topic, as people would write them; five to twenty serve best.
    pub examples: Vec<String>,
    /// Sentences near the topic that are not about it: what is nearer to these is not found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unlike: Vec<String>,
    /// How near a text must be to one of the examples: a cosine between 0 and 1.
    #[serde(default = "near")]
    pub near: f32,
    /// True for a topic that is allowed: what is about no such topic is found, as `off_topic`.
    #[serde(default)]
    pub only: bool,
    /// Surfaces; `user` if left out. Not `output`, which leaves in pieces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub surfaces: Vec<Surface>,
    /// What happens: `refuse`, `warn` or `pass`.
    pub action: Action,
    /// What it means that the encoder is missing or does not answer in time.
    #[serde(default)]
    pub on_silence: OnSilence,
}

/// Something that is no finding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allow {
    /// The kinds it applies to; all if left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<String>,
    /// The exact texts.
    pub texts: Vec<String>,
    /// Why, for the reviewer.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

const fn half() -> f32 {
    0.5
}

const fn near() -> f32 {
    0.4
}

/// The profiles that ship, with their text.
const BUILT_IN: [(&str, &str); 3] = [
    ("strict", include_str!("profiles/strict.toml")),
    ("standard", include_str!("profiles/standard.toml")),
    ("off-for-trusted-data", include_str!("profiles/off-for-trusted-data.toml")),
];

impl Profile {
    /// Names of the profiles that ship.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// A profile that ships, by name.
    ///
    /// # Errors
    /// [`Code::Misconfigured`] if there is none of this name; the detail names those there are.
    pub fn built_in(name: &str) -> Result<Self> {
        let Some((_, text)) = BUILT_IN.iter().find(|(known, _)| *known == name) else {
            let known: Vec<_> = Self::names().collect();
            return Err(Error::new(Code::Misconfigured)
                .detail(format!("There is no guard profile `{name}`; there are {}.", known.join(", "))));
        };
        Self::parse(text)
    }

    /// Reads a profile from its TOML text.
    ///
    /// # Errors
    /// [`Code::Misconfigured`] with the place in the text.
    pub fn parse(text: &str) -> Result<Self> {
        toml::from_str(text).map_err(|bad| {
            Error::new(Code::Misconfigured).detail(format!("The guard profile is not well formed: {bad}"))
        })
    }
}
