//! A server as a process of its own, and what `/proc` tells of it.

use std::{
    error::Error,
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::servers::{CLIENTS, Kind};

/// A running server. It ends with this value.
pub(crate) struct Running {
    child: Child,
    pub(crate) address: String,
    pub(crate) tokens: Vec<String>,
}

impl Running {
    pub(crate) fn start(kind: Kind, folder: &Path) -> Result<Self, Box<dyn Error>> {
        let name = format!("{kind:?}").to_lowercase();
        let mut child = Command::new(std::env::current_exe()?)
            .args(["serve", &name, "--folder"])
            .arg(folder)
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take().ok_or("no output")?;
        let mut lines = BufReader::new(out).lines();
        let address = lines.next().ok_or("no address")??;
        let tokens = lines.by_ref().take(CLIENTS).collect::<Result<_, _>>()?;
        Ok(Self { child, address, tokens })
    }

    pub(crate) fn cpu(&self) -> Result<Duration, Box<dyn Error>> {
        cpu(self.child.id())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // WHY: the measurement is over; a server that is gone already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// User and system time of a process and its threads, ended ones too. One tick is 10 ms.
pub(crate) fn cpu(pid: u32) -> Result<Duration, Box<dyn Error>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after = stat.rsplit_once(')').ok_or("no stat")?.1;
    let ticks: u64 =
        after.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 10))
}

/// CPU time of a young process to the nanosecond: the sum over its living threads.
pub(crate) fn exact_cpu(pid: u32) -> Result<Duration, Box<dyn Error>> {
    let mut nanos = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let stat = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        nanos += stat.split_whitespace().next().and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(nanos))
}

/// Resident memory in KiB.
pub(crate) fn resident(pid: u32) -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
