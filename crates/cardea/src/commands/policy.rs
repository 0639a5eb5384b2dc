//! `cardea policy test`: the cases beside a policy set.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
};

use cardea_core::{
    connector::Connector,
    id::ToolName,
    policy::{self, APPROVER, Matrix, Problem, Report, Snapshot, Source},
    tool::ToolSpec,
};
use serde_json::{Value, json};

use super::{Cli, End, Out, connector, ground};
use crate::{
    config::{ConfigError, Environment, FileProblems, Loaded, read_connector},
    control,
};

/// Where a policy set is, and what it stands among.
struct Place<'a> {
    dir: &'a Path,
    connectors: &'a [Connector],
    approver: &'a str,
}

impl<'a> Place<'a> {
    fn of(loaded: &'a Loaded) -> Self {
        let policies = &loaded.config.policies;
        Self { dir: &policies.dir, connectors: &loaded.connectors, approver: &policies.approver_role }
    }
}

/// What a policy folder holds.
struct Folder {
    sources: Vec<Source>,
    tools: Vec<ToolSpec>,
    matrices: Vec<(String, String)>,
}

/// Tests the folder that was named, or the configured one.
pub(super) fn run(cli: &Cli, named: Option<&Path>, environment: &Environment, out: &mut Out<'_>) -> End {
    match named {
        None => match ground::load(cli, environment, out) {
            Ok(loaded) => test(&Place::of(&loaded), out),
            Err(end) => end,
        },
        Some(dir) => match beside(dir) {
            Ok(connectors) => test(&Place { dir, connectors: &connectors, approver: APPROVER }, out),
            Err(error) => {
                out.note(error.pretty(out.colours).trim_end());
                End::Bad
            }
        },
    }
}

/// The connectors of the folder `connectors` beside a policy folder, as `cardea init` lays them out.
fn beside(dir: &Path) -> Result<Vec<Connector>, ConfigError> {
    let around = fs::canonicalize(dir).ok().and_then(|dir| Some(dir.parent()?.join("connectors")));
    let files = around.filter(|dir| dir.is_dir()).map(|dir| connector::files(&dir).unwrap_or_default());
    let (mut good, mut broken) = (Vec::new(), Vec::new());
    for file in files.unwrap_or_default() {
        match read_connector(&file) {
            Ok((_, connector)) => good.push(connector),
            Err(problems) => broken.push(problems),
        }
    }
    if broken.is_empty() { Ok(good) } else { Err(broken.into()) }
}

fn test(place: &Place<'_>, out: &mut Out<'_>) -> End {
    let folder = match read(place) {
        Ok(folder) => folder,
        Err(error) => {
            out.note(error);
            return End::Unreachable;
        }
    };
    let snapshot = match Snapshot::compile(&folder.sources, &folder.tools) {
        Ok(snapshot) => snapshot,
        Err(problems) => return refuse(&problems, out),
    };
    let set = Set::of(&snapshot);
    set.warnings.iter().for_each(|warning| out.note(format!("note: {warning}")));
    let mut ran = Ran::default();
    for (name, text) in &folder.matrices {
        match Matrix::parse(text) {
            Ok(matrix) => ran.cases(name, policy::run(&snapshot, &matrix), out),
            Err(problems) => {
                let shown = FileProblems::new(name, text, &[], problems);
                out.note(ConfigError::from(shown).pretty(out.colours));
                return End::Bad;
            }
        }
    }
    let Ran { count, failed, told } = ran;
    if out.json {
        let version = snapshot.version();
        out.json(&json!({
            "good": failed == 0, "version": **version, "policies": set.own, "set_aside": set.aside,
            "warnings": set.warnings, "cases": told,
        }));
    } else {
        out.line(format!("\npolicies: {}\n{count} cases, {failed} not as expected", set.says));
    }
    if failed > 0 { End::Bad } else { End::Good }
}

/// The cases that were run.
#[derive(Default)]
struct Ran {
    count: usize,
    failed: usize,
    /// Each of them, for a machine.
    told: Vec<Value>,
}

