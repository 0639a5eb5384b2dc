//! Slips of whoever sits at the keyboard are refused with what to do, and nothing is left behind.

use std::fs;

use clap::Parser as _;
use serde_json::{Value, json};

use super::{Cli, End, Environment, Out, connector, run_in, run_with, started};

/// A project whose `cardea.toml` is this.
fn configured(text: &str) -> tempfile::TempDir {
    let dir = started();
    fs::write(dir.path().join("cardea.toml"), text).unwrap();
    dir
}

#[test]
fn a_client_asks_where_the_configuration_says_that_the_server_listens() {
    let closed = cardea_testkit::port::free();
    let port = closed.port();
    // A key that only the server can read is nothing to a client.
    let dir = configured(&format!(
        "[server]\nbind = \"0.0.0.0:{port}\"\n[vault]\nroot_key = {{ env = \"NOT_SET_HERE\" }}\n"
    ));
    let away = format!("nobody answers at http://127.0.0.1:{port};");
    let id = "appr_00000000000000000000000000000001";
    for words in [
        &["chat", "hi"][..],
        &["cache", "stats"],
        &["cache", "clear"],
        &["person", "erase", "ann", "--yes"],
        &["approvals"],
        &["approvals", "approve", id],
    ] {
        let ran = run_in(dir.path(), words);
        assert!(ran.end == End::Unreachable && ran.err.contains(&away), "{words:?}: {}", ran.err);
        assert!(ran.err.contains("--url"), "{}", ran.err);
    }
    let named = run_in(dir.path(), &["chat", "--url", "http://127.0.0.1:9", "hi"]);
    assert!(named.err.contains("nobody answers at http://127.0.0.1:9;"), "{}", named.err);
    fs::write(dir.path().join("cardea.toml"), "[server]\npublic_url = \"http://[::1]:9\"\n").unwrap();
    let public = run_in(dir.path(), &["chat", "hi"]);
    assert!(public.err.contains("nobody answers at http://[::1]:9;"), "{}", public.err);
    // A file that is named and not there is a slip; no file at all is no configuration.
    let missing = run_in(&dir.path().join("elsewhere"), &["chat", "hi"]);
    assert!(missing.end == End::Unreachable && missing.err.contains("cannot be read"), "{}", missing.err);
    let address = crate::config::address(std::path::Path::new("cardea.toml"), &Environment::default());
    assert!(address.unwrap().is_none());
    assert_eq!(run_in(dir.path(), &["approvals", "approve", "17"]).end, End::Misused);
}

#[test]
fn a_secret_is_one_line_and_its_user_comes_from_an_issuer_of_here() {
    for bad in ["two\nlines", "a\u{1}b", "tab\tbed", "", "\n"] {
        assert!(connector::read_secret(bad.as_bytes()).is_err(), "{bad:?}");
    }
    assert_eq!(connector::read_secret("key-ä 1\r\n".as_bytes()).unwrap().as_str(), "key-ä 1");
    let dir = started();
    let plain = fs::read_to_string(dir.path().join("connectors/github.toml")).unwrap();
    let mine = plain
        .replace("\"github\"", "\"mine\"")
        .replace(", sharing = \"tenant\"", "")
        .replace("\nhosts", "\nauth = { kind = \"bearer\", per = \"user\" }\nhosts");
    fs::write(dir.path().join("connectors/mine.toml"), mine).unwrap();
    let words = ["connector", "secret", "mine", "--user", "ann", "--issuer", "cardea-try-uot"];
    let ran = run_in(dir.path(), &words);
    assert_eq!(ran.end, End::Misused, "{}", ran.err);
    assert!(
        ran.err.contains("No user comes from the issuer `cardea-try-uot`; did you mean `cardea-try-out`?"),
        "{}",
        ran.err
    );
}

#[test]
fn a_guard_profile_that_is_broken_is_not_told_as_missing_and_a_missing_folder_is() {
    let dir = configured("[guard]\nprofile = \"mine\"\n");
    fs::create_dir(dir.path().join("guards")).unwrap();
    fs::write(dir.path().join("guards/mine.toml"), "nonsense").unwrap();
    let ran = run_in(dir.path(), &["check"]);
    assert!(ran.end == End::Bad && ran.err.contains("mine.toml"), "{}", ran.err);
    assert!(!ran.err.contains("there is no guard profile"), "{}", ran.err);
    let ran = run_in(configured("[guard]\ndir = \"gaurds\"\n").path(), &["check"]);
    assert!(
        ran.end == End::Bad && ran.err.contains("guard.dir") && ran.err.contains("there is no folder"),
        "{}",
        ran.err
    );
}

