//! The stories are told on SQLite by every test run; here they are told again on PostgreSQL, if the machine has one.

use std::process::Command;

use cardea_testkit::{postgres::Server, world::DATABASES};

/// Databases that are made for the worlds: one for each.
const WORLDS: usize = 480;

/// Long ones in which the engine plays no part, and one that opens a SQLite file of its own.
const LEFT_OUT: [&str; 7] = [
    "manifests",
    "openapi",
    "races",
    "rights",
    "whatever_a_model_does",
    "bad_input",
    "a_turn_that_was_left_in_the_middle_of_its_undo",
];

#[test]
fn the_stories_are_true_on_postgres_as_well() {
    let server = match Server::start() {
        Ok(server) => server,
        Err(why) => {
            println!("SKIPPED: {why}; the stories are told on SQLite only");
            return;
        }
    };
    let places: Vec<String> = (0..WORLDS).map_while(|_| server.fresh().ok()).collect();
    let folder = tempfile::tempdir().unwrap();
    for (at, place) in places.iter().enumerate() {
        std::fs::write(folder.path().join(format!("{at}.url")), place).unwrap();
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["stories::", "--test-threads=4"]).env(DATABASES, folder.path());
    LEFT_OUT.iter().for_each(|name| {
        command.args(["--skip", name]);
    });
    let out = command.output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    let told = text.lines().find_map(|line| line.strip_prefix("test result: ok. ")?.split(' ').next());
    let told: usize = told.and_then(|number| number.parse().ok()).unwrap_or_default();
    let used = places.len() - std::fs::read_dir(folder.path()).unwrap().count();
    println!("{told} stories on PostgreSQL, in {used} databases");
    assert!(out.status.success() && told >= 30 && used >= 20, "{told} stories, {used} databases:\n{text}");
}
