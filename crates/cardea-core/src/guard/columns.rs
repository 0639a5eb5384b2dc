//! Tables: what stands above a column says what its cells are, however far below they stand.
//!
//! Rows of CSV and its kin, Markdown tables, and the lists of columns in SQL. Each cell under a telling name is read
//! again as `name: cell`, so that every row of the pattern table that knows the name as a label looks at the cell.

use std::ops::Range;

use super::{
    headers::{LONGEST_HEADER, labels, secret},
    normalize::View,
};

/// A longer line names no columns.
const LONGEST_NAMES: usize = 8 * 1024;

/// How far behind the word for it a list of names begins, and its line ends behind it.
const LONGEST_HEAD: usize = 200;

/// Bytes read after which it asks whether it is late.
const ASK_EVERY: usize = 16 * 1024;

/// What is read again is handed over in portions of about this size, so that it takes no more memory than that.
const PORTION: usize = 64 * 1024;

/// Rows of tables, read again.
pub(super) struct Columns {
    pub(super) view: View<'static>,
    /// A column holds what lets somebody in.
    pub(super) secrets: bool,
}

/// Who reads the cells. Nothing if it has had enough.
type Reads<'r> = &'r mut dyn FnMut(&Columns) -> Option<()>;

/// Hands over the cells of all tables of a text under their labels, by portions of whole rows, and gives nothing if
/// their reader has had enough, or it is late. A table may run over any distance, so only whole texts are read for it.
pub(super) fn columns(view: &View<'_>, late: &dyn Fn() -> bool, reads: Reads<'_>) -> Option<()> {
    let text = view.text.as_ref();
    let mut made =
        Made { view, text: String::new(), source: Vec::new(), secrets: false, work: 0, late, reads };
    separated(text, &mut made)?;
    // Both have names of columns in brackets.
    if memchr::memchr(b'(', text.as_bytes()).is_some() {
        inserted(text, &mut made)?;
        copied(text, &mut made)?;
    }
    aliased(text, &mut made)?;
    made.hand_over()
}

/// Cells under their labels.
struct Made<'a, 'v, 'r> {
    view: &'a View<'v>,
    text: String,
    source: Vec<(u32, u32)>,
    secrets: bool,
    /// Bytes read since it asked whether it is late.
    work: usize,
    late: &'r dyn Fn() -> bool,
    reads: Reads<'r>,
}

impl Made<'_, '_, '_> {
    /// So many bytes are read: now and then it asks whether it is late.
    fn spend(&mut self, bytes: usize) -> Option<()> {
        self.work += bytes;
        if self.work < ASK_EVERY {
            return Some(());
        }
        self.work = 0;
        (!(self.late)()).then_some(())
    }

    fn hand_over(&mut self) -> Option<()> {
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
        let lead = label.len() + 2;
        self.source.extend(std::iter::repeat_n((head.0, head.0), lead));
        self.source.extend(cell.map(|at| place(at, at + 1)));
        let last = self.source.last().copied().unwrap_or_default();
        self.source.extend([(last.1, last.1); 2]);
        self.text.extend([label, ": ", value, "\n\n"]);
    }

    fn row(&mut self, labels: &[String], cells: &[Range<usize>]) -> Option<()> {
        self.secrets |= labels.iter().any(|label| secret(label).is_some());
        for (label, cell) in labels.iter().zip(cells) {
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

/// Tables whose cells are set apart by a sign: a header, and rows with as many cells.
fn separated(text: &str, made: &mut Made<'_, '_, '_>) -> Option<()> {
    let mut header: Option<(char, usize, Vec<String>)> = None;
    let (mut start, mut cells) = (0, Vec::new());
    for line in text.split_inclusive('\n') {
        let place = start;
        start += line.len();
        made.spend(line.len())?;
        let line = line.trim_end_matches(['\n', '\r']);
        if let Some((sign, count, labels)) = &header {
            let bare = line.trim();
            if bare.contains("--")
                && bare.bytes().all(|byte| matches!(byte, b'|' | b'-' | b':' | b' ' | b'+'))
            {
                continue;
            }
            Cells::of(line, place, *sign).at_most(*count, &mut cells);
            if cells.len() == *count {
                made.row(labels, &cells)?;
                continue;
            }
            header = None;
        }
        for sign in [',', ';', '\t', '|'] {
            if line.len() > LONGEST_NAMES || !may_be_header(line, sign) {
                continue;
            }
            if !Cells::of(line, place, sign).names(&mut cells) {
                continue;
            }
            if let Some(labels) = labels(text, &cells) {
                header = Some((sign, cells.len(), labels));
                break;
            }
        }
    }
    Some(())
}

/// False for most lines of prose, at the cost of looking for their first and last sign. Markdown fills its cells with spaces.
fn may_be_header(line: &str, sign: char) -> bool {
    let short = |cell: usize| sign == '|' || cell <= LONGEST_HEADER + 8;
    let (first, last) = (line.find(sign), line.rfind(sign));
    first.is_some_and(short) && last.is_some_and(|last| short(line.len() - last))
}

/// Cells of a line, without the quotes and spaces around them.
struct Cells<'t> {
    line: &'t str,
    base: usize,
    sign: char,
    /// Where the next cell begins; nothing behind the last.
    from: Option<usize>,
}

impl<'t> Cells<'t> {
    fn of(line: &'t str, base: usize, sign: char) -> Self {
        if sign != '|' {
            return Self { line, base, sign, from: Some(0) };
        }
        let begins = line.trim_start().trim_start_matches('|');
        let base = base + line.len() - begins.len();
        Self { line: begins.trim_end().trim_end_matches('|'), base, sign, from: Some(0) }
    }

    /// Puts the cells in the place of those that are there; one more than so many at most.
    fn at_most(self, count: usize, cells: &mut Vec<Range<usize>>) {
        cells.clear();
        cells.extend(self.take(count.saturating_add(1)));
    }

    /// The same for names of columns, if there are several and each is short enough.
    fn names(self, cells: &mut Vec<Range<usize>>) -> bool {
        cells.clear();
        // WHY: a line of prose is not read to its end.
        let names = self.map(|cell| Some(cell).filter(|cell| cell.len() <= LONGEST_HEADER));
        let all = names.into_iter().all(|cell| cell.map(|cell| cells.push(cell)).is_some());
        all && cells.len() > 1
    }
}

impl Iterator for Cells<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let from = self.from?;
        let rest = self.line.get(from..)?;
        let (mut blank, mut quote) = (true, None);
        for (at, c) in rest.char_indices() {
            match (quote, c) {
                (None, '"' | '\'') if blank => quote = Some(c),
                (Some(open), c) if c == open => quote = None,
                (None, c) if c == self.sign => {
                    self.from = Some(from + at + c.len_utf8());
                    return Some(bare(self.line, from, from + at, self.base));
                }
                _ => {}
            }
            blank &= c.is_whitespace();
        }
        self.from = None;
        Some(bare(self.line, from, self.line.len(), self.base))
    }
}

