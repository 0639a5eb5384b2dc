use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::*;

/// Counts once in every family: one without a value is not told at all.
fn touched() -> Meters {
    let meters = Meters::new(Timestamp(0));
    let Meters {
        registry: _,
        values: _,
        requests,
        request_seconds,
        decisions,
        findings,
        caches,
        saved,
        checks,
        tools,
        turns,
        tokens,
        cost,
        unpriced,
        model_seconds,
        refused,
        resumes,
        in_work,
        tool_seconds,
        first_token_seconds,
        stale,
        differ,
        left_alone,
    } = &meters;
    fn label<const N: usize>() -> [(&'static str, Arc<str>); N] {
        std::array::from_fn(|_| ("label", "value".into()))
    }
    requests.get_or_create(&label()).inc();
    for family in [findings, caches, saved, turns, tokens] {
        family.get_or_create(&label()).inc();
    }
    for family in [decisions, checks, tools, cost] {
        family.get_or_create(&label()).inc();
    }
    for family in [unpriced, refused, resumes] {
        family.get_or_create(&label()).inc();
    }
    for family in [model_seconds, tool_seconds] {
        family.get_or_create(&label()).observe(1.0);
    }
    for family in [request_seconds, first_token_seconds] {
        family.get_or_create(&label()).observe(1.0);
    }
    for gauge in [in_work, stale, differ, left_alone] {
        gauge.set(1);
    }
    meters
}

/// The names of samples, and of histograms as a whole.
fn names(text: &str) -> BTreeSet<&str> {
    let samples =
        text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split(['{', ' ']).next());
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" histogram"));
    samples.chain(types).collect()
}

fn documents(folder: &Path) -> Vec<PathBuf> {
    let inside = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    inside
        .flat_map(|path| if path.is_dir() { documents(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|end| end == "md"))
        .collect()
}

#[test]
fn every_meter_in_the_documents_is_one_that_is_told() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = touched().text();
    let told = names(&text);
    let crates = fs::read_dir(root.join("crates")).unwrap().flatten();
    let crates: BTreeSet<String> =
        crates.map(|folder| folder.file_name().into_string().unwrap().replace('-', "_")).collect();
    let mut seen = 0;
    for path in documents(&root.join("docs"))
        .into_iter()
        .chain(["README.md", "CHANGELOG.md"].map(|name| root.join(name)))
    {
        let document = fs::read_to_string(&path).unwrap();
        let words = document.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        for word in words.filter(|word| word.starts_with("cardea_") && !crates.contains(*word)) {
            assert!(told.contains(word), "{}: `{word}` is none of {told:?}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 20, "only {seen} meters were found in the documents");
}
