//! Labels of table columns: which columns hold personal data, and which hold credentials.

use std::{collections::BTreeMap, ops::Range};

use super::automaton::Automaton;
use crate::Result;

/// Maximum length of a column name in bytes, and maximum number of its words.
pub(super) const LONGEST_HEADER: usize = 40;
const MOST_WORDS: usize = 5;

/// Column names for names of people or of things. They count next to a column that only people have.
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

/// Column names for roles, which teams and things have as well. Only whole names count, next to a column that only
/// people have.
const ROLES: &[&str] = &[
    "owner",
    "pupil",
    "assignee",
    "assigned_to",
    "assigned to",
    "guardian",
    "parent",
    "mother",
    "father",
    "child",
    "spouse",
    "teacher",
    "nurse",
    "doctor",
    "physician",
    "gp",
    "carer",
    "caregiver",
    "next_of_kin",
    "next of kin",
    "emergency_contact",
    "emergency contact",
    "agent",
    "manager",
    "supervisor",
    "reporter",
    "requester",
    "approver",
    "signatory",
    "claimant",
    "insured",
    "policyholder",
    "borrower",
    "buyer",
    "seller",
    "landlord",
    "renter",
    "lessee",
    "donor",
    "participant",
    "candidate",
    "trainee",
    "instructor",
    "technician",
    "witness",
    "beneficiary",
    "nominee",
    "custodian",
    "sender",
    "caller",
    "subscriber",
    "worker",
    "staff",
    "person",
    "schuler",
    "schulerin",
    "inhaber",
    "eigentumer",
    "halter",
    "mitarbeiter",
    "empfanger",
    "bewohner",
    "teilnehmer",
    "eleve",
    "proprietaire",
    "locataire",
    "assure",
    "titulaire",
    "salarie",
    "beneficiaire",
    "alumno",
    "propietario",
    "inquilino",
    "empleado",
    "titular",
    "beneficiario",
    "responsable",
    "alunno",
    "studente",
    "proprietario",
    "dipendente",
    "intestatario",
    "responsabile",
    "aluno",
    "funcionario",
    "responsavel",
    "leerling",
    "eigenaar",
    "huurder",
    "medewerker",
    "klant",
    "elev",
    "agare",
    "hyresgast",
    "anstalld",
    "ejer",
    "lejer",
    "ansat",
    "eier",
    "leietaker",
    "ansatt",
    "oppilas",
    "omistaja",
    "asiakas",
    "potilas",
    "uczen",
    "wlasciciel",
    "najemca",
    "pracownik",
    "klient",
    "opiekun",
    "zak",
    "majitel",
    "zakaznik",
    "zamestnanec",
    "tanulo",
    "tulajdonos",
    "ugyfel",
    "proprietar",
    "chirias",
    "angajat",
    "ogrenci",
    "sahibi",
    "musteri",
    "kiraci",
    "calisan",
    "veli",
    "ученик",
    "владелец",
    "сотрудник",
    "клиент",
    "пациент",
    "生徒",
    "所有者",
    "担当者",
    "利用者",
    "学生",
    "员工",
    "客户",
    "학생",
    "담당자",
    "고객",
];

/// Parts of column names that only people have, with the label under which their cells are read; if empty, the name of
/// the column.
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
    ("fodt", "date of birth"),
    ("fodd", "date of birth"),
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
    ("telefon", "phone"),
    ("telemovel", "phone"),
    ("komork", "phone"),
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
    ("mac", ""),
    ("age", ""),
    ("bday", "date of birth"),
];

/// Words of column names for credentials, with the label under which their cells are read; if empty, the name of the
/// column.
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

/// Words of column names for facts about a credential.
const ABOUT: &[&str] = &[
    "hash", "hashed", "changed", "change", "reset", "at", "on", "date", "expires", "expiry", "expired",
    "type", "id", "age", "policy", "length", "count", "last", "updated", "created", "strength", "limit",
    "name", "prefix", "hint", "required", "rotation", "rotated", "status", "set", "boarding", "fail", "rate",
    "max", "min", "used",
];

/// Labels for the cells of a table.
#[derive(Debug, Clone)]
pub(super) struct Labels {
    /// Label of each column; empty if it has none.
    pub(super) names: Vec<String>,
    /// Whether a column holds credentials.
    pub(super) secrets: bool,
}

/// Automaton for the words of all lists.
pub(super) struct Headers {
    words: Automaton,
    /// For each word, its meanings and the required positions in a name.
    uses: Vec<Vec<(Means, Stands)>>,
}

/// Meaning of a word in a column name: its index in [`TELLING`] or [`SECRETS`], or its list.
#[derive(Debug, Clone, Copy)]
enum Means {
    Tells(usize),
    Secret(usize),
    About,
    Name,
    Role,
}

/// Required position of a word in a column name.
#[derive(Debug, Clone, Copy)]
enum Stands {
    Anywhere,
    /// Between signs.
    Apart,
    /// At the end of a word, as in `userPassword`.
    Last,
    /// The whole name.
    Alone,
    /// The whole name, with or without an `s` at the end.
    Plural,
}

impl Stands {
    fn fits(self, name: &str, at: &Range<usize>) -> bool {
        let (before, behind) =
            (name.get(..at.start).unwrap_or_default(), name.get(at.end..).unwrap_or_default());
        match self {
            Self::Anywhere => true,
            Self::Apart => {
                !before.ends_with(char::is_alphanumeric) && !behind.starts_with(char::is_alphanumeric)
            }
            Self::Last => !behind.starts_with(char::is_alphanumeric),
            Self::Alone => before.is_empty() && behind.is_empty(),
            Self::Plural => before.is_empty() && behind.bytes().all(|byte| byte.eq_ignore_ascii_case(&b's')),
        }
    }
}

