//! The reviewed table of patterns: rows of text, checked and compiled once.
//!
//! A row wakes in one of two ways. `keywords` wake it where one of them occurs. Its regex must match from the first
//! byte of the keyword, or from another place: with `back`, the beginning of the word around it; with `@after`, the end
//! of the keyword; with `@before`, the beginning of the name before it; with `@clause`, the beginning of its line.
//! `tokens` wake it at every word with a digit whose first byte, length and next byte fit. With `back`, the word is
//! only a part of the value; with `@stretch`, the value is the text between spaces, quotes or brackets.
//!
//! `labels` are words that may precede the value, also as field names spell them (`date_of_birth`, `dateOfBirth`). A
//! row with `alone = 0` requires one. A row with `behind` requires one of those words after the value.
//!
//! A regex reads a bounded piece of text, in ASCII mode and linear time. It is compiled when a text first wakes its
//! row: most rows never wake, and all of them compiled take twenty megabytes.

use std::sync::OnceLock;

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::hir::Hir;
use serde::Deserialize;

use super::{
    bytes::Bytes,
    check,
    matcher::{Matcher, Reads, anchored},
    needs,
    tokens::Tokens,
    verdict::Family,
};
use crate::{Code, Error, Result};

/// Default distance between a label and its value, in bytes.
pub(super) const LABEL_GAP: u8 = 48;

/// Largest distance that a row can set instead, in bytes.
pub(super) const MOST_GAP: u8 = 112;

/// Files of the table.
const FILES: &[(Family, &str)] = &[
    (Family::Personal, include_str!("patterns/personal.toml")),
    (Family::Personal, include_str!("patterns/person.toml")),
    (Family::Personal, include_str!("patterns/address.toml")),
    (Family::Personal, include_str!("patterns/national.toml")),
    (Family::Credential, include_str!("patterns/named.toml")),
    (Family::Credential, include_str!("patterns/cloud.toml")),
    (Family::Credential, include_str!("patterns/code.toml")),
    (Family::Credential, include_str!("patterns/services.toml")),
    (Family::Credential, include_str!("patterns/forms_ai.toml")),
    (Family::Credential, include_str!("patterns/forms_code.toml")),
    (Family::Credential, include_str!("patterns/forms_work.toml")),
    (Family::Credential, include_str!("patterns/told.toml")),
    (Family::Credential, include_str!("patterns/passwords.toml")),
    (Family::Credential, include_str!("patterns/phrases.toml")),
    (Family::Credential, include_str!("patterns/hinted.toml")),
    (Family::Credential, include_str!("patterns/webhooks.toml")),
    (Family::Injection, include_str!("patterns/injection.toml")),
    (Family::Injection, include_str!("patterns/override.toml")),
    (Family::Content, include_str!("patterns/content.toml")),
];

/// Name that rows use for [`ORDERS`] in `unless`.
const ORDERED: &str = "@ordered";

/// Words for numbers of orders, parts, goods and parcels. Words for bills are not included: bills contain tax numbers.
const ORDERS: [&str; 72] = [
    "order",
    "order no",
    "order number",
    "invoice",
    "invoice no",
    "tracking",
    "tracking number",
    "epoch",
    "timestamp",
    "version",
    "isbn",
    "sku",
    "part",
    "part number",
    "part no",
    "ref",
    "reference",
    "ticket",
    "case",
    "serial",
    "build",
    "item",
    "product",
    "batch",
    "lot",
    "issue",
    "commit",
    "model",
    "article",
    "transaction id",
    "bestellung",
    "bestellnummer",
    "bestellnr",
    "auftragsnummer",
    "rechnungsnummer",
    "artikel",
    "artikelnummer",
    "teilenummer",
    "ersatzteil",
    "vorgang",
    "vorgangsnummer",
    "sendungsnummer",
    "modell",
    "seriennummer",
    "chargennummer",
    "commande",
    "colis",
    "modele",
    "numero de serie",
    "numero de suivi",
    "pedido",
    "articulo",
    "modelo",
    "lote",
    "numero de pedido",
    "ordine",
    "articolo",
    "modello",
    "lotto",
    "encomenda",
    "artigo",
    "bestelling",
    "bestelnummer",
    "ordernummer",
    "factuurnummer",
    "onderdeel",
    "zamowienie",
    "zamowienia",
    "numer faktury",
    "przesylka",
    "przesylki",
    "numer seryjny",
];

