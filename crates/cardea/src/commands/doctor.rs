//! `cardea doctor`: reports what is configured, reachable and missing, with advice.

mod reach;

use std::{
    collections::BTreeSet,
    fs,
    io::{ErrorKind, Write as _},
    net::TcpListener,
    path::Path,
};

use cardea_core::{
    Code,
    log::ChainKey,
    time::{Clock as _, SystemClock},
};
use cardea_net::Net;
use cardea_store::{Db, args, db::is_newer};
use serde::Serialize;
use serde_json::json;

use super::{Cli, End, Out, audit::CHECKPOINTS, client, ground, notes, policy};
use crate::{
    app::{other_folder, was_written},
    config::{Config, Environment, Loaded},
    control,
    observe::{Checkpoints, is_behind, same_key},
    vault::RootKey,
};

/// Number of bytes written to test whether the data folder accepts writes.
const PROBE: usize = 8 * 1024;

/// State of a checked thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Good,
    /// Works, but is worth knowing.
    Note,
    /// Does not work.
    Bad,
}

/// Result of one check.
#[derive(Debug, Serialize)]
struct Finding {
    what: String,
    state: State,
    says: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    do_this: Option<String>,
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, what: impl Into<String>, state: State, says: impl Into<String>) -> &mut Finding {
        self.0.push(Finding { what: what.into(), state, says: says.into(), do_this: None });
        let last = self.0.len() - 1;
        #[expect(clippy::indexing_slicing, reason = "the entry was pushed a line above")]
        &mut self.0[last]
    }
}

impl Finding {
    fn advise(&mut self, what: impl Into<String>) {
        self.do_this = Some(what.into());
    }
}

pub(super) fn doctor(cli: &Cli, environment: &Environment, out: &mut Out<'_>) -> End {
    let loaded = match ground::load(cli, environment, out) {
        Ok(loaded) => loaded,
        Err(end) => return end,
    };
    let findings = match client::wait(examine(&loaded)) {
        Ok(mut findings) => {
            let proxy = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"];
            if let Some(name) =
                proxy.into_iter().find(|name| environment.get(name).is_some_and(|url| !url.is_empty()))
            {
                let says = format!("{name} is set, and Cardea connects without a proxy");
                findings.add("outbound HTTP", State::Note, says);
            }
            findings.0
        }
        Err(error) => {
            out.note(format!("cannot start: {error}"));
            return End::Unreachable;
        }
    };
    let bad = findings.iter().any(|finding| finding.state == State::Bad);
    if out.json {
        out.json(&json!({ "good": !bad, "findings": findings }));
    } else {
        print(&findings, out);
    }
    if bad { End::Bad } else { End::Good }
}

fn print(findings: &[Finding], out: &mut Out<'_>) {
    let word = |state| match state {
        State::Good => "good",
        State::Note => "note",
        State::Bad => "BAD",
    };
    let rows: Vec<Vec<String>> = findings
        .iter()
        .map(|finding| vec![word(finding.state).to_owned(), finding.what.clone(), finding.says.clone()])
        .collect();
    out.table(&rows);
    let advice: Vec<String> = findings
        .iter()
        .filter_map(|finding| Some(format!("  {}: {}", finding.what, finding.do_this.as_ref()?)))
        .collect();
    if !advice.is_empty() {
        out.line("\nto do");
        advice.iter().for_each(|line| out.line(line));
    }
}

async fn examine(loaded: &Loaded) -> Findings {
    let (config, mut found) = (&loaded.config, Findings::default());
    let file = loaded.file.as_deref().unwrap_or(Path::new("(none)"));
    found.add("configuration", State::Good, file.display().to_string());
    address(config, &mut found);
    data_folder(config, &mut found);
    let key = root_key(config, &mut found).await;
    database(config, key, &mut found).await;
    people(config, &mut found);
    files(loaded, &mut found);
    match Net::new(config.net.clone(), std::sync::Arc::new(SystemClock)) {
        Ok(net) => reach::all(loaded, &net, &mut found).await,
        Err(error) => found.add("outbound HTTP", State::Bad, error.to_string()).advise("correct [net]"),
    }
    found
}

fn address(config: &Config, found: &mut Findings) {
    let bind = config.server.bind;
    match TcpListener::bind(bind) {
        Ok(_) => {
            found.add("address", State::Good, format!("{bind} is free"));
        }
        Err(error) => found
            .add("address", State::Note, format!("{bind} cannot be listened on now: {error}"))
            .advise("if no Cardea is running there, choose another server.bind"),
    }
    if !bind.ip().is_loopback() && config.server.public_url.is_none() {
        found
            .add("public address", State::Note, "server.public_url is not set")
            .advise("set it to the https:// address that clients use, in front of which TLS ends");
    }
}

