//! Recognizes passwords by their form: some anywhere, others only next to a word that announces one.

use base64::Engine as _;

use super::{
    begun::Begun,
    secret::{classes, is_ticket, is_uuid, runs_of, told_set_password, trimmed},
    stand_in::stands_in,
};

/// Lengths that people and generators use.
const LENGTHS: std::ops::RangeInclusive<usize> = 8..=40;

/// Signs that do not occur inside words.
const SIGNS: &[u8] = b"!#$%^&*@";

/// Fragments of code, addresses and markup.
static CODE: Begun<22> = Begun::new([
    b"/", b"\\", b"=", b"::", b"->", b"++", b"--", b"..", b"&&", b"**", b"~~", b"##", b"&amp", b"&lt",
    b"&gt", b"&#", b"&quot", b"&0x", b":!", b"#l", b"0x", b"cl@ve",
]);

/// Accepts small and capital letters with a digit and an inner sign. No other kind of text has this form.
pub(super) fn evident_password(text: &[u8]) -> bool {
    let body = trimmed(text);
    let kinds = classes(body);
    kinds.lower >= 2 && kinds.upper >= 1 && kinds.digit >= 1 && is_signed(body)
}

/// Accepts fewer kinds of characters: capitalized words with a number, or letters and digits mixed.
pub(super) fn hinted_password(text: &[u8]) -> bool {
    let body = trimmed(text);
    let kinds = classes(body);
    let signed = || kinds.lower + kinds.upper >= 3 && is_signed(body);
    let shaped = || is_joined(body) || is_numbered(body) || is_sealed(body) || is_jumbled(body);
    kinds.digit >= 1 && (signed() || (shaped() && is_plain(body)))
}

/// Accepts the key of a network, but not the name of a device or a standard.
pub(super) fn network_password(text: &[u8]) -> bool {
    let body = trimmed(text);
    let kinds = classes(body);
    let model =
        kinds.lower == 0 && kinds.other <= body.iter().filter(|byte| matches!(byte, b'-' | b'/')).count();
    let measure = body.first().is_some_and(u8::is_ascii_digit) && kinds.lower <= 3;
    kinds.digit >= 1
        && LENGTHS.contains(&body.len())
        && kinds.digit * 2 <= body.len()
        && !model
        && !measure
        && told_set_password(text)
        && (kinds.digit >= 2 || hinted_password(text))
        && !pieces(body).any(|piece| is_title(piece) || is_band(piece))
}

/// Accepts text that is not a stand-in, a file name or an order number.
fn is_plain(body: &[u8]) -> bool {
    LENGTHS.contains(&body.len())
        && !stands_in(body)
        && !is_uuid(body)
        && !is_in_region(body)
        && !is_ticket(body)
        && !ends_like_a_file(body)
}

/// Matches ids that follow a cloud region: `eu-central-1_Ab2cDefgh`.
fn is_in_region(body: &[u8]) -> bool {
    let mut parts = body.split(|byte| matches!(byte, b'-' | b'_'));
    let small = |part: &[u8]| part.iter().all(u8::is_ascii_lowercase);
    parts.next().is_some_and(|part| part.len() == 2 && small(part))
        && parts.next().is_some_and(|part| part.len() >= 4 && small(part))
        && parts.next().is_some_and(|part| matches!(part, [digit] if digit.is_ascii_digit()))
}

/// Matches a dot and letters at the end: a file, a host or a page.
fn ends_like_a_file(body: &[u8]) -> bool {
    let tail = body.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
    tail.len() < body.len() && (1..=5).contains(&tail.len()) && tail.iter().any(u8::is_ascii_alphabetic)
}

