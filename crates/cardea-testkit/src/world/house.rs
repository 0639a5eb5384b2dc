//! A Cardea in a process of its own, to be killed: the binary on a folder, the shop beside it, and users whose tokens
//! were made before. Several nodes may run on one PostgreSQL database.

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use cardea::{
    app::{App, Options},
    config::{Config, Environment},
    identity::Mint,
    vault::RootKey,
};
use cardea_core::{log::ChainKey, secret::ExposeSecret as _};
use cardea_store::{Db, DbConfig};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinSet};

use super::{Shop, User, config, put, wire::Wire, write};
use crate::port;

/// A user who is known before the process starts.
#[derive(Debug, Clone, Copy)]
pub struct Who {
    /// The tenant.
    pub tenant: &'static str,
    /// The name.
    pub name: &'static str,
    /// Roles.
    pub roles: &'static [&'static str],
    /// Scopes.
    pub scopes: &'static [&'static str],
}

/// Additions to the folder.
#[derive(Debug, Default)]
pub struct Inside {
    /// Text added to the configuration.
    pub config: String,
    /// Files by name.
    pub files: Vec<(&'static str, String)>,
    /// `host:port` targets that may be reached, beside the shop.
    pub allow: Vec<String>,
    /// Address of the database; if absent, a SQLite file.
    pub database: Option<String>,
}

/// One process on the folder: its node name and its address.
#[derive(Debug, Clone)]
pub struct Seat {
    name: &'static str,
    address: SocketAddr,
    wire: Wire,
}

impl Seat {
    /// Creates a node on a port of its own, which its process takes each time it starts.
    #[must_use]
    pub fn named(name: &'static str) -> Self {
        let address = port::free();
        Self { name, address, wire: Wire::to(&format!("http://{address}")) }
    }

    /// Returns its address.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A folder with everything that `cardea serve` needs, and the shop that it calls.
#[derive(Debug)]
pub struct House {
    program: PathBuf,
    dir: TempDir,
    shop: Shop,
    main: Seat,
    database: Option<String>,
    key: ChainKey,
    tokens: BTreeMap<&'static str, String>,
    _tasks: JoinSet<()>,
}

impl House {
    /// Prepares the folder for this program.
    pub async fn build(program: &Path, inside: Inside, people: &[Who]) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let shop_socket = TcpListener::bind("127.0.0.1:0").await.expect("a port for the shop");
        let shop_address = shop_socket.local_addr().expect("the shop's address");
        let main = Seat::named("main");
        let Inside { config: more, files, allow, database } = inside;
        let addresses = (main.address, shop_address, shop_address);
        let mut text = config(addresses, "trust_annotations = true", None, allow.into_iter()) + &more;
        if let Some(url) = &database {
            text.push_str(&format!("\n[db]\nurl = \"{url}\"\n"));
        }
        write(dir.path(), &text);
        files.iter().for_each(|(name, text)| put(dir.path(), name, text));
        let loaded = Config::load(&dir.path().join("cardea.toml"), &Environment::default());
        let loaded = loaded.unwrap_or_else(|error| panic!("{}", error.pretty(false)));
        let root = RootKey::load(&loaded.config.vault, &loaded.config.data.dir).expect("a root key");
        let app = App::build(loaded, Options::default()).await.unwrap_or_else(|error| panic!("{error:?}"));
        let mut tasks = JoinSet::new();
        let shop = Shop::open(shop_socket, dir.path(), &app, &mut tasks);
        let token = |who: &Who| {
            let mint = Mint::new(who.tenant, who.name);
            let mint = mint.roles(who.roles.iter().copied()).scopes(who.scopes.iter().copied());
            (who.name, app.identity.mint(&mint).expect("a token").expose_secret().to_owned())
        };
        let tokens = people.iter().map(token).collect();
        app.db.close().await;
        let key = root.chain_key();
        Self { program: program.to_owned(), dir, shop, main, database, key, tokens, _tasks: tasks }
    }

    /// Returns the command `cardea serve` for this folder; its log is appended to `serve.log`.
    #[must_use]
    pub fn command(&self) -> Command {
        let log = OpenOptions::new().create(true).append(true).open(self.log_file());
        let mut command = Command::new(&self.program);
        // The environment of the test run is not for the process: unknown keys would stop it.
        let ours = std::env::vars_os().map(|(name, _)| name);
        ours.filter(|name| name.to_string_lossy().starts_with("CARDEA_")).for_each(|name| {
            command.env_remove(name);
        });
        command.arg("--config").arg(self.dir.path().join("cardea.toml")).arg("serve");
        command.stderr(log.expect("a log"));
        command
    }

    /// Returns the command for another node.
    #[must_use]
    pub fn command_of(&self, node: &Seat) -> Command {
        let mut command = self.command();
        command.env("CARDEA_DB__NODE", node.name).env("CARDEA_SERVER__BIND", node.address.to_string());
        command
    }

    /// Returns the log file of the process.
    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        self.dir.path().join("serve.log")
    }

    /// Returns one of the users.
    #[must_use]
    pub fn user(&self, name: &str) -> User {
        self.user_of(&self.main, name)
    }

    /// Returns one of the users, as a client of this node.
    #[must_use]
    pub fn user_of(&self, node: &Seat, name: &str) -> User {
        User::new(node.wire.clone(), self.tokens.get(name).map(String::as_str), "support")
    }

    /// Returns the node that the folder's configuration describes.
    #[must_use]
    pub fn node(&self) -> &Seat {
        &self.main
    }

    /// Returns the shop behind the tools.
    #[must_use]
    pub fn shop(&self) -> &Shop {
        &self.shop
    }

    /// Returns the folder with everything that the installation has written.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// Opens the database, for the checker; the process must have ended.
    pub async fn database(&self) -> Db {
        let file = || format!("sqlite:{}", self.dir.path().join("data/cardea.db").display());
        let url = self.database.clone().unwrap_or_else(file);
        Db::open(DbConfig::at(url), self.key.clone()).await.expect("the database")
    }

    /// Returns the key of the audit chains.
    #[must_use]
    pub fn key(&self) -> &ChainKey {
        &self.key
    }
}
