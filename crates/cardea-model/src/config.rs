//! The `[models]` section of the configuration.

use std::collections::{BTreeMap, BTreeSet};

use cardea_core::{
    secret::SecretString,
    size::Bytes,
    time::Millis,
    units::{LengthText, SecretText},
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::alias::AliasConfig;

/// The language models of an installation.
///
/// ```toml
/// [models.providers.openai]
/// kind     = "openai"
/// api_key  = { env = "OPENAI_API_KEY" }
///
/// [models.aliases.main]
/// provider = "openai"
/// model    = "gpt-5.1"
/// ```
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ModelsConfig {
    /// Providers of models, each under a name of your choice. Default: only the built-in rehearsal model.
    pub providers: BTreeMap<String, ProviderConfig>,
    /// Model names that agents and clients use. Default: `rehearsal`.
    pub aliases: BTreeMap<String, AliasConfig>,
    /// Time limits, unless the provider sets its own.
    pub timeouts: Timeouts,
    /// How often a provider is tried again, as long as no piece of its answer has arrived. Default: 1.
    pub retries: u32,
    /// Longest pause that a provider's `Retry-After` may ask for; after a longer one the fallback is used. Default:
    /// `"5s"`.
    #[serde(with = "cardea_core::time::text")]
    #[schemars(with = "LengthText")]
    pub patience: Millis,
    /// Size limit of an answer, counted as the provider sends it. Default: `"8MiB"`.
    pub max_answer: Bytes,
    /// Size limit of a single stream event. Default: `"1MiB"`.
    pub max_event: Bytes,
}

impl Default for ModelsConfig {
    fn default() -> Self {
        let rehearsal = AliasConfig::new("rehearsal", "rehearsal");
        Self {
            providers: BTreeMap::from([("rehearsal".into(), ProviderConfig::new(ProviderKind::Rehearsal))]),
            aliases: BTreeMap::from([("rehearsal".into(), rehearsal)]),
            timeouts: Timeouts::default(),
            retries: 1,
            patience: Millis::from_secs(5),
            max_answer: Bytes::mib(8),
            max_event: Bytes::mib(1),
        }
    }
}

/// Wire format of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProviderKind {
    /// `/chat/completions` as defined by OpenAI and offered by many others.
    OpenAi,
    /// Anthropic's `/v1/messages`.
    Anthropic,
    /// Google's `:streamGenerateContent`.
    Gemini,
    /// The built-in offline model: no network, no key, no language model.
    Rehearsal,
}

impl ProviderKind {
    /// Returns the name used in configuration, logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Rehearsal => "rehearsal",
        }
    }

    /// Returns the vendor's address, used if `base_url` is absent.
    #[must_use]
    pub const fn default_base_url(self) -> &'static str {
        match self {
            Self::OpenAi => "https://api.openai.com/v1",
            Self::Anthropic => "https://api.anthropic.com/v1",
            Self::Gemini => "https://generativelanguage.googleapis.com/v1beta",
            Self::Rehearsal => "",
        }
    }
}

/// A provider of models.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderConfig {
    /// Wire format.
    pub kind: ProviderKind,
    /// Base URL, up to and including the version (`http://localhost:11434/v1`). Default: the vendor's address.
    #[serde(default)]
    pub base_url: Option<String>,
    /// API key. Local servers often need none.
    #[serde(default)]
    #[schemars(with = "Option<SecretText>")]
    pub api_key: Option<SecretString>,
    /// Time limits for this provider. Default: `models.timeouts`.
    #[serde(default)]
    pub timeouts: Option<Timeouts>,
    /// Headers added to every request, for example a project or organisation. Treated as secrets, since some are keys.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, SecretText>")]
    pub headers: BTreeMap<String, SecretString>,
    /// Name of the answer limit in OpenAI's format. Default: `"max_completion_tokens"` at OpenAI's and Azure's own
    /// addresses, whose newer models refuse the older name, and `"max_tokens"` elsewhere, where many servers know only
    /// that one. With `"max_completion_tokens"`, call ids longer than OpenAI's limit (40 bytes) are sent shortened.
    #[serde(default)]
    pub limit_name: Option<LimitName>,
}

