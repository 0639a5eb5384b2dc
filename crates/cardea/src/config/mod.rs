//! The configuration: one `cardea.toml`, overridden by environment variables and checked at start.
//!
//! Promises: a loaded [`Config`] is usable. Every key has a doc comment, a default where one is safe, and a line in
//! `docs/reference/config.md`. All problems of all files are reported at once, with file, line, key, what was expected
//! and what was probably meant. Secrets are never printed, not even inside the source line that an error shows.
//! Refuses: unknown keys, values without their unit, anything that still contains `${…}`, signing secrets under 32
//! bytes. Each room owns its part; this one nests the parts, loads them and reports what is wrong. Called by `main`
//! and `app`. Nothing reads the environment later.

mod checks;
mod effective;
mod env;
mod folder;
mod guards;
mod reference;
mod report;
mod secrets;
mod sections;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

use cardea_core::{
    agent::Agent,
    canonical::sha256_hex,
    connector::Connector,
    form::{self, Node, Problem, Schema},
    guard::Profile,
    policy::Installation,
};
use schemars::JsonSchema;
use serde::Deserialize;

pub(crate) use checks::{connector as read_connector, prices};
pub use effective::Effective;
pub use env::Environment;
pub use reference::{agent_reference, reference};
pub use report::{ConfigError, FileProblems, Line};
pub use sections::{
    AgentsConfig, BudgetConfig, CacheBackend, CacheCheckConfig, CacheConfig, ConnectorsConfig, CostConfig,
    DataConfig, GuardConfig, LimitsConfig, LogConfig, LogFormat, PoliciesConfig, ServerConfig,
};

pub use crate::{
    action::UpstreamConfig, identity::Config as LocalIssuerConfig, vault::Config as VaultConfig,
};

/// Name of the configuration file that is used if none is given.
pub const FILE: &str = "cardea.toml";

/// The whole configuration of an installation.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The HTTP server.
    pub server: ServerConfig,
    /// The data folder.
    pub data: DataConfig,
    /// The database. If `url` is absent: SQLite in `data.dir`.
    pub db: cardea_store::DbConfig,
    /// Encryption of secrets at rest.
    pub vault: VaultConfig,
    /// Authentication: accepted issuers of tokens, and API keys.
    pub auth: cardea_auth::AuthConfig,
    /// The built-in issuer of tokens, for trying out.
    pub local_issuer: LocalIssuerConfig,
    /// The language models.
    pub models: cardea_model::ModelsConfig,
    /// Prices of model calls.
    pub cost: CostConfig,
    /// The agents.
    pub agents: AgentsConfig,
    /// The policies, and approvals.
    pub policies: PoliciesConfig,
    /// MCP servers whose tools are offered, each under a name of your choice; their tools are called `NAME__TOOL`.
    pub upstreams: BTreeMap<String, UpstreamConfig>,
    /// The HTTP connectors.
    pub connectors: ConnectorsConfig,
    /// Outbound HTTP, and the private addresses that may be reached.
    pub net: cardea_net::NetConfig,
    /// Rate limits, concurrency limits and budgets.
    pub limits: LimitsConfig,
    /// The answer cache.
    pub cache: CacheConfig,
    /// The guardrails.
    pub guard: GuardConfig,
    /// Logging.
    pub log: LogConfig,
}

/// A loaded configuration, with the files it names and the origin of each value.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The checked values. Relative paths are resolved against the file's folder.
    pub config: Config,
    /// The agents of `agents.dir`, by name.
    pub agents: BTreeMap<String, Agent>,
    /// The connectors of `connectors.dir`.
    pub connectors: Vec<Connector>,
    /// The guard profiles of `guard.dir`.
    pub guards: Vec<Profile>,
    /// Every value with its origin, for `cardea config show`.
    pub effective: Effective,
    /// The file; `None` if there was none and the defaults apply.
    pub file: Option<PathBuf>,
}

