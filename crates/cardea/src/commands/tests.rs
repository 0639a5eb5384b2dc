use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

use clap::{CommandFactory as _, Parser as _};
use serde_json::{Value, json};

use super::*;

mod operators;
mod policies;
mod slips;

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
fn a_new_project_passes_its_own_policy_tests() {
    let ran = run_in(started().path(), &["policy", "test"]);
    assert_eq!(ran.end, End::Good, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("8 cases, 0 not as expected"), "{}", ran.out);
}

#[test]
fn check_looks_at_the_policies_too() {
    let dir = started();
    fs::write(
        dir.path().join("policies/odd.cedar"),
        "permit (principal, action, resource) when { nonsense };",
    )
    .unwrap();
    let ran = run_in(dir.path(), &["check"]);
    assert!(ran.end == End::Bad && ran.err.contains("odd.cedar:1:"), "{}", ran.err);
}

#[test]
fn a_new_project_has_a_connector_that_is_true() {
    let dir = started();
    let file = dir.path().join("connectors/github.toml");
    let ran = run_in(dir.path(), &["connector", "check", file.to_str().unwrap()]);
    assert_eq!((ran.end, ran.err.as_str()), (End::Good, ""));
    assert!(
        ran.out.contains("github__get_repository") && ran.out.contains("may reach api.github.com"),
        "{}",
        ran.out
    );
    let folder = file.parent().unwrap().to_str().unwrap();
    let seen = run_in(dir.path(), &["connector", "check", folder, "--json"]).json();
    assert_eq!((&seen["good"], &seen["connectors"][0]["name"]), (&Value::from(true), &Value::from("github")));
    assert_eq!(run_in(dir.path(), &["check", "--json"]).json()["connectors"][0], "github");
}

#[test]
fn a_broken_connector_is_told_with_file_line_and_key() {
    let dir = started();
    let file = dir.path().join("connectors/github.toml");
    let good = fs::read_to_string(&file).unwrap();
    fs::write(&file, good.replace("https://api.github.com", "https://ann:hunter2@other.example")).unwrap();
    let ran = run_in(dir.path(), &["connector", "check", file.to_str().unwrap()]);
    assert_eq!(ran.end, End::Bad);
    assert!(ran.err.contains("connector.base") && ran.err.contains("no password"), "{}", ran.err);
    let seen = run_in(dir.path(), &["connector", "check", file.to_str().unwrap(), "--json"]).json();
    assert_eq!(
        (&seen["problems"][0]["line"], &seen["problems"][0]["key"]),
        (&Value::from(8), &Value::from("connector.base"))
    );
    assert!(!seen.to_string().contains("hunter2"), "{seen}");
    // The whole configuration is not good either.
    assert_eq!(run_in(dir.path(), &["check"]).end, End::Bad);

    fs::write(&file, good.replace("hosts   = [\"api.github.com\"]", "hosts = [\"other.example\"]")).unwrap();
    let seen = run_in(dir.path(), &["connector", "check", file.to_str().unwrap(), "--json"]).json();
    assert!(
        seen["problems"][0]["message"].as_str().unwrap().contains("not among `connector.hosts`"),
        "{seen}"
    );
    fs::write(&file, good.replace("12000 }\n", "12001 }\n")).unwrap();
    let seen = run_in(dir.path(), &["connector", "check", file.to_str().unwrap(), "--json"]).json();
    assert!(seen["problems"][0]["key"].as_str().unwrap().starts_with("operation[0].example[0]"), "{seen}");
    assert_eq!(run_in(dir.path(), &["connector", "check", "nowhere.toml"]).end, End::Unreachable);
}

