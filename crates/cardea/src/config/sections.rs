//! The sections of the configuration that belong to this crate.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use cardea_core::{
    secret::SecretString,
    size::Bytes,
    time::Millis,
    units::{LengthText, Rate, SecretText, SocketText},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing_subscriber::{EnvFilter, filter::ParseError};

/// `[server]`: the HTTP server.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// Address and port to listen on. `127.0.0.1` can be reached from this machine only.
    #[schemars(with = "SocketText")]
    pub bind: SocketAddr,
    /// Public base URL of Cardea, such as `https://agents.example`. It is used for links, for the `resource` of the
    /// metadata, and as the URL that DPoP proofs must name (RFC 9449). If absent, it is made from `bind`.
    pub public_url: Option<String>,
    /// Further `Host` names accepted at `/mcp`, in addition to the host of `public_url` and those of this machine.
    pub allowed_hosts: Vec<String>,
    /// Web origins, such as `https://app.example`, whose scripts may call Cardea on every route (CORS). Empty: none.
    pub allowed_origins: Vec<String>,
    /// Bearer token, at least 32 bytes long, required to read `/metrics`, which contains names of tenants. If absent,
    /// only this machine may read it, and no request that came through a proxy.
    #[schemars(with = "Option<SecretText>")]
    pub metrics_token: Option<SecretString>,
    /// Size limit of a request body.
    pub max_body: Bytes,
    /// Nesting limit of a JSON body.
    #[schemars(range(min = 8, max = 128))]
    pub max_depth: u16,
    /// Time limit for a client to send its headers, and then its body; also how long an idle connection is kept open.
    /// A proxy in front must close idle connections earlier.
    #[serde(with = "cardea_core::time::text")]
    #[schemars(with = "LengthText")]
    pub header_timeout: Millis,
    /// How long a client may accept none of the data sent to it before its connection is closed.
    #[serde(with = "cardea_core::time::text")]
    #[schemars(with = "LengthText")]
    pub send_timeout: Millis,
    /// Limit of open connections.
    #[schemars(range(min = 1, max = 65536))]
    pub max_connections: usize,
    /// How long a server that is told to stop keeps serving while `/readyz` reports that it is not ready, so that a
    /// load balancer can move its requests elsewhere. A second request to stop ends the delay.
    #[serde(with = "cardea_core::time::text")]
    #[schemars(with = "LengthText")]
    pub shutdown_delay: Millis,
    /// How long a stopping server waits for requests in progress.
    #[serde(with = "cardea_core::time::text")]
    #[schemars(with = "LengthText")]
    pub drain: Millis,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from(([127, 0, 0, 1], 8_080)),
            public_url: None,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            metrics_token: None,
            max_body: Bytes::mib(1),
            max_depth: 64,
            header_timeout: Millis::from_secs(10),
            send_timeout: Millis::from_secs(30),
            max_connections: 1_024,
            shutdown_delay: Millis(0),
            drain: Millis::from_secs(20),
        }
    }
}

/// `[data]`: the data folder.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// Folder of the SQLite database (unless `db.url` says otherwise) and of the sealed keys. It must not be lost.
    /// Created if it does not exist.
    pub dir: PathBuf,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self { dir: PathBuf::from("data") }
    }
}

/// `[cost]`: prices of model calls.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CostConfig {
    /// File with the price of each model. If absent, model calls cost nothing, and budgets count tokens only.
    pub prices: Option<PathBuf>,
}

/// `[agents]`: the folder of the agents.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AgentsConfig {
    /// Folder of the agent files; each `NAME.toml` defines the agent NAME.
    pub dir: PathBuf,
}

impl Default for AgentsConfig {
    fn default() -> Self {
        Self { dir: PathBuf::from("agents") }
    }
}