/// Name of the answer limit in OpenAI's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitName {
    /// The older name.
    MaxTokens,
    /// The newer name.
    MaxCompletionTokens,
}

impl ProviderConfig {
    /// Creates a provider of this kind with all defaults.
    #[must_use]
    pub const fn new(kind: ProviderKind) -> Self {
        Self {
            kind,
            base_url: None,
            api_key: None,
            timeouts: None,
            headers: BTreeMap::new(),
            limit_name: None,
        }
    }

    /// Returns the base URL of requests, without a trailing slash.
    #[must_use]
    pub fn base(&self) -> &str {
        self.base_url.as_deref().unwrap_or(self.kind.default_base_url()).trim_end_matches('/')
    }

    /// Returns the variant of OpenAI's format that the server takes.
    pub(crate) fn dialect(&self) -> Dialect {
        let base = self.base();
        let vendor = base.contains("api.openai.com") || base.contains("openai.azure.com");
        let usual = if vendor { LimitName::MaxCompletionTokens } else { LimitName::MaxTokens };
        let limit = self.limit_name.unwrap_or(usual);
        let ids = match limit {
            _ if base.contains("api.mistral.ai") => CallIds::Nine,
            LimitName::MaxCompletionTokens => CallIds::Short,
            LimitName::MaxTokens if vendor => CallIds::Short,
            LimitName::MaxTokens => CallIds::Any,
        };
        Dialect { limit, ids }
    }
}

/// Differences between servers that speak OpenAI's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dialect {
    pub(crate) limit: LimitName,
    pub(crate) ids: CallIds,
}

#[cfg(test)]
impl Dialect {
    pub(crate) const OPENAI: Self = Self { limit: LimitName::MaxCompletionTokens, ids: CallIds::Short };
    pub(crate) const COMMON: Self = Self { limit: LimitName::MaxTokens, ids: CallIds::Any };
}

/// Call ids that a server accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallIds {
    /// Any id. WHY: proxies put hundreds of bytes that their model wants back into an id, and some models read theirs.
    Any,
    /// At most 40 bytes: OpenAI.
    Short,
    /// Nine letters and digits: Mistral.
    Nine,
}

/// Time limits for a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// Limit for name resolution, connecting and the TLS handshake together. Default: `"3s"`.
    #[serde(with = "cardea_core::time::text")]
    #[schemars(with = "LengthText")]
    pub connect: Millis,
    /// Limit until the first piece of the answer, connecting included.
    /// Default: `"30s"`.
    #[serde(with = "cardea_core::time::text")]
    #[schemars(with = "LengthText")]
    pub first: Millis,
    /// Limit between two pieces of the answer. Default: `"20s"`.
    #[serde(with = "cardea_core::time::text")]
    #[schemars(with = "LengthText")]
    pub idle: Millis,
    /// Limit for everything, including fallbacks and pauses before retries. Default: `"2min"`.
    #[serde(with = "cardea_core::time::text")]
    #[schemars(with = "LengthText")]
    pub total: Millis,
}

const VAIN: &str = "a wait of no time can never succeed";

impl Timeouts {
    /// Returns whether one of the limits is zero.
    fn is_vain(self) -> bool {
        [self.connect, self.first, self.idle, self.total].contains(&Millis(0))
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Millis::from_secs(3),
            first: Millis::from_secs(30),
            idle: Millis::from_secs(20),
            total: Millis::from_secs(120),
        }
    }
}

/// A problem of the `[models]` section: the key and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}`: {problem}")]
pub struct BadModels {
    /// Full dotted key.
    pub key: String,
    /// What is wrong and what to do.
    pub problem: String,
}

