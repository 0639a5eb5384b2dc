//! Who called what, in a file that shows every change.

use std::{
    fs,
    path::{Path, PathBuf},
};

use cardea_core::{log::Broken, secret::SecretString};
use cardea_mcp::{
    Args, Audit, Code, Error, Layers, Result, Server, TestClient, Tool,
    audit::{Fault, OnFailure, Record, verify},
    guard::HasRole,
    schemars::JsonSchema,
};
use futures::FutureExt as _;
use serde::Deserialize;
use serde_json::{Value, json};

fn key() -> SecretString {
    SecretString::from("an audit key of at least 32 bytes".to_owned())
}

#[derive(Deserialize, JsonSchema)]
#[expect(dead_code, reason = "only what is recorded is looked at")]
struct Note {
    text: String,
    #[serde(default)]
    api_key: Option<String>,
    #[serde(default, deserialize_with = "short")]
    #[schemars(with = "Option<String>")]
    word: Option<String>,
}

/// A rule that stands in no schema.
fn short<'a, D: serde::Deserializer<'a>>(word: D) -> std::result::Result<Option<String>, D::Error> {
    let word = Option::<String>::deserialize(word)?;
    match word {
        Some(long) if long.len() > 4 => Err(serde::de::Error::custom(format!("`{long}` is too long"))),
        word => Ok(word),
    }
}

async fn picky(Args(note): Args<Note>) -> Result<()> {
    Err(Error::new(Code::BadRequest).detail(format!("`{}` is nothing to look for.", note.text)).into())
}

async fn note(Args(_): Args<Note>) -> Result<()> {
    Ok(())
}

async fn panics() -> Result<()> {
    panic!("a bug")
}

fn client(audit: Audit) -> TestClient {
    let server = Server::new("s", "1")
        .layers(Layers::new().audit(audit).metrics())
        .tool(Tool::new("look", note).about("Looks.").reads())
        .tool(Tool::new("picky", picky).about("Finds fault.").reads())
        .tool(Tool::new("write", note).about("Writes.").writes())
        .tool(Tool::new("panics", panics).about("Panics.").reads())
        .tool(Tool::new("staff", note).about("For staff.").reads().guard(HasRole::new(["staff"])));
    TestClient::new(server).unwrap().as_user("ann")
}

fn entries(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["entry"].clone()).collect()
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    (dir, path)
}

#[tokio::test]
async fn every_call_is_on_record_however_it_ended() {
    let (_dir, path) = place();
    let ann = client(Audit::open(&path, &key()).unwrap().record(Record::Arguments));
    ann.call("look", json!({ "text": "a", "api_key": "sk-marker" })).await;
    ann.call("write", json!({ "text": "b" })).await;
    ann.call("panics", json!({})).await;
    ann.call("staff", json!({ "text": "c" })).await;
    ann.call("look", json!({ "text": 5 })).await;
    ann.call("no_such_tool", json!({})).await;
    let told: Vec<String> = entries(&path)
        .iter()
        .map(|e| format!("{} {} {}", e["phase"], e["tool"], e["outcome"]).replace('"', ""))
        .collect();
    assert_eq!(
        told,
        [
            "outcome look done",
            "intent write null",
            "outcome write done",
            "outcome panics internal",
            "outcome staff denied",
            "outcome look invalid_arguments",
            "outcome no_such_tool not_found",
        ]
    );
    let first = &entries(&path)[0];
    assert_eq!(
        (&first["user"], &first["tenant"], &first["issuer"]),
        (&json!("ann"), &json!("default"), &json!("test"))
    );
    assert_eq!(first["arguments"], json!({ "text": "a", "api_key": "***" }));
    assert!(!fs::read_to_string(&path).unwrap().contains("sk-marker"));
}

#[tokio::test]
async fn what_an_argument_was_is_told_to_the_caller_and_not_to_the_file() {
    let (_dir, path) = place();
    let ann = client(Audit::open(&path, &key()).unwrap());
    for (tool, arguments) in [
        ("look", json!({ "text": ["a-marker"] })),
        ("look", json!({ "text": "", "word": "a-marker" })),
        ("picky", json!({ "text": "a-marker" })),
    ] {
        let told = format!("{:?}", ann.call(tool, arguments).await);
        assert!(told.contains("a-marker"), "{told}");
    }
    assert!(!fs::read_to_string(&path).unwrap().contains("a-marker"));
    let reasons: Vec<String> =
        entries(&path).iter().map(|entry| entry["reason"].as_str().unwrap().to_owned()).collect();
    assert!(reasons[0].contains("`/text`"), "the place is told: {reasons:?}");
    assert!(reasons.iter().all(|reason| !reason.is_empty()), "{reasons:?}");
}

