//! Checks beyond single keys: values that contradict each other, files that a key names, names that must exist.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::Path,
    sync::Arc,
};

use cardea_auth::IssuerConfig;
use cardea_core::{
    agent::{Agent, CacheScope},
    connector::Connector,
    cost::Prices,
    form::{self, Node, Place, Problem, closest},
    guard::{Profile, report::types},
    secret::{ExposeSecret, SecretString, check_signing_secret},
    time::{Millis, SharedClock, SystemClock},
};
use cardea_net::Net;
use cardea_store::shared::cache::{PostgresCache, RedisCache};

use super::{CacheBackend, Config, FileProblems, UpstreamConfig, folder::folder, guards};
use crate::{context::cache::read_warm, identity::TRY_OUT_ISSUER};

/// Collects problems and finds the place of each key.
struct Findings<'a> {
    root: &'a Node,
    problems: Vec<Problem>,
}

impl Findings<'_> {
    fn say(&mut self, key: &str, message: impl Into<String>) {
        self.add(Problem::new(key, message, self.place(key)));
    }

    fn say_help(&mut self, key: &str, message: impl Into<String>, help: impl Into<String>) {
        self.add(Problem::new(key, message, self.place(key)).help(help));
    }

    fn add(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Returns the place of the key, or of the nearest table above it.
    fn place(&self, key: &str) -> Place {
        let mut key = key;
        loop {
            if let Some(node) = self.root.find(key).filter(|node| node.place != Place::Nowhere) {
                return node.place.clone();
            }
            match key.rsplit_once(['.', '[']) {
                Some((above, _)) => key = above,
                None => return Place::Nowhere,
            }
        }
    }
}

/// Lower limit of `policies.reload`.
const SOONEST_RELOAD: Millis = Millis(100);

/// Lower limit of `policies.approval`.
const SHORTEST_APPROVAL: Millis = Millis::from_secs(60);

/// Finds the problems of a configuration whose keys are each valid on their own.
pub(super) fn all(config: &Config, root: &Node, agents: &BTreeMap<String, Agent>) -> Vec<Problem> {
    let mut found = Findings { root, problems: Vec::new() };
    server(config, &mut found);
    data(config, &mut found);
    folders(config, &mut found);
    for (name, issuer) in &config.auth.issuers {
        one_issuer(&format!("auth.issuers.{name}"), issuer, &mut found);
    }
    twice(config, &mut found);
    for problem in config.models.problems() {
        found.say(&problem.key, problem.problem);
    }
    for (name, upstream) in &config.upstreams {
        one_upstream(config, name, upstream, &mut found);
    }
    policies(config, &mut found);
    limits(config, &mut found);
    cache(config, agents, &mut found);
    profile(config, &mut found);
    found.problems
}

fn policies(config: &Config, found: &mut Findings<'_>) {
    if config.policies.reload < SOONEST_RELOAD {
        let message = format!("must be at least {SOONEST_RELOAD}: the whole folder is read each time");
        found.say("policies.reload", message);
    }
    if config.policies.approval < SHORTEST_APPROVAL {
        let message = format!("must be at least {SHORTEST_APPROVAL}: a person has to read what is asked");
        found.say("policies.approval", message);
    }
    let role = config.policies.approver_role.as_str();
    let odd = |c: char| c.is_control() || "\"\\,".contains(c);
    if role.is_empty() || role.trim() != role || role.contains(odd) {
        found.say("policies.approver_role", "is no name of one role");
    }
}

