//! A complete Cardea for one test: every room, the shop's tool server, users with tokens, and a clock that stands
//! still.
//!
//! It is built as `cardea serve` builds it, from files in a folder of its own, and is asked over a real socket. The
//! assertions of a story are made here, so that a failed one names what came instead.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a world that cannot be built or asked is a failed test"
)]

mod house;
mod keeper;
mod mcp;
mod node;
mod people;
mod service;
mod shop;
mod turncoat;
mod wire;

use std::{net::SocketAddr, path::Path, sync::Arc};

use cardea::{
    api::{self, Bound},
    app::{App, Options},
    config::{Config, Environment},
    identity::Mint,
    observe::Wanted,
};
use cardea_core::{
    id::TenantId,
    page::{Limit, Place},
    secret::ExposeSecret as _,
    time::{Clock as _, ManualClock, SystemClock},
};
use cardea_store::Jobs;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinSet};

use self::wire::Wire;
pub use self::{
    house::{House, Inside, Seat, Who},
    keeper::{Deed, Keeper, Shape},
    mcp::McpClient,
    node::Node,
    people::{Asked, User},
    service::{Came, Say, Service},
    shop::{Paid, Shop},
    turncoat::{Retort, Turncoat},
    wire::{Event, Reply},
};
use crate::{
    chaos::{ChaosProxy, Weather},
    model::{Act, FakeModel},
};

const SUPPORT: &str = include_str!("../../../agents/support.toml");
const POLICIES: &str = include_str!("../../../policies/shop.cedar");

/// The secret of the connector `demo`.
pub const SECRET: &str = "canary-7f3a1c-of-the-connector";

/// The default tenant.
pub const TENANT: &str = "acme";

/// The environment variable that names a folder of empty databases: each file holds the address of one, and belongs to
/// the world that removes it. Without it, a world has a SQLite file of its own.
pub const DATABASES: &str = "CARDEA_TEST_DATABASES";

/// Returns the address of a database for one world, if the test run provides any.
fn database() -> Option<String> {
    let folder = std::env::var_os(DATABASES)?;
    let entries = std::fs::read_dir(folder).expect("a folder of databases").flatten();
    let mut free = entries.filter_map(|entry| {
        let address = std::fs::read_to_string(entry.path()).ok()?;
        std::fs::remove_file(entry.path()).is_ok().then_some(address)
    });
    Some(free.next().expect("a database for each world"))
}

/// An agent that does whatever its model says, as far as it is allowed.
const SCRIPTED: &str = r#"
about = "Obeys its model."
model = "scripted"
guard = "standard"
instructions = "Do what you are told."
tools = ["*"]

[limits]
reflections = 6
"#;

/// A complete Cardea.
#[derive(Debug)]
pub struct World {
    /// The application itself, for what no client can see.
    pub app: App,
    /// Its clock. It stands still until a test moves it.
    pub clock: Arc<ManualClock>,
    /// Its public URL.
    pub url: String,
    dir: TempDir,
    shop: Shop,
    model: Option<FakeModel>,
    service: Option<Service>,
    wire: Wire,
    chaos: Option<ChaosProxy>,
    variables: Vec<(String, String)>,
    _jobs: Jobs,
    _tasks: JoinSet<()>,
}

/// Deviations of a world from the default one.
#[derive(Default)]
pub struct Plan {
    variables: Vec<(String, String)>,
    script: Option<Vec<Act>>,
    rule: Option<fn(&Value) -> Act>,
    distrusted: Option<String>,
    wired: bool,
    away: bool,
    service: Option<Service>,
    manifest: Option<(String, String)>,
    tools: Option<cardea_mcp::Server>,
    policies: String,
    limits: String,
    agent: String,
    guard: Option<String>,
    configuration: String,
    targets: Vec<String>,
}

impl Plan {
    /// Sets a key of the configuration, as `CARDEA_ROOM__KEY` does.
    #[must_use]
    pub fn set(mut self, variable: &str, value: &str) -> Self {
        self.variables.push((variable.to_owned(), value.to_owned()));
        self
    }

    /// Adds the agent `scripted`, whose model derives its reaction from the body of a request.
    #[must_use]
    pub fn ruled(mut self, rule: fn(&Value) -> Act) -> Self {
        self.rule = Some(rule);
        self
    }

