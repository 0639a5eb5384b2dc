//! A served Cardea as a child process, and what it has used.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::{Result, load::Client};

/// What is different from run to run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Shape {
    /// Guardrails on all text.
    pub(crate) guard: bool,
    /// Answers may be given again.
    pub(crate) cache: bool,
    /// A monthly budget is kept.
    pub(crate) budget: bool,
}

/// A served Cardea. Dropping it ends the process.
#[derive(Debug)]
pub(crate) struct Installation {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// A token of a user who may do everything that is measured.
    pub(crate) token: String,
    /// From the start of the process to the first good `/readyz`.
    pub(crate) ready: Duration,
    _folder: TempDir,
}

/// A process that is measured, where it listens, and a token for it.
pub(crate) type Process<'a> = (u32, (SocketAddr, &'a str));

/// What a process has used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Used {
    /// User and system time.
    pub(crate) cpu: Duration,
    /// Resident memory in bytes.
    pub(crate) resident: u64,
}

impl Installation {
    /// Starts one beside this model and this tool server.
    pub(crate) async fn start(
        binary: &Path,
        shape: Shape,
        model: SocketAddr,
        tools: SocketAddr,
    ) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let address = free()?;
        write(folder.path(), address, shape, model, tools)?;
        let config = folder.path().join("cardea.toml");
        let token = Command::new(binary)
            .arg("--config")
            .arg(&config)
            .args(["token", "ann", "--role", "support", "--scope", "read", "--scope", "write"])
            .output()?;
        if !token.status.success() {
            return Err(String::from_utf8_lossy(&token.stderr).into());
        }
        let token = String::from_utf8(token.stdout)?.trim().to_owned();
        let log = fs::File::create(folder.path().join("log"))?;
        let started = Instant::now();
        let child = Command::new(binary)
            .arg("--config")
            .arg(&config)
            .arg("serve")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        let mut new = Self { child, address, token, ready: Duration::ZERO, _folder: folder };
        new.until_ready().await?;
        new.ready = started.elapsed();
        Ok(new)
    }

    async fn until_ready(&mut self) -> Result<()> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("cardea ended with {status}").into());
            }
            if TcpStream::connect(self.address).await.is_ok() {
                let mut client = Client::connect(self.address, "").await?;
                if client.get("/readyz").await?.0 == 200 {
                    return Ok(());
                }
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Whom to measure and to ask.
    pub(crate) fn process(&self) -> Process<'_> {
        (self.child.id(), (self.address, &self.token))
    }

    /// What its process has used so far.
    pub(crate) fn used(&self) -> Result<Used> {
        used(self.child.id())
    }
}

/// What this process has used so far.
pub(crate) fn used(id: u32) -> Result<Used> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    // proc(5): utime and stime are the fields 14 and 15; the name in brackets ends field 2.
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).map(|field| field.parse().unwrap_or(0)).sum();
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let resident = resident.and_then(|text| text.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    // A hundred ticks a second on every Linux of today (`getconf CLK_TCK`).
    Ok(Used { cpu: Duration::from_millis(ticks * 10), resident: resident.unwrap_or(0) * 1_024 })
}

impl Drop for Installation {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A port that is free now.
fn free() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn write(
    folder: &Path,
    address: SocketAddr,
    shape: Shape,
    model: SocketAddr,
    tools: SocketAddr,
) -> Result<()> {
    for name in ["agents", "policies"] {
        fs::create_dir_all(folder.join(name))?;
    }
    let Shape { guard, cache, budget } = shape;
    let profile = if guard { "standard" } else { "off-for-trusted-data" };
    let config = format!(
        r#"
[server]
bind = "{address}"
[data]
dir = "{data}"
[local_issuer]
enabled = true
lifetime = "12h"
[models.providers.instant]
kind = "openai"
base_url = "http://{model}/v1"
[models.aliases.instant]
provider = "instant"
model = "instant-1"
[upstreams.desk]
url = "http://{tools}/mcp"
audience = "http://{tools}/mcp"
trust_annotations = true
timeout = "30s"
[net]
allow = ["{model}", "{tools}"]
[limits]
per_user = "100000000/min"
per_tenant = "100000000/min"
in_flight_per_user = 128
{budget}
[cache]
enabled = {cache}
[guard]
profile = "{profile}"
"#,
        budget = if budget { "[limits.user_budget]\ntokens = 1000000000000" } else { "" },
        data = folder.join("data").display(),
    );
    fs::write(folder.join("cardea.toml"), config)?;
    let agent = format!(
        "about = \"Answers at once.\"\nmodel = \"instant\"\ninstructions = \"You answer questions about orders.\"\nguard = \"{profile}\"\ntools = []\n"
    );
    fs::write(folder.join("agents/quick.toml"), agent)?;
    let policies = r#"
@id("tools") @reason("support uses the desk.")
permit (principal in Role::"support", action in Action::"read", resource in Server::"desk");
@id("models") @reason("support asks models.")
permit (principal in Role::"support", action == Action::"complete", resource);
"#;
    fs::write(folder.join("policies/bench.cedar"), policies)?;
    Ok(())
}
