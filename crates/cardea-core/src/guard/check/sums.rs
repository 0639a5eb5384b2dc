//! Checksums and formats of payment data, places, dates and devices.

use std::sync::LazyLock;

use super::{digits, month_day, number, trivial, weighted};

/// Checks the Luhn sum (ISO/IEC 7812-1).
pub(super) fn luhn(text: &[u8]) -> bool {
    let digits = digits(text);
    digits.len() > 1 && luhn_digits(&digits) && digits.iter().any(|digit| *digit != 0)
}

pub(super) fn luhn_digits(digits: &[u32]) -> bool {
    luhn_sum(digits.iter().rev().copied()).is_multiple_of(10)
}

/// Returns the Luhn sum of digits, given from last to first.
fn luhn_sum(backwards: impl Iterator<Item = u32>) -> u32 {
    let doubled = |digit: u32| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    backwards.enumerate().map(|(place, digit)| if place % 2 == 0 { digit } else { doubled(digit) }).sum()
}

/// Shortest and longest card number, in digits.
const CARD_LENGTHS: std::ops::RangeInclusive<usize> = 13..=19;

/// Checks a payment card: Luhn sum, known issuer range, and a length that the issuer uses.
pub(super) fn card(text: &[u8]) -> bool {
    // WHY: a hostile text requests this at every word. Most candidates are too short, and nine in ten others fail the
    // sum.
    if text.len() < *CARD_LENGTHS.start() {
        return false;
    }
    let given = || text.iter().filter(|byte| byte.is_ascii_digit());
    let length = given().count();
    let sum = || luhn_sum(given().rev().map(|byte| u32::from(byte - b'0')));
    if !CARD_LENGTHS.contains(&length) || !sum().is_multiple_of(10) {
        return false;
    }
    let digits = digits(text);
    let lead = |n: usize| number(digits.get(..n).unwrap_or_default());
    let issued = match (lead(1), lead(2), lead(3), lead(4)) {
        (4, ..) => matches!(length, 13 | 16 | 19),
        (_, 51..=55, ..) | (.., 2221..=2720) => length == 16,
        (_, 34 | 37, ..) => length == 15,
        (_, 36 | 38, ..) | (_, _, 300..=305 | 309, _) => (14..=19).contains(&length),
        (.., 3528..=3589) => (16..=19).contains(&length),
        (_, 65, ..) | (.., 6011) | (_, _, 644..=649, _) => (16..=19).contains(&length),
        (_, 62 | 81, ..) => (16..=19).contains(&length),
        (_, 50 | 56..=58, ..) | (.., 6304 | 6759 | 6761..=6763) => (13..=19).contains(&length),
        (.., 2200..=2204) => (16..=19).contains(&length),
        (_, 60, ..) => length == 16,
        _ => false,
    };
    issued && even_groups(text) && !trivial(&digits)
}

/// Checks a payment card that a line end divides: complete groups of digits on both sides, or one divided group.
pub(super) fn card_in_lines(text: &[u8]) -> bool {
    let joined = |between: &[u8]| {
        let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).collect();
        card(&lines.join(between))
    };
    joined(b"") || joined(b" ")
}

/// Checks the groups of a card number: 4-4-4-4, 4-8-4, 4-6-5, 4-6-4, or none. A single group of another length belongs
/// to another number.
fn even_groups(text: &[u8]) -> bool {
    let groups = || text.split(|byte| !byte.is_ascii_digit()).map(<[u8]>::len).filter(|length| *length > 0);
    let (count, group) = (groups().count(), |at: usize| groups().nth(at).unwrap_or_default());
    let short = count == 3 && group(0) == 4 && group(1) == 6 && matches!(group(2), 4..=5);
    count == 1
        || short
        || (count == 3 && groups().all(|length| length % 4 == 0))
        || groups().take(count.saturating_sub(1)).all(|length| length == 4)
        || groups().all(|length| length == 1)
}

/// Country and length of account numbers (ISO 13616 registry).
const IBAN_LENGTHS: &str = "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 \
    DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 \
    KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 \
    PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30";

/// Length of a country's account numbers, by the letters of the country; 0 if it has none.
static IBAN_LENGTH: LazyLock<[[u8; 26]; 26]> = LazyLock::new(|| {
    let mut lengths = [[0; 26]; 26];
    for entry in IBAN_LENGTHS.split(' ') {
        let [first, second, length @ ..] = entry.as_bytes() else { continue };
        let of = lengths.get_mut(letter(*first)).and_then(|of| of.get_mut(letter(*second)));
        let length = std::str::from_utf8(length).ok().and_then(|length| length.parse().ok());
        of.into_iter().zip(length).for_each(|(of, length)| *of = length);
    }
    lengths
});

