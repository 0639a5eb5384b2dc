//! Finds names next to other data of the same person: `PAN card … (Odin Falk)`, `for Odin Falk it is …`.
//!
//! A name cannot be recognized from two capitalized words alone. But next to a number that only people have, linked by
//! a bracket or by a word such as `for`, they name its owner. A first name after the last sentence of a text with
//! personal data is a signature. The findings may come from any detector, so this runs on whole texts only, not on
//! streams. For each number, a bounded piece of text is read.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use regex::bytes::Regex;

use super::{
    catalogue::{Catalogue, KindId},
    check,
    normalize::View,
    seen::Seen,
    table,
    verdict::Family,
};

/// Maximum distance of the owner's name from a number, in bytes.
const REACH: usize = 112;

/// Number of findings after which the deadline is checked.
const ASK_EVERY: usize = 256;

/// Kinds of numbers that only people have.
const OWNED: [&str; 11] = [
    "ssn",
    "itin",
    "nino",
    "nhs",
    "national_id",
    "passport",
    "driving_licence",
    "date_of_birth",
    "medical_record",
    "health_insurance",
    "card",
];

/// Rows of numbers that companies have as well.
const COMPANIES: [&str; 15] = [
    "us_ein",
    "uk_utr",
    "au_abn",
    "br_cnpj",
    "br_cnpj_letters",
    "it_partita_iva",
    "fr_tax",
    "pl_nip",
    "eu_vat",
    "in_gstin",
    "ru_inn",
    "gr_afm",
    "cy_tax",
    "ua_tax",
    "mx_rfc",
];

/// Ends of a name in a sentence.
const OVER: &str = r#"(?:[\n\r.,;:!?)\]"']|\z| [a-z(])"#;

/// Text after a number, up to the name of its owner.
const BEHIND: &str = r#"\A["'`]?(?:,? ?[(\[](?:@titled )?(@full)[)\],;]|,? (?:(?:is|e|est|es|ist|jest|ar|er|is het|is van) )?(?i:of|von|van|de|del|da|do|di|av|af) (?:@titled )?(@full)@over|,? (?i:belongs to|belonging to|gehort|gehort zu|appartient a|pertenece a|corresponde a|appartiene a|pertence a|nalezy do|behoort toe aan|behoort aan|tillhor|tilhorer|kuuluu|patri|apartine|tartozik) (?:@titled )?(@full)@over|[^\n.!?;:()]{0,64}? (?i:for|fur|pour|para|per|dla|voor|til|till|pro|pre|icin|untuk) (?:@titled )?(@full)@over|(?:,? -{1,2}| =| /|,) (@full)(?:[.;]|[ \t]*(?:[\n\r]|\z)))"#;

/// Text between the name of the owner and a number.
const AHEAD: &str = r#"(?:\A|[^A-Za-z\x80-\xff'\-])(?:(?i:for|of|fur|von|pour|para|per|dla|voor|van|til|till|av|af|pro|pre) (?:@titled )?(@full),? (?:(?:it|this|that|the (?:number|id|value|code|one)|he|she|es|sie|er|das|c'est|elle|il|este|to|je|det|dat|hij|zij|jest) ?){0,2}(?:is|was|ist|lautet|war|est|es|e|era|jest|to|ar|er|je|on|reads)?(?: now| still)?[:=]? ?|(@full)(?:'s? |,? ?[\[(]|'? (?:has|hat|tiene|tem|heeft|with|mit|con|com|avec|med) )(?:[A-Za-z][A-Za-z.'\-]{0,16}[ :.#]{1,2}){0,4} ?)["'`(]?\z"#;

/// Text between a name and a reference to its owner's data.
const THEIRS: &str = r#"(?:\A|[^A-Za-z\x80-\xff'\-])(@full)(?:[.?!,;:)]{0,2} (?:Her|His|Hennes|Hans|Hendes|Jej|Jego|Jeho|Haar|Zijn) |[,;)]{0,2} (?:(?:and|und|et|y|e|en|och|og|i|that|dass|que|on) )?(?:her|his|seine?|ihre?|sa|son|su|sua|seu|haar|zijn|hennes|hans|jej|jego|hendes|jeho|jeji) )(?:[A-Za-z][A-Za-z.'\-]{0,16}[ :.#]{1,2}){1,5}["'`(]?\z"#;

/// A signature after the last sentence.
const SIGNED: &str = r"(?:[.!?)] ?(?:-{1,3}|/{1,2}|~) ?|\n(?:/{1,2}|~) ?)(@word(?: @word)?)[.]?\z";