/// Prefix of a regex that begins after a name.
const NAME: &str = "@named";

/// Regex of the text between a name and its value in code, shells, logs, JSON, YAML and prose, also as a block or a
/// list below the name. The engine skips the name itself.
const NAMED: &str = r#"(?:["'`)\]]{1,2}|</?b>)?[ \t]{0,24}(?:=>|:=|<-|={1,3}|:(?:: )?|>|,| is(?: now)?[ :]| to | \|)[ \t]{0,24}(?:(?:[|>][+\-]?|[\[(])[ \t]{0,4}\r?\n[ \t]{1,24}|\r?\n[ \t]{1,24}- )?(?:b?["'`]{1,3})?"#;

/// Prefix of a regex that begins at the end of the keyword.
const AFTER: &str = "@after";

/// Prefix of a regex that begins at the beginning of the name before the keyword.
const NAME_BEFORE: &str = "@before";

/// Prefix of a regex that begins at the beginning of the line or sentence, if a comma directly precedes the word that
/// wakes the row: an address before its postal code. With a keyword: at the beginning of its line or field.
const LINE_BEFORE: &str = "@line";

/// Prefix of a regex that begins some words before the keyword: a spelled-out address.
const WORDS_BEFORE: &str = "@words";

/// Prefix of a regex that begins at the beginning of the keyword's line, or close before it: a password before the word
/// that announces it.
const CLAUSE: &str = "@clause";

/// Prefix of a regex that reads a whole stretch between spaces, quotes or brackets, since a password may contain any
/// sign.
const STRETCH: &str = "@stretch";

/// Body of such a regex.
const SECRET: &str = "@secret";

