//! `cardea policy test`: runs the cases beside a policy set.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
};

use cardea_core::{
    agent::Agent,
    connector::Connector,
    id::ToolName,
    policy::{self, APPROVER, Among, Expect, Installation, Matrix, Problem, Report, Snapshot, Source},
    tool::{CacheHint, Effect, ToolSpec},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Cli, End, Out, connector, ground, notes};
use crate::{
    config::{ConfigError, Environment, FileProblems, Loaded, read_connector},
    control,
};

/// A policy folder and the installation around it.
struct Place<'a> {
    dir: &'a Path,
    connectors: &'a [Connector],
    approver: &'a str,
    /// What policies may name beside tools, and the agents; `None` if the installation is not known.
    known: Option<(Installation, Vec<&'a Agent>)>,
}

impl<'a> Place<'a> {
    fn of(loaded: &'a Loaded) -> Self {
        let policies = &loaded.config.policies;
        Self {
            dir: &policies.dir,
            connectors: &loaded.connectors,
            approver: &policies.approver_role,
            known: Some((loaded.names(), loaded.agents.values().collect())),
        }
    }
}

/// Content of a policy folder.
struct Folder {
    sources: Vec<Source>,
    tools: Vec<ToolSpec>,
    matrices: Vec<(String, String)>,
}

/// Tests the given folder, or the configured one.
pub(super) fn run(cli: &Cli, named: Option<&Path>, environment: &Environment, out: &mut Out<'_>) -> End {
    match named {
        None => match ground::load(cli, environment, out) {
            Ok(loaded) => test(&Place::of(&loaded), out),
            Err(end) => end,
        },
        Some(dir) => match beside(dir) {
            Ok(connectors) => {
                test(&Place { dir, connectors: &connectors, approver: APPROVER, known: None }, out)
            }
            Err(error) => {
                out.note(error.pretty(out.colours).trim_end());
                End::Bad
            }
        },
    }
}

/// Reads the connectors of the folder `connectors` beside a policy folder, where `cardea init` puts them.
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
    if let Err(error) = fs::read_dir(place.dir) {
        out.note(named(place.dir, &error));
        return End::Unreachable;
    }
    let folder = match read(place) {
        Ok(folder) => folder,
        Err(error) if out.json => {
            out.json(&json!({ "good": false, "problems": [error] }));
            return End::Bad;
        }
        Err(error) => {
            out.note(error);
            return End::Bad;
        }
    };
    let snapshot = match compiled(place, &folder) {
        Ok(snapshot) => snapshot,
        Err(problems) => return refuse(&problems, out),
    };
    let set = Set::of(&snapshot, folder.tools.clone());
    set.warnings.iter().for_each(|warning| out.note(format!("note: {warning}")));
    notes::unread(place.dir).iter().for_each(|file| out.note(format!("note: {}", file.says)));
    let mut ran = Ran::default();
    let among = place.known.as_ref().map(|(names, agents)| Among { names, agents: agents.clone() });
    for (name, text) in &folder.matrices {
        match Matrix::parse(text) {
            Ok(matrix) => ran.cases(name, reports(&snapshot, &matrix, &folder.tools, among.as_ref()), out),
            Err(problems) => {
                let shown = FileProblems::new(name, text, &[], problems);
                out.note(ConfigError::from(shown).pretty(out.colours));
                return End::Bad;
            }
        }
    }
    let Ran { count, failed, told } = ran;
    // WHY: otherwise a slip in the name of a folder would make a test that always passes.
    let good = failed == 0 && (count > 0 || place.known.is_some());
    if count == 0 {
        out.note(format!("no cases in {}: nothing was tested", place.dir.join("tests").display()));
    }
    if out.json {
        let version = snapshot.version();
        out.json(&json!({
            "good": good, "version": **version, "policies": set.own, "set_aside": set.aside,
            "warnings": set.warnings, "cases": told,
        }));
    } else {
        out.line(format!("\npolicies: {}\n{count} cases, {failed} not as expected", set.says));
    }
    if good { End::Good } else { End::Bad }
}

/// Reports the results of the cases. A case whose arguments never reach a policy proves nothing, whatever it expects.
fn reports(
    snapshot: &Snapshot,
    matrix: &Matrix,
    tools: &[ToolSpec],
    among: Option<&Among<'_>>,
) -> Vec<Report> {
    let mut reports = policy::run(snapshot, matrix, among);
    for (case, report) in matrix.cases.iter().zip(&mut reports) {
        let tool = tools.iter().find(|tool| case.tool.as_deref() == Some(tool.name.as_str()));
        let called = !matches!(case.expect, Expect::Listed | Expect::Hidden);
        let Some(tool) = tool.filter(|_| called) else { continue };
        let arguments = Value::Object(case.arguments.clone().into_iter().collect());
        match jsonschema::validator_for(&tool.input_schema) {
            Err(error) => report.faults.push(format!("the schema of `{}` is none: {error}", tool.name)),
            Ok(schema) => report.faults.extend(
                schema
                    .iter_errors(&arguments)
                    .take(3)
                    .map(|wrong| format!("these arguments are refused before any policy is asked: {wrong}")),
            ),
        }
    }
    reports
}

