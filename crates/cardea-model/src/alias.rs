//! What the configuration says of one model: who has it, who stands in, and what it can be told.

use std::{borrow::Cow, collections::BTreeSet};

use cardea_core::message::{Prompt, Sampling};
use schemars::JsonSchema;
use serde::Deserialize;

/// A model name of this installation.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AliasConfig {
    /// The provider that has it: a key of `models.providers`.
    pub provider: String,
    /// The model as the provider calls it.
    pub model: String,
    /// Other names of `models.aliases`, asked in this order while the ones before are away. Default: none.
    /// A model of the kind `rehearsal` that stands in calls no tool: it says in words that the other one is away.
    #[serde(default)]
    pub fallback: Vec<String>,
    /// The most tokens that this model can write in one answer; it is asked for no more. Default: none, and what is left of a
    /// turn's `tokens` and `money` is told to the model only where it is 4,096 at most, since many refuse more than they
    /// can write. Anthropic's format, which demands a limit, sends this one, or 4096, where there is no smaller one.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub max_output: Option<u32>,
    /// What of an agent's or client's sampling this model does not take, for example `["temperature", "top_p"]` for a reasoning
    /// model: it is left out, where the provider would refuse the request. Default: none.
    #[serde(default)]
    pub omit: BTreeSet<Omitted>,
}

/// A part of sampling that is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Omitted {
    /// How warm.
    Temperature,
    /// How much of what is likely.
    TopP,
    /// The limit of the answer. Anthropic's format demands one and is told it all the same.
    MaxTokens,
    /// What ends the answer.
    Stop,
    /// For repeats.
    Seed,
    /// Against words that were written often.
    FrequencyPenalty,
    /// Against words that were written.
    PresencePenalty,
    /// How long to think.
    ReasoningEffort,
    /// How many words to make.
    Verbosity,
}

/// Every model that is in use can write so many tokens.
pub(crate) const ALL_WRITE: u32 = 4_096;

impl AliasConfig {
    /// This model of this provider, with all defaults.
    #[must_use]
    pub fn new(provider: &str, model: &str) -> Self {
        Self {
            provider: provider.to_owned(),
            model: model.to_owned(),
            fallback: Vec::new(),
            max_output: None,
            omit: BTreeSet::new(),
        }
    }

    /// What its model is told of how to write; the limit stands apart ([`Self::limit`]).
    pub(crate) fn sampling<'a>(&self, prompt: &'a Prompt) -> Cow<'a, Sampling> {
        let mut told = Cow::Borrowed(&prompt.sampling);
        for omitted in &self.omit {
            let told = told.to_mut();
            match omitted {
                Omitted::Temperature => told.temperature = None,
                Omitted::TopP => told.top_p = None,
                Omitted::MaxTokens => told.max_tokens = None,
                Omitted::Stop => told.stop.clear(),
                Omitted::Seed => told.seed = None,
                Omitted::FrequencyPenalty => told.frequency_penalty = None,
                Omitted::PresencePenalty => told.presence_penalty = None,
                Omitted::ReasoningEffort => told.reasoning_effort = None,
                Omitted::Verbosity => told.verbosity = None,
            }
        }
        told
    }

    /// The most tokens that its model is told to write for this prompt.
    ///
    /// WHY: what is left of a turn's tokens may be far more than a model can write, and most refuse such a limit.
    pub(crate) fn limit(&self, prompt: &Prompt) -> Option<u32> {
        if self.omit.contains(&Omitted::MaxTokens) {
            return None;
        }
        let own = prompt.sampling.max_tokens;
        let known = own.into_iter().chain(self.max_output).min();
        let asked = own.into_iter().chain(prompt.room).min()?;
        let most = known.unwrap_or(ALL_WRITE);
        if known.is_some() { Some(asked.min(most)) } else { (asked <= most).then_some(asked) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_told_a_limit_that_it_does_not_refuse() {
        let limit = |max_output, own, room| {
            let sampling = Sampling { max_tokens: own, ..Sampling::default() };
            let (messages, tools, demands) = Default::default();
            let prompt = Prompt { model: "m".into(), messages, tools, sampling, demands, room };
            AliasConfig { max_output, ..AliasConfig::new("p", "m") }.limit(&prompt)
        };
        assert_eq!(limit(None, None, Some(49_000)), None, "it may be more than it can write");
        assert_eq!(limit(None, None, Some(4_096)), Some(4_096), "every model can write that");
        assert_eq!(limit(None, Some(30_000), None), Some(30_000), "the author's own word");
        assert_eq!(limit(None, Some(30_000), Some(20_000)), Some(20_000), "less than the author's own");
        assert_eq!(limit(Some(16_384), None, None), None, "nobody has asked for a limit");
        for (own, room) in [(None, Some(49_000)), (Some(30_000), None), (Some(30_000), Some(20_000))] {
            assert_eq!(limit(Some(16_384), own, room), Some(16_384), "{own:?} {room:?}");
        }
        assert_eq!(limit(Some(16_384), Some(100), Some(200)), Some(100));
    }
}