/// Abbreviations in regexes. Longer names come first, since some begin with shorter ones.
const SHORT: &[(&str, &str)] = &[
    // Separator between the name of a field and its value, in forms, JSON, YAML, code, tables and prose.
    (
        "@field",
        r#"["'`*_)\]>]{0,3}(?: ?\([^()\n]{1,24}\))?[ \t]{0,6}(?:=>|:=|={1,2}|:{1,2}|>|\||[._]{3,40}:?)[ \t|*_"'`>]{0,8}(?:\r?\n[ \t]{0,8})?["'`]?"#,
    ),
    // A full name: two to six words, the first and last of which are capitalized.
    ("@full", "@word(?: {1,2}(?:@word|[A-Z]\\.?|@small)){0,4} {1,2}@word"),
    // A family name after initials.
    ("@initialled", "(?:[A-Z]\\. ?){1,3}@word(?: @word)?"),
    // The family name first, as in lists.
    ("@turned", "@word(?: @word)?, @word(?: (?:@word|[A-Z]\\.))?"),
    // A form of address before a name.
    (
        "@titled",
        "(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Herrn?|Frau|Hr|Mme|Mlle|MM?|Monsieur|Madame|Sra?|Srta|Don|Dona|D|Senora?|Senhora?|Signora?|[Ss]ig(?:\\.[rn]a)?|Dott(?:\\.ssa)?|Avv|[Dd]hr|[Mm]evr?|[Mm]w|heer|[Mm]evrouw|[Pp]an[aiu]?|[Ff]ru|hr)\\.?",
    ),
    // A postal code and its town, in the order of continental Europe and Latin America.
    (
        "@town",
        "(?:[A-Z]{1,3}-)?(?:\\d{5}(?:-\\d{3,4})?|\\d{4}-\\d{3}|\\d{2}-\\d{3}|\\d{3} \\d{2}|\\d{4} ?[A-Z]{2}|\\d{4}),? {1,2}@word(?:[ \\-](?:@word|@small|[A-Z]{1,2}|\\d{1,2})\\b){0,3}(?:,? ?(?:-|/) ?[A-Z][A-Za-z]{1,20}| \\([A-Z]{2}\\)|, [A-Z][A-Za-z]{1,4}\\.)?",
    ),
    // Floor, door, flat, quarter.
    (
        "@unit",
        "(?:(?i:lgh|apto?|ap|apart|bl|bloco|bloque|sc|et|esc|piso|int|interno|scala|depto|dpto|of|lok|top|tur|m|dv|k|d|daire|kat|wohnung|whg|wg|app|bus|bte|boite|box|etage|og|stock|stiege|tr|tur|vaning|flat|unit|suite|ste|no|nr|as|rappu|byt|kv|emelet|em|ajto|bat|batiment|hus|porta|puerta|fraction|casa|lote|manzana|mz|lt|conj|cj|sala|andar|portal|st|haus|hs|hinterhaus|vorderhaus)[.:]? ?[0-9A-Z]{1,5}(?:/[0-9A-Z]{1,4})?|\\d{1,3}(?:\\.|[oa])*,? ?(?i:o|a|tv|th|mf|sal|og|stock|etage|em|emelet|kerros|patro|poschodie|poschodi|andar|piso|verdieping|hoog|floor|kat|dto|esq|dcha|izq|izda|fte|ajto)\\b\\.?(?: ?(?i:[a-d]|dto|esq|dcha|izq|izda|fte|frente|tv|th|mf|links|rechts|li|re|\\d{1,3}|derecha|izquierda)\\b\\.?)?|\\d{1,2}(?:\\.|[oa])+ ?(?:[A-Z]|[Dd]to|[Ee]sq|[Dd]cha|[Ii]zq|[Ii]zda|[Ff]te|tv|th|mf)\\b\\.?|(?:Col|Colonia|Fracc|Barrio|Urb|Bairro|Del|Alc|Res)\\.? @word(?: (?:@word|@small)){0,4}|\\d{1,2}/\\d{1,4}|[A-Z] ?\\d{1,3}|\\d{1,2}\\.?)",
    ),
    // The dot of an address, spelled out.
    (
        "@dot",
        r"(?: ?[\[({<] ?(?i:dot|punkt|punto|ponto|point|punt|kropka|tecka|bodka|pont|piste|prikk|tocka|d0t|\.|(?u:точка)) ?[\])}>] ?| (?i:dot|punkt|punto|ponto|point|punt|kropka|tecka|bodka|pont|piste|prikk|tocka|(?u:точка)) )",
    ),
    // Words for a password, normalized.
    (
        "@password",
        "(?:(?i:password|passwd|pass[ \\-]?phrase|passcode|passwort|kennwort|mot de passe|mdp|contrasena|clave|senha|palavra-passe|wachtwoord|hasl(?:o|em)|losenord|passord|adgangskode|kodeord|salasana|heslo|jelszo|sifre|parola|lozinka|geslo)(?:s|en|et|n|e|na|om|em|u|a|si|ta|ni|ul)?|(?i:pass|pwd?)\\b|(?u:парол[а-я]{1,3}|密码|密碼|ハスワート|비밀번호|كلمة المرور|كلمة السر))",
    ),
    // A stretch that may be a password, with the name before it and the dash or colon between them.
    (
        SECRET,
        r#"[*]{0,2}(?:[A-Za-z0-9._@\\\-]{0,40}[:/=])?([^\s"'`<>|;,()\[\]{}\x80-\xff]{6,40}[^\s"'`<>|;,()\[\]{}\x80-\xff.:?*])[.:?!*]{0,3}(?:[\s"'`)\]|;,<\x80-\xff]|\z)"#,
    ),
    // The value that someone sets as a password, up to what ends it in a sentence.
    ("@value", "(?:[\"'`*]{0,2}|(?u:「|『|【|“|„|«|‘) ?)([^\\s\"'`<>|;,()\\x80-\\xff]{6,64})"),
    // Up to three words, or the equivalent in scripts other than ASCII.
    ("@gap", r"(?:[^\w,.;!?]{1,4}\w{1,20}){0,3}?[^\w,.;!?]{1,3}"),
    ("@some", r"[^\n.!?;]{0,72}?"),
    // Words of other scripts; the engine does not distinguish their capital letters.
    ("@foreign", "(?:@letter+(?:[ .\\-]{1,2}@letter+){0,4})"),
    ("@far", "(?:[,;.)\\n\"'|<\\]}/\\t]|\\z| -| \\d|(?u:\\u3001))"),
    ("@word", "(?:[A-Z]'|[a-z]')?@large@small_letter+(?:['\\-]@small_letter+){0,3}"),
    ("@large", "(?:[A-Z]|\\xc3\\x9e|\\xc6\\x8f)"),
    ("@small_letter", "(?:[A-Za-z]|\\xc3[\\x9e\\x9f\\xb0\\xbe]|\\xc5[\\x8a\\x8b\\x92\\x93]|\\xc9\\x99)"),
    (
        "@small",
        "(?:van|von|vom|zu|zum|zur|der|den|de|da|do|di|del|della|dello|dos|das|du|des|la|le|las|los|bin|binti|bint|ben|ibn|al|el|af|av|ter|ten|te|op|het|y|e|i|und|abu)",
    ),
    (
        "@letter",
        "(?u:[\\u0370-\\u03ff\\u0430-\\u045f\\u0490-\\u0493\\u04d9\\u0561-\\u0587\\u05d0-\\u05ea\\u0620-\\u06d3\\u0900-\\u0e4e\\u10d0-\\u10ff\\u3005\\u3040-\\u30ff\\u4e00-\\u9fff\\uac00-\\ud7a3])",
    ),
];

