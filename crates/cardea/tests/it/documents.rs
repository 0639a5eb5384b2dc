use std::{fs, path::Path};

use cardea::{
    commands::{Cli, End, Out, run_with},
    config::{Config, Environment},
    context::cache::read_warm,
};
use cardea_core::{agent::Agent, connector::Connector, cost::Prices, tool::ToolSpec};
use clap::Parser as _;

use crate::{files, root, shown};

struct Document {
    name: String,
    folder: std::path::PathBuf,
    text: String,
}

fn documents() -> Vec<Document> {
    let in_root = ["README.md", "CHANGELOG.md"].map(|name| root().join(name));
    let start = root().join("crates/cardea/src/commands/start/README.md");
    let all = in_root.into_iter().chain(files(&root().join("docs"), ".md")).chain([start]);
    let read = |path: std::path::PathBuf| Document {
        name: shown(&path),
        folder: path.parent().unwrap().to_owned(),
        text: fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
    };
    all.map(read).collect()
}

/// The fenced and indented code of a document: language and text.
fn snippets(text: &str) -> Vec<(String, String)> {
    let (mut found, mut open) = (Vec::new(), None::<(String, String)>);
    for line in text.lines() {
        match (line.trim_start().strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some(language), None) => open = Some((language.trim().to_owned(), String::new())),
            (None, Some((_, code))) => code.push_str(&format!("{line}\n")),
            (None, None) => {
                if let Some(code) = line.strip_prefix("    ") {
                    found.push((String::new(), format!("{code}\n")));
                }
            }
        }
    }
    found
}

/// The arguments of a line that runs cardea, as a shell would split them.
fn cardea_words(line: &str) -> Option<Vec<String>> {
    let line = line.trim().trim_start_matches("$ ");
    let start = ["cardea ", "cargo run -- ", "cargo run --release -- "]
        .iter()
        .find_map(|start| line.strip_prefix(start));
    let inner = line.find("$(cardea ").and_then(|at| line.get(at + 9..)?.split(')').next());
    let rest = start.or(inner)?.split(" #").next()?;
    let (mut words, mut quoted, mut word) = (vec!["cardea".to_owned()], false, String::new());
    for letter in rest.chars().chain([' ']) {
        match letter {
            '"' | '\'' => quoted = !quoted,
            '|' | '<' | '>' | '&' | ';' if !quoted => break,
            ' ' if !quoted => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            letter => word.push(letter),
        }
    }
    Some(words)
}

#[test]
fn every_command_in_the_documents_is_one_that_exists() {
    let mut seen = 0;
    for document in documents() {
        for (_, code) in snippets(&document.text) {
            for words in code.lines().filter_map(cardea_words) {
                let parsed = Cli::try_parse_from(&words);
                let fine = parsed.as_ref().err().is_none_or(|error| !error.use_stderr());
                assert!(fine, "{}: `{}`: {}", document.name, words.join(" "), parsed.unwrap_err());
                seen += 1;
            }
        }
    }
    assert!(seen >= 8, "only {seen} commands were found in the documents");
}

/// The commands that need no server are run as the documents give them, in one fresh folder, in their order.
#[test]
fn the_first_steps_in_the_documents_work_as_written() {
    let steps = ["README.md", "crates/cardea/src/commands/start/README.md"];
    let texts = steps.map(|name| fs::read_to_string(root().join(name)).unwrap());
    let all = texts.iter().flat_map(|text| snippets(text)).map(|(_, code)| code).collect::<String>();
    let dir = tempfile::tempdir().unwrap();
    let project = dir.path().join("my-agents");
    let mut done = Vec::new();
    for mut words in all.lines().filter_map(cardea_words) {
        match words.get(1).map(String::as_str) {
            Some("init") => words[2] = project.display().to_string(),
            Some("check" | "policy" | "doctor" | "config") => {
                words.extend(["--config".to_owned(), project.join("cardea.toml").display().to_string()]);
            }
            Some("connector") => words[3] = project.join(&words[3]).display().to_string(),
            // These need a server, and are played by the demo and by the stories of the testkit.
            _ => continue,
        }
        let cli = Cli::try_parse_from(&words).unwrap();
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let mut out = Out::new(&mut stdout, &mut stderr);
        let end = run_with(&cli, &Environment::default(), &mut out);
        assert_eq!(end, End::Good, "{words:?}: {}", String::from_utf8_lossy(&stderr));
        done.push(words[1].clone());
    }
    assert!(done.starts_with(&["init".to_owned(), "check".to_owned()]) && done.len() >= 4, "{done:?}");
}

