//! No file of a crate uses another one that uses it, over however many others. A file may look up to the door (`mod.rs`)
//! of its own room.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use crate::{files, root};

type Place = Vec<String>;

/// One file: what it uses, and what its names stand for.
#[derive(Default)]
struct File {
    /// Names by which others reach something through this file: `pub use`, and `use` for what is below it.
    names: BTreeMap<String, Place>,
    /// Paths from the root of the crate.
    used: Vec<Place>,
}

fn segments(path: &str) -> Place {
    path.split("::").map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

/// The members of a `use`, each with the name that it has here: `a::{b, c as d}` is `a::b` as `b` and `a::c` as `d`.
fn members(before: &[String], tree: &str, found: &mut Vec<(String, Place)>) {
    let Some((head, group)) = tree.split_once('{') else {
        let (path, name) = tree.split_once(" as ").unwrap_or((tree, ""));
        let own = segments(path).into_iter().filter(|name| name != "self");
        let path: Place = before.iter().cloned().chain(own).collect();
        let last = path.last().cloned().unwrap_or_default();
        return found.push((if name.is_empty() { last } else { name.trim().to_owned() }, path));
    };
    let before: Place = before.iter().cloned().chain(segments(head)).collect();
    let (mut depth, mut from) = (0, 0);
    let group = group.rsplit_once('}').map_or(group, |(group, _)| group);
    for (at, sign) in group.char_indices().chain([(group.len(), ',')]) {
        match sign {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let member = group.get(from..at).unwrap().trim();
                if !member.is_empty() {
                    members(&before, member, found);
                }
                from = at + 1;
            }
            _ => {}
        }
    }
}

/// The paths of a code, from their first name on: `a::b` and lone names.
fn paths(code: &str) -> BTreeSet<&str> {
    let part = |sign: char| sign.is_ascii_alphanumeric() || sign == '_' || sign == ':';
    code.split(|sign| !part(sign))
        .map(|path| path.trim_matches(':'))
        .filter(|path| !path.is_empty())
        .collect()
}

/// A file's code without comments and tests, its `use` statements apart.
fn parts(source: &str) -> (Vec<(bool, String)>, String) {
    let source = source.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let (mut uses, mut rest, mut open) = (Vec::new(), String::new(), None::<(bool, String)>);
    for line in source.lines().map(|line| line.split("//").next().unwrap_or_default()) {
        let (public, tree) = match line.trim_start().split_once("use ") {
            Some(("", tree)) => (false, Some(tree)),
            Some((before, tree)) if before.starts_with("pub") && before.ends_with([' ', ')']) => {
                (true, Some(tree))
            }
            _ => (false, None),
        };
        match (&mut open, tree) {
            (Some((_, whole)), _) => whole.push_str(line),
            (None, Some(tree)) => open = Some((public, tree.to_owned())),
            (None, None) => rest.extend([line, "\n"]),
        }
        if open.as_ref().is_some_and(|(_, whole)| whole.contains(';')) {
            uses.extend(open.take().map(|(public, whole)| (public, whole.replace(';', ""))));
        }
    }
    (uses, rest)
}

/// A path as it stands in a file, from the root of the crate. `None` if it leads out of the crate.
fn from_root(here: &Place, path: &[String], known: &BTreeMap<Place, String>) -> Option<Place> {
    let (first, rest) = path.split_first()?;
    let below = |name: &String| here.iter().chain([name]).cloned().collect::<Place>();
    let up = path.iter().take_while(|name| *name == "super").count();
    let (mut whole, rest) = match first.as_str() {
        "crate" => (Vec::new(), rest),
        "self" => (here.clone(), rest),
        "super" => (here[..here.len().checked_sub(up)?].to_vec(), &path[up..]),
        _ if known.contains_key(&below(first)) => (here.clone(), path),
        _ => return None,
    };
    whole.extend(rest.iter().cloned());
    Some(whole)
}