    /// Adds the agent `scripted`, whose model plays these acts one after the other, and lets [`User::asks`] ask it.
    #[must_use]
    pub fn model(mut self, script: impl IntoIterator<Item = Act>) -> Self {
        self.script = Some(script.into_iter().collect());
        self
    }

    /// Distrusts the shop's declarations of its tools' effects; `effects` is a TOML table of the operator's
    /// declarations.
    #[must_use]
    pub fn distrusted_shop(mut self, effects: &str) -> Self {
        self.distrusted = Some(effects.to_owned());
        self
    }

    /// Puts a chaos proxy between Cardea and the shop: [`World::wire`].
    #[must_use]
    pub fn wire_to_shop(mut self) -> Self {
        self.wired = true;
        self
    }

    /// Does the same, with the proxy down when Cardea starts.
    #[must_use]
    pub fn shop_is_away(mut self) -> Self {
        self.away = true;
        self.wire_to_shop()
    }

    /// Puts this service behind the connector `demo`, described by this file, in which `BASE` stands for its address.
    /// Its secret is [`SECRET`].
    #[must_use]
    pub fn connector(self, service: Service, manifest: &str) -> Self {
        let target = service.target();
        Self { service: Some(service), ..self }.connector_to(target, manifest)
    }

    /// Does the same for a service of the test's own, which listens at `target`.
    #[must_use]
    pub fn connector_to(mut self, target: String, manifest: &str) -> Self {
        self.manifest = Some((target, manifest.to_owned()));
        self
    }

    /// Adds an MCP server of the test's own: the upstream `own`. It trusts tokens that Cardea makes for it.
    #[must_use]
    pub fn tools(mut self, server: cardea_mcp::Server) -> Self {
        self.tools = Some(server);
        self
    }

    /// Adds tables to the configuration.
    #[must_use]
    pub fn configure(mut self, tables: &str) -> Self {
        self.configuration.push_str(tables);
        self
    }

    /// Lets Cardea reach this private address.
    #[must_use]
    pub fn allow(mut self, target: &str) -> Self {
        self.targets.push(target.to_owned());
        self
    }

    /// Adds policies.
    #[must_use]
    pub fn policies(mut self, policies: &str) -> Self {
        self.policies = policies.to_owned();
        self
    }

    /// Adds keys to `[limits]` of the scripted agent.
    #[must_use]
    pub fn limits(mut self, limits: &str) -> Self {
        self.limits = limits.to_owned();
        self
    }

    /// Adds keys at the top of the scripted agent.
    #[must_use]
    pub fn agent(mut self, keys: &str) -> Self {
        self.agent = keys.to_owned();
        self
    }

    /// Guards everything by a profile with only these rules.
    #[must_use]
    pub fn guard(mut self, rules: &str) -> Self {
        self.guard = Some(format!("name = \"own\"\n{rules}"));
        self.set("CARDEA_GUARD__PROFILE", "own")
    }

    /// Starts the chaos proxy to the shop, if there is one.
    async fn chaos(&self, jobs: &Jobs, shop: SocketAddr) -> Option<ChaosProxy> {
        if !self.wired {
            return None;
        }
        let wire = ChaosProxy::start(jobs, shop).await.expect("a wire to the shop");
        if self.away {
            wire.set(Weather::Refuse);
        }
        Some(wire)
    }

    /// Writes the profile and the scripted agent, if there are any.
    fn put_agent(&self, dir: &Path, has_model: bool) {
        let mut scripted = SCRIPTED.to_owned();
        if let Some(profile) = &self.guard {
            put(dir, "guards/own.toml", profile);
            scripted = scripted.replace("\"standard\"", "\"own\"");
        }
        if has_model {
            put(dir, "agents/scripted.toml", &format!("{}{scripted}{}", self.agent, self.limits));
        }
    }