#[test]
fn every_recipe_in_the_documents_stands_in_the_justfile() {
    let justfile = fs::read_to_string(root().join("justfile")).unwrap();
    let recipes: Vec<&str> = justfile
        .lines()
        .filter(|line| !line.starts_with([' ', '#', '\t']) && line.contains(':') && !line.contains(":="))
        .filter_map(|line| line.split([' ', ':']).next())
        .collect();
    for document in documents() {
        for (_, code) in snippets(&document.text) {
            for recipe in code.lines().filter_map(|line| line.trim().strip_prefix("just ")?.split(' ').next())
            {
                assert!(
                    recipes.contains(&recipe),
                    "{}: `just {recipe}` is not in the justfile",
                    document.name
                );
            }
        }
    }
}

/// Configurations and agents in the documents begin with a comment that names the file they stand for.
#[test]
fn every_configuration_and_agent_in_the_documents_is_a_good_one() {
    let (mut seen, mut priced) = (0, 0);
    for document in documents() {
        for (_, code) in snippets(&document.text).into_iter().filter(|(language, _)| language == "toml") {
            let first = code.lines().next().unwrap_or_default();
            if first.starts_with("# cardea.toml") {
                let folder = tempfile::tempdir().unwrap();
                // The connectors of the same document stand beside its configuration.
                fs::create_dir(folder.path().join("connectors")).unwrap();
                for (name, text) in connectors(&document.text) {
                    fs::write(folder.path().join(name), text).unwrap();
                }
                // Whatever a document takes from the environment is there.
                let named = code.split("env = \"").skip(1).filter_map(|rest| rest.split('"').next());
                let given = named.map(|name| (name, "sk-for-the-test"));
                let loaded =
                    Config::from_text("cardea.toml", &code, folder.path(), &Environment::from_iter(given));
                assert!(loaded.is_ok(), "{}: {}", document.name, loaded.unwrap_err());
                seen += 1;
            }
            if first.starts_with("# connectors/") {
                let played = Connector::play(&code);
                assert_eq!(played, Ok(Vec::new()), "{}: {first}", document.name);
                seen += 1;
            }
            if first.starts_with("# prices.toml") {
                let prices =
                    Prices::parse(&code).unwrap_or_else(|error| panic!("{}: {error}", document.name));
                assert!(prices.of("gpt-5.1").is_some() && prices.of("claude-haiku-4-5-20251001").is_some());
                priced += 1;
            }
            if first.starts_with("# agents/") {
                let agent = Agent::parse("snippet", &code);
                assert!(agent.is_ok(), "{}: {:?}", document.name, agent.unwrap_err());
                seen += 1;
            }
        }
    }
    assert!(seen >= 2, "only {seen} configurations and agents were found");
    assert!(priced >= 1, "no document shows a file of prices");
}

/// What does not say which file it is would be passed over by the test above.
#[test]
fn every_table_in_the_guide_says_of_which_file_it_is() {
    const KNOWN: [&str; 5] = ["cardea.toml", "connectors/", "prices.toml", "agents/", "Cargo.toml"];
    let mut seen = 0;
    for document in documents().into_iter().filter(|document| document.name.starts_with("docs/guide/")) {
        for (_, code) in snippets(&document.text).into_iter().filter(|(language, _)| language == "toml") {
            let first = code.lines().next().unwrap_or_default();
            let file = first.strip_prefix("# ").unwrap_or_default();
            assert!(KNOWN.iter().any(|known| file.starts_with(known)), "{}: {code}", document.name);
            seen += 1;
        }
    }
    assert!(seen >= 10, "only {seen} tables were found in the guide");
}