/// Accepts an inner sign that does not belong to code, an address, a formula or a count.
fn is_signed(body: &[u8]) -> bool {
    let last = body.iter().rposition(|byte| !matches!(byte, b'!' | b'?')).map_or(0, |at| at + 1);
    let inner = body.get(1..last).unwrap_or_default();
    let Some(at) = inner.iter().position(|byte| SIGNS.contains(byte)) else { return false };
    let (sign, head, tail) = (
        inner.get(at).copied().unwrap_or_default(),
        body.get(..at + 1).unwrap_or_default(),
        inner.get(at + 1..).unwrap_or_default(),
    );
    let single = inner.iter().filter(|byte| SIGNS.contains(byte)).count() == 1;
    let digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    let cell = |part: &[u8]| {
        part.len() <= 6
            && !part.first().is_some_and(u8::is_ascii_digit)
            && part.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'$')
    };
    let letters = |part: &[u8]| part.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    let usual = match sign {
        // A cell of a spreadsheet, a page anchor, a ticket, or `C#`.
        b'!' => single && cell(tail),
        b'#' => single && (digits(tail) || body.contains(&b'.') || letters(head) <= 2 || cell(head)),
        // A mailbox, a user at a host, or the version of an action.
        b'@' => {
            body.contains(&b'.')
                || (single && !tail.first().is_some_and(u8::is_ascii_digit) && letters(head) > 2)
                || tail.starts_with(b"v")
                || tail.len() < 2
        }
        // `M&A`, a product, or a mask.
        b'&' | b'*' => single && (letters(head) <= 2 || tail.len() <= 2 || digits(tail)),
        // An escape, a percentage, or a format.
        b'%' => {
            head.iter().all(u8::is_ascii_digit)
                || tail.iter().take(2).filter(|byte| byte.is_ascii_hexdigit()).count() == 2
        }
        b'$' => body.contains(&b'.') || letters(head) <= 2 && digits(tail),
        _ => single && (tail.len() <= 2 || head.len() <= 2),
    };
    !usual
        && body.first().is_some_and(|byte| !matches!(byte, b'@' | b'$' | b'<' | b'{' | b'(' | b'-'))
        && !CODE.stand_in(body)
        && is_plain(body)
}

fn pieces(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    body.split(|byte| matches!(byte, b'-' | b'_' | b'.'))
}

/// Accepts capitalized words and a number, joined by signs: `Larch_Tunnel_9`, `Kestrel-Moor-58`, `ForenHase_3`.
fn is_joined(body: &[u8]) -> bool {
    let (mut words, mut numbers, mut capital) = (0, 0, false);
    for piece in pieces(body) {
        let kinds = classes(piece);
        let letters = kinds.lower + kinds.upper;
        if kinds.other > 0 || piece.is_empty() {
            return false;
        }
        let digit = |at: Option<&u8>| at.is_some_and(u8::is_ascii_digit);
        if kinds.digit > 0
            && letters >= 5
            && kinds.digit <= 2
            && !digit(piece.first())
            && !digit(piece.last())
        {
            // Digits that replace letters, as in `Sn0wGoose`.
            words += 1;
        } else if kinds.digit > 0 {
            numbers += 1;
            let number = digit(piece.first()) && kinds.upper == 0 && letters <= 1;
            // WHY: `SmartCard-Reader2` is more likely a product.
            let word = letters >= 2
                && !digit(piece.first())
                && kinds.lower >= 1
                && (kinds.digit >= 2 || body.contains(&b'_') || letters == 2);
            if kinds.digit > 4 || !(number || word) {
                return false;
            }
        } else if letters < 2 || (kinds.upper > 1 && kinds.lower == 0) {
            return false;
        }
        capital |= kinds.upper > 0 && kinds.lower > 0;
        words += usize::from(kinds.lower >= 2) * humps(piece).clamp(1, 3);
    }
    words >= 2 && numbers == 1 && capital && pieces(body).count() >= 2 && !pieces(body).any(is_title)
}

/// Accepts capitalized words without separators, and a number: `VelvetCrane81`, `2HillsInFog`.
fn is_numbered(body: &[u8]) -> bool {
    let (head, rest) = split_digits(body);
    let (word, tail) = if head.is_empty() { split_letters(rest) } else { (rest, &b""[..]) };
    let number = if head.is_empty() { tail } else { head };
    let counted = !head.is_empty() || number.len() >= 2;
    (2..=4).contains(&humps(word))
        && word.iter().all(u8::is_ascii_alphabetic)
        // `NonZeroU64` is the name of a type.
        && word.last().is_some_and(u8::is_ascii_lowercase)
        && counted
        && number.len() <= 4
        && number.iter().all(u8::is_ascii_digit)
        && !is_title(word)
}