fn server(config: &Config, found: &mut Findings<'_>) {
    let server = &config.server;
    let open = !server.bind.ip().is_loopback();
    if let Some(url) = &server.public_url {
        web_address("server.public_url", url, found);
    }
    if let Some(Err(weak)) = server.metrics_token.as_ref().map(check_signing_secret) {
        found.say("server.metrics_token", weak.to_string());
    }
    for (i, origin) in server.allowed_origins.iter().enumerate() {
        let good = host_of(origin).is_some_and(|(_, rest)| rest.is_empty());
        if !good {
            let help = "write scheme and host, such as \"https://app.example\"";
            found.say_help(&format!("server.allowed_origins[{i}]"), format!("`{origin}` is no origin"), help);
        }
    }
    if open && config.local_issuer.enabled {
        let help = "configure an issuer of yours below [auth.issuers], or bind to 127.0.0.1";
        found.say_help(
            "local_issuer.enabled",
            format!(
                "the built-in issuer is for trying out, and `server.bind` {} is open to other machines",
                server.bind
            ),
            help,
        );
    }
    let public = server.public_url.as_deref().and_then(host_of).map(|(host, _)| host);
    if !open
        && config.local_issuer.enabled
        && let Some(host) = public.filter(|host| !is_this_machine(host))
    {
        let help = "configure an issuer of yours below [auth.issuers], or leave `server.public_url` out while trying things out";
        found.say_help(
            "local_issuer.enabled",
            format!("the built-in issuer is for trying out, and by `server.public_url` others reach this machine as `{host}`"),
            help,
        );
    }
    if config.local_issuer.lifetime > Millis::from_secs(86_400) {
        found.say("local_issuer.lifetime", "must be at most one day");
    }
    if config.auth.leeway > Millis::from_secs(60) {
        found.say("auth.leeway", "must be at most one minute: it is how long an expired token still works");
    }
    if config.auth.issuers.is_empty() && !config.auth.api_keys && !config.local_issuer.enabled {
        let help = "add an issuer below [auth.issuers], or set auth.api_keys = true";
        found.say_help("auth", "nobody could sign in", help);
    }
    if server.header_timeout == Millis(0) {
        found.say("server.header_timeout", "must be more than nothing");
    }
    if server.send_timeout == Millis(0) {
        found.say("server.send_timeout", "must be more than nothing");
    }
    if server.max_body.is_empty() {
        found.say("server.max_body", "must be more than nothing");
    }
}

/// Checks that every configured folder exists: a slip in `policies.dir` would mean an installation without policies.
fn folders(config: &Config, found: &mut Findings<'_>) {
    let named = [
        ("agents", "agents", &config.agents.dir),
        ("policies", "policies", &config.policies.dir),
        ("connectors", "connectors", &config.connectors.dir),
        ("guard", "guards", &config.guard.dir),
    ];
    for (room, usual, dir) in named {
        let key = format!("{room}.dir");
        let other = found.root.find(&key).is_some_and(|node| {
            !matches!(&node.kind, form::Kind::Text(text) if text == usual) && node.place != Place::Nowhere
        });
        if other && !dir.is_dir() {
            found.say_help(
                &key,
                format!("there is no folder {}", dir.display()),
                "make it, or correct its name",
            );
        }
    }
}

fn data(config: &Config, found: &mut Findings<'_>) {
    if let Err(message) = config.db.check() {
        let key = ["url", "node", "readers", "queue"]
            .into_iter()
            .find(|key| message.starts_with(&format!("`{key}`")));
        found.say(&key.map_or_else(|| "db".to_owned(), |key| format!("db.{key}")), message);
    }
    if let Some(key) = &config.vault.root_key
        && !is_root_key(key)
    {
        found.say_help("vault.root_key", "is not 32 bytes in base64", "make one: openssl rand -base64 32");
    }
    if config.vault.root_key.is_none() && !config.vault.old_root_keys.is_empty() {
        let help = "the newest key is `vault.root_key`; these are those before it";
        found.say_help("vault.old_root_keys", "are set, but not `vault.root_key`", help);
    }
    for (place, _) in config.vault.old_root_keys.iter().enumerate().filter(|(_, key)| !is_root_key(key)) {
        found.say(&format!("vault.old_root_keys[{place}]"), "is not 32 bytes in base64");
    }
    let dir = found.root.get("data").and_then(|data| data.get("dir"));
    if dir.is_some_and(|dir| matches!(&dir.kind, form::Kind::Text(text) if text.is_empty())) {
        found.say_help("data.dir", "is empty", "name a folder, or leave the key out");
    }
    if config.data.dir.exists() && !config.data.dir.is_dir() {
        found.say("data.dir", "is there and is no folder");
    }
    let file = config.db.url.strip_prefix("sqlite:").filter(|path| !path.starts_with(':')).map(Path::new);
    let above = file.and_then(Path::parent).filter(|above| *above != config.data.dir && !above.is_dir());
    if let Some(above) = above.filter(|above| !above.as_os_str().is_empty()) {
        found.say_help(
            "db.url",
            format!("there is no folder {}", above.display()),
            "make it, or correct its name",
        );
    }
    if let Some(Err(message)) = config.cost.prices.as_deref().map(prices) {
        found.say("cost.prices", message);
    }
    if !config.net.extra_roots.is_empty()
        && let Err(error) = Net::new(config.net.clone(), Arc::new(SystemClock))
    {
        found.say("net.extra_roots", error.to_string());
    }
}

