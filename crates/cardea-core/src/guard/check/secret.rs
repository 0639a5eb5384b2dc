//! Does a text look made by a machine, or chosen as a password, rather than written as an example?

/// Words that stand where a secret will be put later.
const STAND_INS: &[&[u8]] = &[
    b"example",
    b"changeme",
    b"change_me",
    b"placeholder",
    b"your_",
    b"your-",
    b"yourtoken",
    b"redacted",
    b"insert",
    b"dummy",
    b"sample",
    b"todo",
    b"xxxx",
    b"****",
    b"....",
    b"<",
    b"${",
    b"{{",
    b"$(",
    b"%(",
    b"process.env",
    b"os.environ",
    b"getenv",
    b"secrets.",
    b"vault:",
    b"null",
    b"undefined",
    b"none",
    b"false",
    b"true",
    b"string",
    b"[secret",
    b"[api",
    b"[password",
];

fn stands_in(text: &[u8]) -> bool {
    let lower = text.to_ascii_lowercase();
    let has = |word: &&[u8]| lower.windows(word.len()).any(|window| window == *word);
    STAND_INS.iter().any(has)
}

/// Shannon entropy in bits per byte, over at most 256 bytes.
fn entropy(text: &[u8]) -> f32 {
    let mut counts = [0_u16; 256];
    let mut total = 0.0_f32;
    for byte in text.iter().take(256) {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
        total += 1.0;
    }
    let share = |count: &u16| f32::from(*count) / total;
    counts.iter().filter(|count| **count > 0).map(share).map(|share| -share * share.log2()).sum()
}

struct Classes {
    lower: usize,
    upper: usize,
    digit: usize,
    other: usize,
}

fn classes(text: &[u8]) -> Classes {
    let count = |is: fn(&u8) -> bool| text.iter().filter(|byte| is(byte)).count();
    Classes {
        lower: count(u8::is_ascii_lowercase),
        upper: count(u8::is_ascii_uppercase),
        digit: count(u8::is_ascii_digit),
        other: count(|byte| !byte.is_ascii_alphanumeric()),
    }
}

/// A machine's random text of at least 16 bytes.
pub(super) fn random(text: &[u8]) -> bool {
    let classes = classes(text);
    let hex = text.iter().all(u8::is_ascii_hexdigit);
    let floor = if hex { 2.6 } else { 3.3 };
    let mixed = classes.digit > 0 && (classes.lower > 0 || classes.upper > 0);
    text.len() >= 16 && mixed && entropy(text) >= floor && !stands_in(text) && !is_uuid(text)
}

/// Letters and digits mixed, no stand-in: for bodies behind a prefix that already says what it is.
pub(super) fn mixed(text: &[u8]) -> bool {
    let classes = classes(text);
    let kinds = [classes.lower, classes.upper, classes.digit].iter().filter(|count| **count > 0).count();
    kinds >= 2 && entropy(text) >= 2.3 && !stands_in(text)
}

/// What a person or a generator sets as a password, as far as it can be told from a word of the language.
pub(super) fn password(text: &[u8]) -> bool {
    let classes = classes(text);
    let letters = classes.lower + classes.upper;
    let reference = text.first().is_some_and(|byte| matches!(byte, b'$' | b'<' | b'{' | b'%' | b'*' | b'('));
    let varied = (classes.digit > 0 && letters > 0)
        || (classes.other > 0 && letters > 0 && classes.lower > 0 && classes.upper > 0);
    if !(6..=128).contains(&text.len()) || !varied || reference {
        return false;
    }
    let path = text.starts_with(b"/") || text.windows(3).any(|window| window == b"://");
    let call =
        (text.ends_with(b")") && text.contains(&b'(')) || (text.ends_with(b"]") && text.contains(&b'['));
    !path && !call && entropy(text) >= 2.2 && !stands_in(text)
}

/// A password between quotes: a few words, of which one by itself looks like a password.
pub(super) fn quoted_password(text: &[u8]) -> bool {
    const MOST_SPACES: usize = 3;
    let spaces = text.iter().filter(|byte| **byte == b' ').count();
    let words = || text.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let mixed = |word: &[u8]| {
        let classes = classes(word);
        classes.digit > 0 && classes.lower + classes.upper >= 3
    };
    if spaces == 0 { password(text) } else { spaces <= MOST_SPACES && password(text) && words().any(mixed) }
}

/// Something in a place where only a password can stand: any text that is not a reference or a stand-in.
pub(super) fn set_password(text: &[u8]) -> bool {
    let reference = text.first().is_some_and(|byte| matches!(byte, b'$' | b'<' | b'{' | b'%' | b'*' | b'['));
    let dull = [&b"password"[..], b"pass", b"secret", b"pwd", b"user", b"port"];
    text.len() >= 3
        && !reference
        && !stands_in(text)
        && !dull.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// Three parts, of which the first two are JSON in base 64.
pub(super) fn jwt(text: &[u8]) -> bool {
    let mut parts = text.split(|byte| *byte == b'.');
    let json = |part: Option<&[u8]>| part.is_some_and(|part| part.starts_with(b"eyJ") && part.len() > 8);
    json(parts.next()) && json(parts.next())
}

fn is_uuid(text: &[u8]) -> bool {
    let groups: Vec<usize> = text.split(|byte| *byte == b'-').map(<[u8]>::len).collect();
    groups == [8, 4, 4, 4, 12] && text.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_password_is_one_and_a_reference_or_an_example_is_not() {
        assert!(password(b"hunter2"));
        assert!(password(b"Tr0ub4dor&3"));
        assert!(password(b"correct-Horse"));
        assert!(quoted_password(b"Sunny9Day Otter"));
        assert!(!quoted_password(b"Please enter your Password"));
        assert!(!quoted_password(b"At least 8 characters"));
        for no in [
            "${DB_PASSWORD}",
            "<password>",
            "required",
            "yourpassword1your_",
            "xxxxxxxx1",
            "getpass()",
            "secret",
        ] {
            assert!(!password(no.as_bytes()), "{no}");
        }
        assert!(random(b"b882c4f9b7192e0e4e1d617fc4cc3bfe"));
        assert!(!random(b"1cde1ed5-be2d-4a40-b0d3-0131a849ff66"));
        assert!(!random(b"AbstractProxyFactoryManager"));
    }
}