/// Returns the index of a letter in the alphabet, and a larger number for other bytes.
fn letter(byte: u8) -> usize {
    usize::from(byte.to_ascii_uppercase()).checked_sub(usize::from(b'A')).unwrap_or(usize::MAX)
}

/// Checks an account number (IBAN): the country's length, and mod 97 (ISO 7064).
pub(super) fn iban(text: &[u8]) -> bool {
    const LONGEST: usize = 40;
    let plain = || text.iter().filter(|byte| byte.is_ascii_alphanumeric()).take(LONGEST);
    let mut first = plain();
    let (Some(one), Some(two)) = (first.next(), first.next()) else { return false };
    // WHY first: a candidate may have any length, and a hostile text requests the sum at every word.
    let length = IBAN_LENGTH.get(letter(*one)).and_then(|of| of.get(letter(*two))).copied().unwrap_or(0);
    if usize::from(length) != 2 + first.count() {
        return false;
    }
    // WHY: a division per character is most of the work, and 64 bits hold several characters.
    let small = |rest: u64| if rest >> 48 == 0 { rest } else { rest % 97 };
    let rest = plain().skip(4).chain(plain().take(4)).fold(0_u64, |rest, byte| match byte {
        b'0'..=b'9' => small(rest) * 10 + u64::from(byte - b'0'),
        _ => small(rest) * 100 + u64::from(byte.to_ascii_uppercase() - b'A') + 10,
    });
    rest % 97 == 1
}

/// Checks a bank routing number of the United States.
pub(super) fn aba(text: &[u8]) -> bool {
    let digits = digits(text);
    let region = number(digits.get(..2).unwrap_or_default());
    digits.len() == 9
        && matches!(region, 0..=12 | 21..=32 | 61..=72 | 80)
        && weighted(&digits, &[3, 7, 1, 3, 7, 1, 3, 7, 1]).is_multiple_of(10)
        && !trivial(&digits)
}

const VERHOEFF_D: [[u8; 10]; 10] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    [1, 2, 3, 4, 0, 6, 7, 8, 9, 5],
    [2, 3, 4, 0, 1, 7, 8, 9, 5, 6],
    [3, 4, 0, 1, 2, 8, 9, 5, 6, 7],
    [4, 0, 1, 2, 3, 9, 5, 6, 7, 8],
    [5, 9, 8, 7, 6, 0, 4, 3, 2, 1],
    [6, 5, 9, 8, 7, 1, 0, 4, 3, 2],
    [7, 6, 5, 9, 8, 2, 1, 0, 4, 3],
    [8, 7, 6, 5, 9, 3, 2, 1, 0, 4],
    [9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
];

const VERHOEFF_P: [[u8; 10]; 8] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    [1, 5, 7, 6, 2, 8, 3, 0, 9, 4],
    [5, 8, 0, 3, 7, 9, 6, 1, 4, 2],
    [8, 9, 1, 6, 0, 4, 3, 5, 2, 7],
    [9, 4, 5, 3, 1, 2, 6, 8, 7, 0],
    [4, 2, 8, 6, 5, 7, 3, 9, 0, 1],
    [2, 7, 9, 3, 8, 0, 6, 4, 1, 5],
    [7, 0, 4, 6, 9, 1, 3, 2, 5, 8],
];

/// Checks the Verhoeff sum, over the dihedral group D5.
pub(super) fn verhoeff(text: &[u8]) -> bool {
    let digits = digits(text);
    let cell = |table: &[[u8; 10]], row: usize, column: usize| {
        table.get(row).and_then(|row| row.get(column)).copied().unwrap_or_default()
    };
    let rest = digits.iter().rev().enumerate().fold(0, |rest, (place, digit)| {
        let turned = cell(&VERHOEFF_P, place % 8, *digit as usize);
        cell(&VERHOEFF_D, usize::from(rest), usize::from(turned))
    });
    digits.len() > 3 && rest == 0 && !trivial(&digits)
}

