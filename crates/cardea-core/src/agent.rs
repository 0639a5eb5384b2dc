//! Agents, as files in `agents/` define them.
//!
//! Promises: a loaded [`Agent`] is complete and bounded, and its version changes with every byte of its file. Refuses:
//! unknown keys, an agent without instructions, limits of zero. Called by the configuration, which reads the folder,
//! and by every room that asks what an agent may do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    canonical::hex,
    cost::millionths,
    form::{self, Node, Place, Problem},
    id::AgentName,
    message::Sampling,
    time::Millis,
    units::LengthText,
};

/// An agent: a model with instructions, tools and limits.
#[derive(Debug, Clone, PartialEq)]
pub struct Agent {
    /// Name of the agent: its file name without `.toml`. Clients ask for the model `agent/NAME`.
    pub name: AgentName,
    /// First 16 hexadecimal digits of the SHA-256 of the file. Cached answers and turns keep it.
    pub version: String,
    /// Content of the file.
    pub spec: AgentSpec,
}

/// Content of an agent file.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentSpec {
    /// One sentence that helps people choose an agent.
    #[serde(default)]
    pub about: String,
    /// Model to use: a name of `models.aliases`.
    pub model: String,
    /// Instructions given to the model first. Users never see or change them.
    pub instructions: String,
    /// Tools the agent may call: names, in which `*` stands for any run of characters. Policies decide on each call as
    /// well.
    #[serde(default)]
    pub tools: Vec<String>,
    /// Tools among `tools` that are offered to the model for every question, even if they seem unrelated to it.
    #[serde(default)]
    pub always_tools: Vec<String>,
    /// Limit of tools offered to the model at a time. Those most relevant to the question are chosen.
    #[serde(default = "offered")]
    #[schemars(range(min = 1, max = 128))]
    pub offered_tools: u16,
    /// Guard profile. If absent: the one that the configuration names.
    #[serde(default)]
    pub guard: Option<String>,
    /// Placeholder labels, such as `EMAIL`, whose original values may be shown to the owner of the conversation.
    /// The model never sees the values.
    #[serde(default)]
    pub restore: Vec<String>,
    /// Limits of one turn.
    #[serde(default)]
    pub limits: TurnLimits,
    /// Caching of answers.
    #[serde(default)]
    pub cache: AnswerCache,
    /// Part of the conversation that the model sees.
    #[serde(default)]
    pub memory: MemoryWindow,
    /// Sampling parameters of the model.
    #[serde(default)]
    pub sampling: Sampling,
}

const fn offered() -> u16 {
    12
}

/// Limits of one turn. Reaching a limit ends the turn with an error of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TurnLimits {
    /// How often the model may read tool results and continue.
    #[schemars(range(min = 0, max = 50))]
    pub reflections: u32,
    /// Limit of tool calls.
    #[schemars(range(min = 0, max = 200))]
    pub tool_calls: u32,
    /// Time limit of one tool call; a shorter `timeout` of its upstream or connector applies as well. A read that
    /// takes longer fails, and the model is told. A write that takes longer has an unknown outcome, and the turn ends.
    #[serde(with = "crate::time::text")]
    #[schemars(with = "LengthText")]
    pub tool_timeout: Millis,
    /// Limit of the turn's working time. Waiting for an approval does not count.
    #[serde(with = "crate::time::text")]
    #[schemars(with = "LengthText")]
    pub time: Millis,
    /// Limit of what the turn's model calls may cost, by the price file and an estimate of what the next call reads.
    /// The last answer is cut where the money ends. A call that cannot be paid is not made, and the turn ends with
    /// `money_spent`. A model without a price costs nothing. An answer that exceeds the limit because its model could
    /// not be told it (`max_output` of its alias) is not returned. If absent, there is no limit.
    #[schemars(range(min = 0.0001))]
    pub money: Option<f64>,
    /// Limit of tokens, read and written, of all model calls of the turn. The last answer is cut at the limit, and a
    /// turn that needs more ends with `tokens_spent`. So does a turn whose last answer is longer because its model
    /// could not be told the limit (`max_output` of its alias). If absent, there is no limit.
    #[schemars(range(min = 1))]
    pub tokens: Option<u64>,
}

impl Default for TurnLimits {
    fn default() -> Self {
        Self {
            reflections: 2,
            tool_calls: 5,
            tool_timeout: Millis::from_secs(3),
            time: Millis::from_secs(60),
            money: None,
            tokens: None,
        }
    }
}