/// Words of forms that precede their numbers.
const LABELS: &[&str] = &[
    "aadhaar",
    "ausweis",
    "birth",
    "carte",
    "cartao",
    "codice",
    "date",
    "fiscal",
    "fiscale",
    "fodselsnummer",
    "fuhrerschein",
    "id",
    "identification",
    "identity",
    "karte",
    "kimlik",
    "licencia",
    "licenza",
    "medicaid",
    "medicare",
    "nr",
    "numer",
    "numero",
    "nummer",
    "pasaporte",
    "passeport",
    "passport",
    "permanent",
    "permit",
    "permiso",
    "personnummer",
    "record",
    "records",
    "reisepass",
    "social",
    "steuer",
    "tarjeta",
    "tax",
    "taxpayer",
    "unique",
];

/// First words of places, which no family name follows.
const PLACES: [&[u8]; 20] = [
    b"San", b"Santa", b"Santo", b"Sao", b"Los", b"Las", b"La", b"El", b"Le", b"Saint", b"St", b"Den",
    b"Nueva", b"Nuevo", b"Villa", b"Puerto", b"Porto", b"Rio", b"Bad", b"Great",
];

/// First words of sentences, before a name.
const OPENINGS: [&[u8]; 24] = [
    b"Tell", b"Ask", b"Call", b"Send", b"Give", b"Remind", b"Ring", b"Email", b"Hello", b"Hi", b"Hey",
    b"For", b"The", b"My", b"Our", b"And", b"But", b"When", b"If", b"With", b"Why", b"Does", b"Did", b"Is",
];

/// The regexes, compiled when a text first needs them.
pub(super) struct Linked {
    kind: KindId,
    rule: Arc<str>,
    regexes: OnceLock<Option<[Regex; 4]>>,
}

impl Linked {
    pub(super) fn build(catalogue: &mut Catalogue) -> Self {
        let kind = catalogue.add("person", Family::Personal, "PERSON");
        Self { kind, rule: Arc::from("person_linked"), regexes: OnceLock::new() }
    }

    /// Adds the names next to findings. Returns `None` if the deadline has passed.
    pub(super) fn find(
        &self,
        view: &View<'_>,
        catalogue: &Catalogue,
        late: &dyn Fn() -> bool,
        seen: &mut Vec<Seen>,
    ) -> Option<()> {
        let mut places = BTreeMap::new();
        for one in seen.iter().filter(|one| one.kind != self.kind) {
            let facts = catalogue.facts(one.kind).filter(|facts| facts.family == Family::Personal);
            let Some(facts) = facts else { continue };
            let owned = OWNED.contains(&&*facts.name) && !COMPANIES.contains(&&*one.rule);
            let place = places.entry(one.span.start).or_insert((one.span.end, false));
            *place = (place.0.max(one.span.end), place.1 || owned);
        }
        let Some([behind, ahead, theirs, signed]) = Some(&places)
            .filter(|places| !places.is_empty())
            .and_then(|_| self.regexes.get_or_init(regexes).as_ref())
        else {
            return Some(());
        };
        let bytes = view.bytes();
        let mut names = Vec::new();
        for (number, (start, (end, owned))) in places.into_iter().enumerate() {
            if number % ASK_EVERY == ASK_EVERY - 1 && late() {
                return None;
            }
            let (start, end) = (view.forth(start), view.forth(end));
            let from = start.saturating_sub(REACH);
            let before = bytes.get(from..start).unwrap_or_default();
            names.extend(name(theirs, before, from));
            if owned {
                let line = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                names.extend(name(ahead, before.get(line..).unwrap_or_default(), from + line));
                let rest = bytes.get(end..).unwrap_or_default();
                names.extend(name(behind, rest.get(..rest.len().min(REACH)).unwrap_or_default(), end));
            }
        }
        let end = bytes.trim_ascii_end().len();
        let from = end.saturating_sub(REACH / 2);
        names.extend(name(signed, bytes.get(from..end).unwrap_or_default(), from));
        for (from, to) in names {
            let (from, to) = view.back(from, to);
            let (kind, rule, detector) = (self.kind, self.rule.clone(), "pattern");
            seen.push(Seen { kind, span: from..to, confidence: 0.75, detector, rule, rank: 4, forced: None });
        }
        Some(())
    }
}