impl Config {
    /// Reads, completes and checks a configuration file and everything it points to.
    ///
    /// # Errors
    /// All problems of all files.
    pub fn load(path: &Path, environment: &Environment) -> Result<Loaded, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError::unreadable(path, &error))?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut loaded = Self::from_text(&path.display().to_string(), &text, folder, environment)?;
        loaded.file = Some(path.to_owned());
        Ok(loaded)
    }

    /// Does the same for a text whose relative paths start at `folder`.
    ///
    /// # Errors
    /// All problems of all files.
    pub fn from_text(
        name: &str,
        text: &str,
        folder: &Path,
        environment: &Environment,
    ) -> Result<Loaded, ConfigError> {
        let schema = Schema::of::<Self>();
        let mut root = match form::parse(text) {
            Ok(root) => root,
            Err(problems) => return Err(ConfigError::one(FileProblems::broken(name, text, problems))),
        };
        let mut problems = env::apply(environment, &schema, &mut root);
        let hidden = secrets::spans(&schema, &root);
        problems.extend(unexpanded(&root));
        problems.extend(form::check(&schema, &root));
        if problems.is_empty() {
            problems.extend(secrets::resolve(&schema, &mut root, folder, environment));
        }
        let here = |problems| FileProblems::new(name, text, &hidden, problems);
        if !problems.is_empty() {
            return Err(ConfigError::one(here(problems)));
        }
        let mut config: Self = form::read(&root).map_err(|problems| ConfigError::one(here(problems)))?;
        let given = |key| root.get("db").and_then(|db| db.get(key)).is_some();
        config.settle(folder, given("url"));
        if !given("node") && config.db.url.starts_with("postgres") {
            config.db.node = host_name(environment).unwrap_or(config.db.node);
        }
        let (agents, mut files) = checks::agents(&config);
        let (connectors, broken) = checks::connectors(&config);
        files.extend(broken);
        let (guards, broken) = guards::read(&config);
        files.extend(broken);
        problems.extend(checks::all(&config, &root, &agents));
        problems.extend(checks::secrets(&config, &root));
        if !problems.is_empty() {
            files.insert(0, here(problems));
        }
        if !files.is_empty() {
            return Err(ConfigError::many(files));
        }
        let effective = Effective::new(&schema, &root, name, text)
            .settled("db.url", &config.db.url)
            .settled("db.node", &config.db.node);
        Ok(Loaded { config, agents, connectors, guards, effective, file: None })
    }

    /// Adds the built-in parts and resolves relative paths against the folder of the file, not the working directory.
    fn settle(&mut self, folder: &Path, has_url: bool) {
        let paths = [
            &mut self.data.dir,
            &mut self.agents.dir,
            &mut self.policies.dir,
            &mut self.connectors.dir,
            &mut self.guard.dir,
        ];
        for path in paths {
            *path = folder.join(&*path);
        }
        if !has_url {
            self.db.url = format!("sqlite:{}", self.data.dir.join("cardea.db").display());
        } else if let Some(path) = self.db.url.strip_prefix("sqlite:").filter(|path| !path.starts_with(':')) {
            self.db.url = format!("sqlite:{}", folder.join(path).display());
        }
        // The built-in model is always present, also beside configured ones.
        let built_in = cardea_model::ModelsConfig::default();
        for (name, provider) in built_in.providers {
            self.models.providers.entry(name).or_insert(provider);
        }
        for (name, alias) in built_in.aliases {
            self.models.aliases.entry(name).or_insert(alias);
        }
        self.cache.warm = self.cache.warm.take().map(|path| folder.join(path));
        self.cost.prices = self.cost.prices.take().map(|path| folder.join(path));
        for root in &mut self.net.extra_roots {
            *root = folder.join(&*root);
        }
        for issuer in self.auth.issuers.values_mut() {
            issuer.pem_file = issuer.pem_file.take().map(|path| folder.join(path));
            issuer.jwks_file = issuer.jwks_file.take().map(|path| folder.join(path));
        }
    }
}

/// Returns the host or pod name in the form of a node name. A name that must be altered for that gets a digest of the
/// whole name as its end, since the part that tells two hosts apart may stand anywhere in it.
fn host_name(environment: &Environment) -> Option<String> {
    const LONGEST: usize = 64;
    const DIGITS: usize = 16;
    let of_system = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = environment.get("HOSTNAME").map(str::to_owned).or_else(of_system)?;
    let name = name.trim();
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    if name.len() <= LONGEST && name.chars().all(|c| plain(c) == c) {
        return (!name.is_empty()).then(|| name.to_owned());
    }
    let digest = sha256_hex(name.as_bytes());
    let end = std::iter::once('-').chain(digest.chars().take(DIGITS));
    Some(name.chars().map(plain).take(LONGEST - 1 - DIGITS).chain(end).collect())
}

