//! Builds the application from a configuration. The order of the lines is the order of the rooms.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use cardea_auth::{Auth, AuthConfig};
use cardea_core::{
    Code, Error, Result,
    agent::Agent,
    cost::{Prices, millionths},
    guard::{Engine, Profile},
    log::ChainKey,
    policy::Installation,
    time::{SharedClock, SystemClock},
};
use cardea_embed::Encoder;
use cardea_model::{
    Models,
    embedder::{Embedder, LocalConfig, LocalEmbedder},
};
use cardea_net::Net;
use cardea_store::{
    Db, DbConfig, Jobs, Shared, args,
    db::Migrated,
    shared::{Memory, MemoryConfig},
};

use super::{App, Rooms, caches, claim, direct};
use crate::{
    action::{self, Action},
    config::{BudgetConfig, Config, Loaded},
    context::Context,
    control::{self, Budget, Control},
    identity::{Identity, TRY_OUT_ISSUER},
    observe::{self, CheckpointKey, Observe},
    turn::Turns,
    vault::{RootKey, Vault},
};

/// Values that a program may give instead of those derived from the configuration.
#[derive(Debug, Clone)]
pub struct Options {
    /// The clock. Default: the system clock.
    pub clock: SharedClock,
    /// Public base URL, once the port is known. Default: made from `server`.
    pub public_url: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { clock: Arc::new(SystemClock), public_url: None }
    }
}

fn broken(what: impl Into<String>) -> Error {
    Error::new(Code::Misconfigured).detail(what)
}

impl App {
    /// Builds all rooms: opens and migrates the database, loads keys, agents and policies. No background task is
    /// started yet.
    ///
    /// Upstreams that cannot be reached are no reason to fail: [`App::start`] keeps asking them.
    ///
    /// # Errors
    /// `misconfigured` with what to change, or a store error.
    pub async fn build(loaded: Loaded, options: Options) -> Result<Self> {
        drop(tokio::task::spawn_blocking(Engine::prepare)); // in parallel, until the first engine is needed
        let names = loaded.names();
        let Loaded { config, agents, connectors, guards, .. } = loaded;
        let Options { clock, public_url } = options;
        let jobs = Jobs::new();
        let (data, root, db) = truth(&config, config.db.clone()).await?;
        // WHY: only a server claims the folder. A command in a folder of its own must not take over the installation.
        claim::folder(&db, &data).await?;
        let shared: Arc<dyn Shared> = Arc::new(Memory::new(MemoryConfig::default(), Arc::clone(&clock)));
        let net = Net::new(config.net.clone(), Arc::clone(&clock))
            .map_err(|error| broken(format!("The `[net]` part cannot be used: {error}.")))?;
        let observe = Observe::new(db.clone(), Arc::clone(&clock), prices(&config)?);
        observe.looks_at(net.clone());
        observe.sign_checkpoints(CheckpointKey::from_seed(&root.checkpoint_seed())?);
        let vault = Vault::new(db.clone(), observe.clone(), root, Arc::clone(&clock)).await;
        let public_url = public_url.unwrap_or_else(|| url_of(&config));
        let identity =
            Identity::open(db.clone(), observe.clone(), &vault, Arc::clone(&clock), &config.local_issuer)
                .await?;
        let credentials = accepted(&config, &public_url, &identity);
        let auth = Auth::new(credentials, net.clone(), Arc::clone(&clock), Arc::new(identity.clone()))?;
        identity.learn_revocations(&auth).await?;
        let embedder = embedder()?;
        let models =
            Models::new(config.models.clone(), net.clone(), Some(Arc::clone(&embedder)), Arc::clone(&clock))?;
        let neighbours = control::Neighbours {
            db: db.clone(),
            shared: Arc::clone(&shared),
            observe: observe.clone(),
            vault: vault.clone(),
            clock: Arc::clone(&clock),
            jobs: jobs.clone(),
        };
        let control = Control::new(neighbours, settings(&config, guards, names))?;
        let store = caches::Store::of(&config, &clock, &vault).await?;
        let cache = store.cache(&config, &embedder, db.clone(), observe.clone());
        cache.load().await?;
        let warm = caches::warm(&config, &embedder)?;
        let context = Context::new(db.clone(), observe.clone(), Arc::clone(&clock), cache, vault.clone());
        let node = &config.db.node;
        let turns = Turns::new(db.clone(), observe.clone(), Arc::clone(&clock), node, vault.clone()).await?;
        let neighbours = action::Neighbours {
            db: db.clone(),
            observe: observe.clone(),
            net,
            identity: identity.clone(),
            vault: vault.clone(),
            shared,
            control: control.clone(),
            clock: Arc::clone(&clock),
        };
        let (upstreams, secrets) = (&config.upstreams, &config.connectors.secrets);
        let services = action::Services { upstreams, connectors, secrets };
        let action = Action::new(neighbours, services, Some(embedder))?;
        control.adopt(action.catalog().specs())?;
        let agents = agents.into_values().map(|agent| (agent.name.clone(), Arc::new(agent))).collect();
        check_agents(&agents, &models)?;
        Ok(Self(Arc::new(Rooms {
            config,
            clock,
            jobs,
            db,
            auth,
            models,
            observe,
            vault,
            identity,
            control,
            context,
            turns,
            action,
            agents,
            direct: direct(),
            pulse: super::Pulse::default(),
            checkpoints: data.join("audit.checkpoints"),
            public_url,
            warm,
        })))
    }
}

