//! The `[net]` part of the configuration.

use std::path::PathBuf;

use cardea_core::{size::Bytes, time::Millis, units::LengthText};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::address::AllowList;

/// `[net]`: outbound HTTP.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NetConfig {
    /// Targets that may be reached although they are loopback or private: `host:port`, or a range such as
    /// `10.1.0.0/16`. Plain `http` is spoken only to a listed `host:port`, and to an address of a listed range if
    /// the URL holds the address itself and no name.
    #[schemars(with = "Vec<String>")]
    pub allow: AllowList,
    /// PEM files with certificate authorities to trust beside those of the operating system.
    pub extra_roots: Vec<PathBuf>,
    /// How long name resolution, connecting and the TLS handshake may take together.
    #[serde(with = "cardea_core::time::text")]
    #[schemars(with = "LengthText")]
    pub connect_timeout: Millis,
    /// How long a whole request may take where the caller does not say.
    #[serde(with = "cardea_core::time::text")]
    #[schemars(with = "LengthText")]
    pub timeout: Millis,
    /// How long an answer may be silent between two pieces.
    #[serde(with = "cardea_core::time::text")]
    #[schemars(with = "LengthText")]
    pub idle_timeout: Millis,
    /// The largest answer where the caller does not say.
    pub max_body: Bytes,
    /// Requests in flight to one host; more wait, but not longer than `queue_timeout`.
    pub per_host: usize,
    /// How long a request may wait for its turn.
    #[serde(with = "cardea_core::time::text")]
    #[schemars(with = "LengthText")]
    pub queue_timeout: Millis,
    /// Failures within ten seconds, if they are at least half of the requests, after which a host is left alone.
    pub breaker_failures: u32,
    /// How long it is left alone before one request tries again.
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