impl ModelsConfig {
    /// Returns all problems, so that they can be reported together.
    #[must_use]
    pub fn problems(&self) -> Vec<BadModels> {
        let mut found = Vec::new();
        let mut say = |key: String, problem: String| found.push(BadModels { key, problem });
        for (name, provider) in &self.providers {
            let key = |field: &str| format!("models.providers.{name}.{field}");
            if let Some(problem) = base_url_problem(provider) {
                say(key("base_url"), problem);
            }
            if let Some(problem) = key_problem(provider) {
                say(key("api_key"), problem);
            }
            if provider.timeouts.is_some_and(Timeouts::is_vain) {
                say(key("timeouts"), VAIN.into());
            }
            use cardea_core::secret::ExposeSecret;
            for (header, value) in &provider.headers {
                let known = header.parse::<http::HeaderName>().is_ok()
                    && value.expose_secret().parse::<http::HeaderValue>().is_ok();
                if !known {
                    say(key("headers"), format!("`{header}` is not a header that can be sent"));
                }
            }
        }
        for (name, alias) in &self.aliases {
            let key = |field: &str| format!("models.aliases.{name}.{field}");
            if !self.providers.contains_key(&alias.provider) {
                say(key("provider"), format!("there is no `[models.providers.{}]`", alias.provider));
            }
            if alias.model.is_empty() || alias.model.chars().any(|c| c.is_control() || c.is_whitespace()) {
                say(key("model"), "write the model's name as the provider spells it".into());
            }
            if alias.max_output == Some(0) {
                say(key("max_output"), "a model that writes nothing answers nothing".to_owned());
            }
            if alias.fallback.contains(name) {
                say(key("fallback"), "it names the alias itself, which stands in for nothing".to_owned());
            }
            for other in alias.fallback.iter().filter(|other| !self.aliases.contains_key(*other)) {
                say(key("fallback"), format!("there is no `[models.aliases.{other}]`"));
            }
        }
        if self.timeouts.is_vain() {
            say("models.timeouts".into(), VAIN.into());
        }
        if self.retries > 5 {
            say("models.retries".into(), "more than 5 only makes an overload worse".into());
        }
        if self.max_event.is_empty() || self.max_answer < self.max_event {
            say(
                "models.max_answer".into(),
                "must be at least `models.max_event`, and that more than nothing".into(),
            );
        }
        found
    }

    /// Returns the models to try for `name`, in order: itself, its fallbacks, their fallbacks, each once.
    #[must_use]
    pub fn chain(&self, name: &str) -> Vec<&str> {
        let (mut chain, mut seen) = (Vec::new(), BTreeSet::new());
        let mut next = std::collections::VecDeque::from([name]);
        while let Some(name) = next.pop_front() {
            let Some((name, alias)) = self.aliases.get_key_value(name) else { continue };
            if seen.insert(name) {
                chain.push(name.as_str());
                next.extend(alias.fallback.iter().map(String::as_str));
            }
        }
        chain
    }
}

fn base_url_problem(provider: &ProviderConfig) -> Option<String> {
    if provider.kind == ProviderKind::Rehearsal {
        return provider
            .base_url
            .is_some()
            .then(|| "the rehearsal model has no address: remove the key".into());
    }
    // WHY: an address may contain a password or key that was pasted by mistake, so no part of it is repeated.
    let bad = |why: &str| Some(why.to_owned());
    let Ok(uri) = provider.base().parse::<http::Uri>() else { return bad("is not an address") };
    match (uri.scheme_str(), uri.authority()) {
        (Some("http" | "https"), Some(host)) if host.as_str().contains('@') => {
            bad("must not carry a password: put it into `api_key`")
        }
        (Some("http" | "https"), Some(_)) if uri.query().is_some() => {
            bad("must not carry a query: what the provider wants there may go into `headers`")
        }
        (Some("http" | "https"), Some(_)) => None,
        _ => bad("must begin with https:// or http:// and a host"),
    }
}

fn key_problem(provider: &ProviderConfig) -> Option<String> {
    use cardea_core::secret::ExposeSecret;
    let key = provider.api_key.as_ref().map(ExposeSecret::expose_secret);
    match (provider.kind, key) {
        (ProviderKind::Rehearsal, Some(_)) => Some("the rehearsal model has no key: remove it".into()),
        (_, Some(key)) if key.contains("${") => Some(
            "still contains `${…}`, which nobody expands: give the key itself, or remove the provider".into(),
        ),
        (_, Some(key)) if key.is_empty() || key.parse::<http::HeaderValue>().is_err() => {
            Some("is empty or holds characters that no key has".into())
        }
        (ProviderKind::Anthropic | ProviderKind::Gemini, None) => {
            Some("is missing: this provider needs a key".into())
        }
        (ProviderKind::OpenAi, None) if provider.base_url.is_none() => {
            Some("is missing: this provider needs a key".into())
        }
        _ => None,
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
