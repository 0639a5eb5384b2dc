//! Environment of the demo: a folder, the customer-operations server, Cardea, and the users.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
};

use cardea_core::{id::random_bits, time::Millis};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpListener,
    process::{Child, Command},
    sync::oneshot,
    task::JoinHandle,
};

use super::{
    Wrong,
    client::{Door, Person},
};
use crate::{
    api::{self, Bound},
    app::{App, Options},
    commands::out::Out,
    config::{Config, Environment},
    identity::{ISSUER, Mint},
};

const AGENT: &str = include_str!("../../../../agents/support.toml");
const POLICIES: &str = include_str!("../../../../policies/shop.cedar");
const CONFIG: &str = include_str!("cardea.toml");

/// Delay of the shop's server between a refund and its answer. It leaves time to kill Cardea in between.
const REFUND_DELAY: Millis = Millis(700);

/// All running parts of the demo.
pub(super) struct Stage {
    pub(super) dir: PathBuf,
    pub(super) door: Door,
    pub(super) url: String,
    pub(super) ann: Person,
    pub(super) bob: Person,
    pub(super) sue: Person,
    pub(super) shop: Shop,
    house: Option<House>,
}

/// The customer-operations server.
pub(super) struct Shop {
    pub(super) at: customer_ops::Behind,
    stop: Option<oneshot::Sender<()>>,
}

/// Cardea inside this process.
struct House {
    app: App,
    server: JoinHandle<cardea_core::Result<()>>,
}

fn words(error: impl std::fmt::Display) -> Wrong {
    error.to_string()
}

fn told(error: &cardea_core::Error) -> Wrong {
    match error.cause_line() {
        Some(cause) => format!("{} ({cause})", error.public()),
        None => error.public(),
    }
}

impl Stage {
    /// Starts everything on free ports, in a new folder.
    pub(super) async fn set(dir: Option<&Path>) -> Result<Self, Wrong> {
        let dir = match dir {
            Some(dir) => dir.to_owned(),
            None => std::env::temp_dir().join(format!("cardea-demo-{:032x}", random_bits())),
        };
        if std::fs::read_dir(&dir).is_ok_and(|mut inside| inside.next().is_some()) {
            return Err(format!(
                "{} is not empty, and the demo overwrites nothing; choose another folder",
                dir.display()
            ));
        }
        let shop_socket = TcpListener::bind("127.0.0.1:0").await.map_err(words)?;
        let shop_address = shop_socket.local_addr().map_err(words)?;
        let bound = Bound::new(SocketAddr::from(([127, 0, 0, 1], 0))).await.map_err(|error| told(&error))?;
        let url = format!("http://{}", bound.address);
        write(&dir, &bound.address.to_string(), &shop_address.to_string())?;
        let loaded = Config::load(&dir.join("cardea.toml"), &Environment::default())
            .map_err(|error| error.pretty(false))?;
        let app = App::build(loaded, Options::default()).await.map_err(|error| told(&error))?;
        let shop = Shop::open(shop_socket, &dir, &app).await?;
        app.start().await.map_err(|error| told(&error))?;
        let (ann, bob, sue) = (
            person(&app, "ann", &["support"], &["read", "write", "billing:read", "billing:write"])?,
            person(&app, "bob", &["analyst"], &["read"])?,
            person(&app, "sue", &["supervisor", "auditor"], &["read"])?,
        );
        let server = spawn(api::serve(app.clone(), bound));
        let door = Door::to(&url)?;
        Ok(Self { dir, door, url, ann, bob, sue, shop, house: Some(House { app, server }) })
    }

    /// Prints the addresses, the folder and the users.
    pub(super) fn tell(&self, out: &mut Out<'_>) {
        out.line("Cardea, the secure front door of AI agents. This demo runs on this machine alone, without a language model.");
        out.line("");
        out.line(format!("  Cardea         {}", self.url));
        out.line(format!("  the shop       {} (30 tools, MCP)", self.shop.at.url));
        out.line(format!("  the folder     {}", self.dir.display()));
        for person in [&self.ann, &self.bob, &self.sue] {
            out.line(format!("  {:<13}  {}", person.name, person.roles.join(", ")));
        }
    }

    /// Returns the number of all tools, and of those that the agent may use for this person.
    pub(super) async fn tools(&self, person: &Person) -> Result<(usize, usize), Wrong> {
        let all = self.house.as_ref().map_or(0, |house| house.app.action.catalog().all().count());
        let agent = self.door.get(person, "/api/v1/agents").await?;
        let hers =
            agent.body.pointer("/agents/0/tools").and_then(serde_json::Value::as_array).map_or(0, Vec::len);
        Ok((all, hers))
    }

    /// Stops the Cardea in this process like an operator would: work in progress ends first.
    pub(super) async fn close_house(&mut self) {
        if let Some(House { app, server }) = self.house.take() {
            let (_, ()) = tokio::join!(server, app.stop());
        }
    }