impl TurnLimits {
    /// Returns the money limit in millionths of a US dollar.
    #[must_use]
    pub fn micros(&self) -> Option<u64> {
        self.money.map(millionths)
    }
}

/// Caching of an agent's answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AnswerCache {
    /// Who shares answers.
    pub scope: CacheScope,
    /// Whether a reworded question may get the answer of a question with the same meaning.
    pub semantic: bool,
    /// Similarity, from 0.5 to 1, above which two questions count as the same. If absent: the measured default.
    #[schemars(range(min = 0.5, max = 1))]
    pub threshold: Option<f32>,
    /// Lifetime of a cached answer. If absent: `cache.ttl` of the configuration.
    #[serde(with = "maybe_length", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<LengthText>")]
    pub ttl: Option<Millis>,
}

impl Default for AnswerCache {
    fn default() -> Self {
        Self { scope: CacheScope::User, semantic: true, threshold: None, ttl: None }
    }
}

/// Who shares answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CacheScope {
    /// Only the user's own earlier answers.
    #[default]
    User,
    /// Only answers of the same conversation.
    Session,
    /// Answers of all users of the tenant with the same roles and scopes. Only for agents whose answers hold nothing
    /// personal.
    Shared,
    /// No answer is cached.
    Off,
}

/// Part of the conversation that the model sees: the newest messages that fit both limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MemoryWindow {
    /// Limit of messages.
    #[schemars(range(min = 1, max = 1000))]
    pub messages: u32,
    /// Limit of tokens, estimated.
    #[schemars(range(min = 64))]
    pub tokens: u32,
}

impl Default for MemoryWindow {
    fn default() -> Self {
        Self { messages: 40, tokens: 8_000 }
    }
}

/// Serialises an optional length of time as text.
mod maybe_length {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Millis;

    pub(super) fn serialize<S: Serializer>(
        length: &Option<Millis>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match length {
            Some(length) => crate::time::text::serialize(length, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Millis>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(serde::de::Error::custom)).transpose()
    }
}

impl Agent {
    /// Reads the file of the agent `name`.
    ///
    /// # Errors
    /// All problems of the file, with their places.
    pub fn parse(name: &str, text: &str) -> Result<Self, Vec<Problem>> {
        let root = form::parse(text)?;
        let spec: AgentSpec = form::read(&root)?;
        let mut problems: Vec<Problem> = name_problem(name).into_iter().collect();
        spec.check(&root, &mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self { name: AgentName::new(name), version: version(text), spec })
    }

    /// Returns whether the agent may call the tool at all.
    #[must_use]
    pub fn may_use(&self, tool: &str) -> bool {
        self.spec.tools.iter().any(|pattern| matches(pattern, tool))
    }