/// Reads a price file.
///
/// # Errors
/// Why the file cannot be used.
pub(crate) fn prices(path: &Path) -> Result<Prices, String> {
    if !path.is_file() {
        return Err("there is no such file".to_owned());
    }
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("`{}` cannot be read: {error}", path.display()))?;
    Prices::parse(&text).map_err(|error| format!("{}: {error}", path.display()))
}

fn is_root_key(key: &SecretString) -> bool {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(key.expose_secret().trim());
    bytes.is_ok_and(|bytes| bytes.len() == 32)
}

fn one_issuer(path: &str, issuer: &IssuerConfig, found: &mut Findings<'_>) {
    let key = |name: &str| format!("{path}.{name}");
    let ways = [
        issuer.secret.is_some(),
        issuer.pem.is_some(),
        issuer.pem_file.is_some(),
        issuer.jwks.is_some(),
        issuer.jwks_file.is_some(),
        issuer.jwks_url.is_some(),
    ];
    if ways.iter().filter(|given| **given).count() != 1 {
        let help = "give one of `secret`, `pem`, `pem_file`, `jwks`, `jwks_file`, `jwks_url`";
        found.say_help(path, "must say in exactly one way how tokens are verified", help);
    }
    if let Some(Err(weak)) = issuer.secret.as_ref().map(check_signing_secret) {
        found.say_help(&key("secret"), weak.to_string(), "make one: openssl rand -base64 48");
    }
    if issuer.issuer.is_empty() {
        found.say(&key("issuer"), "is empty");
    }
    if issuer.audience.is_empty() || issuer.audience.iter().any(String::is_empty) {
        found.say(
            &key("audience"),
            "must name at least one audience: a token for somebody else must not work here",
        );
    }
    for (name, file) in [("pem_file", &issuer.pem_file), ("jwks_file", &issuer.jwks_file)] {
        if file.as_deref().is_some_and(|path| !path.is_file()) {
            found.say(&key(name), "there is no such file");
        }
    }
    if let Some(url) = &issuer.jwks_url {
        web_address(&key("jwks_url"), url, found);
        let plain = host_of(url).is_some_and(|(host, _)| url.starts_with("http:") && !is_this_machine(host));
        if plain {
            found.say_help(&key("jwks_url"), "would be fetched without encryption", "use https://");
        }
    }
    // Missing and conflicting keys were reported above.
    if ways.iter().filter(|given| **given).count() == 1
        && let Err((name, message)) = issuer.check()
        && !found.problems.iter().any(|problem| problem.key == key(name))
    {
        found.say(&key(name), message);
    }
    if issuer.tenant.as_deref() == Some("") {
        found.say(&key("tenant"), "is empty");
    }
}

/// Finds issuers that share an `iss`: which of them verifies a token would be a matter of chance.
fn twice(config: &Config, found: &mut Findings<'_>) {
    let mut seen = BTreeMap::new();
    for (name, issuer) in &config.auth.issuers {
        if config.local_issuer.enabled && issuer.issuer == TRY_OUT_ISSUER {
            let key = format!("auth.issuers.{name}.issuer");
            found.say(&key, "is the name of the built-in issuer, which `local_issuer.enabled` switches on");
        }
        if let Some(first) = seen.insert(issuer.issuer.as_str(), name) {
            let message = format!("is the same as that of `auth.issuers.{first}`");
            found.say(&format!("auth.issuers.{name}.issuer"), message);
        }
    }
}

/// Returns the `host:port` of an unencrypted address that may not be reached.
fn plain_target(url: &str, config: &Config) -> Option<String> {
    let uri: http::Uri = url.strip_prefix("http://").and_then(|_| url.parse().ok())?;
    let (host, port) = (uri.host()?, uri.port_u16().unwrap_or(80));
    let in_range = host.trim_matches(['[', ']']).parse().is_ok_and(|ip: IpAddr| config.net.allow.holds(ip));
    (!in_range && !config.net.allow.names(host, port)).then(|| format!("{host}:{port}"))
}