fn regexes() -> Option<[Regex; 4]> {
    let made =
        [BEHIND, AHEAD, THEIRS, SIGNED].map(|text| table::unanchored(&text.replace("@over", OVER)).ok());
    let [behind, ahead, theirs, signed] = made;
    Some([behind?, ahead?, theirs?, signed?])
}

/// Returns the range of a name in a piece of text that begins at `base`, if there is one.
fn name(regex: &Regex, piece: &[u8], base: usize) -> Option<(usize, usize)> {
    let groups = regex.captures(piece)?;
    let found = groups.iter().skip(1).flatten().next()?;
    let (mut from, to) = (found.start(), found.end());
    let single = !found.as_bytes().contains(&b' ');
    // WHY: the word before a name may also be capitalized, as in `Employee Odin Falk (…`.
    loop {
        let value = piece.get(from..to)?;
        if !single && !value.contains(&b' ') {
            return None;
        }
        let first = value.split(|byte| *byte == b' ').next()?;
        let is_name =
            ["person", "spoken"].iter().all(|name| check::named(name).is_some_and(|check| check(value)));
        if PLACES.contains(&first) {
            return None;
        }
        let begins = value.first().is_some_and(u8::is_ascii_uppercase);
        let labels = |word: &[u8]| LABELS.iter().any(|label| word.eq_ignore_ascii_case(label.as_bytes()));
        let labelled = value.split(|byte| *byte == b' ').any(labels);
        if is_name && begins && !labelled && !OPENINGS.contains(&first) {
            return Some((base + from, base + to));
        }
        from += first.len() + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::people;

    #[test]
    fn whoever_a_number_belongs_to_is_found_beside_it() {
        for (text, name) in [
            ("Book it against PAN card ABCPE1234F (Ifeoma Lindgren), Form 16.", "Ifeoma Lindgren"),
            ("The SIN 046 454 286 was keyed with a wrong last digit for Odin Falk.", "Odin Falk"),
            ("PESEL on every contract. For Zofia Kmieć it is 44051401359.", "Zofia Kmieć"),
            ("DNI 12345678Z de Jimena Arce, por favor", "Jimena Arce"),
            ("Die Steuer-ID 86095742719 von Petra Voss stimmt nicht.", "Petra Voss"),
            ("Numéro PESEL 44051401359 pour Bastien Courtois.", "Bastien Courtois"),
            ("Ebba Norling (personnummer 811228-9874) flyttar", "Ebba Norling"),
            ("Ifeoma Lindgren's SSN is 536-22-8145", "Ifeoma Lindgren"),
            ("CPF 111.444.777-35 - Ivone Falcão", "Ivone Falcão"),
            ("PESEL 44051401359 należy do Zofia Kmieć.", "Zofia Kmieć"),
            ("El DNI 12345678Z corresponde a Jimena Arce", "Jimena Arce"),
            ("Numéro PESEL 44051401359, Bastien Courtois.", "Bastien Courtois"),
            ("Resend it to Ifeoma Lindgren? Her SSN is 536-22-8145.", "Ifeoma Lindgren"),
            ("Tell Odin Falk that his mobile 07700 900123 is off", "Odin Falk"),
            ("my SSN is 536-22-8145. Sorry! - Petra", "Petra"),
            ("ring 020 7946 0018 om nyckeln. /Ebba", "Ebba"),
        ] {
            assert_eq!(people(text), [name], "{text}");
        }
    }

    #[test]
    fn of_each_number_the_name_is_found_however_many_there_are() {
        let text = "SSN 536-22-8145 (Vorlam Tekzo) called.\n".repeat(2_000);
        assert_eq!(people(&text).len(), 2_000);
    }

    #[test]
    fn what_stands_beside_a_number_and_is_nobody_is_left() {
        for text in [
            "PAN card ABCPE1234F (Income Tax Department)",
            "SSN 536-22-8145 is needed for Tax Season",
            "DNI 12345678Z de Buenos Aires",
            "passport 553920817 of New Zealand",
            "DNI 12345678Z de San Sebastián",
            "my SSN is 536-22-8145. Call Monday",
            "SSN 536-22-8145, Elm Grove, Leeds",
            "Birth Date: 03/05/1980",
            "Medical Record: SSN 536-22-8145",
            "I work for Acme Corp and my SSN is 536-22-8145",
            "What is DNS? - Quora",
            "Sale now on! - Falkland",
        ] {
            assert!(people(text).is_empty(), "{text} {:?}", people(text));
        }
    }
}
