//! Tables: what stands above a column says what its cells are, however far below they stand.
//!
//! Rows of CSV and its kin, Markdown tables, and the lists of columns in SQL. Each cell under a telling name is read
//! again as `name: cell`, so that every row of the pattern table that knows the name as a label looks at the cell.

use std::ops::Range;

use super::normalize::View;

/// The longest name of a column.
const LONGEST_HEADER: usize = 40;

/// Most columns of a table that are looked at.
const MOST_COLUMNS: usize = 64;

/// What is read again is no longer than about this.
const LONGEST_TABLE: usize = 64 * 1024;

/// Names of columns that hold names of people, but of things as well: they count beside a column that only people have.
const NAMES: &[&str] = &[
    "name",
    "nome",
    "nom",
    "nombre",
    "naam",
    "navn",
    "namn",
    "nimi",
    "nev",
    "nume",
    "jmeno",
    "meno",
    "imie",
    "ime",
    "имя",
    "имe",
    "contact",
    "user",
    "customer",
    "client",
    "cliente",
    "kunde",
    "nama",
    "isim",
    "ad",
    "guest",
    "guests",
    "tenant",
    "visitor",
    "driver",
    "student",
    "attendee",
    "payee",
    "recipient",
    "owner",
    "resident",
    "traveller",
    "traveler",
    "applicant",
    "gast",
    "mieter",
    "fahrer",
    "huesped",
    "ospite",
    "hospede",
    "gosc",
];

