use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use crate::{files, root, shown};

/// Each room's place in the line, as the table in docs/ARCHITECTURE.md has it.
fn line_of_rooms() -> BTreeMap<String, usize> {
    rooms_in(&fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap())
}

fn rooms_in(document: &str) -> BTreeMap<String, usize> {
    let section =
        document.split("\n## ").find(|part| part.contains("The line of rooms")).expect("no line of rooms");
    let mut rooms = BTreeMap::new();
    for row in section.lines().filter(|line| line.starts_with("| ")) {
        let mut cells = row.trim_matches('|').split('|').map(str::trim);
        let (Some(place), Some(names)) = (cells.next(), cells.next()) else { continue };
        let Ok(place) = place.parse::<usize>() else { continue };
        for name in names.split('`').skip(1).step_by(2) {
            let doubled = rooms.insert(name.to_owned(), place);
            assert!(doubled.is_none(), "`{name}` stands twice in the table");
        }
    }
    rooms
}

/// The rooms that a source text names after `crate::`, groups and comments understood.
fn rooms_used(source: &str) -> BTreeSet<String> {
    let code: String =
        source.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    let mut used = BTreeSet::new();
    for after in code.split("crate::").skip(1) {
        match after.strip_prefix('{') {
            Some(group) => used.extend(first_names(group)),
            None => used.extend(name_at(after)),
        }
    }
    used
}

/// The first name of each member of a `{a, b::c, d::{e, f}}` group, its opening brace taken off.
fn first_names(group: &str) -> Vec<String> {
    let (mut depth, mut at_start, mut names) = (0, true, Vec::new());
    for (i, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_start = true,
            letter if at_start && !letter.is_whitespace() => {
                names.extend(name_at(group.get(i..).unwrap()));
                at_start = false;
            }
            _ => {}
        }
    }
    names
}

fn name_at(text: &str) -> Option<String> {
    let name: String = text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    // Types and macros at the root of a crate are no rooms.
    (!name.is_empty() && name.chars().all(|c| !c.is_ascii_uppercase())).then_some(name)
}

