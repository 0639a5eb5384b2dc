//! A faulty machine: syncs that fail or are slow, a full disk, a wall clock that jumps, a power cut. Only for
//! processes under test, through a small library that is loaded before the C library and compiled on the spot
//! (`faults.c`); to the database the errors seem to come from the kernel.

mod power;

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

pub use self::power::Trace;

/// The faulty machine of one process.
#[derive(Debug)]
pub struct Machine {
    folder: TempDir,
    board: File,
}

/// Faults. The value zero means healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// Syncs of database files fail with this error number.
    Sync = 0,
    /// Syncs take this many milliseconds.
    SlowSync = 1,
    /// Writes to database files fail with this error number.
    Write = 2,
    /// The wall clock is off by this many seconds.
    Clock = 3,
}

/// "Input/output error", as of a dying disk.
pub const EIO: i64 = 5;

/// "No space left on device".
pub const ENOSPC: i64 = 28;

impl Machine {
    /// Prepares a machine.
    ///
    /// # Errors
    /// Why that is not possible here; a test reports it and passes.
    pub fn new() -> Result<Self, String> {
        if !cfg!(all(target_os = "linux", target_env = "gnu")) {
            return Err("faults of the machine can be played on Linux with glibc only".to_owned());
        }
        let words = |error: std::io::Error| error.to_string();
        let folder = tempfile::tempdir().map_err(words)?;
        let source = folder.path().join("faults.c");
        std::fs::write(&source, include_str!("faults.c")).map_err(words)?;
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O2", "-o"]).arg(folder.path().join("faults.so")).arg(&source);
        let made = compiler.output().map_err(|error| format!("no C compiler (`cc`): {error}"))?;
        if !made.status.success() {
            return Err(format!("cc: {}", String::from_utf8_lossy(&made.stderr)));
        }
        let board =
            OpenOptions::new().read(true).write(true).create_new(true).open(folder.path().join("board"));
        let board = board.map_err(words)?;
        board.set_len(4_096).map_err(words)?;
        Ok(Self { folder, board })
    }

    /// Runs a command on the machine.
    pub fn under<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let file = |name: &str| self.folder.path().join(name);
        command.env("LD_PRELOAD", file("faults.so")).env("FAULT_BOARD", file("board"))
    }

    /// Does the same and records, in order, every write and sync of a database file, and every line of standard
    /// output.
    pub fn traced<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        self.under(command).env("FAULT_TRACE", self.trace_file())
    }

    /// Returns what was recorded.
    ///
    /// # Errors
    /// If nothing was.
    pub fn trace(&self) -> std::io::Result<Trace> {
        Trace::read(&self.trace_file())
    }

    fn trace_file(&self) -> PathBuf {
        self.folder.path().join("trace")
    }

    /// Sets a fault from now on.
    ///
    /// # Errors
    /// If the control file cannot be written.
    pub fn set(&self, wrong: Wrong, to: i64) -> std::io::Result<()> {
        self.board.write_all_at(&to.to_ne_bytes(), wrong as u64 * 8)
    }
}

/// Returns the resource usage of a running process, as reported by Linux.
///
/// # Errors
/// If there is no such process.
pub fn used(pid: u32) -> std::io::Result<Used> {
    let folder = Path::new("/proc").join(pid.to_string());
    let stat = std::fs::read_to_string(folder.join("stat"))?;
    // The name in brackets may contain anything; the numbers come after it.
    let fields: Vec<u64> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .map(|field| field.parse().unwrap_or_default())
        .collect();
    let at = |place: usize| fields.get(place).copied().unwrap_or_default();
    let descriptors = std::fs::read_dir(folder.join("fd"))?.count();
    // In hundredths of a second and in pages of 4 KiB.
    Ok(Used { cpu_ms: (at(11) + at(12)) * 10, resident_kib: at(21) * 4, descriptors })
}

/// Resource usage of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// CPU time since its start.
    pub cpu_ms: u64,
    /// Resident memory.
    pub resident_kib: u64,
    /// Open descriptors.
    pub descriptors: usize,
}
