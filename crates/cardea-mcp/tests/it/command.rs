//! The command that checks an audit file.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use cardea_core::secret::SecretString;
use cardea_mcp::{Audit, Layers, Result, Server, TestClient, Tool};
use serde_json::json;

const KEY: &str = "an audit key of at least 32 bytes";

async fn nothing() -> Result<()> {
    Ok(())
}

/// Status and words of the command.
fn check(words: &[&Path], key: Option<&str>) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-audit"));
    command.args(words).env_remove("MCP_AUDIT_KEY").stdin(Stdio::null());
    if let Some(key) = key {
        command.env("MCP_AUDIT_KEY", key);
    }
    let done = command.output().unwrap();
    (done.status.code().unwrap(), String::from_utf8(done.stdout).unwrap())
}

#[tokio::test]
async fn the_command_names_the_first_entry_that_does_not_hold() {
    let dir = tempfile::tempdir().unwrap();
    let (log, apart, key) = (dir.path().join("a.jsonl"), dir.path().join("apart"), dir.path().join("key"));
    fs::write(&key, format!("{KEY}\n")).unwrap();
    let audit = Audit::open_with_checkpoint(&log, &apart, &SecretString::from(KEY.to_owned())).unwrap();
    let server = Server::new("s", "1").layers(Layers::new().audit(audit));
    let client =
        TestClient::new(server.tool(Tool::new("x", nothing).about("Does nothing.").reads())).unwrap();
    for _ in 0..5 {
        client.call("x", json!({})).await;
    }
    drop(client);
    let good = fs::read_to_string(&log).unwrap();
    let (file, checkpoint) = (Path::new("--key-file"), Path::new("--checkpoint"));

    let (status, text) = check(&[&log, file, &key, checkpoint, &apart], None);
    assert!(status == 0 && text.contains("holds: 5 entries; its end is the checkpoint's"), "{text}");
    let (status, text) = check(&[&log], Some(KEY));
    assert!(status == 0 && text.contains("only a checkpoint can tell"), "{text}");

    fs::write(&log, format!("{good}{{\"seq\":6,\"link")).unwrap();
    let (status, text) = check(&[&log, checkpoint, &apart], Some(KEY));
    assert!(status == 0 && text.contains("holds: 5 entries") && text.contains("has no end yet"), "{text}");
    fs::write(&log, good.trim_end()).unwrap();
    let (status, text) = check(&[&log], Some(KEY));
    assert!(status == 0 && text.contains("holds: 4 entries") && text.contains("has no end yet"), "{text}");
    let (status, text) = check(&[&log, checkpoint, &apart], Some(KEY));
    assert!(status == 1 && text.contains("a checkpoint has seen entry 5"), "{text}");

    fs::write(&log, good.lines().take(3).collect::<Vec<_>>().join("\n") + "\n").unwrap();
    assert_eq!(check(&[&log], Some(KEY)).0, 0, "without the checkpoint a cut-off end looks whole");
    let (status, text) = check(&[&log, checkpoint, &apart], Some(KEY));
    assert!(
        status == 1 && text.contains("the log ends at entry 3, but a checkpoint has seen entry 5"),
        "{text}"
    );
    fs::write(&log, good.replacen("done", "none", 1)).unwrap();
    let (status, text) = check(&[&log], Some(KEY));
    assert!(status == 1 && text.contains("entry 1 does not match its link"), "{text}");
    fs::write(&log, good.replacen('{', "", 1)).unwrap();
    let (status, text) = check(&[&log], Some(KEY));
    assert!(status == 1 && text.contains("line 1 is not an entry"), "{text}");
}

#[test]
fn what_cannot_be_checked_is_neither_good_nor_bad() {
    let none = Path::new("/no/such/file");
    for (words, key, expected) in [
        (vec![none], Some(KEY), "cannot be read"),
        (vec![none], None, "no key"),
        (vec![Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))], Some("short"), "the key"),
        (vec![none, Path::new("--checkpoint"), none], Some(KEY), "there is no checkpoint"),
        (vec![Path::new("--checkpoint")], Some(KEY), "needs a file"),
        (vec![Path::new("--what")], Some(KEY), "is not known"),
        (vec![none, none], Some(KEY), "one log at a time"),
        (vec![], Some(KEY), "usage"),
    ] {
        let (status, text) = check(&words, key);
        assert!(status == 2 && text.contains(expected), "{words:?}: {status} {text}");
    }
}
