//! Identification numbers of people and companies, by state.
//!
//! The rules are the published arithmetic of each state. The table row names the authority.

use super::{Digits, at, digits, month_day, number, sums::luhn_digits, trivial, weighted};

fn exactly(text: &[u8], length: usize) -> Option<Digits> {
    let digits = digits(text);
    (digits.len() == length && !trivial(&digits)).then_some(digits)
}

fn part(digits: &[u32], from: usize, to: usize) -> u32 {
    u32::try_from(number(digits.get(from..to).unwrap_or_default())).unwrap_or(u32::MAX)
}

fn letter(text: &[u8], place: usize) -> u8 {
    let mut letters = text.iter().filter(|byte| byte.is_ascii_alphabetic());
    letters.nth(place).map_or(0, u8::to_ascii_uppercase)
}

/// Returns a remainder modulo 11, with 10 as 0.
const fn eleven(sum: u32) -> u32 {
    let rest = sum % 11;
    if rest == 10 { 0 } else { rest }
}

pub(super) fn ssn(text: &[u8]) -> bool {
    exactly(text, 9).is_some_and(|d| {
        let (area, group, serial) = (part(&d, 0, 3), part(&d, 3, 5), part(&d, 5, 9));
        !matches!(area, 0 | 666 | 900..) && group > 0 && serial > 0
    })
}

pub(super) fn itin(text: &[u8]) -> bool {
    exactly(text, 9)
        .is_some_and(|d| at(&d, 0) == 9 && matches!(part(&d, 3, 5), 50..=65 | 70..=88 | 90..=92 | 94..=99))
}

