//! What whoever runs an installation is told, and how commands end, when its parts do not fit together.

use std::{fs, path::Path};

use cardea_core::{Code, Error};
use serde_json::Value;

use super::{End, Environment, client, ground, run_in, started};
use crate::config::Config;

/// Runs a statement in the database of a project.
fn in_database(dir: &Path, sql: &'static str) {
    let loaded = Config::load(&dir.join("cardea.toml"), &Environment::default()).unwrap();
    let done = client::wait(async {
        let key = cardea_core::log::ChainKey::new(&[0; 32]);
        let db = cardea_store::Db::open(loaded.config.db.clone(), key).await.unwrap();
        db.commit(cardea_store::Commit::new().run(sql, cardea_store::args![])).await.unwrap();
        db.close().await;
    });
    done.unwrap();
}

fn finding(dir: &Path, what: &str) -> Value {
    let told = run_in(dir, &["doctor", "--json"]).json();
    let all = told["findings"].as_array().unwrap().clone();
    // The last word on it counts.
    all.into_iter().rfind(|finding| finding["what"] == what).unwrap_or_default()
}

#[test]
fn no_command_makes_a_root_key_in_the_place_of_one_that_is_missing() {
    let dir = started();
    assert_eq!(run_in(dir.path(), &["key", "create", "robot"]).end, End::Good);
    let key = dir.path().join("data/root.key");
    let kept = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    assert_eq!(finding(dir.path(), "root key")["state"], "bad");
    for words in [
        &["token", "ann"][..],
        &["token", "revoke", "--user", "ann"],
        &["key", "create", "robot"],
        &["key", "list"],
        &["vault", "rewrap"],
        &["vault", "add-key"],
        &["tool", "changes"],
        &["audit", "verify"],
        &["connector", "secret", "github", "--user", "ann"],
    ] {
        let ran = run_in(dir.path(), words);
        assert_ne!(ran.end, End::Good, "{words:?}");
        assert!(!key.exists(), "{words:?} has made one: {}", ran.err);
    }
    let told = run_in(dir.path(), &["key", "list"]);
    assert!(told.err.contains("There is no root key in") && told.err.contains("bring back"), "{}", told.err);
    fs::write(&key, kept).unwrap();
    #[cfg(unix)]
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    assert_eq!(run_in(dir.path(), &["key", "list"]).end, End::Good);
}

#[test]
fn a_command_that_looks_does_not_bring_the_database_to_a_newer_version() {
    let dir = started();
    assert_eq!(
        run_in(dir.path(), &["key", "create", "robot"]).end,
        End::Good,
        "of a new one the tables are made"
    );
    // As it was before the newest migration.
    in_database(dir.path(), "DELETE FROM migrations WHERE version = (SELECT MAX(version) FROM migrations)");
    let looks = run_in(dir.path(), &["key", "list"]);
    assert!(looks.end == End::Bad && looks.err.contains("`cardea migrate`"), "{}{}", looks.out, looks.err);
    let note = run_in(dir.path(), &["doctor", "--json"]).json();
    assert!(note.to_string().contains("its tables are not those of this version"), "{note}");
}

#[test]
fn a_machine_is_told_why_a_command_was_not_done() {
    let dir = started();
    let full = dir.path().to_string_lossy().into_owned();
    for words in [
        &["audit", "verify"][..],
        &["audit", "export"],
        &["guard", "scan", "/nowhere/at/all"],
        &["cache", "tune", "/nowhere/at/all"],
        &["connector", "secret", "nope"],
        &["connector", "check", "nope"],
        &["policy", "test", "/nowhere/at/all"],
        &["init", &full],
    ] {
        let ran = run_in(dir.path(), &[words, &["--json"]].concat());
        assert_ne!(ran.end, End::Good, "{words:?}");
        let told: Value =
            serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{words:?}: {:?}", ran.out));
        let why = ["/error/message", "/problem", "/problems"].iter().find_map(|at| told.pointer(at));
        assert!(why.is_some_and(|why| !why.is_null() && why != ""), "{words:?}: {told}");
    }
}

#[test]
fn doctor_tells_a_fresh_start_from_a_lost_key_and_a_foreign_database() {
    let dir = started();
    assert_eq!(run_in(dir.path(), &["migrate"]).end, End::Good);
    let fresh = finding(dir.path(), "root key");
    assert_eq!(fresh["state"], "good", "nothing hangs on a key yet: {fresh}");
    assert!(!dir.path().join("data/root.key").exists());

    assert_eq!(run_in(dir.path(), &["key", "create", "robot"]).end, End::Good);
    fs::rename(dir.path().join("data/root.key"), dir.path().join("kept.key")).unwrap();
    let other = started();
    assert_eq!(run_in(other.path(), &["key", "create", "robot"]).end, End::Good);
    fs::copy(other.path().join("data/root.key"), dir.path().join("data/root.key")).unwrap();
    let foreign = finding(dir.path(), "root key");
    assert_eq!(foreign["state"], "bad", "{foreign}");
    fs::rename(dir.path().join("kept.key"), dir.path().join("data/root.key")).unwrap();

    in_database(dir.path(), "UPDATE migrations SET hash = 'z' WHERE version = 3");
    let changed = finding(dir.path(), "database");
    assert_eq!(changed["state"], "bad", "{changed}");
    assert!(changed["says"].as_str().unwrap().contains("another text"), "{changed}");
}