#[test]
fn a_secret_without_a_connector_or_an_owner_is_refused() {
    let dir = started();
    fs::write(dir.path().join("cardea.toml"), "[connectors.secrets]\ngithubb = \"0123456789\"\n").unwrap();
    let ran = run_in(dir.path(), &["check"]);
    assert!(ran.err.contains("did you mean `github`?") && !ran.err.contains("0123456789"), "{}", ran.err);
    fs::write(dir.path().join("cardea.toml"), "").unwrap();
    for name in ["nothing", "github"] {
        assert_eq!(run_in(dir.path(), &["connector", "secret", name]).end, End::Misused, "{name} takes none");
    }
    let plain = dir.path().join("connectors/plain.toml");
    let text = fs::read_to_string(dir.path().join("connectors/github.toml")).unwrap();
    let text = text.replace("\"github\"", "\"plain\"").replace("https://", "http://");
    fs::write(plain, text).unwrap();
    let ran = run_in(dir.path(), &["check"]);
    assert!(ran.err.contains("without encryption") && ran.err.contains("api.github.com:80"), "{}", ran.err);
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
fn the_demo_writes_over_nothing_either() {
    let dir = started();
    let before = fs::read_to_string(dir.path().join("cardea.toml")).unwrap();
    let ran = run_in(dir.path(), &["demo", "--no-stay", "--dir", dir.path().to_str().unwrap()]);
    assert_eq!(ran.end, End::Bad);
    assert!(ran.err.contains("not empty") || ran.out.contains("not empty"), "{}{}", ran.out, ran.err);
    assert_eq!(fs::read_to_string(dir.path().join("cardea.toml")).unwrap(), before);
}

#[test]
fn a_result_that_cannot_be_written_is_no_success() {
    /// A disk without room.
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let cli = Cli::try_parse_from(["cardea", "completions", "bash"]).unwrap();
    let (mut full, mut stderr) = (Full, Vec::new());
    let end = run_with(&cli, &Environment::default(), &mut Out::new(&mut full, &mut stderr));
    assert_eq!(end, End::Unreachable);
    assert!(String::from_utf8(stderr).unwrap().contains("could not be written"));
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_read_is_not_an_empty_one() {
    let dir = started();
    fs::remove_dir_all(dir.path().join("agents")).unwrap();
    fs::write(dir.path().join("agents"), "a file in its place").unwrap();
    let ran = run_in(dir.path(), &["check"]);
    assert_eq!(ran.end, End::Bad, "{}", ran.out);
    assert!(ran.err.contains("agents") && ran.err.contains("cannot be read"), "{}", ran.err);
}

#[test]
fn check_reads_the_files_that_the_configuration_names() {
    let dir = started();
    let file = dir.path().join("cardea.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(dir.path().join("prices.toml"), "not a price list").unwrap();
    fs::write(&file, text.clone() + "\n[cost]\nprices = \"prices.toml\"\n").unwrap();
    let ran = run_in(dir.path(), &["check"]);
    assert!(ran.end == End::Bad && ran.err.contains("cost.prices"), "{}{}", ran.out, ran.err);
    fs::write(&file, text).unwrap();
    fs::write(dir.path().join("policies/odd.cedar"), [0xff, 0xfe]).unwrap();
    let ran = run_in(dir.path(), &["check"]);
    assert!(ran.end == End::Bad && ran.err.contains("odd.cedar"), "{}{}", ran.out, ran.err);
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
    assert_eq!(run_in(&dir.path().join("elsewhere"), &["check"]).end, End::Unreachable);
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

#[test]
fn migrate_makes_the_tables_once_and_doctor_sees_it() {
    let dir = started();
    let before = run_in(dir.path(), &["doctor", "--json"]).json();
    assert!(before.to_string().contains("will be made at the first start"), "{before}");
    let ran = run_in(dir.path(), &["migrate"]);
    assert!(ran.end == End::Good && ran.out.contains("applied 0001_start"), "{}{}", ran.out, ran.err);
    assert!(run_in(dir.path(), &["migrate"]).out.contains("nothing to do"));
    let after = run_in(dir.path(), &["doctor", "--json"]).json();
    assert!(after.to_string().contains("sqlite at version"), "{after}");
}

#[test]
fn doctor_names_what_cannot_be_reached_and_what_to_do() {
    let dir = started();
    // A port that was free a moment ago, and on which nobody listens.
    let closed = cardea_testkit::port::free();
    let text = format!(
        "[upstreams.a]\nurl = \"http://{closed}/mcp\"\n[upstreams.b]\nurl = \"https://10.9.8.7/mcp\"\n[net]\nallow = [\"{closed}\"]"
    );
    fs::write(dir.path().join("cardea.toml"), text).unwrap();
    let ran = run_in(dir.path(), &["doctor"]);
    assert_eq!(ran.end, End::Bad);
    for piece in
        ["BAD   upstream a", "no connection", "BAD   upstream b", "[net] allow = [\"10.9.8.7:443\"]", "to do"]
    {
        assert!(ran.out.contains(piece), "no `{piece}` in:\n{}", ran.out);
    }
}

#[test]
fn guard_scan_says_where_and_what_but_never_the_value() {
    let dir = started();
    let file = dir.path().join("text");
    fs::write(&file, "hello\nmy card is 4111 1111 1111 1111, please\n").unwrap();
    let words = ["guard", "scan", file.to_str().unwrap(), "--surface", "output"];
    let ran = run_in(dir.path(), &words);
    assert_eq!(ran.end, End::Bad, "{}", ran.err);
    assert!(ran.out.contains("2:12") && ran.out.contains("card"), "{}", ran.out);
    assert!(!ran.out.contains("4111"), "{}", ran.out);
    fs::write(&file, "the weather is nice today").unwrap();
    assert_eq!(run_in(dir.path(), &words).end, End::Good);
    assert_eq!(
        run_in(dir.path(), &["guard", "scan", "--profile", "nobodys", file.to_str().unwrap()]).end,
        End::Misused
    );
}

#[test]
fn guard_list_and_eval_tell_what_is_known_and_how_well() {
    let dir = tempfile::tempdir().unwrap();
    let listed = run_in(dir.path(), &["guard", "list"]);
    assert!(
        listed.end == End::Good && listed.out.contains("credential") && listed.out.lines().count() > 20,
        "{}",
        listed.out
    );
    assert!(run_in(dir.path(), &["guard", "list", "--markdown"]).out.starts_with("# "));
    let file = dir.path().join("rows.jsonl");
    let found = json!({ "text": "card 4111 1111 1111 1111", "label": "pii", "spans": [{ "start": 5, "end": 24, "type": "CARD" }] });
    let harmless = json!({ "text": "the weather is nice", "label": "none", "kind": "hard_negative" });
    fs::write(&file, format!("{found}\n{harmless}\n")).unwrap();
    let words = ["guard", "eval", file.to_str().unwrap()];
    let ran = run_in(dir.path(), &words);
    assert!(ran.end == End::Good && ran.out.contains("2 rows, profile standard"), "{}{}", ran.out, ran.err);
    let figures = run_in(dir.path(), &["guard", "eval", "--json", file.to_str().unwrap()]).json();
    assert_eq!(figures["rows"], 2);
    fs::write(&file, "{}").unwrap();
    assert!(run_in(dir.path(), &words).err.contains("rows.jsonl:1"));
}

#[test]
fn policy_test_runs_the_cases_and_fails_with_them() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("tests")).unwrap();
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    write(
        "a.cedar",
        "@id(\"look\") permit (principal in Role::\"support\", action in Action::\"read\", resource);",
    );
    let spec = "{\"name\":\"ops__look\",\"description\":\"Looks.\",\"input_schema\":{\"type\":\"object\"},\"effect\":\"read\"}";
    write("tools.json", &format!("[{spec}]"));
    let case = |roles: &str, expect: &str| {
        format!("[[case]]\nroles = [{roles}]\ntool = \"ops__look\"\nexpect = \"{expect}\"\n")
    };
    write("tests/a.toml", &(case("\"support\"", "allow") + &case("", "deny")));
    let words = ["policy", "test", dir.path().to_str().unwrap()];
    let ran = run_in(dir.path(), &words);
    assert!(ran.end == End::Good && ran.out.contains("2 cases, 0 not as expected"), "{}{}", ran.out, ran.err);

    write("tests/a.toml", &case("", "allow"));
    let ran = run_in(dir.path(), &words);
    assert!(ran.end == End::Bad && ran.out.contains("expected allow, got deny"), "{}", ran.out);
    write("a.cedar", "permit (principal, action, resource) when { context.nonsense };");
    assert_eq!(run_in(dir.path(), &words).end, End::Bad);
}

/// A server that answers as Cardea does, and remembers which conversations it was asked to go on with.
async fn fake_server(seen: Arc<Mutex<Vec<String>>>) -> String {
    use axum::{
        Json, Router,
        http::{HeaderMap, StatusCode},
        response::IntoResponse as _,
        routing::post,
    };
    let answer = move |headers: HeaderMap, Json(body): Json<Value>| async move {
        let conversation = headers.get("x-cardea-conversation").map_or("none", |id| id.to_str().unwrap());
        seen.lock().unwrap().push(conversation.to_owned());
        if headers.get("authorization").is_none_or(|token| token != "Bearer good") {
            let error = json!({ "error": { "message": "Sign in first.", "code": "not_signed_in" } });
            return (StatusCode::UNAUTHORIZED, Json(error)).into_response();
        }
        assert_eq!(body["model"], "agent/support");
        let piece =
            |text: &str| format!("data: {}\n\n", json!({ "choices": [{ "delta": { "content": text } }] }));
        let end = json!({ "choices": [{ "delta": {} }], "cardea": { "took_ms": 7, "tools": [
                    { "step": "step_1", "tool": "ops__orders_get", "state": "done" }] } });
        let stream = format!("{}{}data: {end}\n\ndata: [DONE]\n\n", piece("It is "), piece("shipped."));
        ([("x-cardea-conversation", "conv_1"), ("content-type", "text/event-stream")], stream).into_response()
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let routes = Router::new().route("/v1/chat/completions", post(answer));
    #[expect(clippy::disallowed_methods, reason = "a fake server that ends with its test")]
    tokio::spawn(async move { axum::serve(listener, routes).await });
    url
}

#[tokio::test]
async fn a_chat_streams_answers_and_goes_on_with_its_conversation() {
    let seen = Arc::default();
    let url = fake_server(Arc::clone(&seen)).await;
    let server = |token: &str| client::Asked { base: url.clone(), token: Some(token.to_owned()) };
    let chat = Chat {
        message: Vec::new(),
        server: Server::default(),
        agent: "support".to_owned(),
        conversation: None,
    };
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let lines = "where is 1042?\nand now?\n/new\nonce more\n/quit\nnever asked\n".as_bytes();
    let end = chat::talk(&chat, &server("good"), lines, false, &mut Out::new(&mut stdout, &mut stderr)).await;
    assert_eq!(end, End::Good);
    assert_eq!(String::from_utf8(stdout).unwrap(), "It is shipped.\n".repeat(3));
    assert!(String::from_utf8(stderr).unwrap().contains("[tools ops__orders_get | 7 ms]"));
    assert_eq!(*seen.lock().unwrap(), ["none", "conv_1", "none"]);

    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let refused = Chat { message: vec!["hi".to_owned()], ..chat };
    let end =
        chat::talk(&refused, &server(""), "".as_bytes(), false, &mut Out::new(&mut stdout, &mut stderr))
            .await;
    assert_eq!(end, End::Bad, "somebody answered, and said no");
    let told = String::from_utf8(stderr).unwrap();
    assert!(told.contains("Sign in first. [not_signed_in]") && told.contains("CARDEA_TOKEN"), "{told}");
}

#[tokio::test]
async fn a_chat_with_nobody_says_so() {
    let closed = cardea_testkit::port::free();
    let server = client::Asked { base: format!("http://{closed}"), token: None };
    let chat = Chat {
        message: vec!["hi".to_owned()],
        server: Server::default(),
        agent: "a".to_owned(),
        conversation: None,
    };
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let end = chat::talk(&chat, &server, "".as_bytes(), false, &mut Out::new(&mut stdout, &mut stderr)).await;
    assert_eq!(end, End::Unreachable);
    let told = String::from_utf8(stderr).unwrap();
    assert!(told.contains("is the server running?") && told.contains("--url"), "{told}");

    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let script = Chat { message: Vec::new(), ..chat };
    let end =
        chat::talk(&script, &server, &b"hello\n\xff\n"[..], false, &mut Out::new(&mut stdout, &mut stderr))
            .await;
    assert_ne!(end, End::Good, "a script that asks line by line hears of it as well");
    assert!(String::from_utf8(stderr).unwrap().contains("not UTF-8"));
}

#[tokio::test]
async fn audit_verify_names_the_first_entry_that_does_not_hold() {
    use cardea_core::{log::ChainKey, time::Timestamp};
    use cardea_store::{Commit, Db};

    let dir = started();
    let loaded =
        crate::config::Config::load(&dir.path().join("cardea.toml"), &Environment::default()).unwrap();
    let config = loaded.config;
    let key = ChainKey::new(&[7; 32]);
    fs::create_dir(&config.data.dir).unwrap();
    let db = Db::open(config.db.clone(), key.clone()).await.unwrap();
    db.migrate().await.unwrap();
    for ms in 1..=3 {
        let body = json!({ "tenant": "t", "ms": ms }).to_string();
        db.commit(Commit::new().audit(&"t".into(), Timestamp(ms), body.into_bytes())).await.unwrap();
    }
    db.close().await;
    // The commands start a runtime of their own, so they run where none is.
    tokio::task::spawn_blocking(move || prove_and_break(&config, &key)).await.unwrap();
}

fn prove_and_break(config: &crate::config::Config, key: &cardea_core::log::ChainKey) {
    let run = |command: &AuditCommand| {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let end = audit::audit(command, config, key.clone(), None, &mut Out::new(&mut stdout, &mut stderr));
        Ran { end, out: String::from_utf8(stdout).unwrap(), err: String::from_utf8(stderr).unwrap() }
    };
    let verify = |file: Option<&Path>, database: Option<&Path>| {
        let (file, database) = (file.map(Path::to_owned), database.map(Path::to_owned));
        run(&AuditCommand::Verify(AuditVerify { file, database, checkpoints: None }))
    };
    let proved = verify(None, None);
    assert!(
        proved.end == End::Good && proved.out.contains("proved: 3 entries"),
        "{}{}",
        proved.out,
        proved.err
    );

    let lines = run(&AuditCommand::Export(AuditExport::default())).out;
    let file = config.data.dir.join("export");
    fs::write(&file, &lines).unwrap();
    assert_eq!(verify(Some(&file), None).end, End::Good);
    fs::write(&file, lines.replacen("\\\"ms\\\":2", "\\\"ms\\\":9", 1)).unwrap();
    let broken = verify(Some(&file), None);
    assert!(broken.end == End::Bad && broken.err.contains("entry 2"), "{}", broken.err);

    let points = Some(config.data.dir.join("nowhere.points"));
    let unseen = AuditVerify { file: Some(file.clone()), database: None, checkpoints: points };
    let unseen = run(&AuditCommand::Verify(unseen));
    assert!(unseen.end == End::Unreachable && unseen.err.contains("nowhere.points"), "{}", unseen.err);
    let changed = client::wait(async {
        let db = cardea_store::Db::open(config.db.clone(), key.clone()).await.unwrap();
        let text = "UPDATE audit SET body = 'a text' WHERE seq = 2";
        db.commit(cardea_store::Commit::new().run(text, cardea_store::args![])).await.unwrap();
        db.close().await;
    });
    changed.unwrap();
    let broken = verify(None, None);
    assert!(broken.end == End::Bad && broken.err.contains("entry 2"), "{}", broken.err);

    let nowhere = config.data.dir.join("nowhere.db");
    assert_eq!(verify(None, Some(&nowhere)).end, End::Unreachable);
    assert!(!nowhere.exists(), "looking at a copy made one");
}

#[test]
fn cache_tune_finds_a_setting_that_keeps_two_questions_apart() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pairs.jsonl");
    let mut lines = String::new();
    for order in 1_000..1_040 {
        let other = order + 1;
        let question = format!("Where is order {order}?");
        lines +=
            &format!("{}\n", json!({ "a": question, "b": format!("where is order {order}"), "same": true }));
        lines += &format!(
            "{}\n",
            json!({ "a": question, "b": format!("Where is order {other}?"), "same": false })
        );
    }
    fs::write(&file, &lines).unwrap();
    let words = ["cache", "tune", file.to_str().unwrap(), "--wrong", "0.1"];
    let ran = run_in(dir.path(), &words);
    assert_eq!(ran.end, End::Good, "{}{}", ran.out, ran.err);
    assert!(
        ran.out.contains("80 pairs, 40 of them with one answer") && ran.out.contains("(learned)"),
        "{}",
        ran.out
    );
    let json = run_in(dir.path(), &[&words[..], &["--json"]].concat()).json();
    assert_eq!(json["recommended"]["hits"], 40);
    assert_eq!(json["recommended"]["wrong"], 0, "an order was taken for another");
    // Forty right hits cannot prove that fewer than one in a thousand are wrong.
    assert_eq!(
        run_in(dir.path(), &["cache", "tune", file.to_str().unwrap(), "--wrong", "0.001"]).end,
        End::Bad
    );
    fs::write(&file, "{\"a\": 1}").unwrap();
    assert!(run_in(dir.path(), &words).err.contains("line 1 is no pair"));
}

#[test]
fn cache_tune_replays_questions_in_their_order_and_keeps_sources_apart() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("log.jsonl");
    let said = [
        ("shop", "open", "What are your opening hours?"),
        ("bank", "open", "what are your opening hours"),
        ("shop", "open", "what are your opening hours?"),
        ("shop", "17", "Where is order 17?"),
        ("shop", "18", "Where is order 18?"),
    ];
    let line = |(source, class, text): (&str, &str, &str)| {
        format!("{}\n", json!({ "source": source, "class": class, "text": text }))
    };
    fs::write(&file, said.map(line).concat()).unwrap();
    let words = ["cache", "tune", file.to_str().unwrap(), "--wrong", "0.9"];
    let ran = run_in(dir.path(), &words);
    assert_eq!(ran.end, End::Good, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("shop: 4 questions") && ran.out.contains("bank: 1 questions"), "{}", ran.out);
    let json = run_in(dir.path(), &[&words[..], &["--json"]].concat()).json();
    assert_eq!(json["recommended"]["hits"], 1, "the bank's question is asked of the bank alone");
    assert_eq!(json["recommended"]["wrong"], 0, "an order was taken for another");
    assert_eq!(json["questions"], 5);
}

#[test]
fn a_token_is_made_only_where_the_issuer_for_trying_out_is_on() {
    let dir = started();
    let ran = run_in(dir.path(), &["token", "ann", "--role", "support"]);
    assert_eq!(ran.end, End::Good, "{}", ran.err);
    assert_eq!(ran.out.trim().split('.').count(), 3, "{}", ran.out);
    assert!(ran.err.contains("for trying out"));
    let told = run_in(dir.path(), &["audit", "export"]);
    assert!(told.out.contains("token.made"), "whoever may make tokens for anybody is told of: {}", told.out);
    fs::write(dir.path().join("cardea.toml"), "").unwrap();
    let ran = run_in(dir.path(), &["token", "ann"]);
    assert!(ran.end == End::Bad && ran.err.contains("local_issuer.enabled"), "{}", ran.err);
}

#[test]
fn a_token_is_taken_back_by_its_id_or_its_user_and_the_log_says_so() {
    let dir = started();
    for args in [
        &["token", "revoke", "--id", "a b"] as &[&str],
        &["token", "revoke", "--user", "ann", "--keys"],
        &["token", "revoke", "--user", "ann smith", "--issuer", "https://id.example"],
    ] {
        let ran = run_in(dir.path(), args);
        assert!(ran.end == End::Good && ran.err.contains("within two seconds"), "{}", ran.err);
    }
    for wrong in
        [&["token", "revoke"] as &[&str], &["token", "revoke", "--id", "a", "--user", "b"], &["token"]]
    {
        assert!(Cli::try_parse_from(["cardea"].iter().chain(wrong)).is_err(), "{wrong:?}");
    }
    let told = run_in(dir.path(), &["audit", "export"]);
    assert_eq!(told.out.matches("token.revoked").count(), 3, "{}{}", told.out, told.err);
}

#[test]
fn a_key_is_shown_once_and_listed_without_itself_until_it_is_revoked() {
    let dir = started();
    let made = run_in(
        dir.path(),
        &["key", "create", "robot", "--name", "nightly", "--role", "support", "--expires", "90d"],
    );
    assert_eq!(made.end, End::Good, "{}", made.err);
    let secret = made.out.trim();
    let listed = run_in(dir.path(), &["key", "list"]);
    assert!(
        listed.out.contains("nightly") && listed.out.contains("until ") && !listed.out.contains(secret),
        "{}",
        listed.out
    );
    let id =
        run_in(dir.path(), &["key", "list", "--json"]).json()["keys"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(run_in(dir.path(), &["key", "revoke", &id]).end, End::Good);
    assert!(run_in(dir.path(), &["key", "list"]).out.contains("revoked "));
    assert_eq!(run_in(dir.path(), &["key", "revoke", "key_00000000000000000000000000000001"]).end, End::Bad);
    // All of it is in the log, and the log holds.
    let proved = run_in(dir.path(), &["audit", "verify"]);
    assert!(proved.end == End::Good && proved.out.contains("proved: "), "{}{}", proved.out, proved.err);
    assert!(
        !fs::read_dir(dir.path().join("data")).unwrap().any(|file| {
            String::from_utf8_lossy(&fs::read(file.unwrap().path()).unwrap_or_default()).contains(secret)
        }),
        "the key itself was kept"
    );
}

#[test]
fn a_change_of_a_tool_is_shown_with_all_its_signs_and_accepted_by_what_it_says() {
    let dir = started();
    let file = dir.path().join("cardea.toml");
    let upstream = "\n[upstreams.ops]\nurl = \"https://ops.example/mcp\"\n";
    fs::write(&file, fs::read_to_string(&file).unwrap() + upstream).unwrap();
    let quiet = run_in(dir.path(), &["tool", "changes"]);
    assert!(quiet.end == End::Good && quiet.err.contains("nothing waits"), "{}{}", quiet.out, quiet.err);
    let loaded =
        crate::config::Config::load(&dir.path().join("cardea.toml"), &Environment::default()).unwrap();
    let digest = "3f9ac0de".repeat(8);
    let put = cardea_store::Commit::new().insert(
        "tool_pins",
        [
            ("tool", "ops__pay".into()),
            ("upstream", "ops".into()),
            ("accepted", "0".into()),
            ("definition", json!({ "description": "Pays." }).to_string().into()),
            ("held", digest.as_str().into()),
            ("held_as", json!({ "description": "Pays.\u{202e}\u{1b}[2J" }).to_string().into()),
            ("held_at", 1_i64.into()),
        ],
    );
    client::wait(async {
        let (_, db, _) = ground::rooms(&loaded.config).await.unwrap();
        db.commit(put).await.unwrap();
        db.close().await;
    })
    .unwrap();
    let shown = run_in(dir.path(), &["tool", "changes"]);
    assert!(shown.end == End::Bad && !shown.out.contains(['\u{202e}', '\u{1b}']), "{}", shown.out);
    for part in [
        "ops__pay has changed",
        "/description",
        "- \"Pays.\"",
        "\\u{202e}",
        "tool accept ops__pay 3f9ac0de3f9a",
    ] {
        assert!(shown.out.contains(part), "`{part}` is not in {}", shown.out);
    }
    assert_eq!(run_in(dir.path(), &["tool", "changes", "--json"]).json()["changes"][0]["digest"], digest);
    assert_eq!(run_in(dir.path(), &["tool", "accept", "ops__pay", "3f9ac0dd"]).end, End::Bad);
    assert_eq!(run_in(dir.path(), &["tool", "accept", "ops__nay", "3f9ac0de"]).end, End::Bad);
    let taken = run_in(dir.path(), &["tool", "accept", "ops__pay", "3f9ac0de"]);
    assert!(taken.end == End::Good && taken.err.contains("within two seconds"), "{}", taken.err);
    assert_eq!(run_in(dir.path(), &["tool", "changes"]).end, End::Good);
    let proved = run_in(dir.path(), &["audit", "export"]);
    assert!(proved.out.contains("tool.accepted"), "{}", proved.out);
}

#[test]
fn somebody_is_erased_only_after_the_name_was_written_twice() {
    let words = |yes| PersonErase { user: "bob".to_owned(), issuer: None, yes, server: Server::default() };
    let server = client::Asked { base: "http://127.0.0.1:9".to_owned(), token: None };
    let erase = |yes, typed: &str, asks| {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let mut out = Out::new(&mut stdout, &mut stderr);
        let end = person::erase(&words(yes), &server, typed.as_bytes(), asks, &mut out);
        (end, String::from_utf8(stderr).unwrap())
    };
    let (end, told) = erase(false, "", false);
    assert!(end == End::Misused && told.contains("--yes"), "{told}");
    let dots = PersonErase { user: "..".to_owned(), issuer: None, yes: true, server: Server::default() };
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let end = person::erase(&dots, &server, "".as_bytes(), false, &mut Out::new(&mut stdout, &mut stderr));
    assert_eq!(end, End::Misused, "{}", String::from_utf8_lossy(&stderr));
    let (end, told) = erase(false, "bobby\n", true);
    assert!(end == End::Bad && told.contains("nothing was done"), "{told}");
    for (yes, typed) in [(true, ""), (false, "bob\n")] {
        let (end, told) = erase(yes, typed, true);
        assert!(end == End::Unreachable && told.contains("nobody answers at http://127.0.0.1:9"), "{told}");
    }
}

#[test]
fn a_slip_on_the_command_line_says_what_to_do() {
    let dir = started();
    let file = dir.path().join("a-file");
    fs::write(&file, "x").unwrap();
    let cases: &[(&[&str], End, &str)] = &[
        (&["init", file.to_str().unwrap()], End::Unreachable, "it is a file"),
        (&["guard", "scan", "nowhere.txt"], End::Unreachable, "nowhere.txt cannot be read"),
        (&["chat", "--url", "127.0.0.1:9", "hi"], End::Misused, "write it as http://HOST:PORT"),
        (&["key", "revoke", "x"], End::Misused, "is not an id"),
        (&["connector", "secret", "github"], End::Misused, "takes no secret"),
    ];
    for (words, end, told) in cases {
        let ran = run_in(dir.path(), words);
        assert!(ran.end == *end && ran.err.contains(told), "{words:?}: {:?} {}", ran.end, ran.err);
    }
    let ran = run_in(&dir.path().join("elsewhere"), &["check"]);
    assert!(ran.end == End::Unreachable && ran.err.contains("cardea init"), "{}", ran.err);
    let ran = run_in(file.parent().unwrap(), &["check"]);
    assert_eq!(ran.end, End::Good, "{}", ran.err);
}