fn read(here: &Place, source: &str, known: &BTreeMap<Place, String>) -> File {
    let (uses, rest) = parts(source);
    let mut file = File::default();
    let said = paths(&rest);
    let first: BTreeSet<&str> = said.iter().filter_map(|path| path.split("::").next()).collect();
    for (public, tree) in uses {
        let mut found = Vec::new();
        members(&[], &tree, &mut found);
        for (name, path) in found {
            let Some(path) = from_root(here, &path, known) else { continue };
            // What is only handed on is not used.
            if !public || first.contains(name.as_str()) {
                file.used.push(path.clone());
            }
            file.names.insert(name, path);
        }
    }
    file.used.extend(said.iter().filter_map(|path| from_root(here, &segments(path), known)));
    file
}

/// The file in which the thing at the end of a path stands.
fn home(path: &[String], all: &BTreeMap<Place, File>, hops: usize) -> Place {
    let mut here = Place::new();
    for (at, name) in path.iter().enumerate() {
        here.push(name.clone());
        if all.contains_key(&here) {
            continue;
        }
        here.pop();
        let passed_on = all.get(&here).and_then(|file| file.names.get(name)).filter(|_| hops > 0);
        return passed_on.map_or(here, |to| home(&[to, &path[at + 1..]].concat(), all, hops - 1));
    }
    here
}

/// The circles of a crate, each as the names of its files.
fn circles(src: &Path) -> BTreeSet<String> {
    let mut sources: BTreeMap<Place, String> = BTreeMap::new();
    for path in files(src, ".rs") {
        let below = path.strip_prefix(src).unwrap().with_extension("");
        let mut place: Place = below.iter().map(|name| name.to_str().unwrap().to_owned()).collect();
        if matches!(place.last().map(String::as_str), Some("mod" | "lib")) {
            place.pop();
        }
        if place != ["main"] && !place.iter().any(|name| name == "tests") {
            sources.insert(place, fs::read_to_string(&path).unwrap());
        }
    }
    let all: BTreeMap<Place, File> =
        sources.iter().map(|(place, source)| (place.clone(), read(place, source, &sources))).collect();
    let arrows: BTreeMap<&Place, BTreeSet<Place>> = all
        .iter()
        .map(|(place, file)| {
            let to = file.used.iter().map(|path| home(path, &all, 8));
            (place, to.filter(|to| !place.starts_with(to)).collect())
        })
        .collect();
    let reached = |from: &Place| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(place) = next.pop() {
            next.extend(arrows[&place].iter().filter(|to| seen.insert((*to).clone())).cloned());
        }
        seen
    };
    let reach: BTreeMap<&Place, BTreeSet<Place>> = all.keys().map(|place| (place, reached(place))).collect();
    let around = |place: &Place| {
        let both = reach[place].iter().filter(|other| reach[other].contains(place));
        both.map(|other| other.join("::")).collect::<Vec<_>>().join(" ")
    };
    all.keys().map(around).filter(|circle| !circle.is_empty()).collect()
}

#[test]
fn no_file_uses_one_that_uses_it() {
    let crates = fs::read_dir(root().join("crates")).unwrap().map(|one| one.unwrap().path());
    let all = crates.chain([root().join("examples/customer-ops")]);
    let found: BTreeSet<String> = all.flat_map(|one| circles(&one.join("src"))).collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_circle_is_seen_through_doors_and_paths() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("lib.rs", "mod room;\nmod side;\npub use self::side::Side;");
    write(
        "room/mod.rs",
        "mod a;\nmod b;\nmod c;\npub use self::{\n    a::A, // the first\n    b::{B as Bee},\n};",
    );
    write("room/a.rs", "use super::{Door, Bee};\nfn f() { crate::side::g(); }");
    write("room/b.rs", "use super::c::C;\n#[cfg(test)]\nmod tests {\n use super::super::a::A;\n}");
    write("room/c.rs", "fn f() -> super::B { panic!() }\n// super::a::A is only named here");
    write("side.rs", "use crate::Side as _;\npub struct Side;");
    assert!(circles(dir.path()).is_empty(), "{:?}", circles(dir.path()));
    write("room/c.rs", "fn f() -> super::A { panic!() }");
    write("side.rs", "fn f() { crate::room::Bee::new() }");
    assert_eq!(circles(dir.path()), BTreeSet::from(["room::a room::b room::c side".to_owned()]));
}
