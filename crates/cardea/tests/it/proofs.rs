//! What is said to be proved names the tests that prove it, and those tests exist.

use std::{collections::BTreeSet, fs};

use crate::{files, root};

/// One row of a table of proofs: its id, its state and the tests that it names.
struct Row {
    id: String,
    state: String,
    tests: Vec<String>,
}

/// The rows whose first cell is an id such as `A01` or `F5`.
fn rows(document: &str) -> Vec<Row> {
    let text =
        fs::read_to_string(root().join(document)).unwrap_or_else(|error| panic!("{document}: {error}"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim().strip_prefix('|')?.split('|').map(str::trim).collect();
        let (id, state, tests) = (cells.first()?, cells.get(1)?, cells.get(2)?);
        let (letter, number) = id.split_at_checked(1)?;
        let is_id = letter.chars().all(|c| c.is_ascii_uppercase())
            && !number.is_empty()
            && number.chars().all(|c| c.is_ascii_digit());
        let tests = tests.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        is_id.then(|| Row { id: (*id).to_owned(), state: (*state).to_owned(), tests })
    };
    text.lines().filter_map(row).collect()
}

/// Every function of the project that a test harness runs.
fn tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let sources =
        ["crates", "examples", "fuzz"].into_iter().flat_map(|folder| files(&root().join(folder), ".rs"));
    for path in sources {
        let text = fs::read_to_string(&path).unwrap();
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                is_test = true;
            } else if let Some((_, rest)) = line.split_once("fn ")
                && is_test
            {
                found.extend(rest.split('(').next().map(str::to_owned));
                is_test = false;
            }
        }
        // Targets of the fuzzer are named by their file, properties of `proptest!` stand without an attribute of ours.
        found.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    found
}

fn holds(document: &str, of: &str) {
    let (rows, tests) = (rows(document), tests());
    let mut seen = BTreeSet::new();
    for row in &rows {
        assert!(seen.insert(row.id.clone()), "{document}: {} stands twice", row.id);
        let states = ["proved", "in part", "not yet", "planned"];
        assert!(states.contains(&row.state.as_str()), "{document}: {} is `{}`", row.id, row.state);
        let without = ["not yet", "planned"].contains(&row.state.as_str());
        assert_eq!(row.tests.is_empty(), without, "{document}: {} ({})", row.id, row.state);
        for test in &row.tests {
            assert!(
                tests.contains(test),
                "{document}: {} names the test `{test}`, which does not exist",
                row.id
            );
        }
    }
    let ids = fs::read_to_string(root().join("docs/security/ids.txt")).unwrap();
    let wanted = ids.lines().filter_map(|line| line.strip_prefix(of)?.strip_prefix(": "));
    let lost: Vec<&str> = wanted.flat_map(str::split_whitespace).filter(|id| !seen.contains(*id)).collect();
    assert!(lost.is_empty(), "{document} says nothing of {lost:?}");
}

#[test]
fn every_attack_has_a_row_and_every_test_it_names_exists() {
    holds("docs/security/attacks.md", "attacks");
}

#[test]
fn every_fault_has_a_row_and_every_test_it_names_exists() {
    holds("docs/RELIABILITY.md", "faults");
}

#[test]
fn every_fault_that_is_put_in_stands_in_the_source_and_has_its_test_and_its_row() {
    let list = fs::read_to_string(root().join("scripts/mutations.tsv")).unwrap();
    let page = fs::read_to_string(root().join("docs/security/mutations.md")).unwrap();
    let tests = tests();
    let mut count = 0;
    for row in list.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let cells: Vec<&str> = row.split('\t').collect();
        let [id, file, line, from, to, test, opens] = cells.as_slice() else { panic!("{row}") };
        let source =
            fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{id}: {file}: {error}"));
        assert_eq!(source.matches(line).count(), 1, "{id}: `{line}` must stand in {file} once");
        assert!(line.contains(from) && from != to, "{id}");
        assert!(tests.contains(*test), "{id} names the test `{test}`, which does not exist");
        let shown = file.trim_start_matches("crates/");
        let line = format!("| {id} | `{shown}` | {opens} | `{test}` |");
        assert!(page.contains(&line), "docs/security/mutations.md lacks:\n{line}");
        count += 1;
    }
    assert!(count >= 10);
}