#[test]
fn a_placeholder_that_does_not_exist_is_not_restored_in_silence() {
    let dir = started();
    let file = dir.path().join("agents/support.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("restore = [\"EMAIL\", \"EMIAL\"]\n{text}")).unwrap();
    let ran = run_in(dir.path(), &["check"]);
    assert!(ran.end == End::Bad && ran.err.contains("did you mean \"EMAIL\"?"), "{}{}", ran.out, ran.err);
    fs::write(&file, format!("restore = [\"EMAIL\", \"CARD\", \"DENIED\"]\n{text}")).unwrap();
    assert_eq!(run_in(dir.path(), &["check"]).end, End::Good);
}

#[test]
fn a_policy_folder_is_not_read_all_the_time() {
    let ran = run_in(configured("[policies]\nreload = \"99ms\"\n").path(), &["check"]);
    assert!(ran.end == End::Bad && ran.err.contains("policies.reload"), "{}", ran.err);
    assert_eq!(run_in(configured("[policies]\nreload = \"100ms\"\n").path(), &["check"]).end, End::Good);
}

#[test]
fn lines_that_are_no_pairs_are_bad_input_and_no_missing_file() {
    let dir = started();
    let file = dir.path().join("pairs.jsonl");
    fs::write(&file, "{\"a\": 1}").unwrap();
    let tune = |name: &std::path::Path| run_in(dir.path(), &["cache", "tune", name.to_str().unwrap()]).end;
    assert_eq!(tune(&file), End::Misused);
    assert_eq!(tune(&dir.path().join("nowhere")), End::Unreachable);
}

#[test]
fn a_token_that_cannot_be_made_leaves_no_data_folder_behind() {
    let dir = configured("");
    let ran = run_in(dir.path(), &["token", "ann"]);
    assert!(ran.end == End::Bad && ran.err.contains("local_issuer.enabled"), "{}", ran.err);
    assert!(!dir.path().join("data").exists());
}

#[test]
fn names_that_nobody_has_and_lives_without_sense_make_no_key_and_revoke_nothing() {
    let dir = started();
    for words in [
        &["key", "create", "robot", "--tenant", ""][..],
        &["key", "create", "robot", "--tenant", "a b"],
        &["key", "create", "robot", "--expires", "0d"],
        &["key", "create", "robot", "--expires", "36601d"],
        &["token", "revoke", "--user", "ann", "--tenant", ""],
        &["token", "revoke", "--user", "", "--tenant", "acme"],
    ] {
        let ran = run_in(dir.path(), words);
        assert!(ran.end == End::Misused && ran.out.is_empty(), "{words:?}: {:?} {}", ran.end, ran.err);
    }
    assert_eq!(run_in(dir.path(), &["key", "create", "robot", "--expires", "3650d"]).end, End::Good);
}

#[test]
fn accepting_for_a_server_that_nobody_has_is_a_slip() {
    let dir = configured("[upstreams.billing]\nurl = \"https://billing.example/mcp\"\n");
    let ran = run_in(dir.path(), &["tool", "accept", "--upstream", "biling"]);
    assert!(
        ran.end == End::Misused && ran.err.contains("did you mean `billing`?"),
        "{:?} {}",
        ran.end,
        ran.err
    );
    assert_eq!(run_in(dir.path(), &["tool", "accept", "--upstream", "billing"]).end, End::Good);
}

/// A reader that takes one piece and goes away, as `head -1` does.
struct Head(usize);