    /// Starts Cardea as a separate process with the same folder and port, and waits until it listens.
    pub(super) async fn start_process(&self) -> Result<Child, Wrong> {
        let program = std::env::current_exe().map_err(words)?;
        let log = std::fs::File::create(self.dir.join("serve.log")).map_err(words)?;
        let mut command = Command::new(program);
        // WHY: variables that configure the user's own installation override the file. The demo must not use that one.
        let ours = std::env::vars_os().map(|(name, _)| name);
        for name in ours.filter(|name| name.to_string_lossy().starts_with("CARDEA_")) {
            command.env_remove(name);
        }
        let mut child = command
            .arg("--config")
            .arg(self.dir.join("cardea.toml"))
            .arg("serve")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(words)?;
        let stdout = child.stdout.take().ok_or("the process has no output")?;
        let mut lines = BufReader::new(stdout).lines();
        loop {
            match lines.next_line().await.map_err(words)? {
                Some(line) if line.starts_with("cardea listens") => break,
                Some(_) => {}
                None => {
                    return Err(format!(
                        "the process ended during startup; see {}",
                        self.dir.join("serve.log").display()
                    ));
                }
            }
        }
        // Continues to read, so that the process never blocks on its output.
        spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(child)
    }

    /// Starts Cardea again and prints how to continue by hand.
    pub(super) async fn invite(&mut self, out: &mut Out<'_>) -> Result<(), Wrong> {
        let loaded = Config::load(&self.dir.join("cardea.toml"), &Environment::default())
            .map_err(|error| error.pretty(false))?;
        let bound = Bound::new(loaded.config.server.bind).await.map_err(|error| told(&error))?;
        let app = App::build(loaded, Options::default()).await.map_err(|error| told(&error))?;
        app.start().await.map_err(|error| told(&error))?;
        let server = spawn(api::serve(app.clone(), bound));
        self.house = Some(House { app, server });
        out.line("");
        out.line("Everything keeps running. Try it as ann (support) in another terminal:");
        out.line("");
        out.line(format!("  export CARDEA_URL={} CARDEA_TOKEN={}", self.url, self.ann.token));
        out.line("  cardea chat");
        out.line("  curl $CARDEA_URL/v1/chat/completions -H \"Authorization: Bearer $CARDEA_TOKEN\" \\");
        out.line("    -H 'Content-Type: application/json' \\");
        out.line("    -d '{\"model\":\"agent/support\",\"messages\":[{\"role\":\"user\",\"content\":\"What is in order 17?\"}]}'");
        out.line("");
        out.line(format!("  bob's token (analyst):     {}", self.bob.token));
        out.line(format!("  sue's token (supervisor):  {}", self.sue.token));
        out.line(format!("  {}/metrics   {}/api/v1/openapi.json", self.url, self.url));
        out.line("");
        out.line("Press Ctrl-C to stop.");
        Ok(())
    }

    /// Stops everything and cleans up.
    pub(super) async fn clear(mut self, remove: bool) {
        self.close_house().await;
        if let Some(stop) = self.shop.stop.take() {
            // Fails if the shop has already ended.
            let _ended = stop.send(());
        }
        if remove {
            drop(std::fs::remove_dir_all(&self.dir));
        }
    }
}

/// Writes the files of the installation like `cardea init` does for a user.
fn write(dir: &Path, cardea: &str, shop: &str) -> Result<(), Wrong> {
    for folder in ["agents", "policies"] {
        std::fs::create_dir_all(dir.join(folder)).map_err(words)?;
    }
    let config = CONFIG.replace("127.0.0.1:8080", cardea).replace("127.0.0.1:7402", shop);
    for (name, text) in
        [("cardea.toml", config.as_str()), ("agents/support.toml", AGENT), ("policies/shop.cedar", POLICIES)]
    {
        std::fs::write(dir.join(name), text).map_err(words)?;
    }
    Ok(())
}

fn person(
    app: &App,
    name: &'static str,
    roles: &'static [&'static str],
    scopes: &[&str],
) -> Result<Person, Wrong> {
    let mint = Mint::new("acme", name).roles(roles.iter().copied()).scopes(scopes.iter().copied());
    let token = app.identity.mint(&mint).map_err(|error| told(&error))?;
    Ok(Person { name, roles, token: cardea_core::secret::ExposeSecret::expose_secret(&token).to_owned() })
}

impl Shop {
    /// Starts the shop's MCP server. It trusts only tokens that Cardea issues for it.
    async fn open(socket: TcpListener, dir: &Path, app: &App) -> Result<Self, Wrong> {
        let cardea = (ISSUER, app.identity.upstream_jwks().to_string());
        let address = socket.local_addr().map_err(words)?;
        let (at, mut config) = customer_ops::Behind::cardea(address, dir, cardea).map_err(words)?;
        config.refund_delay = REFUND_DELAY;
        let service = customer_ops::server(config).map_err(words)?.build().map_err(words)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let ended = async move { drop(stopped.await) };
        spawn(async move { service.serve(socket, ended).await });
        Ok(Self { at, stop: Some(stop) })
    }

    /// Returns the number of refunds of an order in the shop's ledger.
    pub(super) async fn refunds(&self, order: i64) -> Result<i64, Wrong> {
        self.at.ledger().map_err(words)?.refunds_of(order).await.map_err(words)
    }

    /// Adds a customer's comment with a card number to a ticket.
    pub(super) async fn careless_comment(&self, ticket: i64, text: &'static str) -> Result<(), Wrong> {
        self.at.ledger().map_err(words)?.customer_writes(ticket, text).await.map_err(words)
    }
}

/// Starts a task of the demo. These tasks live as long as the process and are not jobs of an installation.
#[expect(clippy::disallowed_methods, reason = "there is no `Jobs` outside an `App`")]
pub(super) fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(task)
}
