//! A PostgreSQL server of one's own, in a folder of its own, stopped when dropped.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::atomic::{AtomicU32, Ordering},
};

use tempfile::TempDir;

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
    /// Why there is none on this machine; a test says so loudly and passes.
    pub fn start() -> Result<Self, String> {
        let bin = binaries().ok_or("no PostgreSQL (initdb, pg_ctl) on this machine")?;
        let words = |error: std::io::Error| error.to_string();
        let folder = tempfile::tempdir().map_err(words)?;
        if root() {
            let owner = Command::new("chown").arg("postgres").arg(folder.path()).output().map_err(words)?;
            if !owner.status.success() {
                return Err("PostgreSQL will not run as root and there is no user `postgres`".to_owned());
            }
        }
        let socket = TcpListener::bind("127.0.0.1:0").map_err(words)?;
        let port = socket.local_addr().map_err(words)?.port();
        drop(socket);
        let server = Self { bin, folder, port, next: AtomicU32::new(0) };
        let data = server.data();
        server.run("initdb", &["-D", &data, "-A", "trust", "-U", "postgres", "-N", "--no-instructions"])?;
        server.up()?;
        Ok(server)
    }

    /// Starts it again.
    ///
    /// # Errors
    /// What `pg_ctl` says.
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
    /// What `pg_ctl` says.
    pub fn down(&self) -> Result<(), String> {
        self.run("pg_ctl", &["-D", &self.data(), "-w", "-s", "-m", "immediate", "stop"])
    }

    /// Where it listens, on this machine.
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

    /// The address of a new, empty database.
    ///
    /// # Errors
    /// What `createdb` says.
    pub fn fresh(&self) -> Result<String, String> {
        let name = format!("t{}", self.next.fetch_add(1, Ordering::Relaxed));
        self.run("createdb", &["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "postgres", &name])?;
        Ok(format!("postgres://postgres@127.0.0.1:{}/{name}", self.port))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // There is nobody to tell; the folder goes with it.
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