impl std::io::Write for Head {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += 1;
        if self.0 > 1 { Err(std::io::ErrorKind::BrokenPipe.into()) } else { Ok(bytes.len()) }
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_export_whose_reader_has_seen_enough_is_not_called_unproved() {
    let dir = started();
    assert_eq!(run_in(dir.path(), &["key", "create", "robot"]).end, End::Good);
    let file = dir.path().join(crate::config::FILE);
    let cli = Cli::try_parse_from(["cardea", "-c", file.to_str().unwrap(), "audit", "export"]).unwrap();
    let (mut head, mut stderr) = (Head(0), Vec::new());
    let end = run_with(&cli, &Environment::default(), &mut Out::new(&mut head, &mut stderr));
    assert_eq!((end, String::from_utf8(stderr).unwrap().as_str()), (End::Good, ""));
}

#[test]
fn a_copy_is_proved_by_its_own_checkpoints_and_not_changed_by_that() {
    let dir = started();
    assert_eq!(run_in(dir.path(), &["key", "create", "robot"]).end, End::Good);
    let copy = dir.path().join("a copy");
    let ran = run_in(dir.path(), &["backup", copy.to_str().unwrap()]);
    assert_eq!(ran.end, End::Good, "{}", ran.err);
    let database = copy.join("cardea.db");
    let mut readonly = fs::metadata(&database).unwrap().permissions();
    readonly.set_readonly(true);
    fs::set_permissions(&database, readonly).unwrap();
    let before = fs::read(&database).unwrap();
    // Checkpoints of the live log that would have seen more, or were lost, say nothing of the copy.
    fs::write(dir.path().join("data/audit.checkpoints"), "not the copy's").unwrap();
    let words = ["audit", "verify", "--database", database.to_str().unwrap()];
    let ran = run_in(dir.path(), &words);
    assert!(ran.end == End::Good && ran.out.contains("proved: "), "{}{}", ran.out, ran.err);
    assert_eq!(fs::read(&database).unwrap(), before, "looking changed it");
    let mut names: Vec<_> = fs::read_dir(&copy).unwrap().map(|one| one.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["audit.checkpoints", "cardea.db"]);
    fs::write(copy.join("audit.checkpoints"), "nonsense\n").unwrap();
    assert_ne!(run_in(dir.path(), &words).end, End::Good, "its own checkpoints are read");
}

#[test]
fn doctor_asks_for_what_each_service_is_there_for() {
    let dir = started();
    let file = dir.path().join("cardea.toml");
    let plain = fs::read_to_string(&file).unwrap();
    for (status, advice) in [("404 Not Found", "correct"), ("500 Oh", "see what"), ("302 Found", "correct")] {
        let address = answering(status);
        let tables = format!(
            "{plain}\n[models.providers.other]\nkind = \"openai\"\nbase_url = \"http://{address}/v1\"\napi_key = \"k\"\n\
             [upstreams.away]\nurl = \"http://{address}/mcp\"\n[net]\nallow = [\"{address}\"]\n\
             [auth.issuers.corp]\nissuer = \"https://idp.example\"\naudience = [\"cardea\"]\njwks_url = \"http://{address}/keys\"\n"
        );
        fs::write(&file, tables).unwrap();
        let ran = run_in(dir.path(), &["doctor", "--json"]);
        assert_eq!(ran.end, End::Bad);
        let told = ran.json();
        for what in ["model provider other", "upstream away", "key set of corp"] {
            let all = told["findings"].as_array().unwrap();
            let one = all.iter().find(|one| one["what"] == what).unwrap_or(&Value::Null);
            assert_eq!(one["state"], "bad", "{status} {what}: {told}");
            assert!(one["says"].as_str().unwrap().contains(status.get(..3).unwrap()), "{one}");
        }
        let model =
            told["findings"].as_array().unwrap().iter().find(|one| one["what"] == "model provider other");
        assert!(model.unwrap()["do_this"].as_str().unwrap().contains(advice), "{model:?}");
    }
    let address = answering("401 Unauthorized");
    let tables = format!(
        "{plain}\n[models.providers.other]\nkind = \"openai\"\nbase_url = \"http://{address}/v1\"\napi_key = \"k\"\n[net]\nallow = [\"{address}\"]\n"
    );
    fs::write(&file, tables).unwrap();
    let told = run_in(dir.path(), &["doctor"]);
    assert!(told.end == End::Bad && told.out.contains("correct its api_key: it is refused"), "{}", told.out);
}

#[test]
fn doctor_looks_at_least_as_far_as_check() {
    let dir = started();
    let policy = dir.path().join("policies/more.cedar");
    let tools = dir.path().join("policies/tools.json");
    let good = fs::read_to_string(&tools).unwrap();
    let forbids = "@id(\"x\") forbid (principal, action, resource in Server::\"opps\");";
    for (cedar, json, says) in [
        ("@id(\"x\") permitt (principal, action, resource);", good.as_str(), "more.cedar:1:"),
        (forbids, &good, "did you mean `ops`?"),
        ("// nothing", "[", "tools.json"),
    ] {
        fs::write(&policy, cedar).unwrap();
        fs::write(&tools, json).unwrap();
        for words in ["doctor", "check"] {
            let ran = run_in(dir.path(), &[words]);
            let told = format!("{}{}", ran.out, ran.err);
            assert!(ran.end == End::Bad && told.contains(says), "{words}: {told}");
        }
    }
    fs::remove_file(&policy).unwrap();
    fs::write(&tools, good).unwrap();
    let file = dir.path().join("cardea.toml");
    let nowhere = format!("[data]\ndir = \"/proc/nowhere\"\n{}", fs::read_to_string(&file).unwrap());
    fs::write(&file, nowhere).unwrap();
    for words in ["doctor", "serve"] {
        let ran = run_in(dir.path(), &[words]);
        let told = format!("{}{}", ran.out, ran.err);
        assert!(ran.end != End::Good, "{words}: {told}");
        assert!(words == "serve" || told.contains("/proc/nowhere cannot be made"), "{told}");
    }
}

/// An HTTP server that answers everything with one status.
fn answering(status: &'static str) -> std::net::SocketAddr {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (mut stream, mut asked) = (stream, [0; 4096]);
            drop(stream.read(&mut asked));
            drop(write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"));
        }
    });
    address
}