/// `[connectors]`: HTTP services described by files.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConnectorsConfig {
    /// Folder of the connector files. Each `NAME.toml` defines the connector NAME, with tools called
    /// `NAME__OPERATION`.
    pub dir: PathBuf,
    /// Secrets of connectors that need one, by the name of the connector, for all tenants. The secret of a single
    /// tenant or user is sealed in the vault instead: `cardea connector secret`.
    #[schemars(with = "BTreeMap<String, SecretText>")]
    pub secrets: BTreeMap<String, SecretString>,
}

impl Default for ConnectorsConfig {
    fn default() -> Self {
        Self { dir: PathBuf::from("connectors"), secrets: BTreeMap::new() }
    }
}

/// `[policies]`: policies and approvals.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PoliciesConfig {
    /// Folder of the `.cedar` files and their tests. Without a policy, nothing that has an effect is allowed.
    pub dir: PathBuf,
    /// How often the folder is checked for changes. A changed set is loaded once two checks in a row have found it
    /// unchanged. A set that is invalid, or that contains an empty file, is not loaded.
    #[serde(with = "cardea_core::time::text")]
    #[schemars(with = "LengthText")]
    pub reload: Millis,
    /// Role that may approve calls held back by the built-in policy: calls that send data outside after untrusted text
    /// has entered their conversation.
    pub approver_role: String,
    /// How long a call may wait for approval; at least one minute.
    #[serde(with = "cardea_core::time::text")]
    #[schemars(with = "LengthText")]
    pub approval: Millis,
}

impl Default for PoliciesConfig {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("policies"),
            reload: Millis::from_secs(2),
            approver_role: cardea_core::policy::APPROVER.to_owned(),
            approval: Millis::from_secs(2 * 24 * 3_600),
        }
    }
}

/// `[limits]`: rate limits, concurrency limits and budgets.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Request rate of one user. Each node counts on its own, so n nodes allow n times this rate.
    pub per_user: Rate,
    /// Request rate of one tenant, counted by each node as well.
    pub per_tenant: Rate,
    /// Limit of requests in progress; further ones are refused at once with `Retry-After`.
    #[schemars(range(min = 1, max = 65536))]
    pub in_flight: u32,
    /// Limit of requests in progress for one tenant.
    #[schemars(range(min = 1, max = 65536))]
    pub in_flight_per_tenant: u32,
    /// Limit of requests in progress for one user.
    #[schemars(range(min = 1, max = 65536))]
    pub in_flight_per_user: u32,
    /// Limit of open event streams of one user. Each stream takes one of `server.max_connections`.
    #[schemars(range(min = 1, max = 65536))]
    pub streams_per_user: u32,
    /// Budget of one user per calendar month.
    pub user_budget: BudgetConfig,
    /// Budget of one tenant per calendar month.
    pub tenant_budget: BudgetConfig,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            per_user: Rate::per_minute(120),
            per_tenant: Rate::per_minute(2_400),
            in_flight: 256,
            in_flight_per_tenant: 128,
            in_flight_per_user: 16,
            streams_per_user: 16,
            user_budget: BudgetConfig::default(),
            tenant_budget: BudgetConfig::default(),
        }
    }
}

/// A budget for one calendar month (UTC). It is reserved before a call and settled after it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BudgetConfig {
    /// Tokens, read and written. If absent, there is no limit.
    #[schemars(range(min = 1))]
    pub tokens: Option<u64>,
    /// Money, in US dollars, as in the file of `cost.prices`. If absent, there is no limit.
    #[schemars(range(min = 0.01))]
    pub money: Option<f64>,
}