/// Parts of names of columns that only people have, with the label under which their cells are read; nothing: their own.
const TELLING: &[(&str, &str)] = &[
    ("first_name", "surname"),
    ("firstname", "surname"),
    ("first name", "surname"),
    ("given", "surname"),
    ("last_name", "surname"),
    ("lastname", "surname"),
    ("last name", "surname"),
    ("surname", "surname"),
    ("full_name", "surname"),
    ("fullname", "surname"),
    ("full name", "surname"),
    ("middle name", "surname"),
    ("family name", "surname"),
    ("customer_name", "surname"),
    ("customer name", "surname"),
    ("patient_name", "surname"),
    ("employee", ""),
    ("holder", "surname"),
    ("vorname", "surname"),
    ("nachname", "surname"),
    ("prenom", "surname"),
    ("apellido", "surname"),
    ("cognome", "surname"),
    ("sobrenome", "surname"),
    ("voornaam", "surname"),
    ("achternaam", "surname"),
    ("fornamn", "surname"),
    ("efternamn", "surname"),
    ("fornavn", "surname"),
    ("efternavn", "surname"),
    ("etternavn", "surname"),
    ("etunimi", "surname"),
    ("sukunimi", "surname"),
    ("nazwisk", "surname"),
    ("prijmen", "surname"),
    ("priezvisko", "surname"),
    ("prezime", "surname"),
    ("soyad", "surname"),
    ("patient", ""),
    ("passenger", ""),
    ("фио", "surname"),
    ("фамили", "surname"),
    ("氏名", "surname"),
    ("姓名", "surname"),
    ("名前", "surname"),
    ("성명", "surname"),
    ("이름", "surname"),
    ("birth", "date of birth"),
    ("dob", "date of birth"),
    ("geburt", "date of birth"),
    ("geboren", "date of birth"),
    ("naissance", "date of birth"),
    ("nacimiento", "date of birth"),
    ("nascita", "date of birth"),
    ("nascimento", "date of birth"),
    ("geboorte", "date of birth"),
    ("fodsel", "date of birth"),
    ("fodelse", "date of birth"),
    ("urodz", "date of birth"),
    ("naroz", "date of birth"),
    ("dogum", "date of birth"),
    ("nacim", "date of birth"),
    ("рожден", "date of birth"),
    ("生年月日", "date of birth"),
    ("出生", "date of birth"),
    ("생년월일", "date of birth"),
    ("phone", "phone"),
    ("tel", "phone"),
    ("mobil", "phone"),
    ("handy", "phone"),
    ("celular", "phone"),
    ("movil", "phone"),
    ("cell", "phone"),
    ("fax", "phone"),
    ("puhelin", "phone"),
    ("whatsapp", "phone"),
    ("gsm", "phone"),
    ("телефон", "phone"),
    ("電話", "phone"),
    ("电话", "phone"),
    ("手机", "phone"),
    ("전화", "phone"),
    ("address", "address"),
    ("adres", "address"),
    ("anschrift", "address"),
    ("direccion", "address"),
    ("indirizzo", "address"),
    ("endereco", "address"),
    ("morada", "address"),
    ("domicilio", "address"),
    ("street", "address"),
    ("strasse", "address"),
    ("straße", "address"),
    ("mail", ""),
    ("correo", ""),
    ("ssn", "ssn"),
    ("social_sec", "ssn"),
    ("social sec", "ssn"),
    ("account", "account number"),
    ("acct", "account number"),
    ("konto", "account number"),
    ("cuenta", "account number"),
    ("conta", "account number"),
    ("compte", "account number"),
    ("rekening", "account number"),
    ("passport", "passport"),
    ("reisepass", "passport"),
    ("pasaporte", "passport"),
    ("passeport", "passport"),
    ("passaporto", "passport"),
    ("passaporte", "passport"),
    ("paspoort", "passport"),
    ("licen", ""),
    ("plate", "license plate"),
    ("kennzeichen", "license plate"),
    ("iban", ""),
    ("card", ""),
    ("karte", ""),
    ("nino", ""),
    ("nhs", ""),
    ("mrn", ""),
    ("cpf", ""),
    ("cnpj", ""),
    ("rut", ""),
    ("curp", ""),
    ("rfc", ""),
    ("dni", ""),
    ("nie", ""),
    ("nif", ""),
    ("cuit", ""),
    ("cuil", ""),
    ("bsn", ""),
    ("pesel", ""),
    ("nip", ""),
    ("cnp", ""),
    ("egn", ""),
    ("oib", ""),
    ("emso", ""),
    ("jmbg", ""),
    ("cpr", ""),
    ("fodselsn", "fodselsnummer"),
    ("personn", "personnummer"),
    ("hetu", ""),
    ("henkilotunnus", ""),
    ("isikukood", ""),
    ("asmens", "asmens kodas"),
    ("personas", "personas kods"),
    ("rodne", "rodne cislo"),
    ("nrn", ""),
    ("rijksregister", ""),
    ("niss", ""),
    ("insz", ""),
    ("ahv", ""),
    ("svnr", ""),
    ("steuer", "steuer-id"),
    ("nir", ""),
    ("codice_fiscale", "codice fiscale"),
    ("codice fiscale", ""),
    ("aadhaar", ""),
    ("pan", "pan"),
    ("sin", "sin"),
    ("tfn", ""),
    ("nric", ""),
    ("tckn", ""),
    ("kimlik", ""),
    ("tc_", "tc kimlik"),
    ("inn", "inn"),
    ("инн", ""),
    ("снилс", ""),
    ("afm", ""),
    ("αφμ", ""),
    ("amka", ""),
    ("αμκα", ""),
    ("taj", ""),
    ("ado", "adoazonosito"),
    ("ppsn", ""),
    ("pps", ""),
    ("itin", ""),
    ("utr", ""),
    ("tax", "tax id"),
    ("national", "national id"),
    ("identity", "identity number"),
    ("citizen", "citizen id"),
    ("身份证", ""),
    ("주민", "주민번호"),
    ("insurance", "insurance number"),
    ("member", "member id"),
    ("policy", "policy number"),
    ("vin", "vin"),
    ("imei", ""),
    ("gender", ""),
    ("salary", ""),
    ("nin", "nin"),
    ("cnic", ""),
    ("clabe", ""),
    ("bsb", ""),
    ("sort_code", ""),
    ("routing", ""),
];