fn one_upstream(config: &Config, name: &str, upstream: &UpstreamConfig, found: &mut Findings<'_>) {
    let path = format!("upstreams.{name}");
    let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if name.is_empty()
        || name.len() > 32
        || !name.chars().all(known)
        || name.contains("__")
        || name.ends_with('_')
    {
        let help = "small letters, digits, `-` and single `_`, at most 32: tools are called NAME__TOOL";
        found.say_help(&path, format!("`{name}` is no name for an upstream"), help);
    }
    web_address(&format!("{path}.url"), &upstream.url, found);
    if let Some(target) = plain_target(&upstream.url, config) {
        let help = format!("use https://, or add \"{target}\" to net.allow");
        found.say_help(&format!("{path}.url"), "would be asked without encryption, which is refused", help);
    }
    if upstream.audience.is_some() && upstream.credential.is_some() {
        found.say(&path, "must not have both `audience` and `credential`");
    }
    if upstream.timeout == Millis(0) {
        found.say(&format!("{path}.timeout"), "must be more than nothing");
    }
    if upstream.max_result.is_empty() {
        found.say(&format!("{path}.max_result"), "must be more than nothing");
    }
}

fn limits(config: &Config, found: &mut Findings<'_>) {
    let limits = &config.limits;
    for (key, rate) in [("limits.per_user", limits.per_user), ("limits.per_tenant", limits.per_tenant)] {
        if rate.count == 0 {
            found.say(key, "would refuse everybody");
        }
    }
    if limits.in_flight_per_user > limits.in_flight_per_tenant {
        found.say("limits.in_flight_per_user", "is more than `limits.in_flight_per_tenant`");
    }
    if limits.in_flight_per_tenant > limits.in_flight {
        found.say("limits.in_flight_per_tenant", "is more than `limits.in_flight`");
    }
    let unknown = |level: &&str| !LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level));
    if let Some(level) = config.log.level.split(',').map(level_of).find(unknown) {
        let message = format!("does not know the level `{level}`");
        match closest(level, LEVELS.iter().copied()) {
            Some(near) => found.say_help("log.level", message, format!("did you mean \"{near}\"?")),
            None => found.say_help("log.level", message, format!("one of: {}", LEVELS.join(", "))),
        }
    } else if let Err(error) = config.log.filter() {
        found.say("log.level", format!("cannot be read: {error}"));
    }
}

fn cache(config: &Config, agents: &BTreeMap<String, Agent>, found: &mut Findings<'_>) {
    let cache = &config.cache;
    if cache.enabled && cache.memory.is_empty() {
        found.say_help("cache.memory", "holds nothing", "set cache.enabled = false to have no cache");
    }
    let clock: SharedClock = Arc::new(SystemClock);
    let password = cache.password.as_ref();
    match (cache.backend, &cache.url) {
        (CacheBackend::Memory, None) => {}
        (CacheBackend::Memory, Some(_)) => {
            let help = "set cache.backend = \"redis\" or \"postgres\", or leave it out";
            found.say_help("cache.url", "is not used by the backend `memory`", help);
        }
        (CacheBackend::Redis, None) => {
            found.say_help("cache.backend", "needs `cache.url`", "write url = \"redis://HOST:6379\"");
        }
        (CacheBackend::Redis, Some(url)) => {
            if let Err(why) = RedisCache::new(url, password, &cache.name, 1, clock) {
                found.say("cache.url", why);
            }
        }
        (CacheBackend::Postgres, None) if config.db.url.starts_with("postgres") => {}
        (CacheBackend::Postgres, None) => {
            let help = "write url = \"postgres://USER@HOST:5432/NAME\"";
            found.say_help("cache.backend", "needs `cache.url`, since `db.url` is no PostgreSQL", help);
        }
        (CacheBackend::Postgres, Some(url)) => {
            if let Err(why) = PostgresCache::new(url, password, 1, 1, clock) {
                found.say("cache.url", why);
            }
        }
    }
    if cache.persist && cache.backend != CacheBackend::Memory {
        found.say("cache.persist", "is for the backend `memory`: others survive a restart of Cardea anyway");
    }
    if cache.timeout == Millis(0) {
        found.say("cache.timeout", "must be more than nothing");
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !cache.name.chars().all(plain) {
        found.say("cache.name", "may hold letters, digits, `-`, `_` and `.` only");
    }
    if let Some(path) = &cache.warm {
        warm(path, agents, found);
    }
}

/// Checks the warm-up file: an answer that no caller could ever get is a mistake.
fn warm(path: &Path, agents: &BTreeMap<String, Agent>, found: &mut Findings<'_>) {
    let lines = match read_warm(path, None) {
        Ok(lines) => lines,
        Err(error) => return found.say("cache.warm", error.to_string()),
    };
    for line in lines {
        let why = match agents.get(&line.agent).map(|agent| agent.spec.cache.scope) {
            None => "there is no such agent".to_owned(),
            Some(CacheScope::Session) => "its answers belong to one conversation".to_owned(),
            Some(CacheScope::Off) => "its answers are not cached".to_owned(),
            Some(CacheScope::User) if line.user.is_none() => {
                "its answers are each user's own: name `user` and `issuer`, or let it share them".to_owned()
            }
            Some(CacheScope::User | CacheScope::Shared) => continue,
        };
        let question: String = line.question.chars().take(60).collect();
        let message = format!("{}: `{question}` for the agent `{}`: {why}", path.display(), line.agent);
        return found.say("cache.warm", message);
    }
}

const LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];