/// `[cache]`: the answer cache. The file of an agent decides which of its answers are cached.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CacheConfig {
    /// Whether answers are cached.
    pub enabled: bool,
    /// Lifetime of a cached answer, unless the agent sets one.
    #[serde(with = "cardea_core::time::text")]
    #[schemars(with = "LengthText")]
    pub ttl: Millis,
    /// Memory limit of cached answers. With `redis` it limits the copies of vectors that each node keeps.
    pub memory: Bytes,
    /// Limit of answers per user that are compared by meaning.
    #[schemars(range(min = 1, max = 100_000))]
    pub entries_per_scope: u32,
    /// How long a question waits for the encoder. After that, only an exact repeat is found.
    #[serde(with = "cardea_core::time::text")]
    #[schemars(with = "LengthText")]
    pub patience: Millis,
    /// Where answers are stored. All backends except `memory` are shared by all nodes, and store sealed entries.
    pub backend: CacheBackend,
    /// Server of the backend: `redis://HOST:PORT` or `rediss://…` for Redis and Valkey,
    /// `postgres://USER@HOST:PORT/NAME` for PostgreSQL (if absent: `db.url`).
    pub url: Option<String>,
    /// Password of the server. It must not be part of `url`, which is printed.
    #[schemars(with = "Option<SecretText>")]
    pub password: Option<SecretString>,
    /// Time limit for the server. When it is exceeded, the server counts as unavailable for a second, and nothing is
    /// cached.
    #[serde(with = "cardea_core::time::text")]
    #[schemars(with = "LengthText")]
    pub timeout: Millis,
    /// Prefix of all keys on a Redis or Valkey server.
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
    /// Whether answers in memory survive a restart: a sealed copy is kept in the database.
    pub persist: bool,
    /// JSON Lines file of answers that are loaded at start.
    pub warm: Option<PathBuf>,
    /// Spot checks: a share of cached answers is generated again to find out how many are wrong.
    pub check: CacheCheckConfig,
}

/// Backend of the answer cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CacheBackend {
    /// Memory of this process.
    #[default]
    Memory,
    /// A Redis or Valkey server. No module is needed.
    Redis,
    /// PostgreSQL; the extension `vector` is used if installed.
    Postgres,
}

/// Spot checks of cached answers. They are charged to the same budgets as the questions.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CacheCheckConfig {
    /// Share of answers to reworded questions that are generated again in the background and compared.
    #[schemars(range(min = 0, max = 1))]
    pub share: f64,
    /// Money that one agent of one tenant may spend on these checks per day, in US dollars.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub money: f64,
    /// Acceptable share of wrongly answered questions. Above it, the agent's threshold is raised.
    #[schemars(range(min = 0.0001, max = 0.5))]
    pub errors: f64,
}

impl Default for CacheCheckConfig {
    fn default() -> Self {
        Self { share: 0.02, money: 1.0, errors: 0.01 }
    }
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            ttl: Millis::from_secs(3_600),
            memory: Bytes::mib(64),
            entries_per_scope: 1_000,
            patience: Millis(15),
            backend: CacheBackend::Memory,
            url: None,
            password: None,
            timeout: Millis(500),
            name: "cardea".to_owned(),
            persist: false,
            warm: None,
            check: CacheCheckConfig::default(),
        }
    }
}

/// `[guard]`: the guardrails.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GuardConfig {
    /// Default profile, used if an agent names none: a built-in one, or one of the folder.
    pub profile: String,
    /// Folder of your own profiles; each `NAME.toml` defines the profile NAME.
    pub dir: PathBuf,
}

impl Default for GuardConfig {
    fn default() -> Self {
        Self { profile: "standard".to_owned(), dir: PathBuf::from("guards") }
    }
}

/// `[log]`: logging.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// Log level: `error`, `warn`, `info`, `debug` or `trace`, or levels per module, such as `info,cardea=debug`.
    pub level: String,
    /// Log format.
    pub format: LogFormat,
}

impl LogConfig {
    /// Builds the filter for events.
    pub(crate) fn filter(&self) -> Result<EnvFilter, ParseError> {
        // The parser takes no blanks, but people write them.
        let directives: Vec<&str> = self.level.split(',').map(str::trim).collect();
        EnvFilter::try_new(directives.join(","))
    }
}

/// Log format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// Text for people.
    Text,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Json }
    }
}
