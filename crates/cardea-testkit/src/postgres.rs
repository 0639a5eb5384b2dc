//! A private PostgreSQL server in a folder of its own, stopped when dropped.
//!
//! This file and `port.rs` stand alone on purpose: `cardea-store` includes them in its own tests, since the testkit as
//! a whole depends on it.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::atomic::{AtomicU32, Ordering},
};

use tempfile::TempDir;

use super::port;

/// The server.
#[derive(Debug)]
pub struct Server {
    bin: PathBuf,
    folder: TempDir,
    port: u16,
    next: AtomicU32,
}

impl Server {
    /// Starts a server.
    ///
    /// # Errors
    /// Why there is none on this machine; a test reports it and passes.
    pub fn start() -> Result<Self, String> {
        Self::start_from(binaries().ok_or("no PostgreSQL (initdb, pg_ctl) on this machine")?)
    }

    /// Starts a server with the programs of this folder.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_from(bin: PathBuf) -> Result<Self, String> {
        let bin = bin.canonicalize().map_err(|error| error.to_string())?;
        let words = |error: std::io::Error| error.to_string();
        let folder = tempfile::tempdir().map_err(words)?;
        if root() {
            let owner = Command::new("chown").arg("postgres").arg(folder.path()).output().map_err(words)?;
            if !owner.status.success() {
                return Err("PostgreSQL will not run as root and there is no user `postgres`".to_owned());
            }
        }
        let port = port::free().port();
        let server = Self { bin, folder, port, next: AtomicU32::new(0) };
        let data = server.data();
        server.run("initdb", &["-D", &data, "-A", "trust", "-U", "postgres", "-N", "--no-instructions"])?;
        server.up()?;
        Ok(server)
    }

    /// Starts it again.
    ///
    /// # Errors
    /// The message of `pg_ctl`.
    pub fn up(&self) -> Result<(), String> {
        let sockets = self.folder.path().display();
        let options = format!(
            "-h 127.0.0.1 -p {} -k {sockets} -c fsync=off -c shared_buffers=16MB -c max_connections=200",
            self.port
        );
        let log = format!("{sockets}/log");
        self.run("pg_ctl", &["-D", &self.data(), "-w", "-s", "-l", &log, "-o", &options, "start"])
    }

    /// Stops it at once, as a crash would.
    ///
    /// # Errors
    /// The message of `pg_ctl`.
    pub fn down(&self) -> Result<(), String> {
        self.run("pg_ctl", &["-D", &self.data(), "-w", "-s", "-m", "immediate", "stop"])
    }

    /// Makes it accept only encrypted connections from now on, with this certificate and key.
    ///
    /// # Errors
    /// Messages of the file system or the server.
    pub fn only_encrypted(&self, certificate: &Path, key: &Path) -> Result<(), String> {
        let words = |error: std::io::Error| error.to_string();
        let data = PathBuf::from(self.data());
        for (from, name) in [(certificate, "server.crt"), (key, "server.key")] {
            let to = data.join(name);
            std::fs::write(&to, std::fs::read(from).map_err(words)?).map_err(words)?;
            if root() {
                Command::new("chown").arg("postgres").arg(&to).output().map_err(words)?;
            }
            Command::new("chmod").arg("600").arg(&to).output().map_err(words)?;
        }
        std::fs::write(data.join("pg_hba.conf"), "hostssl all all all trust\n").map_err(words)?;
        std::fs::write(data.join("postgresql.auto.conf"), "ssl = on\n").map_err(words)?;
        self.down()?;
        self.up()
    }

    /// Returns its port on this machine.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    fn run(&self, program: &str, args: &[&str]) -> Result<(), String> {
        let out = self.command(program, args)?;
        let said = || format!("{program}: {}", String::from_utf8_lossy(&out.stderr));
        if out.status.success() { Ok(()) } else { Err(said()) }
    }

    fn command(&self, program: &str, args: &[&str]) -> Result<Output, String> {
        let program = self.bin.join(program);
        let mut command = if root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.args(args).current_dir("/tmp").output().map_err(|error| error.to_string())
    }

    /// Returns the address of a new, empty database.
    ///
    /// # Errors
    /// The message of the server.
    pub fn fresh(&self) -> Result<String, String> {
        let name = format!("t{}", self.next.fetch_add(1, Ordering::Relaxed));
        self.say(&format!("CREATE DATABASE {name}"))?;
        Ok(format!("postgres://postgres@127.0.0.1:{}/{name}", self.port))
    }

    /// Runs one statement as an administrator.
    ///
    /// # Errors
    /// The message of the server.
    pub fn say(&self, sql: &str) -> Result<(), String> {
        // Over the wire: not every installation has `createdb` or `psql`.
        let words = |error: std::io::Error| error.to_string();
        let mut wire = TcpStream::connect(("127.0.0.1", self.port)).map_err(words)?;
        let hello = b"\0\x03\0\0user\0postgres\0database\0postgres\0\0";
        wire.write_all(&framed(&[], hello)).map_err(words)?;
        answered(&mut wire)?;
        wire.write_all(&framed(b"Q", format!("{sql}\0").as_bytes())).map_err(words)?;
        answered(&mut wire)
    }
}

/// Builds a message of PostgreSQL's protocol: its kind, its length including the length field, its body.
fn framed(kind: &[u8], body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX).to_be_bytes();
    [kind, &length, body].concat()
}

/// Reads up to "ready for query", and returns an error that came before.
fn answered(wire: &mut TcpStream) -> Result<(), String> {
    let mut told = Ok(());
    loop {
        let mut head = [0; 5];
        wire.read_exact(&mut head).map_err(|error| error.to_string())?;
        let [kind, length @ ..] = head;
        let mut body = vec![0; usize::try_from(u32::from_be_bytes(length).saturating_sub(4)).unwrap_or(0)];
        wire.read_exact(&mut body).map_err(|error| error.to_string())?;
        match kind {
            b'Z' => return told,
            b'E' => told = Err(String::from_utf8_lossy(&body).replace('\0', " ")),
            _ => {}
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The result is of no interest; the folder is removed with it.
        drop(self.down());
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