/// A row as it is written in the file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    pub(super) id: String,
    /// Kind of its findings; the id if absent.
    #[serde(default)]
    pub(super) kind: String,
    /// Label in placeholders; `SECRET` if absent.
    #[serde(default)]
    pub(super) label: String,
    pub(super) about: String,
    pub(super) source: String,
    #[serde(default)]
    pub(super) keywords: Vec<String>,
    #[serde(default)]
    pub(super) labels: Vec<String>,
    /// With labels, one of these words must also occur at the distance of a label; no condition if absent.
    #[serde(default)]
    pub(super) besides: Vec<String>,
    /// One of these words must end within the row's distance after the value.
    #[serde(default)]
    pub(super) behind: Vec<String>,
    /// Maximum distance of a label before the value, in bytes.
    #[serde(default = "near")]
    pub(super) gap: u8,
    /// A label on another line does not count.
    #[serde(default)]
    pub(super) same_line: bool,
    /// Words before the value that give it another meaning.
    #[serde(default)]
    pub(super) unless: Vec<String>,
    /// Words directly before the keyword that negate it: `do not`.
    #[serde(default)]
    pub(super) denied: Vec<String>,
    /// The regex begins at the beginning of the word around the keyword.
    #[serde(default)]
    pub(super) back: bool,
    /// Number of bytes that the regex may read across spaces. 0: only to the end of the word (or of a word that a line
    /// end divides).
    #[serde(default)]
    pub(super) reach: usize,
    pub(super) regex: String,
    pub(super) tokens: Option<Tokens>,
    /// Each match contains one of these bytes, in addition to what follows from the regex.
    #[serde(default)]
    pub(super) needs: String,
    #[serde(default)]
    pub(super) check: Vec<String>,
    /// Confidence without a label; 0 if a label is required.
    #[serde(default = "sure")]
    pub(super) alone: f32,
    /// Confidence with a label.
    #[serde(default = "sure")]
    pub(super) labelled: f32,
    /// Priority: of two rows that match the same place, the higher one counts.
    #[serde(default = "middle")]
    pub(super) rank: u8,
    /// The finding extends to the end of the word.
    #[serde(default)]
    pub(super) grow: bool,
    /// If the checks reject the match, they are repeated without its last group, up to three times.
    #[serde(default)]
    pub(super) shrink: bool,
    /// The value is not part of a decimal (`0.12`) or an id (`run_12`).
    #[serde(default)]
    pub(super) lone: bool,
    /// The finding extends to the end of the line with this marker: a block, such as a private key.
    #[serde(default)]
    pub(super) block: String,
    /// The row applies only to text of untrusted origin.
    #[serde(default)]
    pub(super) untrusted: bool,
    /// Texts that must be found. Tests fill in `{alnum:20}` and similar templates.
    #[cfg_attr(not(test), expect(dead_code, reason = "the table's samples are run by tests"))]
    pub(super) yes: Vec<String>,
    /// Texts that must not be found.
    #[cfg_attr(not(test), expect(dead_code, reason = "the table's samples are run by tests"))]
    pub(super) no: Vec<String>,
}