fn bare(line: &str, from: usize, to: usize, base: usize) -> Range<usize> {
    let cell = line.get(from..to).unwrap_or_default();
    let dull = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '*' | '[' | ']');
    let start = from + cell.len() - cell.trim_start_matches(dull).len();
    let end = from + cell.trim_end_matches(dull).len();
    base + start..base + end.max(start)
}

/// `INSERT INTO t (names) VALUES (cells), (cells)`.
fn inserted(text: &str, made: &mut Made<'_, '_, '_>) -> Option<()> {
    let (small, mut from) = (text.to_ascii_lowercase(), 0);
    let mut cells = Vec::new();
    while let Some(at) = small.get(from..).and_then(|rest| rest.find("insert ")) {
        from += at + 7;
        let Some(labels) = listed(text, &mut from, made, &mut cells)? else { continue };
        let count = cells.len();
        while let Some(values) = brackets(text, from, 24) {
            made.spend(values.len())?;
            Cells::of(text.get(values.clone()).unwrap_or_default(), values.start, ',')
                .at_most(count, &mut cells);
            if cells.len() != count {
                break;
            }
            made.row(&labels, &cells)?;
            from = values.end + 1;
        }
    }
    Some(())
}

/// `COPY t (names) FROM stdin;` and lines of cells set apart by tabs, up to a line with `\\.`.
fn copied(text: &str, made: &mut Made<'_, '_, '_>) -> Option<()> {
    let (mut from, mut cells) = (0, Vec::new());
    while let Some(at) = text.get(from..).and_then(|rest| rest.find("COPY ")) {
        from += at + 5;
        let Some(labels) = listed(text, &mut from, made, &mut cells)? else { continue };
        let behind = text.as_bytes().get(from..).unwrap_or_default();
        let behind = behind.get(..LONGEST_HEAD).unwrap_or(behind);
        let Some(line) = memchr::memchr(b'\n', behind) else { continue };
        from += line + 1;
        let (count, mut start) = (cells.len(), from);
        for line in text.get(from..).unwrap_or_default().split_inclusive('\n') {
            let place = start;
            start += line.len();
            made.spend(line.len())?;
            Cells::of(line.trim_end_matches(['\n', '\r']), place, '\t').at_most(count, &mut cells);
            if cells.len() != count {
                break;
            }
            made.row(&labels, &cells)?;
            from = start;
        }
    }
    Some(())
}

