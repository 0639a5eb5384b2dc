use std::{collections::BTreeSet, fs, process::Command};

use crate::root;

/// `name version|licence` of everything that is built, on all platforms that the lock file knows.
fn built() -> Vec<(String, String)> {
    let words = [
        "tree",
        "--workspace",
        "--offline",
        "--prefix",
        "none",
        "--format",
        "{p}|{l}",
        "--edges",
        "normal,build",
    ];
    let ran = Command::new(env!("CARGO")).args(words).current_dir(root()).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let text = String::from_utf8(ran.stdout).unwrap();
    let lines: BTreeSet<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    let entry = |line: &&str| {
        let (package, licence) = line.split_once('|')?;
        Some((package.to_owned(), licence.trim_end_matches(" (*)").to_owned()))
    };
    lines.iter().filter_map(entry).collect()
}

fn listed(table: &toml::Table, path: [&str; 2], key: Option<&str>) -> Vec<String> {
    let list = table[path[0]][path[1]].as_array().unwrap();
    let text = |value: &toml::Value| match key {
        Some(key) => value[key].as_str().unwrap().to_owned(),
        None => value.as_str().unwrap().to_owned(),
    };
    list.iter().map(text).collect()
}

/// True if one of the ways to read the expression uses only allowed licences.
fn allowed(expression: &str, list: &[String]) -> bool {
    let tidy = expression.replace(['(', ')'], " ").replace('/', " OR ");
    // Reads `A OR B AND C` strictly: every part that is joined by AND must be allowed by itself.
    tidy.split(" AND ")
        .all(|part| part.split(" OR ").any(|name| list.iter().any(|allowed| allowed == name.trim())))
}

#[test]
fn nothing_is_built_that_is_banned_or_has_a_licence_nobody_agreed_to() {
    let deny: toml::Table = fs::read_to_string(root().join("deny.toml")).unwrap().parse().unwrap();
    let banned = listed(&deny, ["bans", "deny"], Some("crate"));
    let licences = listed(&deny, ["licenses", "allow"], None);
    let built = built();
    assert!(built.len() > 100 && banned.len() >= 3 && licences.len() >= 3);
    let name = |package: &str| package.split(' ').next().unwrap_or_default().to_owned();
    let found: Vec<&String> =
        built.iter().map(|(package, _)| package).filter(|package| banned.contains(&name(package))).collect();
    assert!(found.is_empty(), "banned by deny.toml, and built: {found:?}");
    let odd: Vec<&(String, String)> =
        built.iter().filter(|(_, licence)| !allowed(licence, &licences)).collect();
    assert!(odd.is_empty(), "not among the licences of deny.toml: {odd:#?}");
}

#[test]
fn a_licence_counts_only_if_every_part_of_it_is_allowed() {
    let list = ["MIT".to_owned(), "Apache-2.0".to_owned()];
    for good in
        ["MIT", "MIT OR GPL-3.0", "GPL-3.0/MIT", "MIT AND Apache-2.0", "(GPL-3.0 OR MIT) AND Apache-2.0"]
    {
        assert!(allowed(good, &list), "{good}");
    }
    for bad in ["GPL-3.0", "MIT AND GPL-3.0", "", "(MIT OR Apache-2.0) AND OpenSSL"] {
        assert!(!allowed(bad, &list), "{bad}");
    }
}