/// Returns the address at which clients reach the server of a configuration. Nothing else of the file is checked: its
/// secrets, for example, only concern the server. `None` if the file sets no address, or if the file of the default
/// name does not exist.
///
/// # Errors
/// The file cannot be read, or is not TOML.
pub(crate) fn address(path: &Path, environment: &Environment) -> Result<Option<String>, ConfigError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && path == Path::new(FILE) => {
            String::new()
        }
        Err(error) => return Err(ConfigError::unreadable(path, &error)),
    };
    let broken =
        |problems| ConfigError::one(FileProblems::broken(&path.display().to_string(), &text, problems));
    let mut root = form::parse(&text).map_err(broken)?;
    // Problems of other keys are for the server to report.
    drop(env::apply(environment, &Schema::of::<Config>(), &mut root));
    let said = |key: &str| match &root.find(key)?.kind {
        form::Kind::Text(text) => Some(text.clone()),
        _ => None,
    };
    if let Some(url) = said("server.public_url") {
        return Ok(Some(url));
    }
    let bind: Option<SocketAddr> = said("server.bind").and_then(|bind| bind.parse().ok());
    Ok(bind.map(|mut bind| {
        if bind.ip().is_unspecified() {
            bind.set_ip(if bind.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
        }
        format!("http://{bind}")
    }))
}

impl Loaded {
    /// Returns the names that policies may use here beside tools.
    #[must_use]
    pub fn names(&self) -> Installation {
        let config = &self.config;
        Installation {
            servers: config.upstreams.keys().cloned().collect(),
            connectors: self.connectors.iter().map(|connector| connector.name.clone()).collect(),
            agents: self.agents.keys().cloned().collect(),
            models: config.models.aliases.keys().cloned().collect(),
            issuers: config.auth.issuers.values().map(|issuer| issuer.issuer.clone()).collect(),
            claims: config.auth.issuers.values().flat_map(|issuer| issuer.metadata_claims.clone()).collect(),
        }
    }

    /// Checks a configuration that a program has built, with its agents, as a file would be checked.
    ///
    /// # Errors
    /// All problems, by key.
    pub fn new(mut config: Config, agents: impl IntoIterator<Item = Agent>) -> Result<Self, ConfigError> {
        let has_url = config.db.url != cardea_store::DbConfig::default().url;
        config.settle(Path::new(""), has_url);
        let agents = agents.into_iter().map(|agent| (agent.name.to_string(), agent)).collect();
        let mut problems = checks::all(&config, &Node::empty(), &agents);
        for (name, agent) in &agents {
            let unknown = checks::unknown_to(&config, agent).into_iter();
            problems.extend(unknown.map(|(key, message, help)| {
                Problem::new(format!("agents.{name}.{key}"), message, form::Place::Nowhere).help(help)
            }));
        }
        if !problems.is_empty() {
            return Err(ConfigError::one(FileProblems::new("(configuration)", "", &[], problems)));
        }
        let (guards, broken) = guards::read(&config);
        if !broken.is_empty() {
            return Err(ConfigError::many(broken));
        }
        let effective = Effective::default();
        Ok(Self { config, agents, connectors: Vec::new(), guards, effective, file: None })
    }
}

/// Finds every text that still contains an unexpanded variable.
fn unexpanded(root: &Node) -> Vec<Problem> {
    let mut problems = Vec::new();
    root.walk(&mut |key, node| {
        if let form::Kind::Text(text) = &node.kind
            && text.contains("${")
        {
            let problem = Problem::new(
                key,
                "still contains `${…}`: this file does not expand variables",
                node.place.clone(),
            );
            let variable = env::variable_for(key);
            problems
                .push(problem.help(format!("set {variable}, or for a secret write {{ env = \"NAME\" }}")));
        }
    });
    problems
}

#[cfg(test)]
mod tests;