/// Labels for the list of names that opens near a place, with the places of the names; the place goes behind it. Without
/// labels it goes into the brackets: any other word before them would mean the same list.
fn listed(
    text: &str,
    from: &mut usize,
    made: &mut Made<'_, '_, '_>,
    cells: &mut Vec<Range<usize>>,
) -> Option<Option<Vec<String>>> {
    let before = text.as_bytes().get(*from..).unwrap_or_default();
    let before = before.get(..LONGEST_HEAD).unwrap_or(before);
    let Some(open) = memchr::memchr(b'(', before) else { return Some(None) };
    *from += open + 1;
    let names = text.get(*from..).unwrap_or_default();
    // WHY: names hold no brackets of their own, so that nothing is read again for the next list.
    let Some(end) = memchr::memchr2(b'(', b')', names.as_bytes()) else { return Some(None) };
    made.spend(end)?;
    let names = names.get(..end).filter(|names| names.len() <= LONGEST_NAMES);
    let closed = text.as_bytes().get(*from + end) == Some(&b')');
    let Some(names) = names.filter(|_| closed) else { return Some(None) };
    Cells::of(names, *from, ',').at_most(usize::MAX, cells);
    let labels = labels(text, cells);
    if labels.is_some() {
        *from += end + 1;
    }
    Some(labels)
}

/// `SELECT 'cell' AS name`: the name stands behind its cell.
fn aliased(text: &str, made: &mut Made<'_, '_, '_>) -> Option<()> {
    let bytes = text.as_bytes();
    for end in memchr::memchr_iter(b'\'', bytes) {
        let behind = bytes.get(end + 1..).unwrap_or_default();
        if !behind.get(..4).is_some_and(|word| word.eq_ignore_ascii_case(b" as ")) {
            continue;
        }
        let name = end + 5;
        let is_name = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_' || **byte >= 0x80;
        let length = bytes.get(name..).map_or(0, |rest| rest.iter().take(64).take_while(is_name).count());
        let before = bytes.get(end.saturating_sub(200)..end).unwrap_or_default();
        let Some(open) = memchr::memrchr(b'\'', before) else { continue };
        let cell = end - before.len() + open + 1..end;
        let header = name..name + length;
        if let Some(labels) = labels(text, std::slice::from_ref(&header)).filter(|_| length > 0) {
            made.row(&labels, std::slice::from_ref(&cell))?;
        }
    }
    Some(())
}

/// What stands in the next round brackets, which open within so many bytes; quotes may hold brackets of their own.
fn brackets(text: &str, from: usize, within: usize) -> Option<Range<usize>> {
    let rest = text.as_bytes().get(from..)?;
    let open = rest.iter().take(within).position(|byte| *byte == b'(')? + 1;
    let mut quoted = false;
    let length = rest.get(open..)?.iter().take(4096).position(|byte| {
        quoted ^= *byte == b'\'';
        *byte == b')' && !quoted
    })?;
    Some(from + open..from + open + length)
}

#[cfg(test)]
mod tests {
    use super::{super::normalize::fold, *};

    fn read(text: &str) -> String {
        let mut all = String::new();
        let keep = &mut |read: &Columns| {
            all.push_str(&read.view.text.replace("\n\n", "; "));
            Some(())
        };
        columns(&fold(text), &|| false, keep).unwrap();
        all
    }

    #[test]
    fn every_row_of_a_table_is_read_however_many_there_are() {
        for rows in [10, 1_000, 10_000] {
            let row = |n: usize| format!("{n},Ebba Norling,Anchor{n},0161 {n}");
            let cells: Vec<String> = (0..rows).map(row).collect();
            let other = "a;phone\nx;0162 1\n".to_owned();
            let told = read(&format!("id,full_name,password,phone\n{}\n{other}", cells.join("\n")));
            assert_eq!(told.matches("password: Anchor").count(), rows);
            assert!(told.contains(&format!("password: Anchor{}; phone: 0161 {}; ", rows - 1, rows - 1)));
            assert!(told.ends_with("phone: 0162 1; "), "and the next table");
        }
    }

    #[test]
    fn a_table_may_have_any_number_of_columns() {
        for columns in [2, 64, 65, 200, 400] {
            let names: Vec<String> = (1..columns).map(|n| format!("custom_field_{n}")).collect();
            let cells = vec!["1"; columns - 1].join(";");
            let told = read(&format!("{};password\n{cells};Anker7\n", names.join(";")));
            assert_eq!(told, "password: Anker7; ", "{columns}");
        }
    }

    #[test]
    fn a_reader_who_has_had_enough_gets_no_more() {
        let text = format!("id,phone\n{}", "1,0161 2\n".repeat(30_000));
        let mut portions = 0;
        let mut once = |_: &Columns| {
            portions += 1;
            None
        };
        assert!(columns(&fold(&text), &|| false, &mut once).is_none());
        assert_eq!(portions, 1);
    }

