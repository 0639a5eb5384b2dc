//! One entry of the `[upstreams]` part of the configuration.

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

/// One MCP server. Exactly one of `audience` and `credential` says how Cardea introduces itself; neither: not at all.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamConfig {
    /// Its address, such as `https://tools.example/mcp`.
    pub url: String,
    /// Cardea signs a short-lived token for this audience, with the user as subject. The user's own token is never
    /// passed on.
    #[serde(default)]
    pub audience: Option<String>,
    /// A bearer credential of Cardea's own at that server, the same for all users.
    #[serde(default)]
    #[schemars(with = "Option<SecretText>")]
    pub credential: Option<SecretString>,
    /// Roles that Cardea's own token carries when it reads the list of tools.
    #[serde(default)]
    pub list_roles: Vec<String>,
    /// Scopes that Cardea's own token carries when it reads the list of tools.
    #[serde(default)]
    pub list_scopes: Vec<String>,
    /// How long one call may take.
    #[serde(default = "call_timeout", with = "cardea_core::time::text")]
    #[schemars(with = "LengthText")]
    pub timeout: Millis,
    /// The largest result of one call.
    #[serde(default = "call_result")]
    pub max_result: Bytes,
    /// What its tools do to the world, where the server's own word is not to be taken: `read`, `write` or
    /// `destructive` by the tool's name. A tool of which nobody says anything counts as destructive.
    #[serde(default)]
    pub effects: BTreeMap<String, Effect>,
    /// Tools that honour the idempotency key in `_meta`, so that a repeated call does the work once.
    #[serde(default)]
    pub keyed: Vec<String>,
    /// Which of its tools wait until a person has accepted what they say of themselves (`cardea tool changes`):
    /// `changed`, those that speak otherwise than when they were first seen; `all`, new ones as well; `off`, none.
    #[serde(default)]
    pub pin: Pinning,
    /// Whether the server's own annotations are believed where `effects` and `keyed` say nothing.
    #[serde(default)]
    pub trust_annotations: bool,
}

impl UpstreamConfig {
    /// A server at this address, to which Cardea does not introduce itself, with all defaults.
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
