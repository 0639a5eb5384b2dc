//! The parts of the configuration, one for each room.

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
    /// The address and port to listen on. Only this machine can reach `127.0.0.1`.
    #[schemars(with = "SocketText")]
    pub bind: SocketAddr,
    /// The address under which clients reach Cardea, such as `https://agents.example`; for links, for the `resource` of
    /// its metadata, and for what proofs of bound tokens must name (RFC 9449). Absent: made from `bind`.
    pub public_url: Option<String>,
    /// Further `Host` names that are accepted at `/mcp`, beside the one of `public_url` and those of this machine.
    pub allowed_hosts: Vec<String>,
    /// Web pages (origins such as `https://app.example`) whose scripts may call Cardea, on every route (CORS). Empty: none.
    pub allowed_origins: Vec<String>,
    /// Whoever reads `/metrics` shows this token as a bearer, of 32 bytes at least; names of tenants stand there. Absent: only
    /// this machine may read it, and no request that a proxy hands on.
    #[schemars(with = "Option<SecretText>")]
    pub metrics_token: Option<SecretString>,
    /// The largest request body.
    pub max_body: Bytes,
    /// The deepest nesting of a JSON body.
    #[schemars(range(min = 8, max = 128))]
    pub max_depth: u16,
    /// How long a client may take to send its headers, and then its body; and for how long a connection on which nobody waits
    /// for an answer is kept. A proxy in front must give up idle connections earlier.
    #[serde(with = "cardea_core::time::text")]
    #[schemars(with = "LengthText")]
    pub header_timeout: Millis,
    /// For how long a client may take nothing of what it is sent, before its connection is ended.
    #[serde(with = "cardea_core::time::text")]
    #[schemars(with = "LengthText")]
    pub send_timeout: Millis,
    /// The most connections at one time.
    #[schemars(range(min = 1, max = 65536))]
    pub max_connections: usize,
    /// How long a server that is told to stop goes on as before, and only says at `/readyz` that it is not ready, so that a
    /// load balancer sends its requests elsewhere. Told again, it stops at once.
    #[serde(with = "cardea_core::time::text")]
    #[schemars(with = "LengthText")]
    pub shutdown_delay: Millis,
    /// How long a stopping server waits for what is still running.
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

/// `[data]`: the folder of what must not be lost.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// The folder of the SQLite database, unless `db.url` says otherwise, and of sealed keys. Made if it is not there.
    pub dir: PathBuf,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self { dir: PathBuf::from("data") }
    }
}

/// `[cost]`: what model calls cost.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CostConfig {
    /// A file with the price of each model. Absent: model calls cost nothing, and budgets count tokens only.
    pub prices: Option<PathBuf>,
}

/// `[agents]`: where the agents are described.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AgentsConfig {
    /// The folder of their files; each `NAME.toml` is the agent NAME.
    pub dir: PathBuf,
}

impl Default for AgentsConfig {
    fn default() -> Self {
        Self { dir: PathBuf::from("agents") }
    }
}

/// `[connectors]`: HTTP services that are described by files.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConnectorsConfig {
    /// The folder of their files; each `NAME.toml` is the connector NAME, its tools are called `NAME__OPERATION`.
    pub dir: PathBuf,
    /// The secret of each connector that needs one, by the connector's name, for all tenants. The secret of one
    /// tenant or user is sealed in the vault instead: `cardea connector secret`.
    #[schemars(with = "BTreeMap<String, SecretText>")]
    pub secrets: BTreeMap<String, SecretString>,
}

impl Default for ConnectorsConfig {
    fn default() -> Self {
        Self { dir: PathBuf::from("connectors"), secrets: BTreeMap::new() }
    }
}

/// `[policies]`: what is allowed.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PoliciesConfig {
    /// The folder of the `.cedar` files and their tests. Without a policy nothing that has an effect is allowed.
    pub dir: PathBuf,
    /// How often the folder is looked at for changes. A changed set is taken when two looks in a row have found it the
    /// same; one that is not valid, or in which a file is empty, is not.
    #[serde(with = "cardea_core::time::text")]
    #[schemars(with = "LengthText")]
    pub reload: Millis,
    /// The role whose people may approve what the built-in policy holds back: a call that sends data outside after
    /// untrusted text came into its conversation.
    pub approver_role: String,
    /// How long a call may wait for a person to approve it: a minute at least.
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

