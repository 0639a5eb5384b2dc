//! Configuration of one model: its provider, its fallbacks, and the parameters it accepts.

use std::{borrow::Cow, collections::BTreeSet};

use cardea_core::message::{Prompt, Sampling};
use schemars::JsonSchema;
use serde::Deserialize;

/// A model name of this installation.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AliasConfig {
    /// Provider of the model: a key of `models.providers`.
    pub provider: String,
    /// Name of the model at its provider.
    pub model: String,
    /// Other names of `models.aliases`, tried in this order while the earlier ones are unavailable. Default: none. A
    /// fallback of kind `rehearsal` calls no tools: it only says that the other model is unavailable.
    #[serde(default)]
    pub fallback: Vec<String>,
    /// Limit of tokens that this model can write in one answer; it is never asked for more. Default: none. In that
    /// case the rest of a turn's `tokens` and `money` is sent as a limit only if it is at most 4,096, since many
    /// models refuse a limit beyond what they can write. Anthropic's format requires a limit: it gets this one, or
    /// 4096, unless a smaller one applies.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub max_output: Option<u32>,
    /// Sampling parameters that this model does not accept, for example `["temperature", "top_p"]` for a reasoning
    /// model. They are left out, since the provider would refuse the request. Default: none.
    #[serde(default)]
    pub omit: BTreeSet<Omitted>,
}

/// A sampling parameter that is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Omitted {
    /// The temperature.
    Temperature,
    /// Nucleus sampling.
    TopP,
    /// The limit of the answer. Anthropic's format requires one and always gets it.
    MaxTokens,
    /// Stop texts.
    Stop,
    /// The seed.
    Seed,
    /// The penalty on frequent words.
    FrequencyPenalty,
    /// The penalty on words that have occurred.
    PresencePenalty,
    /// The reasoning effort.
    ReasoningEffort,
    /// The verbosity.
    Verbosity,
}

/// Number of tokens that every model in use can write.
pub(crate) const ALL_WRITE: u32 = 4_096;

impl AliasConfig {
    /// Creates an alias for this model of this provider, with all defaults.
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

    /// Returns the sampling parameters to send, without the token limit ([`Self::limit`]).
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

    /// Returns the token limit to send for this prompt.
    ///
    /// WHY: what is left of a turn's tokens may be far more than a model can write, and most models refuse such a
    /// limit.
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
