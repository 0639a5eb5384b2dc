//! `cardea guard`: runs the guardrails on your own machine.

use std::{
    fs,
    io::{self, Read as _},
    path::Path,
};

use cardea_core::{
    form::position,
    guard::{Action, Engine, Finding, Profile, Surface, report},
};
use serde_json::json;

use super::{End, GuardScan, Out};
use crate::control::with_encoder;

/// Builds the engine of a built-in profile or of a profile file.
fn engine(profile: &str) -> Result<Engine, String> {
    let known = if Path::new(profile).is_file() {
        let text = fs::read_to_string(profile).map_err(|error| format!("{profile}: {error}"))?;
        Profile::parse(&text)
    } else {
        Profile::built_in(profile)
    };
    known.and_then(|profile| Engine::new(&profile)).map(with_encoder).map_err(|error| error.to_string())
}

pub(super) fn scan(scan: &GuardScan, out: &mut Out<'_>) -> End {
    let engine = match engine(&scan.profile) {
        Ok(engine) => engine,
        Err(error) => {
            out.note(error);
            return End::Misused;
        }
    };
    let text = match read(scan.file.as_deref()) {
        Ok(text) => text,
        Err(error) => {
            let name = scan.file.as_deref().map_or_else(|| "standard input".into(), Path::to_string_lossy);
            out.note(format!("{name} cannot be read: {error}"));
            return End::Unreachable;
        }
    };
    let surface =
        Surface::ALL.into_iter().find(|surface| surface.name() == scan.surface).unwrap_or(Surface::User);
    let verdict = engine.scan(&text, surface);
    if out.json {
        out.json(&json!({ "action": verdict.action, "findings": verdict.findings }));
    } else {
        print(&verdict.findings, &text, out);
        let kept = verdict.findings.len();
        out.line(format!("{} on the surface {}: {kept} findings", word(verdict.action), surface.name()));
    }
    if verdict.action == Action::Pass { End::Good } else { End::Bad }
}

/// Lists every kind that can be found, with the rules behind it.
pub(super) fn list(markdown: bool, out: &mut Out<'_>) -> End {
    let page = if markdown { report::types_page().map(Some) } else { Ok(None) };
    let (types, page) = match (report::types(), page) {
        (Ok(types), Ok(page)) => (types, page),
        (Err(error), _) | (_, Err(error)) => {
            out.note(error.public());
            return End::Unreachable;
        }
    };
    if let Some(page) = page {
        out.piece(&page);
    } else if out.json {
        out.json(&json!({ "types": types }));
    } else {
        let head = ["family", "kind", "rules"].map(str::to_owned).to_vec();
        let row = |facts: &report::TypeFacts| {
            vec![facts.family.name().to_owned(), facts.kind.clone(), facts.rows.len().to_string()]
        };
        let rows: Vec<Vec<String>> = std::iter::once(head).chain(types.iter().map(row)).collect();
        out.table(&rows);
    }
    End::Good
}

/// Prints the figures of a profile on labelled texts, per group, with 95 % intervals.
pub(super) fn eval(file: &Path, profile: &str, out: &mut Out<'_>) -> End {
    let engine = match engine(profile) {
        Ok(engine) => engine,
        Err(error) => {
            out.note(error);
            return End::Misused;
        }
    };
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            out.note(format!("{}: {error}", file.display()));
            return End::Unreachable;
        }
    };
    let mut measured = report::Eval::new(&engine);
    for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        if let Err(error) = measured.add(line) {
            out.note(format!("{}:{}: {}", file.display(), i + 1, error.public()));
            return End::Misused;
        }
    }
    if out.json {
        out.json(&json!({ "rows": measured.rows(), "groups": measured.figures() }));
        return End::Good;
    }
    let share = |rate: report::Rate| {
        let (low, high) = rate.interval();
        let percent = |share: f64| share * 100.0;
        match rate.of {
            0 => "-".to_owned(),
            of => format!(
                "{:.1} % of {of} ({:.1} to {:.1})",
                percent(rate.share()),
                percent(low),
                percent(high)
            ),
        }
    };
    let head = ["group", "found", "findings that fit", "harmless but flagged"].map(str::to_owned).to_vec();
    let row = |(group, figures): (&String, &report::Figures)| {
        vec![group.clone(), share(figures.recall), share(figures.precision), share(figures.flagged)]
    };
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(measured.figures().iter().map(row)).collect();
    out.line(format!("{} rows, profile {profile}\n", measured.rows()));
    out.table(&rows);
    End::Good
}

fn read(file: Option<&Path>) -> io::Result<String> {
    match file {
        Some(path) => fs::read_to_string(path),
        None => {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text)?;
            Ok(text)
        }
    }
}

/// Prints kind and position of each finding, never the value.
fn print(findings: &[Finding], text: &str, out: &mut Out<'_>) {
    if findings.is_empty() {
        return;
    }
    let head = ["place", "kind", "family", "detector", "confidence", "action"].map(str::to_owned).to_vec();
    let row = |finding: &Finding| {
        let at = position(text, finding.span.start);
        vec![
            format!("{}:{}", at.line, at.column),
            finding.kind.to_string(),
            finding.family.name().to_owned(),
            finding.detector.to_owned(),
            format!("{:.2}", finding.confidence),
            word(finding.action).to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(findings.iter().map(row)).collect();
    out.table(&rows);
    out.line("");
}

const fn word(action: Action) -> &'static str {
    match action {
        Action::Pass => "pass",
        Action::Mask => "mask",
        Action::Warn => "warn",
        Action::Refuse => "refuse",
    }
}