/// Opens the data folder, the root key in it, and the database, which must have been written with that key and by a
/// node with that folder. `db` says how the database is opened.
///
/// # Errors
/// `misconfigured` if the key or the folder is a different one, or if the key is missing although something was
/// written with one; in that case no key is created. Errors of the vault and the store.
pub async fn truth(config: &Config, db: DbConfig) -> Result<(PathBuf, RootKey, Db)> {
    let (data, root, db) = opened(config, db).await?;
    if db.is_older().await? && claim::is_kept(&db).await? {
        same_folder(&db, &data).await?;
    }
    migrate(&db).await?;
    same_key(&db, &root, &data).await?;
    same_folder(&db, &data).await?;
    Ok((data, root, db))
}

/// Does the same without checking which folder the database belongs to.
///
/// # Errors
/// As [`truth`].
pub async fn truth_but_folder(config: &Config, db: DbConfig) -> Result<(PathBuf, RootKey, Db)> {
    let (data, root, db) = opened(config, db).await?;
    migrate(&db).await?;
    same_key(&db, &root, &data).await?;
    Ok((data, root, db))
}

/// Opens the database with its present tables. It must have been written with this root key, if it was written at all.
async fn opened(config: &Config, db: DbConfig) -> Result<(PathBuf, RootKey, Db)> {
    let data = data_folder(&config.data.dir)?;
    if !RootKey::is_there(&config.vault, &data) && was_written(&db).await? {
        return Err(broken(format!(
            "There is no root key in `{}`, but this database was written with one: bring back `root.key`, or \
             `vault.root_key`. Nothing was changed.",
            data.display()
        )));
    }
    let root = RootKey::load(&config.vault, &data)?;
    let db = Db::open(db, root.chain_key()).await?;
    // WHY: servers of the earlier version do not start on tables of this one, so a process that turns out to be wrong
    // here must leave them alone.
    if db.is_older().await? {
        observe::same_key(&db, &root.chain_key()).await?;
        if claim::is_kept(&db).await?
            && let Some(says) = claim::other_key(&db, &root, &data).await?
        {
            return Err(broken(says));
        }
    }
    Ok((data, root, db))
}

async fn migrate(db: &Db) -> Result<()> {
    let Migrated { from, to } = db.migrate().await?;
    if (1..to).contains(&from) {
        tracing::info!(
            "the tables of the database went from version {from} to {to}; older servers do not start on them"
        );
    }
    Ok(())
}

/// Refuses a database that was begun with another root key, and claims a new one for this key.
async fn same_key(db: &Db, root: &RootKey, data: &Path) -> Result<()> {
    observe::same_key(db, &root.chain_key()).await?;
    claim::root_key(db, root, data).await
}

/// Refuses a data folder that does not belong to the database.
async fn same_folder(db: &Db, data: &Path) -> Result<()> {
    claim::other_folder(db, data).await?.map_or(Ok(()), |says| Err(broken(says)))
}

/// Returns whether an existing database holds something that depends on a root key.
///
/// # Errors
/// Store errors of opening it.
pub async fn was_written(config: &DbConfig) -> Result<bool> {
    if config.url.strip_prefix("sqlite:").is_some_and(|path| !Path::new(path).is_file()) {
        return Ok(false);
    }
    // Nothing is written with this key.
    let db = Db::open(config.clone(), ChainKey::new(&[0; 32])).await?;
    let written = hangs_on_a_key(&db).await;
    db.close().await;
    Ok(written)
}

