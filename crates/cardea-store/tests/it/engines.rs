//! Places to put a database: a folder for SQLite, a server of our own for PostgreSQL.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::atomic::{AtomicU32, Ordering},
};

use cardea_core::log::ChainKey;
use cardea_store::{
    Db, DbConfig,
    db::{Migration, args},
};
use tempfile::TempDir;

pub(crate) const KEY: [u8; 32] = [9; 32];

/// Tables of the tests, beside the chain's own.
pub(crate) const TABLES: &[Migration] = &[Migration {
    version: 1,
    name: "0001_tests",
    sql: "CREATE TABLE things (id TEXT NOT NULL PRIMARY KEY, n BIGINT, r DOUBLE PRECISION, t TEXT, b BYTEA)\
            /*sqlite: WITHOUT ROWID*/;
          CREATE TABLE audit (node TEXT NOT NULL, seq BIGINT NOT NULL, tenant TEXT NOT NULL, at BIGINT NOT NULL,
            body BYTEA NOT NULL, link BYTEA NOT NULL, PRIMARY KEY (node, seq));
          CREATE TABLE audit_heads (node TEXT NOT NULL PRIMARY KEY, seq BIGINT NOT NULL, link BYTEA NOT NULL);",
}];

/// One empty database, which can be opened several times.
pub(crate) struct Place {
    pub(crate) url: String,
    _folder: Option<TempDir>,
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("test.db").display());
        Self { url, _folder: Some(folder) }
    }

    pub(crate) async fn open(&self) -> Db {
        let db = Db::open(DbConfig::at(&self.url), ChainKey::new(&KEY)).await.unwrap();
        db.migrate_with(TABLES).await.unwrap();
        db
    }
}

/// A PostgreSQL server in a folder of its own, stopped when dropped.
pub(crate) struct Server {
    bin: PathBuf,
    folder: TempDir,
    port: u16,
    next: AtomicU32,
}

impl Server {
    /// Starts a server, or says loudly that there is none on this machine.
    pub(crate) fn start() -> Option<Self> {
        let Some(bin) = binaries() else {
            println!(
                "SKIPPED: no PostgreSQL (initdb, pg_ctl) on this machine, its half of the contract is not tested"
            );
            return None;
        };
        Self::start_from(bin)
    }

    /// The same with these programs.
    pub(crate) fn start_from(bin: PathBuf) -> Option<Self> {
        let bin = bin.canonicalize().unwrap();
        let folder = tempfile::tempdir().unwrap();
        if root() {
            let owner = Command::new("chown").arg("postgres").arg(folder.path()).output().unwrap();
            if !owner.status.success() {
                println!("SKIPPED: PostgreSQL will not run as root and there is no user `postgres`");
                return None;
            }
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Self { bin, folder, port, next: AtomicU32::new(0) };
        let data = server.data();
        server.run("initdb", &["-D", &data, "-A", "trust", "-U", "postgres", "-N", "--no-instructions"]);
        server.up();
        Some(server)
    }

    pub(crate) fn up(&self) {
        let sockets = self.folder.path().display();
        let options = format!(
            "-h 127.0.0.1 -p {} -k {sockets} -c fsync=off -c shared_buffers=16MB -c max_connections=200",
            self.port
        );
        let log = format!("{sockets}/log");
        self.run("pg_ctl", &["-D", &self.data(), "-w", "-s", "-l", &log, "-o", &options, "start"]);
    }

    pub(crate) fn down(&self) {
        self.run("pg_ctl", &["-D", &self.data(), "-w", "-s", "-m", "immediate", "stop"]);
    }

    /// From now on speaks only encrypted, with this certificate and key.
    pub(crate) fn only_encrypted(&self, certificate: &Path, key: &Path) {
        let data = PathBuf::from(self.data());
        let own = |from: &Path, name: &str| {
            let to = data.join(name);
            std::fs::write(&to, std::fs::read(from).unwrap()).unwrap();
            if root() {
                assert!(Command::new("chown").arg("postgres").arg(&to).output().unwrap().status.success());
            }
            assert!(Command::new("chmod").arg("600").arg(&to).output().unwrap().status.success());
        };
        own(certificate, "server.crt");
        own(key, "server.key");
        std::fs::write(data.join("pg_hba.conf"), "hostssl all all all trust\n").unwrap();
        std::fs::write(data.join("postgresql.auto.conf"), "ssl = on\n").unwrap();
        self.down();
        self.up();
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    fn run(&self, program: &str, args: &[&str]) {
        let out = self.command(program, args);
        assert!(out.status.success(), "{program}: {}", String::from_utf8_lossy(&out.stderr));
    }

    fn command(&self, program: &str, args: &[&str]) -> Output {
        let program = self.bin.join(program);
        let mut command = if root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.args(args).current_dir("/tmp").output().unwrap()
    }

    /// A new empty database.
    pub(crate) async fn place(&self) -> Place {
        let name = format!("t{}", self.next.fetch_add(1, Ordering::Relaxed));
        // By the wire: not every installation brings `createdb`.
        let url = format!("postgres://postgres@127.0.0.1:{}/postgres", self.port);
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        let work = async { client.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap() };
        tokio::select! { () = work => {}, _ = connection => {} }
        let url = format!("postgres://postgres@127.0.0.1:{}/{name}", self.port);
        Place { url, _folder: None }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.command("pg_ctl", &["-D", &self.data(), "-w", "-s", "-m", "immediate", "stop"]));
    }
}

fn root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout.trim_ascii() == b"0")
}

fn binaries() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut places: Vec<PathBuf> = installed.map(|entry| entry.path().join("bin")).collect();
    places.sort();
    places.reverse();
    places.extend(std::env::split_paths(&path));
    places.into_iter().find(|place| has(place, "initdb") && has(place, "pg_ctl"))
}

fn has(place: &Path, program: &str) -> bool {
    place.join(program).is_file()
}

/// How many rows `things` has.
pub(crate) async fn count(db: &Db) -> i64 {
    db.row::<(i64,)>("SELECT COUNT(*) FROM things", args![]).await.unwrap().unwrap().0
}