#[test]
fn doctor_does_not_call_a_server_good_that_turns_it_away() {
    let (closed, open) = (answering("401 Unauthorized"), answering("405 Method Not Allowed"));
    let dir = configured(&format!(
        "[local_issuer]\nenabled = true\n[upstreams.closed]\nurl = \"http://{closed}/mcp\"\n[upstreams.open]\nurl = \"http://{open}/mcp\"\n[net]\nallow = [\"{closed}\", \"{open}\"]\n"
    ));
    fs::create_dir(dir.path().join("data")).unwrap();
    let told = run_in(dir.path(), &["doctor", "--json"]).json();
    let state = |what: &str| {
        let all = told["findings"].as_array().unwrap();
        all.iter().find(|one| one["what"] == what).unwrap_or(&Value::Null)["state"].clone()
    };
    assert_eq!((state("upstream closed"), state("upstream open")), (json!("note"), json!("good")), "{told}");
    assert_eq!(state("data folder"), "good", "{told}");
    assert_eq!(fs::read_dir(dir.path().join("data")).unwrap().count(), 0, "nothing is left there");
}

#[tokio::test]
async fn approvals_are_listed_and_decided_as_the_server_wants_it() {
    use axum::{Json, Router, extract::Path, routing::get};
    const ID: &str = "appr_00000000000000000000000000000001";
    let open = json!({ "id": ID, "user": "ann", "tool": "ops__pay\u{1b}[2J", "arguments": { "amount": 9, "to": "x".repeat(3_000) },
        "reason": "a large refund", "state": "open", "expires_at": 1_796_083_200_000_i64 });
    let (mut listed, whole) = (open.clone(), open);
    let arguments = listed["arguments"].to_string();
    listed["arguments"] = cardea_core::canonical::cut_short(&arguments, arguments.len());
    let decided = |Path(id): Path<String>, Json(body): Json<Value>| async move {
        let state = if body["decision"] == "approve" { "approved" } else { "rejected" };
        Json(
            json!({ "id": id, "user": "ann", "tool": "ops__pay", "state": state, "comment": body["comment"] }),
        )
    };
    let routes = Router::new()
        .route("/api/v1/approvals", get(|| async move { Json(json!({ "approvals": [listed] })) }))
        .route("/api/v1/approvals/{id}", get(|| async move { Json(whole) }).post(decided));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    #[expect(clippy::disallowed_methods, reason = "a fake server that ends with its test")]
    tokio::spawn(async move { axum::serve(listener, routes).await });
    // The commands start a runtime of their own, so they run where none is.
    let done = tokio::task::spawn_blocking(move || {
        let dir = tempfile::tempdir().unwrap();
        let listed = run_in(dir.path(), &["approvals", "--url", &url]);
        assert!(listed.end == End::Good && listed.out.contains(ID), "{}{}", listed.out, listed.err);
        assert!(
            listed.out.contains("ann wants ops__pay") && !listed.out.contains('\u{1b}'),
            "{}",
            listed.out
        );
        let whole = format!("    to = \"{}\"\n", "x".repeat(3_000));
        let holds = |out: &str| {
            for part in ["    amount = 9\n", &whole, "a large refund", "until 2026-12-01T00:00:00"] {
                assert!(out.contains(part), "{part}: {out}");
            }
        };
        holds(&listed.out);
        let yes =
            run_in(dir.path(), &["approvals", "approve", ID, "--comment", "fine", "--url", &url, "--json"]);
        assert_eq!((&yes.json()["state"], &yes.json()["comment"]), (&json!("approved"), &json!("fine")));
        let no = run_in(dir.path(), &["approvals", "reject", ID, "--url", &url]);
        assert!(no.end == End::Good && no.err.contains("is rejected"), "{}", no.err);
        holds(&no.out); // whoever decides sees what is decided
    });
    done.await.unwrap();
}

#[test]
fn the_figures_of_caches_are_those_that_the_guide_explains() {
    let guide = include_str!("../../../../../docs/guide/caching.md");
    let explained = guide.split("| figure | says | do |").nth(1).unwrap().split("\n\n").next().unwrap();
    let figures = explained.lines().filter_map(|line| line.split('|').nth(1));
    let figures: Vec<&str> = figures.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    assert!(figures.len() >= 5, "{figures:?}");
    let dir = tempfile::tempdir().unwrap();
    let url = format!("http://{}", answering("200 OK"));
    let told = run_in(dir.path(), &["cache", "stats", "--url", &url]);
    let shown: Vec<&str> = told.out.split_whitespace().collect();
    for figure in figures {
        assert!(shown.contains(&figure), "`{figure}` is not in {}{}", told.out, told.err);
    }
}
