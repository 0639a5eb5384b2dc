//! The `[net]` section of the configuration.

use std::path::PathBuf;

use cardea_core::{size::Bytes, time::Millis, units::LengthText};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::address::AllowList;

/// `[net]`: outbound HTTP.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NetConfig {
    /// Loopback and private targets that may be reached: `host:port`, or a range such as `10.1.0.0/16`. Plain `http`
    /// is allowed only to a listed `host:port`, and to an address of a listed range if the URL contains the address
    /// itself and not a name.
    #[schemars(with = "Vec<String>")]
    pub allow: AllowList,
    /// PEM files of certificate authorities to trust in addition to those of the operating system.
    pub extra_roots: Vec<PathBuf>,
    /// Time limit for name resolution, connecting and the TLS handshake together.
    #[serde(with = "cardea_core::time::text")]
    #[schemars(with = "LengthText")]
    pub connect_timeout: Millis,
    /// Time limit of a whole request if the caller sets none.
    #[serde(with = "cardea_core::time::text")]
    #[schemars(with = "LengthText")]
    pub timeout: Millis,
    /// Longest pause between two pieces of an answer.
    #[serde(with = "cardea_core::time::text")]
    #[schemars(with = "LengthText")]
    pub idle_timeout: Millis,
    /// Size limit of an answer if the caller sets none.
    pub max_body: Bytes,
    /// Limit of requests in progress to one host. Further ones wait, but no longer than `queue_timeout`.
    pub per_host: usize,
    /// How long a request may wait for its turn.
    #[serde(with = "cardea_core::time::text")]
    #[schemars(with = "LengthText")]
    pub queue_timeout: Millis,
    /// Number of failures within ten seconds that opens the circuit breaker of a host, if they are at least half of
    /// its requests.
    pub breaker_failures: u32,
    /// How long the breaker stays open before one request tries again.
    #[serde(with = "cardea_core::time::text")]
    #[schemars(with = "LengthText")]
    pub breaker_pause: Millis,
}

impl Default for NetConfig {
    fn default() -> Self {
        Self {
            allow: AllowList::default(),
            extra_roots: Vec::new(),
            connect_timeout: Millis::from_secs(3),
            timeout: Millis::from_secs(30),
            idle_timeout: Millis::from_secs(30),
            max_body: Bytes::mib(4),
            per_host: 128,
            queue_timeout: Millis(500),
            breaker_failures: 8,
            breaker_pause: Millis::from_secs(5),
        }
    }
}