fn level_of(directive: &str) -> &str {
    directive.rsplit_once('=').map_or(directive, |(_, level)| level).trim()
}

/// Checks the default profile at start; a missing one would otherwise fail the first request.
fn profile(config: &Config, found: &mut Findings<'_>) {
    if let Some((message, help)) = unknown_profile(config, &config.guard.profile) {
        found.say_help("guard.profile", message, help);
    }
}

fn unknown_profile(config: &Config, name: &str) -> Option<(String, String)> {
    let own = guards::names(config);
    let mut known: Vec<&str> = Profile::names().collect();
    known.extend(own.iter().map(String::as_str));
    let help = || match closest(name, known.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("one of: {}", known.join(", ")),
    };
    (!known.contains(&name)).then(|| (format!("there is no guard profile `{name}`"), help()))
}

/// Finds names in an agent that this installation does not have: the key in the agent's file, the problem, the advice.
pub(super) fn unknown_to(config: &Config, agent: &Agent) -> Vec<(&'static str, String, String)> {
    let mut unknown = Vec::new();
    let model = agent.spec.model.as_str();
    if !config.models.aliases.contains_key(model) {
        let names = || config.models.aliases.keys().map(String::as_str);
        let help = match closest(model, names()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!(
                "known: {}; add [models.aliases.{model}] for another",
                names().collect::<Vec<_>>().join(", ")
            ),
        };
        unknown.push(("model", format!("there is no model `{model}` in `models.aliases`"), help));
    }
    if let Some((message, help)) = agent.spec.guard.as_deref().and_then(|name| unknown_profile(config, name))
    {
        unknown.push(("guard", message, help));
    }
    unknown.extend(agent.spec.restore.iter().filter_map(|label| unknown_label(label)));
    unknown
}

/// Checks a label of `restore`. An unknown label would otherwise silently restore nothing.
fn unknown_label(label: &str) -> Option<(&'static str, String, String)> {
    let types = types().ok()?;
    let known: BTreeSet<&str> = types.iter().map(|known| known.label.as_str()).collect();
    if known.contains(label) {
        return None;
    }
    let help = match closest(label, known.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => "`cardea guard list` names them all".to_owned(),
    };
    Some(("restore", format!("no placeholder stands for `{label}`"), help))
}

/// Reads the connectors of the folder, and the problems of invalid files.
pub(super) fn connectors(config: &Config) -> (Vec<Connector>, Vec<FileProblems>) {
    let (mut connectors, mut broken) = (Vec::new(), Vec::new());
    let files = folder(&config.connectors.dir).unwrap_or_else(|unread| {
        broken.push(unread);
        Vec::new()
    });
    for path in files {
        match connector(&path) {
            Ok((text, connector)) => {
                let problems = placed(config, &connector, &text);
                if !problems.is_empty() {
                    broken.push(FileProblems::new(&path.display().to_string(), &text, &[], problems));
                }
                connectors.push(connector);
            }
            Err(problems) => broken.push(problems),
        }
    }
    (connectors, broken)
}

