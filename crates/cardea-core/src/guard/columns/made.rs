//! Cells that are read again under the names of their columns.

use std::ops::Range;

use crate::guard::{
    headers::{Headers, Labels},
    normalize::View,
};

/// Bytes read after which it asks whether it is late.
pub(super) const ASK_EVERY: usize = 16 * 1024;

/// What is read again is handed over in portions of about this size, so that it takes no more memory than that.
const PORTION: usize = 64 * 1024;

/// Rows of tables, read again.
pub(in super::super) struct Columns {
    pub(in super::super) view: View<'static>,
    /// A column holds what lets somebody in.
    pub(in super::super) secrets: bool,
}

/// Who reads the cells. Nothing if it has had enough.
pub(in super::super) type Reads<'r> = &'r mut dyn FnMut(&Columns) -> Option<()>;

/// Cells under their labels.
pub(super) struct Made<'a, 'v, 'r> {
    pub(super) view: &'a View<'v>,
    pub(super) headers: &'a Headers,
    text: String,
    source: Vec<(u32, u32)>,
    secrets: bool,
    /// Bytes read since it asked whether it is late.
    work: usize,
    late: &'r dyn Fn() -> bool,
    reads: Reads<'r>,
}

impl<'a, 'v, 'r> Made<'a, 'v, 'r> {
    pub(super) fn new(
        view: &'a View<'v>,
        headers: &'a Headers,
        late: &'r dyn Fn() -> bool,
        reads: Reads<'r>,
    ) -> Self {
        Self { view, headers, text: String::new(), source: Vec::new(), secrets: false, work: 0, late, reads }
    }

    /// So many bytes are read: now and then it asks whether it is late.
    pub(super) fn spend(&mut self, bytes: usize) -> Option<()> {
        self.work += bytes;
        if self.work < ASK_EVERY {
            return Some(());
        }
        self.work = 0;
        (!(self.late)()).then_some(())
    }

    pub(super) fn hand_over(&mut self) -> Option<()> {
        if self.text.is_empty() {
            return Some(());
        }
        let (text, source) = (std::mem::take(&mut self.text), std::mem::take(&mut self.source));
        let secrets = std::mem::take(&mut self.secrets);
        (self.reads)(&Columns { view: View::made(text, source), secrets })
    }

    fn put(&mut self, label: &str, cell: Range<usize>) {
        let value = self.view.text.get(cell.clone()).unwrap_or_default();
        let place = |from, to| {
            let (from, to) = self.view.back(from, to);
            (u32::try_from(from).unwrap_or(u32::MAX), u32::try_from(to).unwrap_or(u32::MAX))
        };
        let head = place(cell.start, cell.start + 1);
        // WHY: where a cell ends is known, and a password may have signs that would end one elsewhere.
        let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>' | ',' | ';');
        let quoted = label == "password" && value.contains(ends);
        let lead = label.len() + 2 + usize::from(quoted);
        self.source.extend(std::iter::repeat_n((head.0, head.0), lead));
        self.source.extend(cell.map(|at| place(at, at + 1)));
        let last = self.source.last().copied().unwrap_or_default();
        self.source.extend(std::iter::repeat_n((last.1, last.1), 2 + usize::from(quoted)));
        if quoted {
            self.text.extend([label, ": \"", &value.replace(['"', '\\'], "'"), "\"\n\n"]);
        } else {
            self.text.extend([label, ": ", value, "\n\n"]);
        }
    }

    pub(super) fn row(&mut self, labels: &Labels, cells: &[Range<usize>]) -> Option<()> {
        self.secrets |= labels.secrets;
        for (label, cell) in labels.names.iter().zip(cells) {
            // WHY: books number their accounts with three to five digits, banks with more.
            let book = label == "account number"
                && cell.len() <= 5
                && self
                    .view
                    .bytes()
                    .get(cell.clone())
                    .is_some_and(|cell| cell.iter().all(u8::is_ascii_digit));
            if !label.is_empty() && !cell.is_empty() && cell.len() < 200 && !book {
                self.put(label, cell.clone());
            }
        }
        if self.text.len() >= PORTION { self.hand_over() } else { Some(()) }
    }
}