#[tokio::test]
async fn a_hostile_argument_makes_one_bounded_line() {
    let (_dir, path) = place();
    let ann = client(Audit::open(&path, &key()).unwrap().record(Record::Everything));
    let hostile = "\u{1b}[2J\n{\"seq\":1}\r\n\u{2028}\"}";
    ann.call("look", json!({ "text": hostile })).await;
    ann.call("look", json!({ "text": "x".repeat(900_000) })).await;
    ann.call(r#"x","seq":9,"link":"#, json!({})).await;
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 3);
    assert!(text.lines().all(|line| line.len() < 8_000));
    assert!(!text.contains('\u{1b}'));
    assert_eq!(entries(&path)[0]["arguments"]["text"], hostile);
    let digests: Vec<_> = entries(&path).iter().map(|entry| entry["arguments_sha256"].clone()).collect();
    assert_ne!(digests[0], digests[1], "the digest covers the whole value");
    assert_eq!(verify(&path, None, &key()).unwrap().sequence, 3);
}

#[tokio::test]
async fn the_chain_goes_on_after_a_restart_and_after_a_crash_in_the_middle_of_a_line() {
    let (_dir, path) = place();
    for round in 0..3 {
        let audit = Audit::open(&path, &key()).unwrap();
        assert!(Audit::open(&path, &key()).is_err(), "two writers would break the chain");
        client(audit).call("look", json!({ "text": "a" })).await;
        if round == 1 {
            let mut torn = fs::read(&path).unwrap();
            torn.extend_from_slice(b"{\"seq\":3,\"link\":\"00");
            fs::write(&path, torn).unwrap();
        }
    }
    let checkpoint = path.with_extension("checkpoint");
    assert_eq!(verify(&path, Some(&checkpoint), &key()).unwrap().sequence, 3);
    let other = SecretString::from("another key, but long enough too...".to_owned());
    assert!(Audit::open(&path, &other).is_err());
}

#[tokio::test]
async fn the_verifier_names_the_first_entry_that_was_touched() {
    let (_dir, path) = place();
    let ann = client(Audit::open(&path, &key()).unwrap());
    let calls = (0..40).map(|n| ann.call("look", json!({ "text": n.to_string() })).boxed_local());
    futures::future::join_all(calls).await;
    drop(ann);
    let good = fs::read_to_string(&path).unwrap();
    let checkpoint = path.with_extension("checkpoint");
    // The writer's own thread writes it, after its last entry.
    let written = async {
        while !fs::read_to_string(&checkpoint).is_ok_and(|text| text.starts_with("40 ")) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), written).await.expect("a checkpoint of the end");
    let lines: Vec<&str> = good.lines().collect();
    assert_eq!(lines.len(), 40);
    let check = |lines: &[&str]| {
        fs::write(&path, lines.join("\n") + "\n").unwrap();
        verify(&path, Some(&checkpoint), &key())
    };
    let edited = lines[9].replace("done", "none");
    let tamper = |change: &dyn Fn(&mut Vec<&'static str>)| -> Vec<&str> {
        let mut lines: Vec<&'static str> = good.clone().leak().lines().collect();
        change(&mut lines);
        lines
    };
    let mut changed = lines.clone();
    changed[9] = &edited;
    assert_eq!(check(&changed), Err(Fault::Chain(Broken::Link(10))));
    let gap = |expected, found| Err(Fault::Chain(Broken::Gap { expected, found }));
    assert_eq!(
        check(&tamper(&|l| {
            l.remove(9);
        })),
        gap(10, 11)
    );
    assert_eq!(check(&tamper(&|l| l.swap(9, 10))), gap(10, 11));
    assert_eq!(check(&tamper(&|l| l.insert(9, l[9]))), gap(11, 10));
    assert_eq!(check(&tamper(&|l| l.insert(9, "{}"))), Err(Fault::Line(10)));
    let cut = Err(Fault::Chain(Broken::Truncated { expected: 40, found: 30 }));
    assert_eq!(check(&tamper(&|l| l.truncate(30))), cut);
    assert_eq!(check(&lines).unwrap().sequence, 40);
}

#[tokio::test]
async fn without_its_record_a_call_does_not_happen_unless_the_operator_said_so() {
    let (_dir, path) = place();
    let audit = Audit::open(&path, &key()).unwrap();
    let ann = client(audit);
    ann.service().stop_audit();
    assert_eq!(ann.call("write", json!({ "text": "a" })).await.code(), "store_unavailable");
    drop(ann);
    let ann = client(Audit::open(&path, &key()).unwrap().on_failure(OnFailure::GoOn));
    ann.service().stop_audit();
    assert_eq!(ann.call("write", json!({ "text": "a" })).await.code(), "done");
    assert!(ann.service().metrics().unwrap().contains("mcp_audit_lost_total 2"));
}

#[test]
fn a_key_that_anyone_could_know_is_refused() {
    let (_dir, path) = place();
    for weak in ["short", "${AUDIT_KEY}-and-some-more-to-make-it-long"] {
        assert!(Audit::open(&path, &SecretString::from(weak.to_owned())).is_err());
    }
}