impl Row {
    /// Returns whether the regex begins at the end of the keyword. The keyword is then spelled like a label.
    pub(super) fn reads_after(&self) -> bool {
        self.regex.starts_with(AFTER)
    }
}

const fn sure() -> f32 {
    0.95
}

const fn near() -> u8 {
    LABEL_GAP
}

const fn middle() -> u8 {
    5
}

/// Place at which the row of a keyword begins to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    Keyword,
    After,
    Name,
    Words,
    Line,
    Clause,
    Stretch,
}

/// A checked row.
pub(super) struct Pattern {
    pub(super) row: Row,
    pub(super) family: Family,
    /// Compiled at the first use; `None` inside if the regex is invalid.
    matcher: OnceLock<Option<Matcher>>,
    /// Whether the regex begins after a name that contains the keyword.
    pub(super) named: bool,
    pub(super) from: From,
    /// The first row with the same `unless` list. Such a word applies to all rows with this list.
    pub(super) against: u16,
    pub(super) checks: Vec<check::Check>,
    /// Minimum number of different small letters in a match.
    pub(super) letters: usize,
}

impl Pattern {
    /// Returns the row's regex without its prefix, with abbreviations expanded.
    pub(super) fn written_out(&self) -> String {
        let value = self.row.regex.as_str();
        let begins = [NAME, AFTER, NAME_BEFORE, WORDS_BEFORE, LINE_BEFORE, CLAUSE, STRETCH];
        in_full(begins.iter().find_map(|how| value.strip_prefix(how)).unwrap_or(value))
    }

    /// Returns which part of a match is the value.
    fn reads(&self) -> Reads {
        if self.row.regex.strip_prefix(STRETCH) == Some(SECRET) {
            Reads::Password
        } else if self.named {
            Reads::Match
        } else {
            Reads::Group
        }
    }

    /// Returns whether each word that wakes the row contains a byte of a set, so that it need not be searched.
    fn has_always(&self, set: &Bytes) -> bool {
        let row = &self.row;
        let within = |words: &[String]| words.iter().all(|word| word.bytes().any(|byte| set.has(byte)));
        match &row.tokens {
            Some(_) => (b'0'..=b'9').all(|digit| set.has(digit)),
            None => self.from != From::After && within(&row.keywords),
        }
    }

    /// Returns the byte sets that each finding needs, as far as they are known without the regex.
    pub(super) fn asks(&self) -> Vec<Bytes> {
        let own = (!self.row.needs.is_empty()).then(|| {
            let needs = self.row.needs.as_bytes();
            Bytes::of(|byte| needs.contains(&byte))
        });
        needs::asked(&self.row.check).chain(own).collect()
    }

    /// Returns the compiled regex, compiled at the first call; `None` if it is invalid. A test tries all rows.
    pub(super) fn matcher(&self) -> Option<&Matcher> {
        let needs = |read: &Hir| {
            let mut needs = needs::of(read, &self.row.check, |set| !self.has_always(set));
            if !self.row.needs.is_empty() {
                needs.push(Bytes::of(|byte| self.row.needs.as_bytes().contains(&byte)));
            }
            needs
        };
        self.matcher.get_or_init(|| Matcher::of(&self.written_out(), self.reads(), needs)).as_ref()
    }