/// Meanings of the words in a column name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Told {
    /// First index in [`TELLING`].
    tells: Option<usize>,
    /// First index in [`SECRETS`].
    secret: Option<usize>,
    about: bool,
    name: bool,
    role: bool,
}

impl Told {
    /// Returns the label of the column if it holds credentials.
    fn hidden(self, name: &str) -> Option<&str> {
        let (word, label) = SECRETS.get(self.secret?)?;
        // `passes` and `fails` are columns of a test; so is `pass` next to other words.
        let told = (*word != "pass" || name.len() <= 12) && !self.about;
        told.then_some(if label.is_empty() { name } else { label })
    }
}

impl Headers {
    pub(super) fn build() -> Result<Self> {
        let mut uses: BTreeMap<&str, Vec<(Means, Stands)>> = BTreeMap::new();
        let mut put = |word, means, stands| uses.entry(word).or_default().push((means, stands));
        for (number, (part, _)) in TELLING.iter().enumerate() {
            // WHY: short parts occur inside other words, as `sin` in `business`. They must be a whole word of the name.
            let short = part.len() <= 3 && part.is_ascii();
            put(part, Means::Tells(number), if short { Stands::Apart } else { Stands::Anywhere });
        }
        for (number, (word, _)) in SECRETS.iter().enumerate() {
            let stands = match *word {
                word if word.contains(['_', ' ']) => Stands::Anywhere,
                "password" | "passwort" | "kennwort" | "passwd" => Stands::Last,
                _ => Stands::Apart,
            };
            put(word, Means::Secret(number), stands);
        }
        ABOUT.iter().for_each(|word| put(word, Means::About, Stands::Apart));
        NAMES.iter().for_each(|word| put(word, Means::Name, Stands::Alone));
        put("name", Means::Name, Stands::Apart);
        ROLES.iter().for_each(|word| put(word, Means::Role, Stands::Plural));
        let words: Vec<String> = uses.keys().map(|word| (*word).to_owned()).collect();
        Ok(Self { words: Automaton::build(&words)?, uses: uses.into_values().collect() })
    }

    /// Reads a column name, ignoring letter case.
    fn told(&self, name: &str) -> Told {
        let mut told = Told::default();
        let first = |known: Option<usize>, number| Some(known.map_or(number, |known| known.min(number)));
        for (number, at) in self.words.find(name.as_bytes()) {
            let uses = self.uses.get(number).map(Vec::as_slice).unwrap_or_default();
            for (means, _) in uses.iter().filter(|(_, stands)| stands.fits(name, &at)) {
                match *means {
                    Means::Tells(number) => told.tells = first(told.tells, number),
                    Means::Secret(number) => told.secret = first(told.secret, number),
                    Means::About => told.about = true,
                    Means::Name => told.name = true,
                    Means::Role => told.role = true,
                }
            }
        }
        told
    }

    /// Returns labels for the cells below these names; `None` if they are not column names, or none has a meaning.
    pub(super) fn labels(&self, text: &str, header: &[Range<usize>]) -> Option<Labels> {
        let (mut people, mut secrets, mut odd) = (false, false, 0);
        // WHY: most lines of possible names have no meaning, and cost only this search.
        for cell in header {
            let name = text.get(cell.clone())?;
            if !is_name(name) {
                // WHY: one column with an unusual name must not hide the others.
                odd += 1;
                if !may_be_name(name) || odd * 2 > header.len() {
                    return None;
                }
                continue;
            }
            let told = self.told(name);
            people |= told.tells.is_some();
            secrets |= told.tells.is_none() && told.hidden(name).is_some();
        }
        if !people && !secrets {
            return None;
        }
        let names = header.iter().map(|cell| {
            let name = text.get(cell.clone()).filter(|name| is_name(name)).unwrap_or_default().to_lowercase();
            let told = self.told(&name);
            match (told.tells.and_then(|number| TELLING.get(number)), told.hidden(&name)) {
                (Some((_, "")), _) => name,
                (Some((_, label)), _) => (*label).to_owned(),
                (None, Some(label)) => label.to_owned(),
                // Next to a password alone, an owner or a user may be a machine as well as a person.
                (None, None) if !people => String::new(),
                // Rows for other scripts contain these words themselves.
                (None, None) if told.role && !name.is_ascii() => name,
                (None, None) if told.name => "surname".to_owned(),
                (None, None) if told.role => "name".to_owned(),
                (None, None) => String::new(),
            }
        });
        let names: Vec<String> = names.collect();
        let secrets = names.iter().any(|label| self.told(label).hidden(label).is_some());
        Some(Labels { names, secrets })
    }
}

/// Returns whether a text with other signs may be a column name: few digits, not an address.
fn may_be_name(name: &str) -> bool {
    let digits = name.bytes().filter(u8::is_ascii_digit).count();
    let address = name.split('@').skip(1).any(|rest| rest.starts_with(char::is_alphanumeric));
    name.len() <= 2 * LONGEST_HEADER && digits <= 1 && !address && !name.contains("//")
}

/// Returns whether a text may be a column name.
fn is_name(name: &str) -> bool {
    let plain =
        |c: char| c.is_alphanumeric() || matches!(c, ' ' | '_' | '-' | '.' | '\'' | '(' | ')' | '#' | '/');
    let begins = |c: char| c.is_alphabetic() || matches!(c, '#' | '_');
    name.len() <= LONGEST_HEADER
        && (name.is_empty() || name.starts_with(begins))
        && name.chars().all(plain)
        && name.split(' ').count() <= MOST_WORDS
}

#[cfg(test)]
mod tests;