/// The cases that were run.
#[derive(Default)]
struct Ran {
    count: usize,
    failed: usize,
    /// The result of each case, for JSON output.
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

/// Summary of a valid policy set.
pub(super) struct Set {
    /// The set in one line.
    pub(super) says: String,
    /// Number of the folder's policies that are in force.
    own: usize,
    /// Policies that are not in force because nothing offers their tools.
    pub(super) aside: Vec<String>,
    /// Warnings about the set.
    pub(super) warnings: Vec<String>,
    /// Those of the warnings that make a `forbid` forbid nothing.
    pub(super) void: Vec<String>,
    /// The tools that the set was compiled for.
    pub(super) tools: Vec<ToolSpec>,
}

impl Set {
    fn of(snapshot: &Snapshot, tools: Vec<ToolSpec>) -> Self {
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
        let lines = |problems: &[Problem]| problems.iter().map(ToString::to_string).collect();
        let (warnings, void) = (lines(snapshot.warnings()), lines(snapshot.void()));
        Self { says, own, aside, warnings, void, tools }
    }
}

/// Compiles the set of a folder, or returns everything that is wrong with it. A missing folder is an empty set.
pub(super) fn summary(loaded: &Loaded) -> Result<Set, Vec<String>> {
    let place = Place::of(loaded);
    let folder = match place.dir.is_dir() {
        true => read(&place).map_err(|error| vec![error])?,
        false => {
            let sources = vec![Source::built_in(place.approver)];
            Folder {
                sources,
                tools: catalogue(place.dir, place.connectors).map_err(|error| vec![error])?,
                matrices: Vec::new(),
            }
        }
    };
    let snapshot = compiled(&place, &folder);
    let snapshot =
        snapshot.map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    Ok(Set::of(&snapshot, folder.tools))
}

fn compiled(place: &Place<'_>, folder: &Folder) -> Result<Snapshot, Vec<Problem>> {
    match &place.known {
        Some((names, _)) => Snapshot::compile_among(&folder.sources, &folder.tools, names),
        None => Snapshot::compile(&folder.sources, &folder.tools),
    }
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

/// Reads the `.cedar` files, the tools that they can name, and the cases in `tests/`.
fn read(place: &Place<'_>) -> Result<Folder, String> {
    let Place { dir, connectors, approver, .. } = *place;
    fs::read_dir(dir).map_err(|error| named(dir, &error))?;
    let sources = control::load(dir, approver).map_err(|error| ground::words(&error))?;
    let tests = dir.join("tests");
    let matrices = if tests.is_dir() { texts(&tests)? } else { Vec::new() };
    Ok(Folder { sources, tools: catalogue(dir, connectors)?, matrices })
}

/// A tool in `tools.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: ToolName,
    description: String,
    input_schema: Value,
    #[serde(default)]
    effect: Effect,
    #[serde(default)]
    idempotent: bool,
    sends_outside: Option<bool>,
    #[serde(default)]
    examples: Vec<String>,
    cache: Option<CacheHint>,
    #[serde(default)]
    clears: Vec<String>,
}

impl From<Written> for ToolSpec {
    fn from(tool: Written) -> Self {
        let Written { name, description, input_schema, effect, idempotent, examples, cache, clears, .. } =
            tool;
        // The default of a server for a tool that does not say.
        let sends_outside = tool.sends_outside.unwrap_or(effect != Effect::Read);
        Self { name, description, input_schema, effect, idempotent, sends_outside, examples, cache, clears }
    }
}

/// Returns the connectors' tools, as `serve` has them, and those of MCP servers as described in `tools.json`.
fn catalogue(dir: &Path, connectors: &[Connector]) -> Result<Vec<ToolSpec>, String> {
    let path = dir.join("tools.json");
    let mut tools: Vec<ToolSpec> = match control::text(&path) {
        Ok(text) => {
            let written: Result<Vec<Written>, _> = serde_json::from_str(&text);
            let written = written.map_err(|error| format!("{}: {error}", path.display()))?;
            written.into_iter().map(ToolSpec::from).collect()
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(named(&path, &error)),
    };
    let described: HashMap<&ToolName, &ToolSpec> = connectors
        .iter()
        .flat_map(|connector| &connector.operations)
        .map(|operation| (&operation.spec.name, &operation.spec))
        .collect();
    // A connector's own file outranks `tools.json`.
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

/// Adds the name of the file to an error.
fn named(file: &Path, error: &io::Error) -> String {
    format!("{}: {error}", file.display())
}
