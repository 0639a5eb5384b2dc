//! Notes about a valid configuration: oddities that may be mistakes.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use cardea_auth::IssuerConfig;
use cardea_core::{
    agent::{Agent, matches},
    form::closest,
    tool::ToolSpec,
};
use cardea_model::ProviderKind;

use crate::{
    config::{Config, Loaded, prices},
    control,
};

/// Extensions of files for people, which may lie in any folder.
const FOR_PEOPLE: [&str; 2] = ["md", "cedarschema"];

/// A file that nothing reads although it may have been meant to be read.
pub(super) struct Unread {
    pub(super) says: String,
    /// True if the file holds policies for certain: a `forbid` in it forbids nothing.
    pub(super) void: bool,
}

/// Finds policies and cases in and below a policy folder that nothing reads.
pub(super) fn unread(dir: &Path) -> Vec<Unread> {
    let tests = dir.join("tests");
    let policies = control::unread(dir, "cedar").into_iter().map(|path| Unread {
        void: control::is_policy_file(&path),
        says: misplaced(&path, "policies are", dir, "cedar"),
    });
    let is_read = |path: &PathBuf| path.parent() == Some(&tests) && path.extension() == Some("toml".as_ref());
    let cases = control::unread(dir, "toml").into_iter().filter(|path| !is_read(path));
    let cases = cases.map(|path| Unread { void: false, says: misplaced(&path, "cases are", &tests, "toml") });
    policies.chain(cases).collect()
}

fn misplaced(path: &Path, what: &str, folder: &Path, end: &str) -> String {
    format!(
        "{} is not read: {what} the files of {} itself that end in `.{end}`",
        path.display(),
        folder.display()
    )
}

/// Returns all notes, in the order of the configuration's parts.
pub(super) fn all(loaded: &Loaded, listed: &[ToolSpec]) -> Vec<String> {
    let config = &loaded.config;
    let mut notes = Vec::new();
    address(config, &mut notes);
    tenants(config, &mut notes);
    for (what, dir, end) in [
        ("agent", &config.agents.dir, "toml"),
        ("connector", &config.connectors.dir, "toml"),
        ("policy", &config.policies.dir, "cedar"),
        ("case", &config.policies.dir.join("tests"), "toml"),
    ] {
        passed_over(dir, what, end, &mut notes);
    }
    for (what, dir) in [("agents are", &config.agents.dir), ("connectors are", &config.connectors.dir)] {
        let below = control::unread(dir, "toml").into_iter().filter(|path| path.parent() != Some(dir));
        notes.extend(below.map(|path| misplaced(&path, what, dir, "toml")));
    }
    for agent in loaded.agents.values() {
        tools(loaded, agent, listed, &mut notes);
    }
    stand_ins(config, &mut notes);
    money(loaded, &mut notes);
    notes
}

/// Finds model names with the rehearsal model as a fallback: it answers in words, which may not be what was meant.
fn stand_ins(config: &Config, notes: &mut Vec<String>) {
    let rehearses = |name: &str| {
        let alias = config.models.aliases.get(name);
        let provider = alias.and_then(|alias| config.models.providers.get(&alias.provider));
        provider.is_some_and(|provider| provider.kind == ProviderKind::Rehearsal)
    };
    for name in config.models.aliases.keys().filter(|name| !rehearses(name)) {
        let chain = config.models.chain(name);
        if let Some(other) = chain.into_iter().skip(1).find(|other| rehearses(other)) {
            notes.push(format!(
                "the model `{other}` stands in for `models.aliases.{name}`: it is no language model, calls no tool there, \
                 and only says that `{name}` is away"
            ));
        }
    }
}

fn address(config: &Config, notes: &mut Vec<String>) {
    let bind = config.server.bind;
    if bind.ip().is_unspecified() && config.server.public_url.is_none() {
        notes.push(format!(
            "`server.bind` is {bind} and `server.public_url` is not set: links, the metadata of `/mcp` and what proofs of bound \
             tokens must name say http://{bind}"
        ));
    }
}

/// Finds issuers that may name each other's tenants.
fn tenants(config: &Config, notes: &mut Vec<String>) {
    let names = |issuer: &IssuerConfig| issuer.tenant_claim.is_some() && issuer.tenants.is_empty();
    let open = config.auth.issuers.iter().filter(|(_, issuer)| names(issuer));
    let open: Vec<String> = open.map(|(name, _)| format!("`auth.issuers.{name}`")).collect();
    if !open.is_empty() && config.auth.issuers.len() > 1 {
        notes.push(format!(
            "{} may name any tenant (`tenant_claim`), also those of another issuer: `tenants` says which are its own",
            open.join(", ")
        ));
    }
}

