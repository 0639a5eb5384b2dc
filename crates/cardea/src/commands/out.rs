//! Where commands write (to a terminal, a file, a pipe, or a test), and how they end.

use std::{
    io::{self, IsTerminal as _, Write},
    process::ExitCode,
};

use serde_json::{Value, json};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Done, and everything that was checked is good.
    Good,
    /// Something that was checked is not good.
    Bad,
    /// The command line asks for something that makes no sense.
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
    /// Colours on standard error: only on a terminal that wants them.
    pub colours: bool,
    /// Whether a machine reads.
    pub json: bool,
    /// Why a result could not be written, other than that its reader has gone.
    lost: Option<io::Error>,
    /// Whether the reader of the result has gone: it has seen enough.
    gone: bool,
    /// Whether there was a result.
    has_said: bool,
    /// What was remarked, for a machine that gets no result.
    remarks: Vec<String>,
}

/// Remarks that a machine is told of where there is no result.
const REMARKS: usize = 20;

impl std::fmt::Debug for Out<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Out(colours: {}, json: {})", self.colours, self.json)
    }
}

impl<'w> Out<'w> {
    /// Writes to these.
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

    /// Writes one line of result. A reader that went away is no error of ours.
    pub fn line(&mut self, text: impl AsRef<str>) {
        self.has_said = true;
        let written = writeln!(self.out, "{}", text.as_ref());
        self.note_loss(written);
    }

    /// Writes a piece of a line and shows it at once.
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

    /// True if whoever read the result has gone, as `head` does.
    #[must_use]
    pub(super) const fn reader_is_gone(&self) -> bool {
        self.gone
    }

    /// How the command has ended, if all of its result was written. A machine gets a result of every command that did not do
    /// what it was told.
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

    /// Writes a value for a machine.
    pub fn json(&mut self, value: &Value) {
        self.line(serde_json::to_string_pretty(value).unwrap_or_default());
    }

    /// Says why nothing was done: to people, and to a machine in the place of the result.
    pub(crate) fn error(&mut self, code: &str, says: &str) {
        if self.json {
            self.json(&json!({ "error": { "code": code, "message": says } }));
        }
        self.note(says);
    }

    /// Writes rows as columns of even width. The first row is the head.
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

/// The result as a stream of bytes, for what is too long to be held.
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

/// True if standard error is a terminal that shows colours.
pub(super) fn colours() -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::stderr().is_terminal() && !unwanted
}
