//! Validators of matched texts, such as checksums.
//!
//! Each takes the matched bytes, which already have the shape of the row, and reads them once. Numbers are first
//! stripped of separators. At most 40 digits are read, so each check takes bounded time.

mod begun;
mod coin;
mod evident;
mod national;
mod secret;
mod stand_in;
mod sums;
mod words;

use std::ops::ControlFlow;

pub(super) use self::begun::Begun;

/// A check that a row can name.
pub(super) type Check = fn(&[u8]) -> bool;

/// All checks by name.
const CHECKS: &[(&str, Check)] = &[
    ("luhn", sums::luhn),
    ("card", sums::card),
    ("card_in_lines", sums::card_in_lines),
    ("imei", sums::luhn),
    ("iban", sums::iban),
    ("aba", sums::aba),
    ("verhoeff", sums::verhoeff),
    ("vin", sums::vin),
    ("date", sums::date),
    ("ipv4", sums::ipv4),
    ("ipv6", sums::ipv6),
    ("geo", sums::geo),
    ("ipv4_wide", sums::ipv4_wide),
    ("ean", sums::ean),
    ("thai", sums::thai),
    ("phone", sums::phone),
    ("phone_whole", sums::phone_whole),
    ("person", words::person),
    ("spoken", words::spoken),
    ("place", words::place),
    ("street", words::street),
    ("mailbox", words::mailbox),
    ("cnpj_letters", national::cnpj_letters),
    ("plate", sums::plate),
    ("no_document", sums::no_document),
    ("phone_local", sums::phone_local),
    ("account", sums::account),
    ("phone_pairs", sums::phone_pairs),
    ("swift", words::swift),
    ("an_order", words::an_order),
    ("distinct", sums::distinct),
    ("licence", sums::licence),
    ("nino", national::nino),
    ("set_password", secret::set_password),
    ("ssn", national::ssn),
    ("itin", national::itin),
    ("nhs", national::nhs),
    ("sin", national::sin),
    ("tfn", national::tfn),
    ("abn", national::abn),
    ("medicare_au", national::medicare_au),
    ("cpf", national::cpf),
    ("cnpj", national::cnpj),
    ("steuer_id", national::steuer_id),
    ("nir", national::nir),
    ("codice_fiscale", national::codice_fiscale),
    ("bsn", national::bsn),
    ("pesel", national::pesel),
    ("nip", national::nip),
    ("dni", national::dni),
    ("personnummer", national::personnummer),
    ("cpr", national::cpr),
    ("fodselsnummer", national::fodselsnummer),
    ("hetu", national::hetu),
    ("rijksregister", national::rijksregister),
    ("svnr", national::svnr),
    ("nif_pt", national::nif_pt),
    ("afm", national::afm),
    ("pps", national::pps),
    ("egn", national::egn),
    ("cnp", national::cnp),
    ("oib", national::oib),
    ("emso", national::emso),
    ("rodne_cislo", national::rodne_cislo),
    ("baltic", national::baltic),
    ("taj", national::taj),
    ("tckn", national::tckn),
    ("za_id", national::za_id),
    ("inn", national::inn),
    ("snils", national::snils),
    ("cn_id", national::cn_id),
    ("rrn", national::rrn),
    ("my_number", national::my_number),
    ("nric", national::nric),
    ("hkid", national::hkid),
    ("cuit", national::cuit),
    ("rut", national::rut),
    ("il_id", national::sin),
    ("base58check", coin::base58check),
    ("bech32", coin::bech32),
    ("random", secret::random),
    ("password", secret::password),
    ("quoted_password", secret::quoted_password),
    ("mixed", secret::mixed),
    ("jwt", secret::jwt),
    ("real", stand_in::real),
    ("made", secret::made),
    ("made_or_id", secret::made_or_id),
    ("issued", secret::issued),
    ("scrambled", secret::scrambled),
    ("vendor_made", secret::vendor_made),
    ("told_key", secret::told_key),
    ("signs", secret::signs),
    ("wallet_key", coin::wallet_key),
    ("told_password", secret::told_password),
    ("strong_password", secret::strong_password),
    ("told_set_password", secret::told_set_password),
    ("chosen_password", secret::chosen_password),
    ("signed_password", secret::signed_password),
    ("given_password", secret::given_password),
    ("passphrase", secret::passphrase),
    ("recovery_codes", secret::recovery_codes),
    ("seed_phrase", secret::seed_phrase),
    ("otp_seed", secret::otp_seed),
    ("changed_password", secret::changed_password),
    ("bare_password", secret::bare_password),
    ("evident_password", evident::evident_password),
    ("hinted_password", evident::hinted_password),
    ("network_password", evident::network_password),
];