    #[test]
    fn lists_of_names_are_read_once_however_many_words_stand_before_them() {
        for word in ["insert (", "COPY ("] {
            let block = format!("{}{}) ", format!("{word}a,").repeat(200), "a,".repeat(1040));
            let rows = format!("{}\n", format!("{word}pin)").repeat(400));
            for block in [block, rows] {
                let asked = |blocks: usize| {
                    let (asked, text) = (std::cell::Cell::new(0), block.repeat(blocks));
                    let late = || {
                        asked.set(asked.get() + 1);
                        false
                    };
                    columns(&fold(&text), &late, &mut |_| Some(())).unwrap();
                    (asked.get(), text.len() / ASK_EVERY)
                };
                let (few, many) = (asked(10), asked(20));
                assert!(few.0 <= 3 * few.1 + 3 && many.0 <= 3 * many.1 + 3, "{word} {few:?} {many:?}");
                assert!(many.0 > 0, "it asks whether it is late");
            }
        }
    }

    #[test]
    fn who_is_late_reads_no_more() {
        let text = "insert into t (pin) values (1);\n".repeat(10_000);
        let mut read = 0;
        let late = || true;
        let gave = columns(&fold(&text), &late, &mut |_| {
            read += 1;
            Some(())
        });
        assert!(gave.is_none() && read == 0, "{read}");
    }

    #[test]
    fn cells_are_read_under_the_names_of_their_columns() {
        assert_eq!(
            read("id;nome;cpf\n1;Iara Moura;12\n2;Rui Alves;34\n"),
            "surname: Iara Moura; cpf: 12; surname: Rui Alves; cpf: 34; "
        );
        assert_eq!(
            read("| Name | Phone |\n|------|-------|\n| Bo Li | 12 |\n"),
            "surname: Bo Li; phone: 12; "
        );
        assert_eq!(
            read("date;account;amount\n2024-05-01;4400;119\n2024-05-02;73920185;2\n"),
            "account number: 73920185; "
        );
        assert_eq!(read("\"Last Name\",\"E-mail\"\n\"Roy, A\",\"x@y\""), "surname: Roy, A; e-mail: x@y; ");
        assert_eq!(
            read("insert into t (id, nome, cpf) values (8, 'Rui (Jr) Alves', '12'), (9, 'Bo', '34');"),
            "surname: Rui (Jr) Alves; cpf: 12; surname: Bo; cpf: 34; "
        );
        assert_eq!(
            read(
                "COPY p.payees (id, holder, iban) FROM stdin;\n7\tBo Li\t12\n8\tRui Alves\t34\n\\.\nx\ty\tz\n"
            ),
            "surname: Bo Li; iban: 12; surname: Rui Alves; iban: 34; "
        );
        assert_eq!(read("Guest,Room,Passport\n\"Roy, A\",9,12\n"), "surname: Roy, A; passport: 12; ");
    }

    #[test]
    fn columns_of_secrets_are_read_and_what_tells_about_them_is_not() {
        assert_eq!(
            read("| host | user | password |\n|---|---|---|\n| nas-1 | backup | Anchor7 |\n"),
            "password: Anchor7; "
        );
        assert_eq!(read("user;Kennwort\nops;Anker7\n"), "password: Anker7; ");
        assert_eq!(read("service,api_key,owner\nbilling,ab12,it\n"), "api_key: ab12; ");
        assert!(read("test,pass,fail_rate,password_hash\nunit,12,3,ab12\n").starts_with("password: 12; "));
        for text in ["user,password changed at\nops,2026-01-02\n", "token type,token limit\nbearer,4096\n"] {
            assert!(read(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn a_cell_of_a_query_is_read_under_the_name_behind_it() {
        assert_eq!(
            read("select '57-93-37' as mrn, 'Rosa Lind' AS patient_name, 'x' as kind"),
            "mrn: 57-93-37; surname: Rosa Lind; "
        );
        assert!(read("it's as good as any, 'blue' as colour").is_empty());
    }

    #[test]
    fn tables_of_things_are_left_alone() {
        for text in [
            "sku,name,price\nA1,Blue Hose,3\n",
            "a, b and c\nd, e and f\n",
            "",
            "insert coin (now) values (1)",
        ] {
            assert!(read(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn places_lead_back_to_the_cells() {
        let text = "né,phone\n1,é0161\n";
        let mut places = Vec::new();
        let read = &mut |read: &Columns| {
            let at = read.view.text.find("e0161")?;
            places.push(read.view.back(at, at + 5));
            Some(())
        };
        columns(&fold(text), &|| false, read).unwrap();
        let cell = places.pop().and_then(|(from, to)| text.get(from..to));
        assert_eq!(cell, Some("é0161"));
    }
}