fn data_folder(config: &Config, found: &mut Findings) {
    let dir = &config.data.dir;
    if !dir.exists() {
        let above = dir.ancestors().skip(1).find(|above| above.exists() || above.as_os_str().is_empty());
        let above = above.filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let probe = above.join(".cardea-doctor");
        match try_to_write(&probe).and(fs::remove_file(&probe)) {
            Ok(()) => {
                let says = format!("{} will be made at the first start", dir.display());
                found.add("data folder", State::Note, says);
            }
            Err(error) => found
                .add("data folder", State::Bad, format!("{} cannot be made: {error}", dir.display()))
                .advise("correct data.dir, or give the user who runs Cardea the right to make it"),
        }
        return;
    }
    let probe = dir.join(".cardea-doctor");
    let written = try_to_write(&probe);
    let removed = fs::remove_file(&probe);
    match written.and(removed) {
        Ok(()) => {
            found.add("data folder", State::Good, format!("{} can be written", dir.display()));
        }
        Err(error) => found
            .add("data folder", State::Bad, format!("{} cannot be written: {error}", dir.display()))
            .advise(match error.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                    "make room on its disk: nothing can be written until then"
                }
                ErrorKind::ReadOnlyFilesystem => "mount its disk so that it can be written",
                _ => "give the user who runs Cardea the right to write there",
            }),
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let open = fs::metadata(dir).is_ok_and(|facts| facts.permissions().mode() & 0o077 != 0);
        if open {
            let advice = format!("chmod 700 {}", dir.display());
            found.add("data folder", State::Note, "others on this machine may look into it").advise(advice);
        }
    }
}

/// Writes a probe file. WHY: an empty file can be created on a full disk, where a later write fails.
fn try_to_write(probe: &Path) -> std::io::Result<()> {
    let mut file = fs::File::create(probe)?;
    file.write_all(&[b'.'; PROBE])?;
    file.sync_all()
}

/// Returns the key of the audit log if there is a root key; never creates one.
async fn root_key(config: &Config, found: &mut Findings) -> Option<ChainKey> {
    let dir = &config.data.dir;
    if !RootKey::is_there(&config.vault, dir) {
        let says = format!("none in {}", dir.display());
        match was_written(&config.db).await {
            Ok(true) => found
                .add("root key", State::Bad, format!("{says}, but the database was written with one"))
                .advise("bring back the `root.key` that this database was written with"),
            Ok(false) => {
                found.add("root key", State::Good, format!("{says}; it will be made at the first start"));
            }
            Err(_) => {
                let says = format!("{says}; whether the database was written with one is not known");
                found.add("root key", State::Note, says);
            }
        }
        return None;
    }
    match RootKey::load(&config.vault, dir) {
        Ok(root) => {
            found.add("root key", State::Good, root.id());
            Some(root.chain_key())
        }
        Err(error) => {
            found.add("root key", State::Bad, error.public()).advise("correct it, or bring back a copy");
            None
        }
    }
}

async fn database(config: &Config, key: Option<ChainKey>, found: &mut Findings) {
    let url = &config.db.url;
    if let Some(path) = url.strip_prefix("sqlite:").filter(|path| !Path::new(path).exists()) {
        found.add("database", State::Note, format!("{path} will be made at the first start"));
        return;
    }
    // The key is used only to write audit entries, and nothing is written here.
    let opened = Db::open(config.db.clone(), ChainKey::new(&[0; 32])).await;
    let db = match opened {
        Ok(db) => db,
        Err(error) => {
            let cause = error.cause_line().unwrap_or_default();
            let says = format!("{url}: {error} {cause}");
            let advice = match url.starts_with("sqlite:") {
                true => {
                    "let the user who runs Cardea read and write the file and its folder, or correct [db]"
                }
                false => "start it, or correct [db]",
            };
            found.add("database", State::Bad, says.trim()).advise(advice);
            return;
        }
    };
    let known = cardea_store::db::MIGRATIONS.len();
    match db.unmigrated().await {
        Ok(0) => {
            found.add("database", State::Good, format!("{} at version {known}", db.engine().name()));
            if let Some(key) = &key
                && let Err(error) = same_key(&db, key).await
            {
                found.add("root key", State::Bad, error.public()).advise("cardea audit verify says more");
            }
            if let Err(error) = db.may_write().await {
                found
                    .add("database", State::Bad, ground::words(&error))
                    .advise("cardea serve needs these rights");
            }
            if let Ok(Some(says)) = other_folder(&db, &config.data.dir).await {
                found.add("data folder", State::Bad, says).advise("mount the folder that all nodes share");
            }
            clocks(&db, found).await;
            nodes(&db, found).await;
            set_back(config, &db, found).await;
            held(config, &db, found).await;
        }
        Err(error) if is_newer(&error) => found
            .add("database", State::Bad, "was written by a newer Cardea")
            .advise("run that version, or a newer one"),
        Err(error) if error.code() == Code::Misconfigured => found
            .add("database", State::Bad, ground::words(&error))
            .advise("run the build that made it, or bring back a copy"),
        _ => found
            .add("database", State::Note, "its tables are not those of this version")
            .advise("cardea migrate"),
    }
    db.close().await;
}

/// Checks the clocks of all nodes. Each node judges the leases of the others by its own clock, so all clocks must be
/// right.
async fn clocks(db: &Db, found: &mut Findings) {
    if let Ok(Some(ahead)) = db.clock_ahead(SystemClock.now()).await
        && ahead.abs() > 1_000
    {
        let says = format!("the clock of the database is {:.1} s ahead of this one", ahead as f64 / 1_000.0);
        found.add("clock", State::Bad, says).advise("synchronise both, and those of all nodes (NTP)");
    }
}