/// Checks a vehicle identification number with its check digit (ISO 3779, North American rule).
pub(super) fn vin(text: &[u8]) -> bool {
    const WEIGHTS: [u32; 17] = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2];
    let value = |byte: &u8| match byte {
        b'0'..=b'9' => u32::from(byte - b'0'),
        b'A'..=b'H' => u32::from(byte - b'A') + 1,
        b'J'..=b'R' => u32::from(byte - b'J') + 1,
        b'S'..=b'Z' => u32::from(byte - b'S') + 2,
        _ => 0,
    };
    let sum: u32 = text.iter().zip(WEIGHTS).map(|(byte, weight)| value(byte) * weight).sum();
    let wanted = match sum % 11 {
        10 => b'X',
        rest => b'0'.saturating_add(u8::try_from(rest).unwrap_or_default()),
    };
    text.len() == 17
        && text.get(8) == Some(&wanted)
        && text.iter().any(u8::is_ascii_alphabetic)
        && text.iter().any(u8::is_ascii_digit)
}

/// Accepts a date from 1900 to 2035, in the usual orders.
pub(super) fn date(text: &[u8]) -> bool {
    // A time of day may follow, as programs write it.
    let time = text.windows(2).position(|pair| matches!(pair, [digit, b'T'] if digit.is_ascii_digit()));
    let parts: Vec<u32> = time
        .and_then(|at| text.get(..=at))
        .unwrap_or(text)
        .split(|byte| !byte.is_ascii_digit())
        .filter(|part| !part.is_empty())
        .map(|part| u32::try_from(number(&digits(part))).unwrap_or(u32::MAX))
        .collect();
    let year = |y: u32| (1900..=2035).contains(&y) || (2440..=2580).contains(&y) || y < 100;
    match parts.as_slice() {
        // Without separators: the year first or last.
        [one] if *one > 9_999_999 => {
            let (y, m, d) = (one / 10_000, one / 100 % 100, one % 100);
            let (late, day, month) = (one % 10_000, one / 1_000_000, one / 10_000 % 100);
            (y > 99 && year(y) && month_day(m, d)) || (late > 99 && year(late) && month_day(month, day))
        }
        [y, m, d] if *y > 99 => year(*y) && (month_day(*m, *d) || month_day(*d, *m)),
        // In East Asia, regnal years and short years come first.
        [y, m, d] if *y > 31 && month_day(*m, *d) => true,
        [a, b, y] => year(*y) && (month_day(*a, *b) || month_day(*b, *a)),
        // A month in letters leaves only day and year.
        [d, y] => (1..=31).contains(d) && year(*y),
        _ => false,
    }
}

/// Accepts an IPv4 address of a host. Rejects versions, loopback, and the unspecified address.
pub(super) fn ipv4(text: &[u8]) -> bool {
    let parts: Vec<&[u8]> = text.split(|byte| *byte == b'.').collect();
    let numbers: Vec<u64> = parts.iter().map(|part| number(&digits(part))).collect();
    let plain = parts.iter().all(|part| part.len() == 1 || !part.starts_with(b"0"));
    let [first, ..] = numbers.as_slice() else { return false };
    // Masks and broadcast addresses begin with 255.
    let dull = matches!(first, 0 | 127 | 255);
    parts.len() == 4 && plain && !dull && numbers.iter().all(|number| *number < 256)
}

/// Accepts an IPv6 address of eight groups, or fewer with one gap.
pub(super) fn ipv6(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    // Eight pairs are the beginning of a fingerprint.
    let pairs = text.split(':').all(|group| group.len() == 2);
    match text.parse::<std::net::Ipv6Addr>() {
        Ok(address) => {
            !pairs
                && !address.is_loopback()
                && !address.is_unspecified()
                && text.bytes().filter(|b| *b == b':').count() > 2
        }
        Err(_) => false,
    }
}

/// Rejects the networks that RFC 5737 and RFC 3849 reserve for documentation.
pub(super) fn no_document(text: &[u8]) -> bool {
    let nets = ["192.0.2.", "198.51.100.", "203.0.113.", "2001:db8:", "2001:DB8:", "2001:0db8:"];
    !text.is_empty() && !nets.iter().any(|net| text.starts_with(net.as_bytes()))
}

/// Checks latitude and longitude.
pub(super) fn geo(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let mut parts = text.split([',', ' ', ';']).filter(|part| !part.is_empty()).map(str::parse::<f64>);
    match (parts.next(), parts.next()) {
        (Some(Ok(latitude)), Some(Ok(longitude))) => latitude.abs() <= 90.0 && longitude.abs() <= 180.0,
        _ => false,
    }
}

/// Accepts digits that are not all equal and do not count up or down.
pub(super) fn distinct(text: &[u8]) -> bool {
    let digits = digits(text);
    !digits.is_empty() && !trivial(&digits)
}

/// Accepts an IPv4 address that cannot be a version: some part is greater than 40.
pub(super) fn ipv4_wide(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'.').any(|part| number(&digits(part)) > 40)
}