/// Returns the check of this name.
pub(super) fn named(name: &str) -> Option<Check> {
    CHECKS.iter().find(|(known, _)| *known == name).map(|(_, check)| *check)
}

/// Limit of digits in a number.
const MOST_DIGITS: usize = 40;

/// Digits of a text, on the stack: a hostile text can request them at every word.
#[derive(Clone, Copy)]
pub(super) struct Digits {
    held: [u32; MOST_DIGITS],
    count: usize,
}

impl std::ops::Deref for Digits {
    type Target = [u32];

    fn deref(&self) -> &[u32] {
        self.held.get(..self.count).unwrap_or_default()
    }
}

impl std::ops::DerefMut for Digits {
    fn deref_mut(&mut self) -> &mut [u32] {
        self.held.get_mut(..self.count).unwrap_or_default()
    }
}

/// Returns the first 40 digits of a text and skips everything else.
pub(super) fn digits(text: &[u8]) -> Digits {
    let mut made = Digits { held: [0; MOST_DIGITS], count: 0 };
    let found = text.iter().filter(|byte| byte.is_ascii_digit());
    for (slot, byte) in made.held.iter_mut().zip(found) {
        *slot = u32::from(byte - b'0');
        made.count += 1;
    }
    made
}

/// Returns Σ digit × weight.
pub(super) fn weighted(digits: &[u32], weights: &[u32]) -> u32 {
    digits.iter().zip(weights).map(|(digit, weight)| digit * weight).sum()
}

/// Returns the digit at an index.
pub(super) fn at(digits: &[u32], place: usize) -> u32 {
    digits.get(place).copied().unwrap_or(99)
}

/// Returns the digits as one number.
pub(super) fn number(digits: &[u32]) -> u64 {
    digits.iter().take(18).fold(0, |sum, digit| sum * 10 + u64::from(*digit))
}

/// Returns whether this is a possible month and day.
pub(super) fn month_day(month: u32, day: u32) -> bool {
    let days = match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return false,
    };
    (1..=days).contains(&day)
}

/// Returns whether all digits are equal, or count up or down.
pub(super) fn trivial(digits: &[u32]) -> bool {
    let steps = |step: i64| {
        let mut pairs = digits.windows(2).map(|pair| match pair {
            [a, b] => i64::from(*b) - i64::from(*a),
            _ => 0,
        });
        pairs.try_for_each(|d| if d == step { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
            == ControlFlow::Continue(())
    };
    digits.len() > 1 && (steps(0) || steps(1) || steps(-1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_rejects_the_empty_text_and_survives_any_bytes() {
        for (name, check) in CHECKS {
            assert!(!check(b""), "{name}");
            for text in [&b"\xff\xfe\x00"[..], b"0", b"AAAAAAAAAAAAAAAAAAAA", b"----", &[b'9'; 5000]] {
                let _ = check(text);
            }
        }
    }

    #[test]
    fn one_changed_digit_breaks_a_checksum() {
        let good: &[(&str, &str)] = &[
            ("card", "4111 1111 1111 1111"),
            ("iban", "GB82 WEST 1234 5698 7654 32"),
            ("verhoeff", "2363"),
            ("nhs", "943 476 5919"),
            ("aba", "021000021"),
            ("cpf", "111.444.777-35"),
            ("cnpj", "11.222.333/0001-81"),
            ("steuer_id", "86095742719"),
            ("pesel", "44051401359"),
            ("bsn", "111222333"),
            ("sin", "046 454 286"),
            ("tfn", "123 456 782"),
            ("personnummer", "811228-9874"),
            ("hetu", "131052-308T"),
            ("oib", "94577403194"),
            ("nif_pt", "123456789"),
            ("cn_id", "11010519491231002X"),
            ("tckn", "10000000146"),
            ("my_number", "123456789018"),
            ("rut", "30.686.957-4"),
            ("dni", "12345678Z"),
            ("rijksregister", "85.07.30-033.28"),
            ("fodselsnummer", "01010750160"),
            ("egn", "7523169263"),
            ("afm", "090000045"),
            ("vin", "1M8GDM9AXKP042788"),
            ("nir", "2 55 08 14 168 025 38"),
            ("codice_fiscale", "RSSMRA85T10A562S"),
            ("nric", "S1234567D"),
            ("cuit", "20-12345678-6"),
        ];
        for (name, text) in good {
            let check = named(name).unwrap();
            assert!(check(text.as_bytes()), "{name} {text}");
            let place = text.rfind(|c: char| c.is_ascii_digit()).unwrap();
            let mut wrong = text.as_bytes().to_vec();
            wrong[place] = if wrong[place] == b'9' { b'0' } else { wrong[place] + 1 };
            assert!(!check(&wrong), "{name} {text} changed");
        }
    }
}