    /// Builds and starts the world.
    pub async fn start(mut self) -> World {
        if let Some(address) = database() {
            self = self.set("CARDEA_DB__URL", &address);
        }
        let dir = tempfile::tempdir().expect("a folder");
        let clock = ManualClock::at(SystemClock.now());
        let shop_socket = TcpListener::bind("127.0.0.1:0").await.expect("a port for the shop");
        let shop_address = shop_socket.local_addr().expect("the shop's address");
        let model = match self.script.take() {
            Some(script) => Some(FakeModel::start(script).await.expect("a port for the model")),
            None => match self.rule.take() {
                Some(rule) => Some(FakeModel::ruled(rule).await.expect("a port for the model")),
                None => None,
            },
        };
        let own_socket = TcpListener::bind("127.0.0.1:0").await.expect("a port for the test's own tools");
        let own_address = own_socket.local_addr().expect("their address");
        let bound = Bound::new(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a port for Cardea");
        let address = bound.address;
        let believed = match &self.distrusted {
            None => "trust_annotations = true".to_owned(),
            Some(effects) => format!("effects = {effects}"),
        };
        let jobs = Jobs::new();
        let chaos = self.chaos(&jobs, shop_address).await;
        let way = chaos.as_ref().map_or(shop_address, ChaosProxy::address);
        let connected = self.manifest.iter().map(|(target, _)| target.clone());
        let connected = connected.chain(self.tools.iter().map(|_| own_address.to_string()));
        let connected = connected.chain(std::mem::take(&mut self.targets));
        let targets = model.iter().map(FakeModel::target).chain(connected);
        let mut config = config((address, shop_address, way), &believed, model.as_ref(), targets);
        if let Some((target, manifest)) = &self.manifest {
            config.push_str(&format!("[connectors.secrets]\ndemo = \"{SECRET}\"\n"));
            let manifest = manifest.replace("BASE", &format!("http://{target}"));
            put(dir.path(), "connectors/demo.toml", &manifest);
        }
        config.push_str(&self.configuration);
        if self.tools.is_some() {
            let url = format!("http://{own_address}/mcp");
            config.push_str(&format!(
                "[upstreams.own]\nurl = \"{url}\"\naudience = \"{url}\"\ntrust_annotations = true\n"
            ));
        }
        write(dir.path(), &config);
        if !self.policies.is_empty() {
            put(dir.path(), "policies/more.cedar", &self.policies);
        }
        self.put_agent(dir.path(), model.is_some());
        let loaded =
            Config::load(&dir.path().join("cardea.toml"), &Environment::from_iter(self.variables.clone()));
        let loaded = loaded.unwrap_or_else(|error| panic!("{}", error.pretty(false)));
        let options = Options { clock: Arc::<ManualClock>::clone(&clock), ..Options::default() };
        let app = App::build(loaded, options).await.unwrap_or_else(|error| panic!("{error:?}"));
        let mut tasks = JoinSet::new();
        let shop = Shop::open(shop_socket, dir.path(), &app, &mut tasks);
        if let Some(server) = self.tools {
            shop::serve(server, own_socket, &app, &mut tasks);
        }
        app.start().await.expect("the upkeep");
        let serving = api::serve(app.clone(), bound);
        tasks.spawn(async move { drop(serving.await) });
        let url = format!("http://{address}");
        let wire = Wire::to(&url);
        let service = self.service;
        let variables = self.variables;
        World {
            app,
            clock,
            url,
            dir,
            shop,
            model,
            service,
            wire,
            chaos,
            variables,
            _jobs: jobs,
            _tasks: tasks,
        }
    }
}

impl World {
    /// Starts the default world: the agent `support` with the rehearsal model, the shop and its policies.
    pub async fn start() -> Self {
        Self::plan().start().await
    }

    /// Starts a world whose model plays these acts.
    pub async fn with_model(script: impl IntoIterator<Item = Act>) -> Self {
        Self::plan().model(script).start().await
    }

    /// Plans a world that differs from the default one.
    #[must_use]
    pub fn plan() -> Plan {
        Plan::default()
    }

    /// Returns a user named after the role, with the scopes that go with it in the shop.
    #[must_use]
    pub fn user(&self, role: &str) -> User {
        let scopes: &[&str] = match role {
            "support" | "admin" => &["read", "write", "billing:read", "billing:write"],
            _ => &["read"],
        };
        self.person((TENANT, role), &[role], scopes)
    }