/// Returns whether the database holds audit entries or secrets, or was claimed for a root key.
pub async fn hangs_on_a_key(db: &Db) -> bool {
    let entries: Result<Vec<(String,)>> = db.rows("SELECT node FROM audit_heads LIMIT 1", args![]).await;
    let sealed: Result<Vec<(String,)>> = db.rows("SELECT id FROM secrets LIMIT 1", args![]).await;
    let claimed = db.rows("SELECT value FROM installation WHERE name = 'root_key'", args![]).await;
    // Tables that do not exist yet hold nothing.
    [entries, sealed, claimed].into_iter().any(|rows| rows.is_ok_and(|rows| !rows.is_empty()))
}

/// Creates a folder that only the user of this process may access, unless it exists.
///
/// # Errors
/// Those of the file system.
pub fn private_folder(folder: &Path) -> std::io::Result<()> {
    let mut make = std::fs::DirBuilder::new();
    make.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut make, 0o700);
    make.create(folder)
}

/// Returns the data folder; creates it if it does not exist, accessible to the user of this process only.
///
/// # Errors
/// `misconfigured` if it cannot be created.
pub fn data_folder(folder: &Path) -> Result<PathBuf> {
    private_folder(folder)
        .map_err(|error| broken(format!("`data.dir` (`{}`) cannot be made: {error}.", folder.display())))?;
    Ok(folder.to_owned())
}

fn prices(config: &Config) -> Result<Prices> {
    let Some(path) = &config.cost.prices else { return Ok(Prices::default()) };
    crate::config::prices(path).map_err(|why| broken(format!("`cost.prices`: {why}.")))
}

/// Returns the public base URL of an installation that sets none.
fn url_of(config: &Config) -> String {
    let url = config.server.public_url.clone().unwrap_or_else(|| format!("http://{}", config.server.bind));
    url.trim_end_matches('/').to_owned()
}

fn embedder() -> Result<Arc<dyn Embedder>> {
    let encoder = Encoder::bundled().map_err(|error| Error::new(Code::Internal).because(error))?;
    let started = LocalEmbedder::start(&encoder, &LocalConfig::default());
    Ok(Arc::new(started.map_err(|error| Error::new(Code::Internal).because(error))?))
}

fn budget(budget: &BudgetConfig) -> Budget {
    Budget { tokens: budget.tokens, cost_micros: budget.money.map(millionths) }
}

/// Returns the accepted credentials.
fn accepted(config: &Config, public_url: &str, identity: &Identity) -> AuthConfig {
    let mut accepted = config.auth.clone();
    if config.server.public_url.is_some() {
        // WHY: it is the resource that the metadata of `/mcp` tells clients to request a token for (RFC 9728, RFC
        // 8707).
        let resource = format!("{public_url}/mcp");
        accepted.issuers.values_mut().for_each(|issuer| issuer.audience.push(resource.clone()));
    }
    match identity.try_out_issuer() {
        Some(try_out) => accepted.issuer(TRY_OUT_ISSUER, try_out),
        None => accepted,
    }
}

fn settings(config: &Config, guards: Vec<Profile>, names: Installation) -> control::Settings {
    let limits = &config.limits;
    control::Settings {
        node: config.db.node.clone(),
        policies: config.policies.dir.clone(),
        approver: config.policies.approver_role.clone(),
        approval: config.policies.approval,
        per_user: limits.per_user.into(),
        per_tenant: limits.per_tenant.into(),
        in_flight: [limits.in_flight, limits.in_flight_per_tenant, limits.in_flight_per_user],
        streams_per_user: limits.streams_per_user,
        user_budget: budget(&limits.user_budget),
        tenant_budget: budget(&limits.tenant_budget),
        guard: config.guard.profile.clone(),
        guards,
        names,
    }
}

/// Checks the models of the agents: an unknown model would otherwise fail the first question.
fn check_agents(agents: &BTreeMap<cardea_core::id::AgentName, Arc<Agent>>, models: &Models) -> Result<()> {
    match agents.values().find(|agent| !models.knows(&agent.spec.model)) {
        None => Ok(()),
        Some(agent) => Err(broken(format!(
            "The agent `{}` asks for the model `{}`, which `[models.aliases]` does not have.",
            agent.name, agent.spec.model
        ))),
    }
}
