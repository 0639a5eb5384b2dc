//! The configuration: one `cardea.toml`, environment variables over it, everything checked at start.
//!
//! Promises: a [`Config`] that was loaded is usable; every key has a doc comment, a default where one is safe, and a
//! line in `docs/reference/config.md`; all problems of all files are told at once, with file, line, key, what was
//! expected and what was probably meant; secrets are never printed, not even inside the line of source that an error
//! shows. Refuses: unknown keys, values without their unit, anything that still contains `${…}`, signing secrets
//! under 32 bytes. Each room owns its part; this one only nests them, loads them and says what is wrong.
//! Called by `main` and `app`. Nothing reads the environment later.

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

/// The name of the file that is looked for where none is named.
pub const FILE: &str = "cardea.toml";

/// Everything that an installation can decide.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The HTTP server.
    pub server: ServerConfig,
    /// The folder of what must not be lost.
    pub data: DataConfig,
    /// The database. `url` absent: SQLite in `data.dir`.
    pub db: cardea_store::DbConfig,
    /// The key that seals secrets at rest.
    pub vault: VaultConfig,
    /// Who may sign in, and how they prove it.
    pub auth: cardea_auth::AuthConfig,
    /// The built-in issuer of tokens, for trying out.
    pub local_issuer: LocalIssuerConfig,
    /// The language models.
    pub models: cardea_model::ModelsConfig,
    /// What model calls cost.
    pub cost: CostConfig,
    /// Where the agents are described.
    pub agents: AgentsConfig,
    /// Where the policies are, and how long a question to a person stays open.
    pub policies: PoliciesConfig,
    /// MCP servers whose tools are offered, by a name of your own: their tools are called `NAME__TOOL`.
    pub upstreams: BTreeMap<String, UpstreamConfig>,
    /// Where the HTTP connectors are described.
    pub connectors: ConnectorsConfig,
    /// Outbound HTTP, and which private addresses may be reached.
    pub net: cardea_net::NetConfig,
    /// How much one user, one tenant and everybody together may ask for.
    pub limits: LimitsConfig,
    /// Answers that may be given again.
    pub cache: CacheConfig,
    /// What the guardrails look for.
    pub guard: GuardConfig,
    /// The log.
    pub log: LogConfig,
}

/// A configuration that was read, with the agents it names and where each value came from.
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
    /// Every value and where it came from, for `cardea config show`.
    pub effective: Effective,
    /// The file; `None` where there was none and defaults count.
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

    /// The same for a text whose relative paths are meant from `folder`.
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

    /// Adds what is built in, and makes relative paths absolute enough: from the folder of the file, not from wherever the process stands.
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
        // The built-in model needs no configuration, also where others are configured.
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

/// The name of this machine or pod, as a node can have it. One that must be changed for that ends in a digest of the whole,
/// since what tells two hosts apart may stand anywhere in their names.
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

/// Where clients find the server of a configuration, whatever else is in it: what it says of secrets is for the server
/// alone. `None` if it says nothing, or if there is no file of the usual name.
///
/// # Errors
/// The file cannot be read, or is no TOML.
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
    // What is wrong in other keys is the server's business.
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
    /// What policies may name here, beside tools.
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

    /// A configuration that a program made itself, with its agents: checked as a file would be.
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

/// Every text in which a variable was meant to be filled in and was not.
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
