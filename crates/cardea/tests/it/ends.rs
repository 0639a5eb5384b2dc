//! A server that is told to stop, while it runs and while it still starts; and one that starts over an older copy.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use cardea_testkit::kill::Victim;

/// Shorter than the server waits for a silent neighbour at its start, longer than a loaded machine needs.
const SOON: Duration = Duration::from_secs(20);

fn serve(folder: &Path, config: &str) -> Command {
    fs::write(folder.join("cardea.toml"), config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cardea"));
    // Tests that run under nohup hand on that SIGHUP is to be ignored.
    if cfg!(target_os = "linux") {
        command = Command::new("env");
        command.args(["--default-signal=HUP", env!("CARGO_BIN_EXE_cardea")]);
    }
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARDEA_")) {
        command.env_remove(name);
    }
    command.current_dir(folder).arg("serve").stderr(Stdio::null());
    command
}

/// The program with these words in this folder, with everything that it says on one output.
fn says(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new("sh");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARDEA_")) {
        command.env_remove(name);
    }
    command
        .current_dir(folder)
        .args(["-c", "exec \"$0\" \"$@\" 2>&1", env!("CARGO_BIN_EXE_cardea")])
        .args(words);
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
    let mut command = serve(folder.path(), "[server]\nbind = \"127.0.0.1:0\"\n");
    let mut server = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("cardea listens")));
    signal("-HUP", server.id());
    assert_eq!(ended(server), Some(0));
}

#[test]
fn a_server_under_nohup_outlives_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("cardea.toml"), "[server]\nbind = \"127.0.0.1:0\"\n").unwrap();
    let mut command = Command::new("sh");
    let server = "trap '' HUP; exec \"$0\" serve 2>&1";
    command.current_dir(folder.path()).args(["-c", server, env!("CARGO_BIN_EXE_cardea")]);
    let mut server = Victim::start(&mut command).unwrap();
    let listens = server.until("cardea listens").unwrap();
    signal("-HUP", server.id());
    let address = listens.rsplit("http://").next().unwrap();
    TcpStream::connect(address).expect("it goes on");
    let (lines, well) = server.terminate().unwrap();
    assert!(well && lines.iter().any(|line| line.contains("stopping")), "{lines:?}");
}

/// What a server answers to one request on a connection of its own.
fn answers(address: &str, path: &str, host: &str) -> String {
    let mut socket = TcpStream::connect(address).expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).unwrap();
    let mut told = String::new();
    socket.read_to_string(&mut told).unwrap();
    told
}

#[test]
fn a_server_that_is_told_to_stop_says_so_before_it_closes_its_door() {
    let folder = tempfile::tempdir().unwrap();
    let config = "[server]\nbind = \"127.0.0.1:0\"\nshutdown_delay = \"10min\"\n";
    fs::write(folder.path().join("cardea.toml"), config).unwrap();
    let mut server = Victim::start(&mut says(folder.path(), &["serve"])).unwrap();
    let listens = server.until("cardea listens").expect("it starts");
    let address = listens.rsplit("http://").next().unwrap();
    assert!(answers(address, "/readyz", "here").starts_with("HTTP/1.1 200"));
    signal("-TERM", server.id());
    let start = Instant::now();
    let told = loop {
        let told = answers(address, "/readyz", "here");
        if !told.starts_with("HTTP/1.1 200") {
            break told;
        }
        assert!(start.elapsed() < SOON, "{told}");
    };
    assert!(told.starts_with("HTTP/1.1 503") && told.ends_with("draining\n"), "{told}");
    assert!(answers(address, "/healthz", "here").starts_with("HTTP/1.1 200"), "its door is open yet");
    // Told again, it stops at once.
    let (lines, well) = server.terminate().unwrap();
    assert!(well && lines.iter().any(|line| line.contains("open work ends")), "{lines:?}");
}

#[test]
fn a_server_over_an_older_copy_of_its_database_says_so_at_its_start() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("cardea.toml"), "[server]\nbind = \"127.0.0.1:0\"\n").unwrap();
    let (database, copy) = (folder.path().join("data/cardea.db"), folder.path().join("copy.db"));
    let key = || assert!(says(folder.path(), &["key", "create", "robot"]).status().unwrap().success());
    key();
    fs::copy(&database, &copy).unwrap();
    key();
    let mut server = Victim::start(&mut says(folder.path(), &["serve"])).unwrap();
    assert!(server.until("cardea listens").is_some());
    assert!(server.terminate().unwrap().1);
    for side in ["cardea.db-wal", "cardea.db-shm"] {
        drop(fs::remove_file(folder.path().join("data").join(side)));
    }
    fs::rename(&copy, &database).unwrap();

    let mut server = Victim::start(&mut says(folder.path(), &["serve"])).unwrap();
    let told = server.until("no checkpoint of the audit log can be written").expect("it says so");
    assert!(told.contains("ends at entry 3") && told.contains("has seen entry 4"), "{told}");
    assert!(!told.contains("Somebody else"), "{told}");
    assert!(server.terminate().unwrap().1);
    let doctor = says(folder.path(), &["doctor"]).output().unwrap();
    let doctor = String::from_utf8(doctor.stdout).unwrap();
    assert!(doctor.contains("BAD") && doctor.contains("has seen entry 4"), "{doctor}");
}

#[test]
fn the_demo_leaves_alone_what_the_environment_of_its_shell_speaks_of() {
    let (folder, own) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let database = format!("sqlite:{}", own.path().join("own.db").display());
    let mut demo = says(folder.path(), &["demo", "--no-stay"]);
    demo.env("CARDEA_DATA__DIR", own.path()).env("CARDEA_DB__URL", database);
    let played = demo.output().unwrap();
    let told = String::from_utf8_lossy(&played.stdout);
    let left: Vec<_> = fs::read_dir(own.path()).unwrap().flatten().map(|file| file.file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(played.status.success() && told.contains("The story went as it should."), "{told}");
}

#[test]
fn meters_are_read_on_this_machine_by_either_of_its_addresses() {
    let folder = tempfile::tempdir().unwrap();
    if let Err(why) = TcpListener::bind("[::]:0") {
        println!("SKIPPED: {why}");
        return;
    }
    fs::write(folder.path().join("cardea.toml"), "[server]\nbind = \"[::]:0\"\n").unwrap();
    let mut server = Victim::start(&mut says(folder.path(), &["serve"])).unwrap();
    let listens = server.until("cardea listens").expect("it starts");
    let port = listens.rsplit(':').next().unwrap();
    for address in ["127.0.0.1", "[::1]"] {
        let told = answers(&format!("{address}:{port}"), "/metrics", "localhost");
        assert!(told.starts_with("HTTP/1.1 200") && told.contains("cardea_build_info"), "{address}: {told}");
    }
    assert!(server.terminate().unwrap().1);
}