/// Finds live nodes that decide by different policies.
async fn nodes(db: &Db, found: &mut Findings) {
    let sql = "SELECT holder, policies FROM leases WHERE name LIKE 'node/%' AND expires_at > $1 \
               AND policies IS NOT NULL ORDER BY holder";
    let Ok(nodes) = db.rows::<(String, String)>(sql, args![SystemClock.now()]).await else { return };
    let versions: BTreeSet<&str> = nodes.iter().map(|(_, version)| version.as_str()).collect();
    if versions.len() > 1 {
        let each: Vec<String> = nodes.iter().map(|(node, version)| format!("{node} {version}")).collect();
        let says = format!("nodes decide by different ones: {}", each.join(", "));
        found.add("policies", State::Bad, says).advise(
            "give all nodes the same files and the same upstreams; `cardea policy show VERSION` prints what each has",
        );
    }
}

/// Finds a database that is older than the checkpoints beside it.
async fn set_back(config: &Config, db: &Db, found: &mut Findings) {
    let path = config.data.dir.join(CHECKPOINTS);
    let seen = match Checkpoints::load(&path) {
        Ok(seen) => seen,
        Err(error) => {
            found.add("audit log", State::Bad, ground::words(&error)).advise("cardea audit verify says more");
            return;
        }
    };
    if let Ok(Some((node, ends, seen))) = is_behind(db, &seen).await {
        let says = format!(
            "of {node} ends at entry {ends}, and {} has seen entry {seen}: the database is an older copy, or was cut",
            path.display()
        );
        found.add("audit log", State::Bad, says).advise(
            "if it is a copy that was brought back, take the checkpoints of that copy, keep the newer ones elsewhere, and \
             do again what was revoked and erased since (docs/guide/operations.md)",
        );
    }
}

/// Finds tools that are held back because their definition changed. Tools of a server that is not configured are left
/// out: they are not offered anyway, and `cardea tool changes` leaves them out too.
async fn held(config: &Config, db: &Db, found: &mut Findings) {
    let sql = "SELECT upstream, COUNT(*) FROM tool_pins WHERE held IS NOT NULL GROUP BY upstream";
    let Ok(all) = db.rows::<(String, i64)>(sql, Vec::new()).await else { return };
    let configured = all.iter().filter(|(upstream, _)| config.upstreams.contains_key(upstream));
    let count: i64 = configured.map(|(_, count)| count).sum();
    if count > 0 {
        let says = format!("{count} held back: they say something else of themselves than what was accepted");
        found.add("tools", State::Note, says).advise("cardea tool changes");
    }
}

fn people(config: &Config, found: &mut Findings) {
    let count = config.auth.issuers.len();
    let mut ways = vec![format!("{count} {}", if count == 1 { "issuer" } else { "issuers" })];
    if config.auth.api_keys {
        ways.push("API keys".to_owned());
    }
    if config.local_issuer.enabled {
        ways.push("the built-in issuer, for trying out".to_owned());
    }
    let finding = found.add("sign-in", State::Good, ways.join(", "));
    if count == 0 && !config.local_issuer.enabled {
        finding.state = State::Note;
        finding.advise(
            "people have no way to sign in: add an issuer, or set local_issuer.enabled to try things out",
        );
    }
}

fn files(loaded: &Loaded, found: &mut Findings) {
    let config = &loaded.config;
    let names: Vec<&str> = loaded.agents.keys().map(String::as_str).collect();
    if names.is_empty() {
        let says = format!("none in {}", config.agents.dir.display());
        found.add("agents", State::Note, says).advise("write one; `cardea init` shows how one looks");
    } else {
        found.add("agents", State::Good, names.join(", "));
    }
    policies(loaded, found);
}

/// Checks the policies as `cardea check` does: a set that cannot be used counts as none.
fn policies(loaded: &Loaded, found: &mut Findings) {
    let dir = &loaded.config.policies.dir;
    let set = match policy::summary(loaded) {
        Ok(set) => set,
        Err(problems) => {
            let says = format!("cannot be used: {}", problems.join("; "));
            found.add("policies", State::Bad, says).advise("correct them: `cardea check` says the same");
            return;
        }
    };
    let count = count(dir, "cedar");
    if count == 0 {
        let says = format!("none in {}: every tool is refused", dir.display());
        found.add("policies", State::Note, says).advise("write one; `cardea init` shows how one looks");
    } else {
        found.add("policies", State::Good, format!("{count} in {}", dir.display()));
    }
    for warning in set.warnings {
        let state = if set.void.contains(&warning) { State::Bad } else { State::Note };
        found.add("policy", state, warning);
    }
    for file in notes::unread(dir) {
        let state = if file.void { State::Bad } else { State::Note };
        found.add("policy", state, file.says);
    }
}

fn count(dir: &Path, end: &str) -> usize {
    control::files(dir, end).map_or(0, |files| files.len())
}