/// Words of names of columns that hold what lets somebody in, with the label under which their cells are read; nothing:
/// their own.
const SECRETS: &[(&str, &str)] = &[
    ("password", "password"),
    ("passwords", "password"),
    ("passwd", "password"),
    ("pass", "password"),
    ("pwd", "password"),
    ("pw", "password"),
    ("passphrase", "password"),
    ("passcode", "password"),
    ("passwort", "password"),
    ("kennwort", "password"),
    ("passe", "password"),
    ("mdp", "password"),
    ("contrasena", "password"),
    ("clave", "password"),
    ("senha", "password"),
    ("wachtwoord", "password"),
    ("haslo", "password"),
    ("losenord", "password"),
    ("passord", "password"),
    ("adgangskode", "password"),
    ("salasana", "password"),
    ("heslo", "password"),
    ("sifre", "password"),
    ("parola", "password"),
    ("пароль", "password"),
    ("密码", "password"),
    ("密碼", "password"),
    ("ハスワート", "password"),
    ("비밀번호", "password"),
    ("secret", ""),
    ("token", ""),
    ("apikey", ""),
    ("api_key", ""),
    ("api key", ""),
    ("access key", "access_key"),
    ("access_key", ""),
    ("pin", "pin"),
];

/// Words of names of columns that only tell about such a thing.
const ABOUT: &[&str] = &[
    "hash", "hashed", "changed", "change", "reset", "at", "on", "date", "expires", "expiry", "expired",
    "type", "id", "age", "policy", "length", "count", "last", "updated", "created", "strength", "limit",
    "name", "prefix", "hint", "required", "rotation", "rotated", "status", "set", "boarding", "fail", "rate",
    "max", "min", "used",
];

/// What a column that holds secrets is read under, if it does.
fn secret(name: &str) -> Option<String> {
    let words = || name.split(|c: char| !c.is_alphanumeric());
    let is = |word: &str| {
        if word.contains(['_', ' ']) { name.contains(word) } else { words().any(|one| one == word) }
    };
    let (word, label) = SECRETS.iter().find(|(word, _)| is(word))?;
    // `passes` and `fails` are columns of a test; so is `pass` beside others.
    let told = *word != "pass" || name.len() <= 12;
    let own = || if label.is_empty() { name.to_owned() } else { (*label).to_owned() };
    (told && !words().any(|one| ABOUT.contains(&one))).then(own)
}

/// Tables of a text, read again.
pub(super) struct Columns {
    pub(super) view: View<'static>,
    /// A column holds what lets somebody in.
    pub(super) secrets: bool,
}

/// The cells of all tables of a text under their labels. It may run over any distance, so only whole texts are read for it.
pub(super) fn columns(view: &View<'_>) -> Option<Columns> {
    let text = view.text.as_ref();
    let mut made = Made { view, text: String::new(), source: Vec::new(), secrets: false };
    separated(text, &mut made);
    // Both have names of columns in brackets.
    if memchr::memchr(b'(', text.as_bytes()).is_some() {
        inserted(text, &mut made);
        copied(text, &mut made);
    }
    aliased(text, &mut made);
    let secrets = made.secrets;
    (!made.text.is_empty()).then(|| Columns { view: View::made(made.text, made.source), secrets })
}

/// Cells under their labels.
struct Made<'a, 'v> {
    view: &'a View<'v>,
    text: String,
    source: Vec<(u32, u32)>,
    secrets: bool,
}