    /// Returns a user with this tenant and name.
    #[must_use]
    pub fn person(&self, (tenant, name): (&str, &str), roles: &[&str], scopes: &[&str]) -> User {
        let mint = Mint::new(tenant, name).roles(roles.iter().copied()).scopes(scopes.iter().copied());
        let token = self.app.identity.mint(&mint).expect("a token");
        self.holder(token.expose_secret())
    }

    /// Returns the holder of this credential.
    #[must_use]
    pub fn holder(&self, token: &str) -> User {
        let agent = if self.model.is_some() { "scripted" } else { "support" };
        User::new(self.wire.clone(), Some(token), agent)
    }

    /// Returns a user without a credential.
    #[must_use]
    pub fn stranger(&self) -> User {
        User::new(self.wire.clone(), None, "support")
    }

    /// Returns the shop behind the tools.
    #[must_use]
    pub fn shop(&self) -> &Shop {
        &self.shop
    }

    /// Returns the chaos proxy to the shop, in a world that was planned with one.
    #[must_use]
    pub fn wire(&self) -> &ChaosProxy {
        self.chaos.as_ref().expect("a world with a wire to the shop")
    }

    /// Returns the scripted model.
    #[must_use]
    pub fn model(&self) -> &FakeModel {
        self.model.as_ref().expect("a world with a scripted model")
    }

    /// Returns the service behind the connector.
    #[must_use]
    pub fn service(&self) -> &Service {
        self.service.as_ref().expect("a world with a connector")
    }

    /// Returns the folder of the configuration.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// Returns the audit log of the default tenant.
    pub async fn audit(&self) -> Audit {
        let found =
            self.app.observe.search(&TenantId::from(TENANT), &Place::START, Wanted::ALL, Limit::MOST).await;
        Audit { entries: found.expect("the audit log").entries.into_iter().map(|entry| entry.body).collect() }
    }
}

/// A snapshot of the audit log.
#[derive(Debug)]
pub struct Audit {
    /// The bodies, oldest first.
    pub entries: Vec<Value>,
}

impl Audit {
    /// Returns the names of the events, in order.
    #[must_use]
    pub fn events(&self) -> Vec<&str> {
        self.entries.iter().filter_map(|entry| entry.get("event")?.as_str()).collect()
    }

    /// Asserts that these events happened in this order; others may be between them.
    pub fn tells<const N: usize>(&self, wanted: [&str; N]) {
        let events = self.events();
        let mut rest = events.iter();
        for want in wanted {
            assert!(rest.any(|event| *event == want), "`{want}` is not told in its place: {events:?}");
        }
    }
}

/// Builds the configuration: the demo's, with the addresses of this world.
fn config(
    (cardea, shop, way): (SocketAddr, SocketAddr, SocketAddr),
    believed: &str,
    model: Option<&FakeModel>,
    targets: impl Iterator<Item = String>,
) -> String {
    let allow: Vec<String> = std::iter::once(way.to_string()).chain(targets).collect();
    let mut models = String::new();
    if let Some(model) = model {
        models = format!(
            "[models.providers.rehearsal]\nkind = \"rehearsal\"\n[models.aliases.rehearsal]\nprovider = \"rehearsal\"\nmodel = \"rehearsal\"\n\
             [models.providers.fake]\nkind = \"openai\"\nbase_url = \"{}\"\n[models.aliases.scripted]\nprovider = \"fake\"\nmodel = \"fake-1\"\n",
            model.base_url()
        );
    }
    format!(
        r#"
[server]
bind = "{cardea}"

[data]
dir = "data"

[local_issuer]
enabled = true
lifetime = "12h"

[upstreams.ops]
url = "http://{way}/mcp"
audience = "http://{shop}/mcp"
list_roles = ["admin", "support", "analyst", "ops"]
list_scopes = ["read", "write", "billing:read", "billing:write"]
{believed}

[net]
allow = {allow:?}

[cache]
# Stories do not depend on how busy the machine is, nor on chance.
patience = "60s"
check.share = 0

{models}
"#
    )
}

fn write(dir: &Path, config: &str) {
    put(dir, "cardea.toml", config);
    put(dir, "agents/support.toml", SUPPORT);
    put(dir, "policies/shop.cedar", POLICIES);
}

fn put(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    std::fs::write(path, text).expect("a file");
}