/// Checks the sum of thirteen-digit article numbers (EAN), which Swiss insurance numbers use.
pub(super) fn ean(text: &[u8]) -> bool {
    let digits = digits(text);
    digits.len() == 13 && weighted(&digits, &[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1]).is_multiple_of(10)
}

/// Checks Thailand's identity number: weights from 13 down.
pub(super) fn thai(text: &[u8]) -> bool {
    let digits = digits(text);
    let sum = weighted(&digits, &[13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2]);
    digits.len() == 13 && (11 - sum % 11) % 10 == digits.last().copied().unwrap_or(99)
}

/// Accepts a possible length of a phone number. Rejects one repeated digit.
pub(super) fn phone(text: &[u8]) -> bool {
    let digits = digits(text);
    let first = digits.first().copied().unwrap_or_default();
    (7..=15).contains(&digits.len()) && digits.iter().any(|digit| *digit != first) && !holds_day(text)
}

/// Returns whether a text contains a date of this or the last century (`2024-05-02`, `2.5.2024`), or a part of one at
/// either end.
fn holds_day(text: &[u8]) -> bool {
    // Groups of digits, each with the sign before it.
    let mut groups: Vec<(u8, usize, u32)> = Vec::new();
    let mut before = b' ';
    for run in text.chunk_by(|a, b| a.is_ascii_digit() && b.is_ascii_digit()).take(48) {
        if run.first().is_some_and(u8::is_ascii_digit) {
            groups.push((before, run.len(), u32::try_from(number(&digits(run))).unwrap_or(u32::MAX)));
        }
        before = run.first().copied().unwrap_or_default();
    }
    let joins = |sign: u8| matches!(sign, b'-' | b'/' | b'.');
    groups.iter().enumerate().any(|(at, (sign, length, year))| {
        let is_year = *length == 4 && (1900..2100).contains(year);
        let next = groups.get(at + 1);
        let month =
            next.is_some_and(|(sign, length, month)| joins(*sign) && *length < 3 && (1..=12).contains(month));
        let first = *sign == b' ' && month;
        let ends = next.is_none_or(|(sign, ..)| *sign == b' ');
        let last = match groups.get(..at) {
            _ if !joins(*sign) || !ends => false,
            Some([(_, length, day)]) => *length < 3 && (1..=31).contains(day),
            Some([.., (b' ', 1..=2, a), (same, 1..=2, b)]) => {
                same == sign && (month_day(*a, *b) || month_day(*b, *a))
            }
            _ => false,
        };
        is_year && (first || last)
    })
}

/// Accepts a phone number with its area code: nine digits or more.
pub(super) fn phone_whole(text: &[u8]) -> bool {
    (9..=13).contains(&digits(text).len()) && phone(text)
}

/// Accepts nine or ten digits in pairs that do not count up, as page numbers and sizes do.
pub(super) fn phone_pairs(text: &[u8]) -> bool {
    let pairs: Vec<u64> =
        text.split(|byte| !byte.is_ascii_digit()).map(|pair| number(&digits(pair))).collect();
    pairs.windows(2).any(|two| matches!(two, [a, b] if b < a)) && phone_whole(text)
}

/// Accepts a phone number in national form: eight digits or more, and not a date.
pub(super) fn phone_local(text: &[u8]) -> bool {
    (8..=13).contains(&digits(text).len()) && phone(text) && !date(text)
}

/// Accepts an account number: four digits or more, not all equal, and not a year.
pub(super) fn account(text: &[u8]) -> bool {
    let digits = digits(text);
    let year = digits.len() == 4 && matches!(number(&digits), 1900..=2100);
    digits.len() >= 4 && !year && !trivial(&digits)
}

/// Accepts a vehicle's plate: letters and digits, five to nine characters.
pub(super) fn plate(text: &[u8]) -> bool {
    let count = |is: fn(&u8) -> bool| text.iter().filter(|byte| is(byte)).count();
    let (letters, digits) = (count(u8::is_ascii_uppercase), count(u8::is_ascii_digit));
    letters > 0 && digits > 0 && (4..=9).contains(&(letters + digits))
}

/// Accepts a registration number: four characters or more with at least one digit, not all equal.
pub(super) fn licence(text: &[u8]) -> bool {
    let signs = text.iter().filter(|byte| byte.is_ascii_alphanumeric()).count();
    let digits = digits(text);
    let year = text.len() == 4 && matches!(number(&digits), 1900..=2100);
    signs >= 4 && digits.len() >= 2 && (digits.len() < 4 || !trivial(&digits)) && !year
}