impl Made<'_, '_> {
    fn is_full(&self) -> bool {
        self.text.len() >= LONGEST_TABLE
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

    fn row(&mut self, labels: &[String], cells: &[Range<usize>]) {
        self.secrets |= labels.iter().any(|label| secret(label).is_some());
        for (label, cell) in labels.iter().zip(cells) {
            if !label.is_empty() && !cell.is_empty() && cell.len() < 200 {
                self.put(label, cell.clone());
            }
        }
    }
}

/// Labels for the cells below these names; nothing if they are no names of columns, or none tells.
fn labels(text: &str, header: &[Range<usize>]) -> Option<Vec<String>> {
    let (mut people, mut secrets, mut labels) = (false, false, Vec::new());
    for cell in header {
        let name = text.get(cell.clone())?.to_lowercase();
        let plain = |c: char| {
            c.is_alphanumeric() || matches!(c, ' ' | '_' | '-' | '.' | '\'' | '(' | ')' | '#' | '/')
        };
        let begins =
            name.is_empty() || name.starts_with(|c: char| c.is_alphabetic() || matches!(c, '#' | '_'));
        if name.len() > LONGEST_HEADER || !begins || !name.chars().all(plain) || name.split(' ').count() > 5 {
            return None;
        }
        // WHY: short parts stand inside other words, as `sin` in `business`: they must be a word of the name.
        let words = || name.split(|c: char| !c.is_alphanumeric());
        let known = TELLING.iter().find(|(part, _)| {
            if part.len() > 3 || !part.is_ascii() {
                name.contains(part)
            } else {
                words().any(|word| word == *part)
            }
        });
        let is_name = NAMES.contains(&name.as_str()) || words().any(|word| word == "name");
        let hidden = secret(&name).filter(|_| known.is_none());
        people |= known.is_some();
        secrets |= hidden.is_some();
        labels.push(match (known, hidden) {
            (Some((_, "")), _) => name,
            (Some((_, label)), _) => (*label).to_owned(),
            (None, Some(label)) => label,
            (None, None) if is_name => "surname".to_owned(),
            (None, None) => String::new(),
        });
    }
    if !people {
        // Beside a password alone, an owner or a user is a machine's as well as a person's.
        labels.iter_mut().filter(|label| *label == "surname").for_each(String::clear);
    }
    (people || secrets).then_some(labels)
}

/// Tables whose cells are set apart by a sign: a header, and rows with as many cells.
fn separated(text: &str, made: &mut Made<'_, '_>) {
    let mut header: Option<(char, usize, Vec<String>)> = None;
    let (mut start, mut cells) = (0, Vec::new());
    for line in text.split_inclusive('\n') {
        let place = start;
        start += line.len();
        if made.is_full() {
            return;
        }
        let line = line.trim_end_matches(['\n', '\r']);
        if let Some((sign, count, labels)) = &header {
            let bare = line.trim();
            if bare.contains("--")
                && bare.bytes().all(|byte| matches!(byte, b'|' | b'-' | b':' | b' ' | b'+'))
            {
                continue;
            }
            split(line, place, *sign, &mut cells);
            if cells.len() == *count {
                made.row(labels, &cells);
                continue;
            }
            header = None;
        }
        for sign in [',', ';', '\t', '|'] {
            if line.len() > 2000 || !may_be_header(line, sign) {
                continue;
            }
            split(line, place, sign, &mut cells);
            let fits = (2..=MOST_COLUMNS).contains(&cells.len());
            if let Some(labels) = labels(text, &cells).filter(|_| fits) {
                header = Some((sign, cells.len(), labels));
                break;
            }
        }
    }
}

/// False for most lines of prose, at the cost of looking for their first and last sign. Markdown fills its cells with spaces.
fn may_be_header(line: &str, sign: char) -> bool {
    let short = |cell: usize| sign == '|' || cell <= LONGEST_HEADER + 8;
    let (first, last) = (line.find(sign), line.rfind(sign));
    first.is_some_and(short) && last.is_some_and(|last| short(line.len() - last))
}

/// Cells of a line, without the quotes and spaces around them.
fn split(line: &str, base: usize, sign: char, cells: &mut Vec<Range<usize>>) {
    cells.clear();
    let (line, base) = if sign == '|' {
        let bare = line.trim().trim_start_matches('|');
        (bare.trim_end_matches('|'), base + line.len() - line.trim_start().trim_start_matches('|').len())
    } else {
        (line, base)
    };
    let (mut from, mut quote) = (0, None);
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (None, '"' | '\'') if line.get(from..at).is_some_and(|before| before.trim().is_empty()) => {
                quote = Some(c)
            }
            (Some(open), c) if c == open => quote = None,
            (None, c) if c == sign => {
                cells.push(bare(line, from, at, base));
                from = at + c.len_utf8();
            }
            _ => {}
        }
        if cells.len() > MOST_COLUMNS {
            return;
        }
    }
    cells.push(bare(line, from, line.len(), base));
}