    /// Returns whether the tool is offered to the model for every question.
    #[must_use]
    pub fn always_offers(&self, tool: &str) -> bool {
        self.may_use(tool) && self.spec.always_tools.iter().any(|pattern| matches(pattern, tool))
    }
}

impl AgentSpec {
    fn check(&self, root: &Node, problems: &mut Vec<Problem>) {
        let mut say = |key: &str, message: &str| {
            let place = root.find(key).map_or(Place::Nowhere, |node| node.place.clone());
            problems.push(Problem::new(key, message, place));
        };
        if self.instructions.trim().is_empty() {
            say("instructions", "is empty: an agent without instructions does whatever it is told");
        }
        if self.model.trim().is_empty() {
            say("model", "is empty");
        }
        for (list, key) in [(&self.tools, "tools"), (&self.always_tools, "always_tools")] {
            for (i, pattern) in list.iter().enumerate() {
                if pattern.is_empty() || pattern.chars().any(char::is_whitespace) {
                    say(&format!("{key}[{i}]"), "is no tool name");
                }
            }
        }
        for (i, pattern) in self.always_tools.iter().enumerate() {
            if !self.tools.iter().any(|allowed| covers(allowed, pattern)) {
                say(&format!("always_tools[{i}]"), "is not among `tools`");
            }
        }
        if self.limits.time == Millis(0) {
            say("limits.time", "must be more than nothing");
        }
        if self.limits.tool_timeout == Millis(0) {
            say("limits.tool_timeout", "must be more than nothing");
        }
        if self.limits.tool_timeout > self.limits.time {
            say("limits.tool_timeout", "is longer than `limits.time`");
        }
    }
}

fn name_problem(name: &str) -> Option<Problem> {
    let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    let good = !name.is_empty() && name.len() <= 64 && name.chars().all(known);
    let message = format!("`{name}` is no name for an agent");
    let help = "name the file with small letters, digits, `-` and `_`, such as support.toml";
    (!good).then(|| Problem::new("", message, Place::Nowhere).help(help))
}

fn version(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    hex(digest.as_ref().get(..8).unwrap_or_default())
}

/// Returns whether `name` fits `pattern`, in which `*` stands for any run of characters. The time is at worst
/// proportional to the product of the lengths.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part).and_then(|at| rest.get(at + part.len()..)) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Returns whether every name that fits `narrow` can be expected to fit `wide`, by reading each `*` of `narrow` as a
/// letter.
fn covers(wide: &str, narrow: &str) -> bool {
    matches(wide, narrow) || matches(wide, &narrow.replace('*', "x"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SMALL: &str = "model = \"rehearsal\"\ninstructions = \"Help.\"\n";

    fn keys(text: &str) -> Vec<String> {
        Agent::parse("a", text).unwrap_err().into_iter().map(|problem| problem.key).collect()
    }

    #[test]
    fn a_small_file_is_a_whole_agent_with_careful_limits() {
        let agent = Agent::parse("support", SMALL).unwrap();
        let limits = &agent.spec.limits;
        assert_eq!(
            (limits.reflections, limits.tool_calls, limits.tool_timeout),
            (2, 5, Millis::from_secs(3))
        );
        assert_eq!(agent.spec.cache.scope, CacheScope::User);
        assert!(!agent.may_use("ops__orders_get"), "an agent without tools has all of them");
    }

    #[test]
    fn the_version_changes_with_every_byte() {
        let (a, b) = (Agent::parse("a", SMALL).unwrap(), Agent::parse("a", &format!("{SMALL} ")).unwrap());
        assert_ne!(a.version, b.version);
        assert_eq!(a.version.len(), 16);
        assert_eq!(a.version, Agent::parse("b", SMALL).unwrap().version);
    }

    #[test]
    fn what_makes_no_sense_is_told_with_its_key() {
        let text = "model = \" \"\ninstructions = \"\"\ntools = [\"ops__*\", \"\"]\nalways_tools = [\"hr__get\"]\n\
                    [limits]\ntool_timeout = \"2min\"\n";
        assert_eq!(
            keys(text),
            ["instructions", "model", "tools[1]", "always_tools[0]", "limits.tool_timeout"]
        );
        assert_eq!(keys("model = \"m\""), ["instructions"]);
        assert_eq!(
            keys(&format!("{SMALL}[cache]\nscope = \"everyone\"\n[limits]\ntool_call = 3")),
            ["cache.scope", "limits.tool_call"]
        );
        assert_eq!(
            keys(&format!("{SMALL}[sampling]\ntemperature = 3.0\nmax_token = 3")),
            ["sampling.temperature", "sampling.max_token"]
        );
        assert!(Agent::parse("Up/../per", SMALL).is_err());
    }

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        for (pattern, name) in [
            ("ops__*", "ops__orders_get"),
            ("*", ""),
            ("a*b*c", "a1b2c"),
            ("*_get", "x_get"),
            ("a", "a"),
            ("a*a", "aa"),
        ] {
            assert!(matches(pattern, name), "`{pattern}` did not take `{name}`");
        }
        for (pattern, name) in
            [("ops__*", "hr__get"), ("a*a", "a"), ("a", "ab"), ("", "a"), ("a*b*c", "acb"), ("*b", "ba")]
        {
            assert!(!matches(pattern, name), "`{pattern}` took `{name}`");
        }
    }

    proptest! {
        #[test]
        fn the_matcher_agrees_with_the_obvious_one(pattern in "[ab*]{0,6}", name in "[ab]{0,8}") {
            fn obvious(pattern: &[u8], name: &[u8]) -> bool {
                match (pattern, name) {
                    ([], []) => true,
                    ([b'*', rest @ ..], _) => obvious(rest, name) || (!name.is_empty() && obvious(pattern, &name[1..])),
                    ([p, pattern @ ..], [n, name @ ..]) => p == n && obvious(pattern, name),
                    _ => false,
                }
            }
            prop_assert_eq!(matches(&pattern, &name), obvious(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
