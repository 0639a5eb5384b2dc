//! Commands as a machine reads them: what every one of them prints with `--json`.

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use cardea::commands::Cli;
use cardea_testkit::kill::Victim;
use clap::CommandFactory as _;
use serde_json::Value;

/// What is no result: a server, a story, a page, a script, and a log with an entry on each line.
const OTHERS: [&str; 5] = ["serve", "demo", "config reference", "completions", "audit export"];

/// A connector whose users have secrets of their own.
const VAULTED: &str = r#"
[connector]
name = "vaulted"
base = "https://vault.example"
auth = { kind = "bearer", per = "user" }

[[operation]]
name    = "look"
about   = "Look."
effect  = "read"
request = { method = "GET", path = "/look" }
"#;

/// Commands beside a running server, what they read, and whether they can do what they are told.
const WORDS: [(&str, &str, bool); 36] = [
    ("init other", "", true),
    ("check", "", true),
    ("config show", "", true),
    ("token ann --role support --role admin", "", true),
    ("chat hello", "", true),
    ("key create robot", "", true),
    ("key list", "", true),
    ("key revoke key_00000000000000000000000000000001", "", false),
    ("connector check connectors", "", true),
    ("connector secret vaulted --user ann", "a secret", true),
    ("connector secret github", "a secret", false),
    ("approvals", "", true),
    ("approvals approve appr_00000000000000000000000000000001", "", false),
    ("approvals reject appr_00000000000000000000000000000001", "", false),
    ("audit verify", "", true),
    ("tool changes", "", true),
    ("tool accept ops__pay 3f9ac0de", "", false),
    ("tool accept --upstream nobody", "", false),
    ("backup copy", "", true),
    ("vault add-key", "", true),
    ("vault rewrap", "", true),
    ("vault adopt-folder", "", false),
    ("migrate", "", true),
    ("doctor", "", false),
    ("policy test", "", true),
    ("policy show", "", true),
    ("policy show 0123456789abcdef", "", false),
    ("cache tune pairs.jsonl", "", false),
    ("cache clear", "", true),
    ("cache stats", "", true),
    ("guard scan text.txt", "", true),
    ("guard list", "", true),
    ("guard eval rows.jsonl", "", true),
    ("guard eval text.txt", "", false),
    ("person erase bob --yes", "", true),
    ("token revoke --user bob", "", true),
];

fn cardea(folder: &Path, words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cardea"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARDEA_")) {
        command.env_remove(name);
    }
    command.current_dir(folder).env("CARDEA_SERVER__BIND", "127.0.0.1:0").args(words.split(' '));
    command
}

/// How it ended, and what it printed.
fn run(command: &mut Command, input: &str) -> (bool, String) {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    drop(child.stdin.take().unwrap().write_all(input.as_bytes())); // most of them read nothing
    let output = child.wait_with_output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

/// All commands that there are, by their words.
fn commands(of: &clap::Command, before: &str) -> BTreeSet<String> {
    let inner = of.get_subcommands().filter(|inner| inner.get_name() != "help");
    let all = inner.flat_map(|inner| {
        let name = format!("{before}{}", inner.get_name());
        let mut below = commands(inner, &format!("{name} "));
        if !inner.is_subcommand_required_set() {
            below.insert(name);
        }
        below
    });
    all.collect()
}

#[test]
fn every_command_prints_json_to_a_machine_whether_it_was_done_or_not() {
    let parent = tempfile::tempdir().unwrap();
    assert!(run(&mut cardea(parent.path(), "init project"), "").0);
    let folder = parent.path().join("project");
    fs::write(folder.join("connectors/vaulted.toml"), VAULTED).unwrap();
    let rows = "{\"text\": \"Where is my parcel?\", \"label\": \"none\"}\n";
    let pairs = "{\"a\": \"Where is my parcel?\", \"b\": \"Where is my lamp?\", \"same\": false}\n";
    for (name, text) in [("text.txt", "some text"), ("rows.jsonl", rows), ("pairs.jsonl", pairs)] {
        fs::write(folder.join(name), text).unwrap();
    }
    let mut server = Victim::start(&mut cardea(&folder, "serve")).unwrap();
    let listens = server.until("cardea listens").expect("it starts");
    let url = format!("http://{}", listens.rsplit("http://").next().unwrap());
    let (_, token) = run(&mut cardea(&folder, "token ann --role support --role admin --json"), "");
    let token: Value = serde_json::from_str(&token).unwrap();

    let mut left = commands(&Cli::command(), "");
    OTHERS.iter().for_each(|other| assert!(left.remove(*other), "there is no command `{other}`"));
    for (words, input, good) in WORDS {
        let mut command = cardea(&folder, &format!("--json {words}"));
        command.env("CARDEA_URL", &url).env("CARDEA_TOKEN", token["token"].as_str().unwrap());
        let (done, told) = run(&mut command, input);
        let result = serde_json::from_str::<Value>(&told);
        assert!(result.as_ref().is_ok_and(Value::is_object), "{words}: {result:?}: {told}");
        assert_eq!(done, good, "{words}: {told}");
        assert!(!done || result.unwrap()["error"].is_null(), "{words}: {told}");
        left.retain(|command| words != command && !words.starts_with(&format!("{command} ")));
    }
    assert!(left.is_empty(), "never run: {left:?}");
    assert!(server.terminate().unwrap().1);
}