fn bare(line: &str, from: usize, to: usize, base: usize) -> Range<usize> {
    let cell = line.get(from..to).unwrap_or_default();
    let dull = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '*' | '[' | ']');
    let start = from + cell.len() - cell.trim_start_matches(dull).len();
    let end = from + cell.trim_end_matches(dull).len();
    base + start..base + end.max(start)
}

/// `INSERT INTO t (names) VALUES (cells), (cells)`.
fn inserted(text: &str, made: &mut Made<'_, '_>) {
    let (small, mut from) = (text.to_ascii_lowercase(), 0);
    let mut cells = Vec::new();
    while let Some(at) = small.get(from..).and_then(|rest| rest.find("insert ")) {
        from += at + 7;
        let Some(names) = brackets(text, from, 200) else { continue };
        split(text.get(names.clone()).unwrap_or_default(), names.start, ',', &mut cells);
        let Some(labels) = labels(text, &cells) else { continue };
        let count = cells.len();
        from = names.end + 1;
        while let Some(values) = brackets(text, from, 24) {
            split(text.get(values.clone()).unwrap_or_default(), values.start, ',', &mut cells);
            if cells.len() != count || made.is_full() {
                break;
            }
            made.row(&labels, &cells);
            from = values.end + 1;
        }
    }
}

/// `COPY t (names) FROM stdin;` and lines of cells set apart by tabs, up to a line with `\\.`.
fn copied(text: &str, made: &mut Made<'_, '_>) {
    let (mut from, mut cells) = (0, Vec::new());
    while let Some(at) = text.get(from..).and_then(|rest| rest.find("COPY ")) {
        from += at + 5;
        let Some(names) = brackets(text, from, 200) else { continue };
        split(text.get(names.clone()).unwrap_or_default(), names.start, ',', &mut cells);
        let Some(labels) = labels(text, &cells) else { continue };
        let (count, mut start) = (cells.len(), names.end);
        for (number, line) in text.get(names.end..).unwrap_or_default().split_inclusive('\n').enumerate() {
            let place = start;
            start += line.len();
            if number == 0 {
                continue;
            }
            split(line.trim_end_matches(['\n', '\r']), place, '\t', &mut cells);
            if cells.len() != count || made.is_full() {
                break;
            }
            made.row(&labels, &cells);
            from = start;
        }
    }
}

/// `SELECT 'cell' AS name`: the name stands behind its cell.
fn aliased(text: &str, made: &mut Made<'_, '_>) {
    let bytes = text.as_bytes();
    for end in memchr::memchr_iter(b'\'', bytes) {
        let behind = bytes.get(end + 1..).unwrap_or_default();
        if made.is_full() || !behind.get(..4).is_some_and(|word| word.eq_ignore_ascii_case(b" as ")) {
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
            made.row(&labels, std::slice::from_ref(&cell));
        }
    }
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
        columns(&fold(text)).map_or_else(String::new, |read| read.view.text.replace("\n\n", "; "))
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
            assert!(columns(&fold(text)).is_none(), "{text}");
        }
    }

    #[test]
    fn places_lead_back_to_the_cells() {
        let text = "né,phone\n1,é0161\n";
        let view = columns(&fold(text)).unwrap().view;
        let at = view.text.find("e0161").unwrap();
        let (from, to) = view.back(at, at + 5);
        assert_eq!(text.get(from..to), Some("é0161"));
    }
}