#[test]
fn doctor_sees_a_database_that_is_older_than_its_checkpoints() {
    let dir = started();
    assert_eq!(run_in(dir.path(), &["key", "create", "robot"]).end, End::Good);
    assert_eq!(finding(dir.path(), "audit log"), Value::Null);
    let point = serde_json::json!({ "node": "main.cli", "sequence": 99, "link": "0".repeat(64), "at": 0 });
    let file = dir.path().join("data/audit.checkpoints");
    // Half a line after it is no matter of doubt.
    fs::write(&file, format!("{point}\n{{\"node\"")).unwrap();
    let told = finding(dir.path(), "audit log");
    assert_eq!(told["state"], "bad");
    assert!(told["says"].as_str().unwrap().contains("has seen entry 99"), "{told}");
}

#[test]
fn a_database_of_a_newer_cardea_ends_every_command_alike() {
    let dir = started();
    assert_eq!(run_in(dir.path(), &["key", "create", "robot"]).end, End::Good);
    in_database(dir.path(), "INSERT INTO migrations (version, name, hash) VALUES (999, '0999_x', 'y')");
    for words in
        [&["migrate"][..], &["token", "ann"], &["key", "list"], &["vault", "rewrap"], &["tool", "changes"]]
    {
        let ran = run_in(dir.path(), words);
        assert_eq!(ran.end, End::Unreachable, "{words:?}: {}", ran.err);
        assert!(ran.err.contains("newer Cardea"), "{words:?}: {}", ran.err);
        let told = run_in(dir.path(), &[words, &["--json"]].concat()).json();
        assert!(told["error"]["message"].as_str().unwrap().contains("newer Cardea"), "{told}");
    }
}

#[test]
fn what_was_revoked_is_told_to_machines_too_and_a_second_server_in_its_own_words() {
    let dir = started();
    let made = run_in(dir.path(), &["key", "create", "robot", "--json"]).json();
    let id = made["info"]["id"].as_str().or(made["id"].as_str()).unwrap().to_owned();
    let revoked = run_in(dir.path(), &["key", "revoke", &id, "--json"]).json();
    assert_eq!((&revoked["revoked"], revoked["id"].as_str()), (&Value::Bool(true), Some(id.as_str())));
    let revoked = run_in(dir.path(), &["token", "revoke", "--user", "ann", "--json"]).json();
    assert_eq!((&revoked["revoked"], &revoked["user"]), (&Value::Bool(true), &Value::from("ann")));
    assert_eq!(revoked["seen"], false);
    // Whoever means another tenant or name hears it.
    let words = ["token", "revoke", "--user", "ann", "--tenant", "acme"];
    let told = run_in(dir.path(), &words).err;
    assert!(told.contains("all tokens of `ann` in the tenant `acme` are revoked"), "{told}");
    assert!(told.contains("no user `ann` was ever seen in the tenant `acme`, nor in any other"), "{told}");
    assert_eq!(run_in(dir.path(), &["key", "create", "ann", "--tenant", "beta"]).end, End::Good);
    let told = run_in(dir.path(), &words).err;
    assert!(told.contains("but in `beta`: if that one is meant, say --tenant"), "{told}");
    let told = run_in(dir.path(), &["token", "revoke", "--user", "ann", "--keys", "--tenant", "beta"]).err;
    assert!(told.contains("all tokens and API keys of `ann` in the tenant `beta`"), "{told}");
    assert!(!told.contains("ever seen"), "{told}");
    let away = run_in(dir.path(), &["chat", "--url", "http://127.0.0.1:9", "hi", "--json"]).json();
    assert_eq!(away["error"]["code"], "unreachable");
    let second = Error::new(Code::Conflict).detail("Another server already works with `data`.");
    assert_eq!(ground::words(&second), "Another server already works with `data`.");
}

#[test]
fn doctor_speaks_of_tools_that_are_held_back_as_long_as_their_server_is_configured() {
    let dir = started();
    assert_eq!(run_in(dir.path(), &["key", "create", "robot"]).end, End::Good);
    in_database(
        dir.path(),
        "INSERT INTO tool_pins (tool, upstream, accepted, definition, held, held_as, held_at) VALUES \
         ('ops__pay', 'ops', '0', '{}', '1', '{}', 1), ('ops__ask', 'ops', '0', '{}', '1', '{}', 1), \
         ('old__pay', 'old', '0', '{}', '1', '{}', 1), ('ops__get', 'ops', '0', '{}', NULL, NULL, NULL)",
    );
    assert_eq!(finding(dir.path(), "tools"), Value::Null, "nothing of them is offered anyway");
    let file = dir.path().join("cardea.toml");
    let upstream = "\n[upstreams.ops]\nurl = \"http://127.0.0.1:9/mcp\"\n[net]\nallow = [\"127.0.0.1:9\"]\n";
    fs::write(&file, fs::read_to_string(&file).unwrap() + upstream).unwrap();
    let told = finding(dir.path(), "tools");
    assert!(told["says"].as_str().unwrap().starts_with("2 held back"), "{told}");
    let changes = run_in(dir.path(), &["tool", "changes", "--json"]).json();
    assert_eq!(changes["changes"].as_array().unwrap().len(), 2, "{changes}");
}