    /// Returns the range of the value if the regex matches at the beginning of the text and all checks accept it.
    pub(super) fn matched(&self, matcher: &Matcher, text: &[u8]) -> Option<(usize, usize)> {
        if !matcher.begins.fit(text) {
            return None;
        }
        let (from, mut to) = matcher.value(text)?;
        for _ in 0..if self.row.shrink { 4 } else { 1 } {
            let value = text.get(from..to).filter(|value| !value.is_empty())?;
            if self.checks.iter().all(|check| check(value)) {
                return Some((from, to));
            }
            to = from + value.iter().rposition(|byte| matches!(byte, b' ' | b'-' | b'.' | b'/'))?;
        }
        None
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    row: Vec<Row>,
}

/// Reads and checks the table.
pub(super) fn load() -> Result<Vec<Pattern>> {
    let mut patterns = Vec::with_capacity(256);
    for (family, text) in FILES {
        let file: File =
            toml::from_str(text).map_err(|bad| broken(&format!("the pattern table is broken: {bad}")))?;
        for row in file.row {
            let (mut pattern, number) = (compile(*family, row)?, patterns.len());
            let alike = |known: &Pattern| known.row.unless == pattern.row.unless;
            let first = patterns.iter().position(alike).unwrap_or(number);
            pattern.against = u16::try_from(first).unwrap_or(u16::MAX);
            patterns.push(pattern);
        }
    }
    Ok(patterns)
}

fn compile(family: Family, mut row: Row) -> Result<Pattern> {
    if row.kind.is_empty() {
        row.kind.clone_from(&row.id);
    }
    if row.label.is_empty() {
        row.label = "SECRET".to_owned();
    }
    row.gap = row.gap.min(MOST_GAP);
    if let Some(at) = row.unless.iter().position(|word| word == ORDERED) {
        row.unless.splice(at..=at, ORDERS.map(str::to_owned));
    }
    row.unless.sort_unstable();
    let named = row.regex.starts_with(NAME);
    let from = match &row.regex {
        regex if regex.starts_with(AFTER) => From::After,
        regex if regex.starts_with(NAME_BEFORE) => From::Name,
        regex if regex.starts_with(WORDS_BEFORE) => From::Words,
        regex if regex.starts_with(LINE_BEFORE) => From::Line,
        regex if regex.starts_with(CLAUSE) => From::Clause,
        regex if regex.starts_with(STRETCH) => From::Stretch,
        _ => From::Keyword,
    };
    let mut checks = Vec::new();
    for name in &row.check {
        checks.push(
            check::named(name)
                .ok_or_else(|| broken(&format!("row `{}` names the check `{name}`", row.id)))?,
        );
    }
    let letters =
        if row.check.iter().any(|check| check == "seed_phrase") { needs::PHRASE_LETTERS } else { 0 };
    Ok(Pattern { row, family, matcher: OnceLock::new(), named, from, against: 0, checks, letters })
}

/// Returns the regex of the text between a name and its value.
pub(super) fn joint() -> Result<Regex> {
    anchored(NAMED).map_err(|bad| broken(&format!("the regex for names is broken: {bad}")))
}

/// Returns a regex that may match anywhere, with abbreviations expanded.
pub(super) fn unanchored(text: &str) -> Result<Regex> {
    let made = RegexBuilder::new(&in_full(text)).unicode(false).size_limit(1 << 20).build();
    made.map_err(|bad| broken(&format!("a regex is broken: {bad}")))
}

/// Expands the abbreviations in a regex.
pub(super) fn in_full(regex: &str) -> String {
    SHORT.iter().fold(regex.to_owned(), |text, (short, long)| text.replace(short, long))
}

fn broken(what: &str) -> Error {
    Error::new(Code::Internal).detail(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_regex_of_every_row_compiles() {
        let broken: Vec<_> = load().unwrap().into_iter().filter(|one| one.matcher().is_none()).collect();
        assert!(broken.is_empty(), "{:?}", broken.iter().map(|one| &one.row.id).collect::<Vec<_>>());
        joint().unwrap();
    }
}
