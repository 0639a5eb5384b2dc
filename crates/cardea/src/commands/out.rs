//! Output of commands (to a terminal, a file, a pipe, or a test) and their exit codes.

use std::{
    io::{self, IsTerminal as _, Write},
    process::ExitCode,
};

use serde_json::{Value, json};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Done, and everything checked is in order.
    Good,
    /// A check failed, or the request was refused.
    Bad,
    /// The command line is invalid.
    Misused,
    /// A server, a database or a file could not be reached.
    Unreachable,
}

impl From<End> for ExitCode {
    fn from(end: End) -> Self {
        Self::from(match end {
            End::Good => 0,
            End::Bad => 1,
            End::Misused => 2,
            End::Unreachable => 3,
        })
    }
}

/// Standard output and standard error of one command.
pub struct Out<'w> {
    out: &'w mut (dyn Write + Send),
    err: &'w mut (dyn Write + Send),
    /// Whether standard error is coloured: only on a terminal that wants colours.
    pub colours: bool,
    /// Whether the output is JSON.
    pub json: bool,
    /// Error that kept a result from being written, other than a closed pipe.
    lost: Option<io::Error>,
    /// Whether the reader of the result has closed the pipe.
    gone: bool,
    /// Whether a result was printed.
    has_said: bool,
    /// Remarks kept for JSON output that has no result.
    remarks: Vec<String>,
}

/// Number of remarks reported in JSON output that has no result.
const REMARKS: usize = 20;

impl std::fmt::Debug for Out<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Out(colours: {}, json: {})", self.colours, self.json)
    }
}

impl<'w> Out<'w> {
    /// Creates outputs that write to these streams.
    pub fn new(out: &'w mut (dyn Write + Send), err: &'w mut (dyn Write + Send)) -> Self {
        Self {
            out,
            err,
            colours: false,
            json: false,
            lost: None,
            gone: false,
            has_said: false,
            remarks: Vec::new(),
        }
    }

    /// Writes one line of the result. A closed pipe is no error.
    pub fn line(&mut self, text: impl AsRef<str>) {
        self.has_said = true;
        let written = writeln!(self.out, "{}", text.as_ref());
        self.note_loss(written);
    }

    /// Writes a piece of a line and flushes it.
    pub fn piece(&mut self, text: &str) {
        self.has_said = true;
        let written = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
        self.note_loss(written);
    }

    fn note_loss(&mut self, written: io::Result<()>) {
        if let Err(error) = written
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            self.lost.get_or_insert(error);
        }
    }

    /// Returns whether the reader of the result has closed the pipe, as `head` does.
    #[must_use]
    pub(super) const fn reader_is_gone(&self) -> bool {
        self.gone
    }

    /// Returns how the command ended, given that its whole result was written. With `--json`, a command that failed
    /// without a result gets one.
    pub(super) fn end(&mut self, end: End) -> End {
        let code = match end {
            End::Good => None,
            End::Bad => Some("failed"),
            End::Misused => Some("bad_request"),
            End::Unreachable => Some("unreachable"),
        };
        if let Some(code) = code.filter(|_| self.json && !self.has_said && !self.remarks.is_empty()) {
            let says = self.remarks.join("\n");
            self.json(&json!({ "error": { "code": code, "message": says } }));
        }
        let flushed = self.out.flush();
        self.note_loss(flushed);
        match self.lost.take() {
            Some(error) => {
                self.note(format!("the result could not be written: {error}"));
                if end == End::Good { End::Unreachable } else { end }
            }
            None => end,
        }
    }

    /// Writes a remark beside the result.
    pub fn note(&mut self, text: impl AsRef<str>) {
        if self.json && self.remarks.len() < REMARKS {
            self.remarks.push(text.as_ref().trim().to_owned());
        }
        drop(writeln!(self.err, "{}", text.as_ref()));
    }

    /// Writes a value as JSON.
    pub fn json(&mut self, value: &Value) {
        self.line(serde_json::to_string_pretty(value).unwrap_or_default());
    }

    /// Reports why nothing was done: as a remark, or as JSON in place of the result.
    pub(crate) fn error(&mut self, code: &str, says: &str) {
        if self.json {
            self.json(&json!({ "error": { "code": code, "message": says } }));
        }
        self.note(says);
    }

    /// Writes rows as aligned columns. The first row is the head.
    pub fn table(&mut self, rows: &[Vec<String>]) {
        let width = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..rows.iter().map(Vec::len).max().unwrap_or(0)).map(width).collect();
        for row in rows {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            self.line(cells.collect::<Vec<_>>().join("  ").trim_end());
        }
    }
}

/// The result as a stream of bytes, for results too long to be held in memory.
impl Write for Out<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.has_said |= !bytes.is_empty();
        let written = self.out.write(bytes);
        self.gone |= written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        let written = self.out.flush();
        self.gone |= written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
        written
    }
}

/// Returns whether standard error is a terminal that shows colours.
pub(super) fn colours() -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::stderr().is_terminal() && !unwanted
}