/// Accepts a word and a number with signs after or before them: `Sommer2026!`, `!Anchor9`.
fn is_sealed(body: &[u8]) -> bool {
    let seals = |byte: &u8| matches!(byte, b'!' | b'#' | b'$' | b'%' | b'&' | b'+');
    let bare =
        body.strip_prefix(b"!").or(body.strip_prefix(b"%")).or(body.strip_prefix(b"&")).unwrap_or(body);
    let (word, rest) = split_letters(bare);
    let (number, signs) = split_digits(rest);
    let before = bare.len() < body.len();
    word.len() >= 4
        && !is_title(word)
        && (1..=4).contains(&number.len())
        && (before || number.len() >= 2)
        && (before || !signs.is_empty())
        && signs.len() <= 2
        && signs.iter().all(seals)
}

fn split_letters(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or_default()
}

fn split_digits(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or_default()
}

/// Accepts letters and digits that alternate at nearly every position: `f7Kq2mWz9x`.
fn is_jumbled(body: &[u8]) -> bool {
    let kinds = classes(body);
    kinds.other <= 2
        && kinds.lower >= 2
        && kinds.upper >= 2
        && kinds.digit >= 2
        && body.len() <= 24
        && pieces(body).map(runs_of).sum::<usize>() * 2 >= body.len()
        && !is_text_in_base64(body)
}

/// Returns whether the text is base64 of plain text: `Y2xhaW1z`.
fn is_text_in_base64(body: &[u8]) -> bool {
    let text = base64::engine::general_purpose::STANDARD.decode(body);
    text.is_ok_and(|text| text.iter().all(|byte| matches!(byte, b' '..=b'~')))
}

/// Counts capital letters that are followed by two small ones.
fn humps(word: &[u8]) -> usize {
    let hump = |part: &&[u8]| matches!(part, [a, b, c] if a.is_ascii_uppercase() && b.is_ascii_lowercase() && c.is_ascii_lowercase());
    word.windows(3).filter(hump).count()
}

/// Matches the name of a frequency band.
fn is_band(piece: &[u8]) -> bool {
    piece.first().is_some_and(u8::is_ascii_digit) && piece.iter().any(|byte| matches!(byte, b'g' | b'G'))
}

/// Words in names of files, plans, rooms and products, sorted.
const TITLES: &[&[u8]] = &[
    b"android",
    b"annex",
    b"api",
    b"apr",
    b"april",
    b"aug",
    b"august",
    b"azure",
    b"beta",
    b"block",
    b"board",
    b"book",
    b"branch",
    b"bundle",
    b"camera",
    b"chacha",
    b"chapter",
    b"chrome",
    b"class",
    b"code",
    b"cup",
    b"daily",
    b"day",
    b"debian",
    b"dec",
    b"december",
    b"desk",
    b"disk",
    b"doc",
    b"docs",
    b"draft",
    b"drive",
    b"east",
    b"edge",
    b"edition",
    b"excel",
    b"factory",
    b"feb",
    b"february",
    b"file",
    b"fire",
    b"firefox",
    b"flight",
    b"floor",
    b"form",
    b"galaxy",
    b"gate",
    b"gen",
    b"generation",
    b"google",
    b"group",
    b"guide",
    b"hall",
    b"host",
    b"hub",
    b"invoice",
    b"ipad",
    b"iphone",
    b"jan",
    b"january",
    b"jul",
    b"july",
    b"jun",
    b"june",
    b"kapitel",
    b"level",
    b"lite",
    b"mac",
    b"macbook",
    b"mar",
    b"march",
    b"may",
    b"mode",
    b"model",
    b"module",
    b"month",
    b"nord",
    b"north",
    b"note",
    b"nov",
    b"november",
    b"oct",
    b"october",
    b"office",
    b"order",
    b"ost",
    b"outlook",
    b"pack",
    b"page",
    b"part",
    b"patch",
    b"path",
    b"phase",
    b"pixel",
    b"plan",
    b"plus",
    b"policy",
    b"pro",
    b"project",
    b"python",
    b"q1",
    b"q2",
    b"q3",
    b"q4",
    b"quarter",
    b"raum",
    b"redmi",
    b"release",
    b"report",
    b"room",
    b"router",
    b"sala",
    b"salle",
    b"schema",
    b"section",
    b"sep",
    b"sept",
    b"september",
    b"series",
    b"server",
    b"south",
    b"sprint",
    b"stage",
    b"stand",
    b"step",
    b"store",
    b"sud",
    b"suite",
    b"switch",
    b"tab",
    b"table",
    b"team",
    b"teams",
    b"template",
    b"tenant",
    b"term",
    b"test",
    b"ticket",
    b"token",
    b"tower",
    b"type",
    b"ubuntu",
    b"unit",
    b"update",
    b"vault",
    b"veeam",
    b"ver",
    b"version",
    b"view",
    b"volume",
    b"week",
    b"weekly",
    b"west",
    b"win",
    b"windows",
    b"word",
    b"xl",
    b"year",
    b"zone",
];

