//! One entry of the `[upstreams]` section of the configuration.

use std::collections::BTreeMap;

use cardea_core::{
    pin::Pinning,
    secret::SecretString,
    size::Bytes,
    time::Millis,
    tool::Effect,
    units::{LengthText, SecretText},
};
use schemars::JsonSchema;
use serde::Deserialize;

/// An MCP server. Either `audience` or `credential` says how Cardea authenticates to it; with neither, it does not.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamConfig {
    /// URL, such as `https://tools.example/mcp`.
    pub url: String,
    /// Audience of the short-lived token that Cardea signs for this server, with the user as subject. The user's own
    /// token is never passed on.
    #[serde(default)]
    pub audience: Option<String>,
    /// Bearer credential of Cardea itself at that server, the same for all users.
    #[serde(default)]
    #[schemars(with = "Option<SecretText>")]
    pub credential: Option<SecretString>,
    /// Roles in Cardea's own token when it lists the tools.
    #[serde(default)]
    pub list_roles: Vec<String>,
    /// Scopes in Cardea's own token when it lists the tools.
    #[serde(default)]
    pub list_scopes: Vec<String>,
    /// Time limit of one call.
    #[serde(default = "call_timeout", with = "cardea_core::time::text")]
    #[schemars(with = "LengthText")]
    pub timeout: Millis,
    /// Size limit of one result.
    #[serde(default = "call_result")]
    pub max_result: Bytes,
    /// Effects of tools, by tool name: `read`, `write` or `destructive`. They override what the server declares. A
    /// tool without a declared effect counts as destructive.
    #[serde(default)]
    pub effects: BTreeMap<String, Effect>,
    /// Tools that honour the idempotency key in `_meta`, so that a repeated call takes effect once.
    #[serde(default)]
    pub keyed: Vec<String>,
    /// Which tools are held back until a person accepts their definition (`cardea tool changes`). `changed`: those
    /// whose definition differs from the first one seen; `all`: new tools as well; `off`: none.
    #[serde(default)]
    pub pin: Pinning,
    /// Whether the server's annotations are trusted for tools that `effects` and `keyed` do not mention.
    #[serde(default)]
    pub trust_annotations: bool,
}

impl UpstreamConfig {
    /// Creates a server at this URL, without authentication and with all defaults.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            audience: None,
            credential: None,
            list_roles: Vec::new(),
            list_scopes: Vec::new(),
            timeout: call_timeout(),
            max_result: call_result(),
            effects: BTreeMap::new(),
            keyed: Vec::new(),
            pin: Pinning::default(),
            trust_annotations: false,
        }
    }
}

const fn call_timeout() -> Millis {
    Millis::from_secs(3)
}

const fn call_result() -> Bytes {
    Bytes::kib(64)
}
