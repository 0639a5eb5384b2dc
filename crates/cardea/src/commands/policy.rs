//! `cardea policy test`: the cases beside a policy set.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use cardea_core::{
    policy::{self, Matrix, Problem, Snapshot, Source},
    tool::ToolSpec,
};
use serde_json::json;

use super::{End, Out};

/// What a policy folder holds.
struct Folder {
    sources: Vec<Source>,
    tools: Vec<ToolSpec>,
    matrices: Vec<(String, String)>,
}

pub(super) fn test(dir: &Path, out: &mut Out<'_>) -> End {
    let folder = match read(dir) {
        Ok(folder) => folder,
        Err(error) => {
            out.note(format!("{}: {error}", dir.display()));
            return End::Unreachable;
        }
    };
    let snapshot = match Snapshot::compile(&folder.sources, &folder.tools) {
        Ok(snapshot) => snapshot,
        Err(problems) => return refuse(&problems, out),
    };
    for warning in snapshot.warnings() {
        out.note(format!("note: {warning}"));
    }
    let (mut run, mut failed, mut results) = (0, 0, Vec::new());
    for (name, text) in &folder.matrices {
        let matrix = match Matrix::parse(text) {
            Ok(matrix) => matrix,
            Err(problems) => {
                let shown = crate::config::FileProblems::new(name, text, &[], problems);
                out.note(crate::config::ConfigError::from(shown).pretty(out.colours));
                return End::Bad;
            }
        };
        for report in policy::run(&snapshot, &matrix) {
            run += 1;
            failed += usize::from(!report.faults.is_empty());
            if out.json {
                results.push(json!({
                    "file": name, "case": report.number, "about": report.about,
                    "verdict": report.decision.verdict.name(), "faults": report.faults,
                }));
                continue;
            }
            let word = if report.faults.is_empty() { "good" } else { "BAD " };
            out.line(format!("{word}  {:8}  {}", report.decision.verdict.name(), report.about));
            report
                .faults
                .iter()
                .for_each(|fault| out.line(format!("      {name} case {}: {fault}", report.number)));
        }
    }
    let version = snapshot.version();
    if out.json {
        out.json(&json!({ "good": failed == 0, "version": **version, "policies": snapshot.len(), "cases": results }));
    } else {
        let policies = snapshot.len();
        out.line(format!("\n{policies} policies (version {version}), {run} cases, {failed} not as expected"));
    }
    if failed > 0 { End::Bad } else { End::Good }
}

/// The set of a folder in one line, or everything that is wrong with it. A folder that is not there is an empty set.
pub(super) fn summary(dir: &Path) -> Result<String, Vec<String>> {
    if !dir.is_dir() {
        return Ok("none".to_owned());
    }
    let folder = read(dir).map_err(|error| vec![format!("{}: {error}", dir.display())])?;
    let snapshot = Snapshot::compile(&folder.sources, &folder.tools);
    let snapshot =
        snapshot.map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    Ok(format!("{}, version {}", snapshot.len(), snapshot.version()))
}

fn refuse(problems: &[Problem], out: &mut Out<'_>) -> End {
    if out.json {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        out.json(&json!({ "good": false, "problems": lines }));
    } else {
        problems.iter().for_each(|problem| out.note(problem.to_string()));
    }
    End::Bad
}

/// The `.cedar` files, the tools they speak of (`tools.json`), and the cases in `tests/`.
fn read(dir: &Path) -> io::Result<Folder> {
    let mut sources = vec![Source::built_in()];
    sources.extend(texts(dir, "cedar")?.into_iter().map(|(name, text)| Source::new(name, text)));
    let tools = match fs::read(dir.join("tools.json")) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("tools.json: {error}")))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(named("tools.json", &error)),
    };
    let tests = dir.join("tests");
    let matrices = if tests.is_dir() { texts(&tests, "toml")? } else { Vec::new() };
    Ok(Folder { sources, tools, matrices })
}

fn texts(dir: &Path, end: &str) -> io::Result<Vec<(String, String)>> {
    let mut paths: Vec<_> = fs::read_dir(dir)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|found| found == end));
    paths.sort();
    let text = |path: &PathBuf| {
        let name = path.display().to_string();
        fs::read_to_string(path).map_err(|error| named(&name, &error)).map(|text| (name, text))
    };
    paths.iter().map(text).collect()
}

/// The same error, with the file that it is about.
fn named(file: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{file}: {error}"))
}
