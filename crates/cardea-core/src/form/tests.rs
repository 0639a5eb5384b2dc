use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::{size::Bytes, time::Millis, units::Rate};

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct House {
    /// Who lives here.
    name: String,
    #[serde(default)]
    rooms: BTreeMap<String, Room>,
    #[serde(default)]
    paint: Option<Paint>,
    #[serde(default)]
    heating: Option<Heating>,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Room {
    doors: u8,
    #[serde(with = "crate::time::text")]
    #[schemars(with = "crate::units::LengthText")]
    airing: Millis,
    size: Option<Bytes>,
    visits: Option<Rate>,
    address: Option<std::net::SocketAddr>,
    tags: Vec<String>,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            doors: 1,
            airing: Millis::from_secs(60),
            size: None,
            visits: None,
            address: None,
            tags: Vec::new(),
        }
    }
}

#[derive(Debug, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Paint {
    /// As snow.
    White,
    /// As the sky.
    Blue,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[expect(dead_code, reason = "only read from files")]
enum Heating {
    Stove { logs: u32 },
    Gas { supplier: String },
}

/// `line:column key: message (help)` of each problem.
fn told(text: &str) -> Vec<String> {
    let problems = match parse(text).and_then(|root| read::<House>(&root)) {
        Ok(_) => return Vec::new(),
        Err(problems) => problems,
    };
    let line = |problem: &Problem| {
        let at = match &problem.place {
            Place::File(span) => position(text, span.start),
            _ => Position { line: 0, column: 0 },
        };
        let help = problem.help.as_deref().map(|help| format!(" ({help})")).unwrap_or_default();
        format!("{}:{} {}: {}{help}", at.line, at.column, problem.key, problem.message)
    };
    problems.iter().map(line).collect()
}

#[test]
fn a_good_file_becomes_its_type() {
    let text =
        "name = \"x\"\npaint = \"blue\"\n[rooms.hall]\nairing = \"5min\"\nsize = \"4KiB\"\nvisits = \"3/h\"";
    let house: House = read(&parse(text).unwrap()).unwrap();
    assert!(house.name == "x" && house.heating.is_none());
    let hall = &house.rooms["hall"];
    assert_eq!((house.paint, hall.airing, hall.doors), (Some(Paint::Blue), Millis(300_000), 1));
}

#[test]
fn every_problem_is_told_at_once_with_its_place_and_what_was_meant() {
    let text = "nmae = \"x\"\npaint = \"bleu\"\n[rooms.hall]\ndoors = 300\nairing = 5\nsize = \"4K\"\ntags = \"a\"\n\
                [rooms.attic]\ndoor = 1\nvisits = \"often\"\n[heating]\nkind = \"stov\"\n";
    assert_eq!(
        told(text),
        [
            "1:1 nmae: unknown key `nmae` (did you mean `name`?)",
            "2:9 paint: does not know `bleu` (did you mean \"blue\"?)",
            "4:9 rooms.hall.doors: must be between 0 and 255, found 300",
            "5:10 rooms.hall.airing: expects a length of time such as \"30s\", found a whole number (with its unit: \"5s\" or \"5ms\")",
            "6:8 rooms.hall.size: `4K` is not a size (write a whole number and one of B, KiB, MiB, GiB, for example \"64KiB\")",
            "7:8 rooms.hall.tags: expects a list, each a text, found a text (put it in brackets: [\"…\"])",
            "9:1 rooms.attic.door: unknown key `door` (did you mean `doors`?)",
            "10:10 rooms.attic.visits: `often` is not a rate (write a whole number, `/` and one of s, min, h, d, for example \"60/min\")",
            "12:8 heating.kind: does not know `stov` (did you mean \"stove\"?)",
            "1:1 name: is missing (Who lives here.)",
        ]
    );
}

#[test]
fn what_only_the_type_can_judge_is_told_with_its_place_too() {
    let text = "name = \"x\"\n[rooms.a]\naddress = \"nowhere\"\n[rooms.b]\naddress = \"1.2.3.4\"";
    let told = told(text);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].starts_with("3:11 rooms.a.address: ") && told[1].starts_with("5:11 rooms.b.address: "),
        "{told:?}"
    );
}

#[test]
fn a_text_that_is_not_toml_is_told_with_its_place() {
    let told = told("name = \"x\"\nrooms = [\n");
    assert!(told[0].contains("not TOML"), "{told:?}");
    assert!(told[0].starts_with("2:") || told[0].starts_with("3:"), "{told:?}");
}

#[test]
fn a_value_is_found_and_removed_by_its_full_key() {
    let mut root = parse("a.b = [1, { c = 2 }]\n\"x.y\" = 3").unwrap();
    assert_eq!(root.find("a.b[1].c").map(|node| node.kind.clone()), Some(Kind::Whole(2)));
    assert_eq!(root.find("x.y").map(|node| node.kind.clone()), Some(Kind::Whole(3)));
    assert!(root.remove("a.b[0]") && !root.remove("a.z"));
    assert_eq!(root.to_json(), serde_json::json!({ "a": { "b": [{ "c": 2 }] }, "x.y": 3 }));
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_fall(text in "[a-z\\.\\[\\]{}='\" \n0-9,#_-]{0,80}") {
        let _ = told(&text);
    }
}