/// Every arrow of a crate that points down, and every module that is no room.
fn broken_arrows(src: &Path, rooms: &BTreeMap<String, usize>) -> Vec<String> {
    let mut broken = Vec::new();
    for path in files(src, ".rs") {
        let below = path.strip_prefix(src).unwrap();
        let own = below.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        if own == "lib" {
            continue;
        }
        let Some(place) = rooms.get(own) else {
            broken.push(format!("{}: `{own}` is not in the table of rooms", shown(&path)));
            continue;
        };
        // A room's own tests may look at whatever they need.
        if below.file_name().is_some_and(|name| name == "tests.rs")
            || below.iter().any(|part| part == "tests")
        {
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for used in rooms_used(code) {
            match rooms.get(&used) {
                Some(other) if other > place => {
                    broken.push(format!("{}: room {place} `{own}` uses room {other} `{used}`", shown(&path)));
                }
                Some(other) if other == place && used != own && *place < 14 => {
                    broken.push(format!("{}: `{own}` and `{used}` stand side by side", shown(&path)));
                }
                // A module of its own, written from the root of the crate.
                None if !src.join(&used).exists() && !src.join(format!("{used}.rs")).exists() => {}
                None => broken.push(format!("{}: `{used}` is not in the table of rooms", shown(&path))),
                Some(_) => {}
            }
        }
    }
    broken
}

/// The crates of this project that a manifest depends on outside of tests.
fn needed(manifest: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(manifest).unwrap();
    let table: toml::Table = text.parse().unwrap();
    let names = table["dependencies"].as_table().unwrap().keys();
    names.filter(|name| name.starts_with("cardea") || *name == "customer-ops").cloned().collect()
}

#[test]
fn every_arrow_between_rooms_points_up() {
    let rooms = line_of_rooms();
    assert!(rooms.len() >= 20, "the table has only {} rooms", rooms.len());
    let broken = broken_arrows(&root().join("crates/cardea/src"), &rooms);
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    let broken = broken_arrows(&root().join("crates/cardea-store/src"), &rooms);
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// The lines of the tables of request paths that do not stand in their files, or in another order.
fn lost_lines(document: &str, source: impl Fn(&str) -> String) -> (usize, Vec<String>) {
    let section =
        document.split("\n## ").find(|part| part.contains(". The request paths\n")).expect("no paths");
    let (mut seen, mut lost) = (0, Vec::new());
    for path in section.split("\n### ") {
        let mut read: BTreeMap<&str, usize> = BTreeMap::new();
        let rows = path.lines().filter(|row| row.starts_with("| ") && row.as_bytes()[2].is_ascii_digit());
        for row in rows {
            let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
            let (file, line) = (cells[2].trim_matches('`'), cells[3].trim_matches('`'));
            let (from, text) = (read.get(file).copied().unwrap_or_default(), source(file));
            match text.get(from..).and_then(|rest| rest.find(line)) {
                Some(at) => drop(read.insert(file, from + at + line.len())),
                None => lost.push(format!("`{line}` is not in {file} behind the line before it")),
            }
            seen += 1;
        }
    }
    (seen, lost)
}

#[test]
fn the_request_paths_are_told_line_by_line_as_they_stand_in_the_code() {
    let document = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    let flow = root().join("crates/cardea/src/flow");
    let (seen, lost) = lost_lines(&document, |file| fs::read_to_string(flow.join(file)).unwrap());
    assert!(seen >= 45, "only {seen} lines are told");
    assert!(lost.is_empty(), "{}", lost.join("\n"));
    let table =
        "\n## 4. The request paths\n\n### A\n\n| 1 | a | `x.rs` | `b()` | |\n| 2 | b | `x.rs` | `a()` | |\n";
    assert_eq!(lost_lines(table, |_| "a(); b();".to_owned()).1.len(), 1);
}

/// The lines of a handler's code that decide something.
fn decisions_in(source: &str) -> Vec<&str> {
    let decides = ["require(", "write_down(", "count(", "decide("].map(|name| format!(".control.{name}"));
    let decides = |line: &&str| decides.iter().any(|call| line.contains(call)) || line.contains("Right {");
    source.lines().map(str::trim).filter(decides).collect()
}

#[test]
fn a_handler_decides_nothing() {
    let mut decided = Vec::new();
    for path in files(&root().join("crates/cardea/src/api"), ".rs") {
        let source = fs::read_to_string(&path).unwrap();
        decided.extend(decisions_in(&source).iter().map(|line| format!("{}: {line}", shown(&path))));
    }
    assert!(decided.is_empty(), "{}", decided.join("\n"));
    assert_eq!(decisions_in("a();\n  app.control.count(caller).await?; // rate\nb();\n").len(), 1);
}

#[test]
fn every_turn_ends_in_one_place() {
    let ends = |source: &str| source.contains("turns.close(") || source.contains("turns.sleep(");
    let all = files(&root().join("crates/cardea/src"), ".rs").into_iter();
    let code = all.filter(|path| !path.starts_with(root().join("crates/cardea/src/turn")));
    let ending: Vec<String> =
        code.filter(|path| ends(&fs::read_to_string(path).unwrap())).map(|path| shown(&path)).collect();
    assert_eq!(ending, ["crates/cardea/src/flow/finish.rs"]);
}

/// Where a proof of screening is made without a scan. A new line here is a question to the reviewer: who wrote these words?
const WITHOUT_A_SCAN: [(&str, &str); 10] = [
    ("context/cache/warm.rs", "own_words"),
    ("flow/chat.rs", "from_journal"),
    ("flow/find.rs", "own_words"),
    ("flow/tool_call.rs", "own_words"),
    ("flow/unwind.rs", "own_words"),
    ("turn/begin.rs", "own_words"),
    ("turn/close.rs", "own_words"),
    ("turn/open.rs", "from_journal"),
    ("turn/row.rs", "from_journal"),
    ("turn/step.rs", "own_words"),
];

#[test]
fn only_these_files_call_words_screened_that_no_guardrail_has_read() {
    let mut found = BTreeSet::new();
    for path in files(&root().join("crates/cardea/src"), ".rs") {
        let (name, source) = (shown(&path), fs::read_to_string(&path).unwrap());
        let code = source.split("#[cfg(test)]\nmod tests").next().unwrap();
        let outside = ["tests.rs", "crashes.rs", "/tests/", "control/guard/"];
        let Some(name) = name.strip_prefix("crates/cardea/src/") else { continue };
        for way in ["own_words", "from_journal"] {
            if code.contains(way) && !outside.iter().any(|one| name.contains(one)) {
                found.insert((name.to_owned(), way));
            }
        }
    }
    let wanted = WITHOUT_A_SCAN.map(|(file, way)| (file.to_owned(), way));
    assert_eq!(found, BTreeSet::from(wanted));
}

#[test]
fn every_crate_uses_only_crates_above_it() {
    let mut places = line_of_rooms();
    let store = places["shared"];
    places.insert("cardea-store".to_owned(), store);
    let mut broken = Vec::new();
    for manifest in files(&root().join("crates"), "Cargo.toml") {
        let own = manifest.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
        let allowed = |other: &str| match (own.as_str(), other) {
            ("cardea" | "cardea-testkit", _) => true,
            ("cardea-mcp", other) => {
                matches!(other, "cardea-core" | "cardea-net" | "cardea-serve" | "cardea-auth")
            }
            (own, other) => {
                matches!((places.get(own), places.get(other)), (Some(own), Some(other)) if other < own || *own == 0)
            }
        };
        let wrong = needed(&manifest).into_iter().filter(|other| !allowed(other));
        broken.extend(wrong.map(|other| format!("{own} depends on {other}")));
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_scan_sees_an_arrow_that_points_down_and_a_room_that_nobody_knows() {
    let table =
        "\n## 3. The line of rooms\n\n| # | room |\n|---|---|\n| 1 | `vault` |\n| 2 | `flow`, `side` |\n";
    let rooms = rooms_in(table);
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    write("lib.rs", "pub mod vault;");
    write(
        "vault.rs",
        "use crate::{\n    vault::{inner, Key},\n    flow::chat,\n};\n// crate::side is only named here\n",
    );
    write(
        "flow.rs",
        "fn f() { crate::vault::open(); }\n#[cfg(test)]\nmod tests {\n use crate::cellar::x;\n}",
    );
    write("cellar.rs", "");
    let broken = broken_arrows(dir.path(), &rooms);
    assert_eq!(broken.len(), 2, "{broken:#?}");
    assert!(broken[0].contains("`cellar` is not in the table"), "{broken:#?}");
    assert!(broken[1].contains("room 1 `vault` uses room 2 `flow`"), "{broken:#?}");
}
