//! A server that is told to stop: while it runs, and while it still starts.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use cardea_testkit::kill::Victim;

/// Shorter than the server waits for a silent neighbour at its start, longer than a loaded machine needs.
const SOON: Duration = Duration::from_secs(20);

fn serve(folder: &Path, config: &str) -> Command {
    fs::write(folder.join("cardea.toml"), config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cardea"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARDEA_")) {
        command.env_remove(name);
    }
    command.current_dir(folder).arg("serve").stderr(Stdio::null());
    command
}

fn signal(name: &str, id: u32) {
    assert!(Command::new("kill").args([name, &id.to_string()]).status().unwrap().success());
}

/// Its exit code, once it has ended.
fn ended(mut child: Child) -> Option<i32> {
    let (id, (tell, told)) = (child.id(), mpsc::channel());
    let waits = thread::spawn(move || drop(tell.send(child.wait())));
    let Ok(status) = told.recv_timeout(SOON) else {
        signal("-KILL", id);
        panic!("it goes on");
    };
    waits.join().unwrap();
    status.unwrap().code()
}

#[test]
fn a_server_that_is_told_to_stop_while_it_starts_ends_in_order() {
    for name in ["-TERM", "-INT", "-HUP"] {
        let folder = tempfile::tempdir().unwrap();
        // A tool server that takes connections and never says a word keeps the start waiting.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap();
        let config = format!(
            "[server]\nbind = \"127.0.0.1:0\"\n[upstreams.slow]\nurl = \"http://{address}/mcp\"\n[net]\nallow = [\"{address}\"]\n"
        );
        let child = serve(folder.path(), &config).stdout(Stdio::null()).spawn().unwrap();
        let _kept = silent.accept().unwrap();
        signal(name, child.id());
        assert_eq!(ended(child), Some(0), "{name}");
    }
}

#[test]
fn a_terminal_that_hangs_up_ends_the_server_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Victim::start(&mut serve(folder.path(), "[server]\nbind = \"127.0.0.1:0\"\n")).unwrap();
    assert!(server.until("cardea listens").is_some());
    signal("-HUP", server.id());
    assert!(server.ended().unwrap().success());
}
