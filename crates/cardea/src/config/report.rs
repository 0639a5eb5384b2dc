//! Problems of configuration files, formatted for people and for machines.

use std::{fmt, io, ops::Range, path::Path};

use cardea_core::form::{Place, Position, Problem, position};
use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, NamedSource, Report, Severity,
};
use serde::Serialize;

/// All problems, file by file.
#[derive(Debug, Clone)]
pub struct ConfigError {
    files: Vec<FileProblems>,
    /// True if the configuration file itself could not be read.
    unread: bool,
}

/// The problems of one file.
#[derive(Debug, Clone)]
pub struct FileProblems {
    name: String,
    /// The text with its secrets masked, of the same length, so that positions stay valid.
    shown: String,
    problems: Vec<Problem>,
}

/// One problem as a line: for tests, machines and narrow terminals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The file, or the environment variable.
    pub file: String,
    /// The line, from 1; 0 if there is none.
    pub line: usize,
    /// The column, from 1; 0 if there is none.
    pub column: usize,
    /// The full key.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl FileProblems {
    /// Problems of a file that is valid TOML.
    #[must_use]
    pub fn new(name: &str, text: &str, hidden: &[Range<usize>], problems: Vec<Problem>) -> Self {
        Self { name: name.to_owned(), shown: starred(text, hidden), problems }
    }

    /// Problems of a file that is not TOML. No source text is shown, since its secrets cannot be told from the rest.
    #[must_use]
    pub fn broken(name: &str, text: &str, problems: Vec<Problem>) -> Self {
        let mut shown = String::with_capacity(text.len());
        for line in text.split_inclusive('\n') {
            let section = line.trim_start().starts_with('[') && !line.contains(['"', '\'']);
            let (key, value) = match line.find('=').and_then(|at| line.split_at_checked(at + 1)) {
                Some(split) => split,
                None if section => (line, ""),
                None => ("", line),
            };
            shown.push_str(key);
            shown.push_str(&stars(value));
        }
        Self { name: name.to_owned(), shown, problems }
    }

    fn line(&self, problem: &Problem) -> Line {
        let (file, at) = match &problem.place {
            Place::File(span) => (self.name.clone(), position(&self.shown, span.start)),
            Place::Variable(name) => (name.clone(), Position { line: 0, column: 0 }),
            Place::Nowhere => (self.name.clone(), Position { line: 0, column: 0 }),
        };
        Line {
            file,
            line: at.line,
            column: at.column,
            key: problem.key.clone(),
            message: problem.message.clone(),
            help: problem.help.clone(),
        }
    }

    fn report(&self, problem: &Problem) -> Report {
        let title = match (problem.key.as_str(), &problem.place) {
            ("", Place::Variable(_)) => problem.message.clone(),
            ("", _) => format!("{}: {}", self.name, problem.message),
            (key, Place::Variable(name)) => format!("{name}: `{key}` {}", problem.message),
            (key, _) => format!("`{key}` {}", problem.message),
        };
        let mut report = MietteDiagnostic::new(title).with_severity(Severity::Error);
        report.help.clone_from(&problem.help);
        match &problem.place {
            Place::File(span) => {
                let label = LabeledSpan::new(None, span.start, first_line_of(&self.shown, span));
                Report::new(report.with_label(label))
                    .with_source_code(NamedSource::new(&self.name, self.shown.clone()))
            }
            _ => Report::new(report),
        }
    }
}

impl ConfigError {
    pub(super) fn one(file: FileProblems) -> Self {
        Self { files: vec![file], unread: false }
    }

    pub(super) fn many(files: Vec<FileProblems>) -> Self {
        Self { files, unread: false }
    }

    pub(super) fn unreadable(path: &Path, error: &io::Error) -> Self {
        let problem = Problem::new("", format!("cannot be read: {error}"), Place::Nowhere);
        let problem = match error.kind() {
            io::ErrorKind::NotFound => {
                problem.help("`cardea init DIR` writes one to start from; --config FILE names another")
            }
            io::ErrorKind::IsADirectory => problem.help("name the file, not its folder"),
            io::ErrorKind::InvalidData => problem.help("it must be a text file in UTF-8"),
            _ => problem,
        };
        Self {
            files: vec![FileProblems::new(&path.display().to_string(), "", &[], vec![problem])],
            unread: true,
        }
    }

    /// Returns whether the configuration file itself could not be read.
    #[must_use]
    pub fn is_unread(&self) -> bool {
        self.unread
    }

    /// Returns every problem as a line, in the order of the files.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        self.files.iter().flat_map(|file| file.problems.iter().map(|problem| file.line(problem))).collect()
    }

    /// Formats for people: each problem with the source line that it is about.
    #[must_use]
    pub fn pretty(&self, colours: bool) -> String {
        let mut theme = GraphicalTheme::ascii();
        if !colours {
            theme.styles = miette::ThemeStyles::none();
        }
        let handler = GraphicalReportHandler::new_themed(theme).with_width(100).with_context_lines(1);
        let mut text = String::new();
        for (file, problem) in self.files.iter().flat_map(|file| file.problems.iter().map(move |p| (file, p)))
        {
            if handler.render_report(&mut text, file.report(problem).as_ref()).is_err() {
                text.push_str(&file.line(problem).to_string());
            }
            text.push('\n');
        }
        text
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.lines().iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for ConfigError {}

impl From<FileProblems> for ConfigError {
    fn from(file: FileProblems) -> Self {
        Self::one(file)
    }
}

impl From<Vec<FileProblems>> for ConfigError {
    fn from(files: Vec<FileProblems>) -> Self {
        Self::many(files)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, " ({help})"))
    }
}

/// Returns the length of a span up to the end of its first line: a label should not frame half a file.
fn first_line_of(text: &str, span: &Range<usize>) -> usize {
    let inside = text.get(span.clone()).unwrap_or_default();
    inside.lines().next().unwrap_or_default().len()
}

fn starred(text: &str, hidden: &[Range<usize>]) -> String {
    let mut hidden: Vec<&Range<usize>> = hidden.iter().collect();
    hidden.sort_by_key(|span| span.start);
    let (mut shown, mut at) = (String::with_capacity(text.len()), 0);
    for span in hidden.into_iter().filter(|span| span.start <= span.end) {
        if span.start >= at {
            shown.push_str(text.get(at..span.start).unwrap_or_default());
            shown.push_str(&stars(text.get(span.clone()).unwrap_or_default()));
            at = span.end;
        }
    }
    shown.push_str(text.get(at..).unwrap_or_default());
    shown
}

/// Masks a text with the same number of bytes; line ends stay.
fn stars(text: &str) -> String {
    text.bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { char::from(byte) } else { '*' }).collect()
}