/// Finds files of a folder that nothing reads.
fn passed_over(dir: &Path, what: &str, end: &str, notes: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    let mut odd: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    odd.sort();
    for path in odd {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        let read = path.extension().is_some_and(|found| found == end) || name == "tools.json";
        let left_over = name.starts_with(['.', '~']) || name.ends_with('~');
        // Files in policy folders are reported by [`unread`].
        let told = match what {
            "policy" => extension == "cedar",
            "case" => extension == "cedar" || extension == "toml",
            _ => false,
        };
        if read || told || left_over || FOR_PEOPLE.contains(&extension.as_str()) || name.starts_with("README")
        {
            continue;
        }
        notes.push(format!("{} is passed over: the file of a {what} ends in `.{end}`", path.display()));
    }
}

/// Finds tools of an agent that no server or connector can have.
fn tools(loaded: &Loaded, agent: &Agent, listed: &[ToolSpec], notes: &mut Vec<String>) {
    let names = loaded.names();
    let server_of = |tool: &str| tool.split_once("__").map(|(server, _)| server.to_owned());
    let listed: Vec<&str> = listed.iter().map(|tool| tool.name.as_str()).collect();
    let from_list = listed.iter().filter_map(|name| server_of(name));
    let servers: BTreeSet<String> =
        names.servers.iter().chain(&names.connectors).cloned().chain(from_list).collect();
    let patterns: BTreeSet<&String> = agent.spec.tools.iter().chain(&agent.spec.always_tools).collect();
    for pattern in patterns {
        let Some(server) = server_of(pattern) else {
            // The name of a tool always starts with its server.
            if !listed.iter().any(|name| matches(pattern, name)) && !pattern.contains('*') {
                notes.push(format!(
                    "the agent `{}` may ask for `{pattern}`, which is no tool's name: write `SERVER__TOOL`, or \
                     `SERVER__*` for all of a server",
                    agent.name
                ));
            }
            continue;
        };
        if server.contains('*') {
            continue;
        }
        let near =
            |near: Option<&str>| near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        if !servers.contains(&server) {
            let meant = near(closest(&server, servers.iter().map(String::as_str)));
            notes.push(format!(
                "the agent `{}` may ask for `{pattern}`, and there is no upstream and no connector `{server}`{meant}",
                agent.name
            ));
        } else if names.connectors.contains(&server) && !listed.iter().any(|name| matches(pattern, name)) {
            let own = listed.iter().copied().filter(|name| server_of(name).as_ref() == Some(&server));
            let meant = near(closest(pattern, own));
            notes.push(format!(
                "the agent `{}` may ask for `{pattern}`, which the connector `{server}` does not have{meant}",
                agent.name
            ));
        }
    }
}

/// Finds money limits that can never be reached because no model has a price.
fn money(loaded: &Loaded, notes: &mut Vec<String>) {
    let config = &loaded.config;
    let prices = config.cost.prices.as_deref().and_then(|path| prices(path).ok());
    let budgets = [
        ("limits.user_budget.money", &config.limits.user_budget),
        ("limits.tenant_budget.money", &config.limits.tenant_budget),
    ];
    let Some(prices) = prices else {
        let keys =
            budgets.iter().filter(|(_, budget)| budget.money.is_some()).map(|(key, _)| format!("`{key}`"));
        let agents = loaded.agents.values().filter(|agent| agent.spec.limits.money.is_some());
        let agents = agents.map(|agent| format!("`limits.money` of the agent `{}`", agent.name));
        let all: Vec<String> = keys.chain(agents).collect();
        if !all.is_empty() {
            notes.push(format!(
                "without `cost.prices` nothing costs money, and these hold nobody: {}",
                all.join(", ")
            ));
        }
        return;
    };
    let everybody = budgets.iter().any(|(_, budget)| budget.money.is_some());
    for agent in loaded.agents.values().filter(|agent| everybody || agent.spec.limits.money.is_some()) {
        let alias = config.models.aliases.get(&agent.spec.model);
        let Some(model) = alias.map(|alias| alias.model.as_str()) else { continue };
        let free = alias.is_some_and(|alias| alias.provider == "rehearsal");
        if !free && prices.of(model).is_none() {
            notes.push(format!(
                "the model `{model}` of the agent `{}` has no price in `cost.prices`: no limit of money holds it",
                agent.name
            ));
        }
    }
}