/// Returns whether the text is one of them, with or without a number after it.
fn is_title(piece: &[u8]) -> bool {
    let word = piece.iter().position(u8::is_ascii_digit).unwrap_or(piece.len());
    let word = piece.get(..word).unwrap_or_default();
    let known = |word: &[u8]| {
        let small = || word.iter().map(u8::to_ascii_lowercase);
        TITLES.binary_search_by(|title| title.iter().copied().cmp(small())).is_ok()
    };
    !word.is_empty() && (known(word) || (word.len() < piece.len() && known(piece)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_stand_in_order() {
        assert!(TITLES.is_sorted());
        assert!(is_title(b"Zone7") && is_title(b"ANDROID") && is_title(b"q4") && !is_title(b"zones"));
    }

    #[test]
    fn a_password_is_told_from_what_has_signs_and_numbers_as_well() {
        for yes in [
            "Marble#Finch31",
            "Toner!Drum44",
            "TidalWave$55",
            "Kx7!vTq2m",
            "Summer@2026x",
            "Wren$Meadow5",
            "BirchDoor!12",
            "qT8!rWm3xZ",
        ] {
            assert!(evident_password(yes.as_bytes()), "{yes}");
        }
        for no in [
            "Sheet1!A1",
            "OSS-fuzz#33579",
            "CONTRIBUTING.md#v10-roadmap",
            "DevSkim-Action@v1",
            "anna.Berg2@firma.example",
            "root@Web01",
            "PKCS#11-Style",
            "A&B-Report2",
            "100%Cotton2",
            "Foo%20Bar2",
            "Outer.Inner$Item2",
            "https://A.example/?B!2",
            "value&0xFF12Ab",
            "Windows11!",
            "C#12-Feature",
            "bitLoc&31",
            "returnBegin:!0",
            "{Name!2024x}",
            "Align1&gt",
            "Your_Pass!1example",
        ] {
            assert!(!evident_password(no.as_bytes()), "{no}");
        }
    }

    #[test]
    fn a_word_nearby_tells_a_password_from_the_name_of_a_thing() {
        for yes in [
            "Larch_Tunnel_9",
            "Kestrel-Moor-58",
            "ForenHase_3",
            "VelvetCrane81",
            "f7Kq2mWz9x",
            "ferry!Dock21",
            "Hobel.Bank.19",
            "Sn0wGoose_17",
            "Sommer2026!",
            "!Anchor19",
            "2HillsInFog",
            "Xq4-Ledger-Moss",
        ] {
            assert!(hinted_password(yes.as_bytes()), "{yes}");
        }
        for no in [
            "Team-Plus-2026",
            "Room-B2-West",
            "ORD-2026-5518",
            "HP-LaserJet-M404dn",
            "ThinkPad-X1-Gen12",
            "README-v3.md",
            "Windows11",
            "iPhone15Pro",
            "order-form-12",
            "ChaCha20",
            "SmartCard-Reader2",
            "3of5-Shamir",
            "Windows11!",
            "iPhone15!",
            "HomeHub-5G",
            "Gov.br-Prata2",
            "NonZeroU64",
            "PublicKeyX509Der",
            "Report-Q3-2026",
            "Python3.12",
            "Anna-Berg",
            "2026-11-22",
            "eu-central-1_N2qAi5fxb",
            "Y2xhaW1z",
        ] {
            assert!(!hinted_password(no.as_bytes()), "{no}");
        }
        assert!(network_password(b"plumtree7749") && network_password(b"seeblick-2031x"));
        for no in ["802.11ax", "WSR-3200AX4S", "HomeHub-5G-2", "2.4GHz-band", "Room-214b", "12345678"] {
            assert!(!network_password(no.as_bytes()), "{no}");
        }
    }
}