pub(super) fn nhs(text: &[u8]) -> bool {
    exactly(text, 10).is_some_and(|d| {
        let check = 11 - weighted(&d, &[10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11;
        check != 10 && check % 11 == at(&d, 9)
    })
}

/// Checks nine digits with a Luhn sum (Canada, Israel).
pub(super) fn sin(text: &[u8]) -> bool {
    exactly(text, 9).is_some_and(|d| luhn_digits(&d))
}

pub(super) fn tfn(text: &[u8]) -> bool {
    exactly_untrivial_or(text, 9)
        .is_some_and(|d| weighted(&d, &[1, 4, 3, 7, 5, 8, 6, 9, 10]).is_multiple_of(11))
}

fn exactly_untrivial_or(text: &[u8], length: usize) -> Option<Digits> {
    let digits = digits(text);
    (digits.len() == length && digits.iter().any(|digit| *digit != at(&digits, 0))).then_some(digits)
}

pub(super) fn abn(text: &[u8]) -> bool {
    exactly(text, 11).is_some_and(|mut d| {
        if let Some(first) = d.first_mut() {
            *first = first.wrapping_sub(1);
        }
        at(&d, 0) < 9 && weighted(&d, &[10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19]).is_multiple_of(89)
    })
}

pub(super) fn medicare_au(text: &[u8]) -> bool {
    let digits = digits(text);
    matches!(digits.len(), 10 | 11)
        && matches!(at(&digits, 0), 2..=6)
        && weighted(&digits, &[1, 3, 7, 9, 1, 3, 7, 9]) % 10 == at(&digits, 8)
}

pub(super) fn cpf(text: &[u8]) -> bool {
    exactly(text, 11).is_some_and(|d| {
        let one = eleven(weighted(&d, &[10, 9, 8, 7, 6, 5, 4, 3, 2]) * 10);
        let two = eleven(weighted(&d, &[11, 10, 9, 8, 7, 6, 5, 4, 3, 2]) * 10);
        one == at(&d, 9) && two == at(&d, 10)
    })
}

pub(super) fn cnpj(text: &[u8]) -> bool {
    exactly(text, 14).is_some_and(|d| {
        let check = |sum: u32| if sum % 11 < 2 { 0 } else { 11 - sum % 11 };
        let one = check(weighted(&d, &[5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]));
        let two = check(weighted(&d, &[6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]));
        one == at(&d, 12) && two == at(&d, 13)
    })
}

/// Checks Brazil's company number in the form used since 2026: the value of a letter is its ASCII code minus that of
/// `0`.
pub(super) fn cnpj_letters(text: &[u8]) -> bool {
    let signs: Vec<u32> = text
        .iter()
        .filter(|byte| byte.is_ascii_alphanumeric())
        .take(20)
        .map(|byte| u32::from(byte.to_ascii_uppercase() - b'0'))
        .collect();
    let check = |sum: u32| if sum % 11 < 2 { 0 } else { 11 - sum % 11 };
    let one = check(weighted(&signs, &[5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]));
    let two = check(weighted(&signs, &[6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]));
    signs.len() == 14 && !trivial(&signs) && one == at(&signs, 12) && two == at(&signs, 13)
}

/// Checks ISO 7064 mod 11, 10: Germany's tax number and Croatia's OIB.
fn mod_11_10(d: &[u32]) -> bool {
    let body = d.len().saturating_sub(1);
    let rest = d.iter().take(body).fold(10, |rest, digit| {
        let sum = (rest + digit) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    (11 - rest) % 10 == at(d, body)
}

pub(super) fn steuer_id(text: &[u8]) -> bool {
    exactly(text, 11).is_some_and(|d| at(&d, 0) != 0 && mod_11_10(&d))
}

pub(super) fn oib(text: &[u8]) -> bool {
    exactly(text, 11).is_some_and(|d| mod_11_10(&d))
}

pub(super) fn nir(text: &[u8]) -> bool {
    // In Corsica, the department contains a letter.
    let corsican = text.iter().any(|byte| matches!(byte, b'A' | b'B' | b'a' | b'b'));
    let plain: Vec<u8> = text.iter().map(|b| if b.is_ascii_alphabetic() { b'0' } else { *b }).collect();
    let d = digits(&plain);
    let offset = if !corsican {
        0
    } else if text.iter().any(|byte| byte.eq_ignore_ascii_case(&b'a')) {
        1_000_000
    } else {
        2_000_000
    };
    let body = number(d.get(..13).unwrap_or_default()).saturating_sub(offset);
    let key = number(d.get(13..).unwrap_or_default());
    d.len() == 15 && matches!(at(&d, 0), 1..=4 | 7 | 8) && key == 97 - body % 97
}

pub(super) fn codice_fiscale(text: &[u8]) -> bool {
    const ODD: [u32; 26] =
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
    let upper = text.to_ascii_uppercase();
    let Some((check, body)) = upper.split_last() else { return false };
    let value = |byte: u8| if byte.is_ascii_digit() { byte - b'0' } else { byte.wrapping_sub(b'A') };
    let sum: u32 = (body.iter().enumerate())
        .map(|(place, byte)| {
            let value = value(*byte);
            if place % 2 == 1 {
                u32::from(value)
            } else {
                ODD.get(usize::from(value)).copied().unwrap_or_default()
            }
        })
        .sum();
    upper.len() == 16 && u32::from(check.wrapping_sub(b'A')) == sum % 26
}

pub(super) fn bsn(text: &[u8]) -> bool {
    exactly_untrivial_or(text, 9).is_some_and(|d| {
        let sum = weighted(&d, &[9, 8, 7, 6, 5, 4, 3, 2]);
        sum % 11 == at(&d, 8) && sum > 0
    })
}

pub(super) fn pesel(text: &[u8]) -> bool {
    exactly(text, 11).is_some_and(|d| {
        let sum = weighted(&d, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1]);
        sum.is_multiple_of(10) && month_day(part(&d, 2, 4) % 20, part(&d, 4, 6))
    })
}

pub(super) fn nip(text: &[u8]) -> bool {
    exactly(text, 10).is_some_and(|d| weighted(&d, &[6, 5, 7, 2, 3, 4, 5, 6, 7]) % 11 == at(&d, 9))
}

/// Checks Spain's DNI, and NIE with X, Y or Z for 0, 1 or 2.
pub(super) fn dni(text: &[u8]) -> bool {
    const LETTERS: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";
    let foreign = text.first().is_some_and(u8::is_ascii_alphabetic);
    let lead = match letter(text, 0) {
        b'Y' if foreign => 10_000_000,
        b'Z' if foreign => 20_000_000,
        _ => 0,
    };
    let d = digits(text);
    let body = number(&d) + lead;
    let wanted = usize::try_from(body % 23).ok().and_then(|place| LETTERS.get(place));
    d.len() == if foreign { 7 } else { 8 } && wanted == Some(&letter(text, usize::from(foreign)))
}

pub(super) fn personnummer(text: &[u8]) -> bool {
    let all = digits(text);
    let d = if all.len() == 12 { all.get(2..).unwrap_or_default() } else { &all };
    let day = part(d, 4, 6);
    d.len() == 10 && luhn_digits(d) && month_day(part(d, 2, 4), if day > 60 { day - 60 } else { day })
}

/// Checks Denmark's number: a date of birth and a serial number. Newer numbers have no checksum, so the row requires a
/// label.
pub(super) fn cpr(text: &[u8]) -> bool {
    exactly(text, 10).is_some_and(|d| month_day(part(&d, 2, 4), part(&d, 0, 2)))
}

pub(super) fn fodselsnummer(text: &[u8]) -> bool {
    exactly(text, 11).is_some_and(|d| {
        let one = weighted(&d, &[3, 7, 6, 1, 8, 9, 4, 5, 2, 1]);
        let two = weighted(&d, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1]);
        one.is_multiple_of(11) && two.is_multiple_of(11)
    })
}

pub(super) fn hetu(text: &[u8]) -> bool {
    const SIGNS: &[u8; 31] = b"0123456789ABCDEFHJKLMNPRSTUVWXY";
    let Some((check, body)) = text.split_last() else { return false };
    let d = digits(body);
    let wanted = usize::try_from(number(&d) % 31).ok().and_then(|place| SIGNS.get(place));
    d.len() == 9 && month_day(part(&d, 2, 4), part(&d, 0, 2)) && wanted == Some(&check.to_ascii_uppercase())
}

pub(super) fn rijksregister(text: &[u8]) -> bool {
    exactly(text, 11).is_some_and(|d| {
        let (body, check) = (number(d.get(..9).unwrap_or_default()), u64::from(part(&d, 9, 11)));
        97 - body % 97 == check || 97 - (body + 2_000_000_000) % 97 == check
    })
}

pub(super) fn svnr(text: &[u8]) -> bool {
    exactly(text, 10).is_some_and(|d| {
        let sum = weighted(&d, &[3, 7, 9, 0, 5, 8, 4, 2, 1, 6]);
        at(&d, 0) != 0 && sum % 11 == at(&d, 3) && month_day(part(&d, 6, 8), part(&d, 4, 6))
    })
}

pub(super) fn nif_pt(text: &[u8]) -> bool {
    exactly_untrivial_or(text, 9).is_some_and(|d| {
        let rest = weighted(&d, &[9, 8, 7, 6, 5, 4, 3, 2]) % 11;
        let check = if rest < 2 { 0 } else { 11 - rest };
        at(&d, 0) != 0 && check == at(&d, 8)
    })
}

pub(super) fn afm(text: &[u8]) -> bool {
    exactly(text, 9).is_some_and(|d| weighted(&d, &[256, 128, 64, 32, 16, 8, 4, 2]) % 11 % 10 == at(&d, 8))
}

pub(super) fn pps(text: &[u8]) -> bool {
    let d = digits(text);
    let second = match letter(text, 1) {
        0 | b'W' => 0,
        letter => u32::from(letter - b'A') + 1,
    };
    let rest = (weighted(&d, &[8, 7, 6, 5, 4, 3, 2]) + second * 9) % 23;
    let wanted = if rest == 0 { u32::from(b'W') } else { u32::from(b'A') + rest - 1 };
    d.len() == 7 && u32::from(letter(text, 0)) == wanted
}

pub(super) fn egn(text: &[u8]) -> bool {
    exactly(text, 10).is_some_and(|d| {
        let check = eleven(weighted(&d, &[2, 4, 8, 5, 10, 9, 7, 3, 6]));
        month_day(part(&d, 2, 4) % 20, part(&d, 4, 6)) && check == at(&d, 9)
    })
}

pub(super) fn cnp(text: &[u8]) -> bool {
    exactly(text, 13).is_some_and(|d| {
        let rest = weighted(&d, &[2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9]) % 11;
        let check = if rest == 10 { 1 } else { rest };
        at(&d, 0) > 0 && month_day(part(&d, 3, 5), part(&d, 5, 7)) && check == at(&d, 12)
    })
}

pub(super) fn emso(text: &[u8]) -> bool {
    exactly(text, 13).is_some_and(|d| {
        let rest = weighted(&d, &[7, 6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11;
        let check = if rest == 0 { 0 } else { 11 - rest };
        month_day(part(&d, 2, 4), part(&d, 0, 2)) && check == at(&d, 12)
    })
}

pub(super) fn rodne_cislo(text: &[u8]) -> bool {
    exactly(text, 10)
        .is_some_and(|d| number(&d).is_multiple_of(11) && month_day(part(&d, 2, 4) % 50 % 20, part(&d, 4, 6)))
}

/// Checks the numbers of Estonia and Lithuania.
pub(super) fn baltic(text: &[u8]) -> bool {
    exactly(text, 11).is_some_and(|d| {
        let one = weighted(&d, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 1]) % 11;
        let two = weighted(&d, &[3, 4, 5, 6, 7, 8, 9, 1, 2, 3]) % 11;
        let check = if one < 10 { one } else { two % 10 };
        (1..=8).contains(&at(&d, 0)) && month_day(part(&d, 3, 5), part(&d, 5, 7)) && check == at(&d, 10)
    })
}

pub(super) fn taj(text: &[u8]) -> bool {
    exactly(text, 9).is_some_and(|d| weighted(&d, &[3, 7, 3, 7, 3, 7, 3, 7]) % 10 == at(&d, 8))
}

pub(super) fn tckn(text: &[u8]) -> bool {
    exactly(text, 11).is_some_and(|d| {
        let odd = weighted(&d, &[1, 0, 1, 0, 1, 0, 1, 0, 1]);
        let even = weighted(&d, &[0, 1, 0, 1, 0, 1, 0, 1]);
        let ten = (odd * 7 + 90 - even) % 10;
        let all: u32 = d.iter().take(10).sum();
        at(&d, 0) != 0 && ten == at(&d, 9) && all % 10 == at(&d, 10)
    })
}

pub(super) fn za_id(text: &[u8]) -> bool {
    exactly(text, 13)
        .is_some_and(|d| luhn_digits(&d) && month_day(part(&d, 2, 4), part(&d, 4, 6)) && at(&d, 10) < 2)
}

pub(super) fn inn(text: &[u8]) -> bool {
    let d = digits(text);
    let check = |weights: &[u32], place: usize| weighted(&d, weights) % 11 % 10 == at(&d, place);
    match d.len() {
        10 => check(&[2, 4, 10, 3, 5, 9, 4, 6, 8], 9) && !trivial(&d),
        12 => {
            check(&[7, 2, 4, 10, 3, 5, 9, 4, 6, 8], 10)
                && check(&[3, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8], 11)
                && !trivial(&d)
        }
        _ => false,
    }
}

pub(super) fn snils(text: &[u8]) -> bool {
    exactly(text, 11).is_some_and(|d| {
        let sum = weighted(&d, &[9, 8, 7, 6, 5, 4, 3, 2, 1]) % 101;
        (if sum == 100 { 0 } else { sum }) == part(&d, 9, 11)
    })
}

pub(super) fn cn_id(text: &[u8]) -> bool {
    const SIGNS: &[u8; 11] = b"10X98765432";
    let Some((check, body)) = text.split_last() else { return false };
    let d = digits(body);
    let sum = weighted(&d, &[7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]) % 11;
    d.len() == 17
        && matches!(part(&d, 6, 10), 1900..=2035)
        && month_day(part(&d, 10, 12), part(&d, 12, 14))
        && SIGNS.get(sum as usize) == Some(&check.to_ascii_uppercase())
}

/// Checks South Korea's number: date of birth, century digit and checksum. Numbers issued since late 2020 have no
/// checksum and require a label.
pub(super) fn rrn(text: &[u8]) -> bool {
    exactly(text, 13).is_some_and(|d| {
        let check = (11 - weighted(&d, &[2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5]) % 11) % 10;
        month_day(part(&d, 2, 4), part(&d, 4, 6)) && (1..=8).contains(&at(&d, 6)) && check == at(&d, 12)
    })
}

pub(super) fn my_number(text: &[u8]) -> bool {
    exactly_untrivial_or(text, 12).is_some_and(|d| {
        let rest = weighted(&d, &[6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11;
        let check = if rest < 2 { 0 } else { 11 - rest };
        check == at(&d, 11)
    })
}

pub(super) fn nric(text: &[u8]) -> bool {
    let d = digits(text);
    let sum = weighted(&d, &[2, 7, 6, 5, 4, 3, 2]);
    let (signs, shift): (&[u8; 11], u32) = match letter(text, 0) {
        b'S' => (b"JZIHGFEDCBA", 0),
        b'T' => (b"JZIHGFEDCBA", 4),
        b'F' => (b"XWUTRQPNMLK", 0),
        b'G' => (b"XWUTRQPNMLK", 4),
        b'M' => (b"KLJNPQRTUWX", 3),
        _ => return false,
    };
    let place = (sum + shift) % 11;
    let place = if letter(text, 0) == b'M' { 10 - place } else { place };
    d.len() == 7 && signs.get(place as usize) == Some(&letter(text, 1))
}

pub(super) fn hkid(text: &[u8]) -> bool {
    let Some(split) = text.iter().position(u8::is_ascii_digit) else { return false };
    let Some((lead, rest)) = text.split_at_checked(split) else { return false };
    let value = |byte: &u8| match byte.to_ascii_uppercase() {
        b'A'..=b'Z' => u32::from(byte.to_ascii_uppercase() - b'A') + 10,
        b'0'..=b'9' => u32::from(byte - b'0'),
        _ => 0,
    };
    let mut signs: Vec<u32> = if lead.len() == 1 { vec![36] } else { Vec::new() };
    signs.extend(lead.iter().chain(rest).filter(|byte| byte.is_ascii_alphanumeric()).map(value));
    signs.len() == 9 && weighted(&signs, &[9, 8, 7, 6, 5, 4, 3, 2, 1]).is_multiple_of(11)
}

pub(super) fn cuit(text: &[u8]) -> bool {
    exactly(text, 11).is_some_and(|d| {
        let rest = weighted(&d, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11;
        let check = match rest {
            0 => 0,
            1 => 9,
            rest => 11 - rest,
        };
        matches!(part(&d, 0, 2), 20 | 23 | 24 | 25 | 26 | 27 | 30 | 33 | 34) && check == at(&d, 10)
    })
}

pub(super) fn rut(text: &[u8]) -> bool {
    let Some((check, body)) = text.split_last() else { return false };
    let d = digits(body);
    let sum: u32 =
        d.iter().rev().zip([2, 3, 4, 5, 6, 7, 2, 3, 4]).map(|(digit, weight)| digit * weight).sum();
    let wanted = match 11 - sum % 11 {
        11 => b'0',
        10 => b'K',
        rest => b'0'.saturating_add(u8::try_from(rest).unwrap_or_default()),
    };
    matches!(d.len(), 7 | 8) && !trivial(&d) && check.to_ascii_uppercase() == wanted
}

/// Rejects pairs of letters that were never issued.
pub(super) fn nino(text: &[u8]) -> bool {
    let pair = [letter(text, 0), letter(text, 1)];
    digits(text).len() == 6 && ![*b"BG", *b"GB", *b"NK", *b"KN", *b"TN", *b"NT", *b"ZZ"].contains(&pair)
}