impl Ran {
    fn cases(&mut self, file: &str, reports: Vec<Report>, out: &mut Out<'_>) {
        for report in reports {
            self.count += 1;
            self.failed += usize::from(!report.faults.is_empty());
            if out.json {
                self.told.push(json!({
                    "file": file, "case": report.number, "about": report.about,
                    "verdict": report.decision.verdict.name(), "faults": report.faults,
                }));
                continue;
            }
            let word = if report.faults.is_empty() { "good" } else { "BAD " };
            out.line(format!("{word}  {:8}  {}", report.decision.verdict.name(), report.about));
            let faults = report.faults.iter();
            faults.for_each(|fault| out.line(format!("      {file} case {}: {fault}", report.number)));
        }
    }
}

/// What is told of a set that is good.
pub(super) struct Set {
    /// It in one line.
    pub(super) says: String,
    /// How many policies of the folder count.
    own: usize,
    /// Those that do not, since nobody has their tools.
    pub(super) aside: Vec<String>,
    /// What is odd about it.
    pub(super) warnings: Vec<String>,
}

impl Set {
    fn of(snapshot: &Snapshot) -> Self {
        let built_in = snapshot.built_in();
        let own = snapshot.len() - built_in;
        let aside: Vec<String> = snapshot.set_aside().iter().map(ToString::to_string).collect();
        let mut says = own.to_string();
        if !aside.is_empty() {
            let all = own + aside.len();
            says.push_str(&format!(
                " of {all} (set aside, since nobody has their tools: {})",
                aside.join(", ")
            ));
        }
        says.push_str(&format!(", and {built_in} built in; version {}", snapshot.version()));
        let warnings = snapshot.warnings().iter().map(ToString::to_string).collect();
        Self { says, own, aside, warnings }
    }
}

/// The set of a folder, or everything that is wrong with it. A folder that is not there is an empty set.
pub(super) fn summary(loaded: &Loaded) -> Result<Set, Vec<String>> {
    let place = Place::of(loaded);
    let folder = match place.dir.is_dir() {
        true => read(&place).map_err(|error| vec![error])?,
        false => {
            let sources = vec![Source::built_in(place.approver)];
            Folder { sources, tools: Vec::new(), matrices: Vec::new() }
        }
    };
    let snapshot = Snapshot::compile(&folder.sources, &folder.tools);
    let snapshot =
        snapshot.map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    Ok(Set::of(&snapshot))
}

fn refuse(problems: &[Problem], out: &mut Out<'_>) -> End {
    if out.json {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        out.json(&json!({ "good": false, "problems": lines }));
    } else {
        problems.iter().for_each(|problem| out.note(problem.to_string()));
    }
    End::Bad
}

/// The `.cedar` files, the tools that they can speak of, and the cases in `tests/`.
fn read(place: &Place<'_>) -> Result<Folder, String> {
    let Place { dir, connectors, approver } = *place;
    fs::read_dir(dir).map_err(|error| named(dir, &error))?;
    let sources = control::load(dir, approver).map_err(|error| ground::words(&error))?;
    let tests = dir.join("tests");
    let matrices = if tests.is_dir() { texts(&tests)? } else { Vec::new() };
    Ok(Folder { sources, tools: catalogue(dir, connectors)?, matrices })
}

/// The tools of the connectors, as `serve` has them, and those of MCP servers as `tools.json` tells of them.
fn catalogue(dir: &Path, connectors: &[Connector]) -> Result<Vec<ToolSpec>, String> {
    let path = dir.join("tools.json");
    let mut tools: Vec<ToolSpec> = match control::text(&path) {
        Ok(text) => serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(named(&path, &error)),
    };
    let described: HashMap<&ToolName, &ToolSpec> = connectors
        .iter()
        .flat_map(|connector| &connector.operations)
        .map(|operation| (&operation.spec.name, &operation.spec))
        .collect();
    // A connector's own file is the better witness.
    tools.retain(|tool| !described.contains_key(&tool.name));
    tools.extend(described.into_values().cloned());
    Ok(tools)
}

fn texts(dir: &Path) -> Result<Vec<(String, String)>, String> {
    let paths = control::files(dir, "toml").map_err(|error| named(dir, &error))?;
    let text = |path: &PathBuf| match control::text(path) {
        Ok(text) => Ok((path.display().to_string(), text)),
        Err(error) => Err(named(path, &error)),
    };
    paths.iter().map(text).collect()
}

/// An error with the file that it is about.
fn named(file: &Path, error: &io::Error) -> String {
    format!("{}: {error}", file.display())
}
