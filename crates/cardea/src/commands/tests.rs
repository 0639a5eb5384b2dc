use std::{fs, path::Path};

use clap::{CommandFactory as _, Parser as _};
use serde_json::Value;

use super::*;

/// What a command wrote and how it ended.
struct Ran {
    end: End,
    out: String,
    err: String,
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in:\n{}", self.out))
    }
}

fn run_in(dir: &Path, words: &[&str]) -> Ran {
    let file = dir.join(crate::config::FILE);
    let first = ["cardea", "--config", file.to_str().unwrap()];
    let cli = Cli::try_parse_from(first.iter().chain(words)).unwrap();
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let mut out = Out::new(&mut stdout, &mut stderr);
    out.json = cli.json;
    let end = run_with(&cli, &Environment::default(), &mut out);
    Ran { end, out: String::from_utf8(stdout).unwrap(), err: String::from_utf8(stderr).unwrap() }
}

fn started() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let ran = run_in(dir.path(), &["init", dir.path().to_str().unwrap()]);
    assert_eq!(ran.end, End::Good, "{}", ran.err);
    dir
}

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn a_new_project_passes_its_own_check() {
    let dir = started();
    let ran = run_in(dir.path(), &["check"]);
    assert_eq!((ran.end, ran.err.as_str()), (End::Good, ""));
    assert!(
        ran.out.contains("is good") && ran.out.contains("support") && ran.out.contains("rehearsal"),
        "{}",
        ran.out
    );
    assert_eq!(run_in(dir.path(), &["check", "--json"]).json()["good"], true);
}

#[test]
fn init_writes_over_nothing() {
    let dir = started();
    fs::write(dir.path().join("README.md"), "mine").unwrap();
    let ran = run_in(dir.path(), &["init", dir.path().to_str().unwrap()]);
    assert_eq!(ran.end, End::Unreachable);
    assert!(ran.err.contains("not empty"), "{}", ran.err);
    assert_eq!(fs::read_to_string(dir.path().join("README.md")).unwrap(), "mine");
}

#[test]
fn a_broken_configuration_is_told_to_people_and_to_machines() {
    let dir = started();
    fs::write(dir.path().join("cardea.toml"), "[server]\nbnid = \"x\"\n").unwrap();
    let ran = run_in(dir.path(), &["check"]);
    assert_eq!((ran.end, ran.out.as_str()), (End::Bad, ""));
    assert!(
        ran.err.contains("did you mean `bind`?") && ran.err.contains("1 thing to put right"),
        "{}",
        ran.err
    );
    let problems = run_in(dir.path(), &["check", "--json"]).json();
    assert_eq!((&problems["good"], &problems["problems"][0]["line"]), (&Value::from(false), &Value::from(2)));
    assert_eq!(run_in(&dir.path().join("elsewhere"), &["check"]).end, End::Bad);
}

#[test]
fn config_show_says_where_each_value_comes_from() {
    let dir = started();
    let shown = run_in(dir.path(), &["config", "show"]);
    assert_eq!(shown.end, End::Good);
    assert!(
        shown.out.contains("per_user = \"60/min\"") && shown.out.contains("cardea.toml:"),
        "{}",
        shown.out
    );
    let json = run_in(dir.path(), &["config", "show", "--json"]).json();
    assert_eq!(json["limits.per_user"]["value"], "60/min");
    assert_eq!(json["server.drain"]["from"], "default");
}

#[test]
fn completions_know_the_commands() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let ran = run_in(dir.path(), &["completions", shell]);
        assert!(ran.end == End::Good && ran.out.contains("doctor"), "{shell}");
    }
}

#[test]
fn columns_stand_below_each_other() {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
    Out::new(&mut stdout, &mut stderr).table(&[row(["id", "name"]), row(["long-id", "ä"])]);
    assert_eq!(String::from_utf8(stdout).unwrap(), "id       name\nlong-id  ä\n");
}