/// Reads one connector file, whose name must be the connector's.
pub(crate) fn connector(path: &Path) -> Result<(String, Connector), FileProblems> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        let problem = Problem::new("", format!("cannot be read: {error}"), Place::Nowhere);
        FileProblems::new(&shown, "", &[], vec![problem])
    })?;
    let problems = match Connector::parse(&text) {
        Ok(connector) => {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            if stem == connector.name {
                return Ok((text, connector));
            }
            let message = format!("is `{}`, and the file is named {stem}.toml", connector.name);
            vec![Problem::new("connector.name", message, place_in(&text, "connector.name"))]
        }
        Err(problems) => problems,
    };
    Err(FileProblems::new(&shown, &text, &[], problems))
}

fn place_in(text: &str, key: &str) -> Place {
    let root = form::parse(text).ok();
    root.and_then(|root| root.find(key).map(|node| node.place.clone())).unwrap_or(Place::Nowhere)
}

/// Finds what is wrong with a connector in this installation.
fn placed(config: &Config, connector: &Connector, text: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    if config.upstreams.contains_key(&connector.name) {
        let message = format!("`{}` is the name of an upstream as well", connector.name);
        problems.push(Problem::new("connector.name", message, place_in(text, "connector.name")));
    }
    let plain = connector
        .bases
        .iter()
        .find(|base| !base.encrypted && !config.net.allow.names(&base.host, base.port.unwrap_or(80)));
    if let Some(base) = plain {
        let help = format!("use https://, or add \"{}\" to net.allow in cardea.toml", base.target());
        let place = place_in(text, "connector.base");
        problems.push(Problem::new("connector.base", "would be asked without encryption", place).help(help));
    }
    problems
}

/// Finds secrets of connectors that do not exist.
pub(super) fn secrets(config: &Config, root: &Node) -> Vec<Problem> {
    let mut found = Findings { root, problems: Vec::new() };
    let names: Vec<String> = folder(&config.connectors.dir)
        .unwrap_or_default()
        .iter()
        .filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()))
        .collect();
    for name in config.connectors.secrets.keys().filter(|name| !names.contains(name)) {
        let message = format!("there is no connector `{name}` in {}", config.connectors.dir.display());
        let key = format!("connectors.secrets.{name}");
        match closest(name, names.iter().map(String::as_str)) {
            Some(near) => found.say_help(&key, message, format!("did you mean `{near}`?")),
            None => found.say(&key, message),
        }
    }
    found.problems
}

/// Reads the agents of the folder, and the problems of invalid files.
pub(super) fn agents(config: &Config) -> (BTreeMap<String, Agent>, Vec<FileProblems>) {
    let (mut agents, mut broken) = (BTreeMap::new(), Vec::new());
    let files = folder(&config.agents.dir).unwrap_or_else(|unread| {
        broken.push(unread);
        Vec::new()
    });
    for path in &files {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let shown = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => match Agent::parse(&name, &text) {
                Ok(agent) => {
                    let unknown = unknown_to(config, &agent).into_iter();
                    let problems: Vec<Problem> = unknown
                        .map(|(key, message, help)| {
                            Problem::new(key, message, place_in(&text, key)).help(help)
                        })
                        .collect();
                    if !problems.is_empty() {
                        broken.push(FileProblems::new(&shown, &text, &[], problems));
                    }
                    drop(agents.insert(name.into_owned(), agent));
                }
                Err(problems) => broken.push(FileProblems::new(&shown, &text, &[], problems)),
            },
            Err(error) => {
                let problem = Problem::new("", format!("cannot be read: {error}"), Place::Nowhere);
                broken.push(FileProblems::new(&shown, "", &[], vec![problem]));
            }
        }
    }
    (agents, broken)
}

fn web_address(key: &str, url: &str, found: &mut Findings<'_>) {
    if host_of(url).is_none() {
        let help = "write https://host or http://host, without user, password or fragment";
        found.say_help(key, format!("`{}` is no web address", without_password(url)), help);
    }
}

/// Returns the part of an address that may be shown, without a password.
fn without_password(url: &str) -> &str {
    url.rsplit_once('@').map_or(url, |(_, rest)| rest)
}

/// Splits an address into the host and what follows it; `None` if it has a user or a fragment.
fn host_of(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let uri: http::Uri = url.parse().ok()?;
    let authority = uri.authority()?;
    let clean = !authority.as_str().contains('@') && !url.contains('#') && !authority.host().is_empty();
    let after = rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default();
    let (host, _) = rest.split_at_checked(authority.host().len())?;
    clean.then_some((host, after))
}

fn is_this_machine(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