/// The guide shows how a `tools.json` looks; `policy test` must be able to read it.
#[test]
fn every_list_of_tools_in_the_documents_can_be_read() {
    let mut seen = 0;
    for document in documents() {
        for (_, code) in snippets(&document.text).into_iter().filter(|(language, _)| language == "json") {
            if code.starts_with("[\n  {\n    \"name\"") {
                let tools: Result<Vec<ToolSpec>, _> = serde_json::from_str(&code);
                assert!(tools.as_ref().is_ok_and(|tools| !tools.is_empty()), "{}: {tools:?}", document.name);
                seen += 1;
            }
        }
    }
    assert!(seen >= 1, "no document shows a list of tools");
}

/// Lines of JSON in the documents are answers that are known at start, or questions to tune with.
#[test]
fn every_line_of_json_in_the_documents_is_read_by_what_it_is_for() {
    let (mut warm, mut pairs) = (0, 0);
    for document in documents() {
        for (_, code) in snippets(&document.text).into_iter().filter(|(language, _)| language == "jsonl") {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("lines.jsonl");
            fs::write(&file, &code).unwrap();
            if code.starts_with("{\"agent\"") {
                warm +=
                    read_warm(&file, None).unwrap_or_else(|error| panic!("{}: {error}", document.name)).len();
            } else {
                let cli = Cli::try_parse_from(["cardea", "cache", "tune", file.to_str().unwrap()]).unwrap();
                let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
                let end = run_with(&cli, &Environment::default(), &mut Out::new(&mut stdout, &mut stderr));
                let told = String::from_utf8_lossy(&stdout);
                let read = told.contains("1 of them with one answer") || told.contains("all: 2 questions");
                assert!(end != End::Unreachable && read, "{told}");
                pairs += 1;
            }
        }
    }
    assert!(warm >= 2 && pairs >= 1, "{warm} known answers, {pairs} files of pairs");
}

/// The connectors in a document: the file that each begins with, and its text.
fn connectors(text: &str) -> Vec<(String, String)> {
    let toml = snippets(text).into_iter().filter(|(language, _)| language == "toml");
    let named = toml.filter_map(|(_, code)| {
        let name = code.lines().next()?.strip_prefix("# ")?.to_owned();
        name.starts_with("connectors/").then_some((name, code))
    });
    named.collect()
}

#[test]
fn every_link_between_the_documents_leads_somewhere() {
    let mut broken = Vec::new();
    for document in documents() {
        for link in document.text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap_or_default();
            let outside = path.contains("://") || path.is_empty() || path.starts_with("mailto:");
            if !outside && !document.folder.join(path).exists() {
                broken.push(format!("{}: {link}", document.name));
            }
        }
    }
    assert!(broken.is_empty(), "links to nothing:\n{}", broken.join("\n"));
}

#[test]
fn the_connectors_that_come_with_the_project_do_what_their_examples_say() {
    let folders = ["connectors", "crates/cardea/src/commands/start/connectors"].map(|name| root().join(name));
    let found: Vec<_> = folders.iter().flat_map(|folder| files(folder, ".toml")).collect();
    assert!(found.len() >= 2, "{found:?}");
    for path in found {
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(Connector::play(&text), Ok(Vec::new()), "{}", shown(&path));
        let connector = Connector::parse(&text).unwrap();
        assert!(connector.operations.iter().any(|one| one.examples() > 0), "{}", shown(&path));
        assert_eq!(path.file_stem().unwrap().to_str().unwrap(), connector.name);
    }
}

#[test]
fn the_agents_that_come_with_the_project_are_good() {
    let found = files(&root().join("agents"), ".toml");
    assert!(!found.is_empty());
    for path in found {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let agent = Agent::parse(name, &fs::read_to_string(&path).unwrap());
        assert!(agent.is_ok(), "{}: {:?}", shown(Path::new(&path)), agent.unwrap_err());
    }
}