/// `[limits]`: how much may be asked for.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Requests of one user. Each node counts for itself: of several, each lets in so many.
    pub per_user: Rate,
    /// Requests of one tenant, at each node as well.
    pub per_tenant: Rate,
    /// The most requests in work at one time; more are refused at once with `Retry-After`.
    #[schemars(range(min = 1, max = 65536))]
    pub in_flight: u32,
    /// Of those, the most for one tenant.
    #[schemars(range(min = 1, max = 65536))]
    pub in_flight_per_tenant: u32,
    /// Of those, the most for one user.
    #[schemars(range(min = 1, max = 65536))]
    pub in_flight_per_user: u32,
    /// The most streams of events that one user may have open; each holds one of `server.max_connections`.
    #[schemars(range(min = 1, max = 65536))]
    pub streams_per_user: u32,
    /// What one user may use up in a calendar month.
    pub user_budget: BudgetConfig,
    /// What one tenant may use up in a calendar month.
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

/// A budget for one calendar month (UTC). Reserved before a call, settled after it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BudgetConfig {
    /// Tokens, read and written. Absent: no limit.
    #[schemars(range(min = 1))]
    pub tokens: Option<u64>,
    /// Money, in US dollars, as in the file of `cost.prices`. Absent: no limit.
    #[schemars(range(min = 0.01))]
    pub money: Option<f64>,
}

/// `[cache]`: answers that may be given again. Which of them, an agent's file says.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CacheConfig {
    /// Whether any answer is given twice.
    pub enabled: bool,
    /// How long an answer stays good, unless the agent says otherwise.
    #[serde(with = "cardea_core::time::text")]
    #[schemars(with = "LengthText")]
    pub ttl: Millis,
    /// How much memory answers may take; with `redis` it bounds the copies of vectors that each node keeps.
    pub memory: Bytes,
    /// The most answers that are compared by meaning for one user.
    #[schemars(range(min = 1, max = 100_000))]
    pub entries_per_scope: u32,
    /// How long a question waits for the encoder. After it, it is looked up as an exact repeat only.
    #[serde(with = "cardea_core::time::text")]
    #[schemars(with = "LengthText")]
    pub patience: Millis,
    /// Where answers lie. Other places than `memory` are shared by all nodes; what lies there is sealed.
    pub backend: CacheBackend,
    /// The server: `redis://HOST:PORT` or `rediss://…` for Redis and Valkey, `postgres://USER@HOST:PORT/NAME` for
    /// PostgreSQL (absent: `db.url`).
    pub url: Option<String>,
    /// The server's password. It may not stand in `url`, which is printed.
    #[schemars(with = "Option<SecretText>")]
    pub password: Option<SecretString>,
    /// How long the server may take. After it, it counts as away for a second, and nothing is cached.
    #[serde(with = "cardea_core::time::text")]
    #[schemars(with = "LengthText")]
    pub timeout: Millis,
    /// What the names of all keys on a Redis or Valkey server begin with.
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
    /// Whether answers in memory are still there after a restart: a sealed copy is kept in the database.
    pub persist: bool,
    /// A file of JSON lines with answers that are known at start.
    pub warm: Option<PathBuf>,
    /// The share of answers that are made anew, to find out how many are wrong.
    pub check: CacheCheckConfig,
}

/// Where cached answers lie.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CacheBackend {
    /// In this process.
    #[default]
    Memory,
    /// On a Redis or Valkey server. No module is needed.
    Redis,
    /// In PostgreSQL; its extension `vector` is used where it is installed.
    Postgres,
}

/// Checks of cached answers. They are paid by the same budgets as the questions.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CacheCheckConfig {
    /// The share of answers to questions in other words that are made anew in the background and compared.
    #[schemars(range(min = 0, max = 1))]
    pub share: f64,
    /// The most money that one agent of one tenant may spend on it in a day, in US dollars.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub money: f64,
    /// The share of questions that may be answered wrongly. Above it, the agent's threshold rises.
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

/// `[guard]`: what the guardrails look for.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GuardConfig {
    /// The profile of whoever names none: one that ships, or one of the folder.
    pub profile: String,
    /// The folder of profiles of your own; each `NAME.toml` is the profile NAME.
    pub dir: PathBuf,
}

impl Default for GuardConfig {
    fn default() -> Self {
        Self { profile: "standard".to_owned(), dir: PathBuf::from("guards") }
    }
}

/// `[log]`: what is told while running.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// What is told: a level (`error`, `warn`, `info`, `debug`, `trace`), or levels by module such as
    /// `info,cardea=debug`.
    pub level: String,
    /// How it is written.
    pub format: LogFormat,
}

impl LogConfig {
    /// What lets an event through.
    pub(crate) fn filter(&self) -> Result<EnvFilter, ParseError> {
        // It takes no blanks, and people write them.
        let directives: Vec<&str> = self.level.split(',').map(str::trim).collect();
        EnvFilter::try_new(directives.join(","))
    }
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object each line.
    Json,
    /// For people.
    Text,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Json }
    }
}
