//! Placing secrets in requests, and removing them from answers.

use std::borrow::Cow;

use base64::Engine as _;
use serde_json::Value;

use super::{Per, address};
use crate::secret::{ExposeSecret, SecretString};

/// How a connector authenticates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// Not at all.
    None,
    /// With a secret.
    Secret {
        /// Place in the request.
        place: SecretPlace,
        /// Owner of the secret.
        per: Per,
    },
    /// With a token that Cardea signs for the caller and this audience.
    Caller {
        /// The audience.
        audience: String,
    },
}

/// Place of a secret in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretPlace {
    /// `Authorization: Bearer SECRET`.
    Bearer,
    /// A header, with the text before the secret.
    Header {
        /// The header, in lower case.
        name: String,
        /// Text before the secret.
        prefix: String,
    },
    /// A query parameter.
    Query {
        /// The parameter.
        name: String,
    },
    /// `Authorization: Basic`, the secret being the password.
    Basic {
        /// The user name.
        user: String,
    },
}

/// A secret in the form in which it is sent.
#[derive(Debug, Clone)]
pub enum Placed {
    /// As this header.
    Header(String, SecretString),
    /// At the end of the query.
    Query(SecretString),
}

impl SecretPlace {
    /// Returns the secret as it is sent. `None` if it contains characters that cannot be sent there.
    #[must_use]
    pub fn put(&self, secret: &SecretString) -> Option<Placed> {
        let text = secret.expose_secret();
        let header = |name: &str, value: String| {
            let sendable = !text.is_empty() && address::header_value(&value).is_ok_and(|sent| sent == value);
            sendable.then(|| Placed::Header(name.to_owned(), SecretString::from(value)))
        };
        match self {
            Self::Bearer => header("authorization", format!("Bearer {text}")),
            Self::Header { name, prefix } => header(name, format!("{prefix}{text}")),
            Self::Basic { user } => {
                let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{text}"));
                header("authorization", format!("Basic {pair}"))
            }
            Self::Query { name } => {
                let pair = format!("{}={}", address::escaped(name), address::escaped(text));
                (!text.is_empty()).then(|| Placed::Query(SecretString::from(pair)))
            }
        }
    }

    /// Returns the forms in which the secret could come back: itself, and encodings of its bytes. Each is found in any
    /// [spelling](scrub_body) of its characters.
    #[must_use]
    pub fn forms(secret: &SecretString) -> Vec<SecretString> {
        let text = secret.expose_secret();
        let mut forms = vec![text.to_owned()];
        if text.len() >= LONG {
            let hex = crate::canonical::hex(text.as_bytes());
            forms.extend([text.chars().rev().collect(), hex.to_uppercase(), hex]);
            for before in 0..3 {
                let (usual, for_addresses) = in_base64(text, before);
                forms.extend((usual != for_addresses).then_some(for_addresses));
                forms.push(usual);
            }
        }
        forms.retain(|form| form.len() >= SHORTEST);
        forms.into_iter().map(SecretString::from).collect()
    }
}

/// Length of the shortest text that is searched for; a shorter one occurs in every second answer.
const SHORTEST: usize = 4;

/// Length of the shortest secret whose other forms are searched for as well.
const LONG: usize = 8;

/// Limit of backslashes in one escape: JSON encoded four times over.
const SLASHES: usize = 16;

/// Returns the part of the base64 encoding of a text after `before` other bytes that depends only on the text, in both
/// alphabets.
fn in_base64(text: &str, before: usize) -> (String, String) {
    let mut bytes = vec![0; before];
    bytes.extend_from_slice(text.as_bytes());
    let (first, last) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
    let own = |encoded: String| encoded.get(first..last).unwrap_or_default().to_owned();
    let usual = own(base64::engine::general_purpose::STANDARD_NO_PAD.encode(&bytes));
    (usual, own(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&bytes)))
}

/// Removes these secrets from a body, however their characters are written: plainly, or as in addresses (`%2B`, `+`
/// for a space), HTML (`&#43;`, `&amp;`), JSON and code (`\u002b`, `\"`), or mail (`=2B`), mixed or nested. Applied
/// before the body is parsed, so that no cut can leave half of a secret.
#[must_use]
pub fn scrub_body<'b>(body: &'b [u8], secrets: &[SecretString]) -> Cow<'b, [u8]> {
    let mut body = Cow::Borrowed(body);
    // WHY: most texts contain no escapes, and each of ten forms is then found at the speed of reading memory.
    let escapes = body.iter().any(|byte| begins_escape(*byte));
    for secret in secrets {
        if let Some(clean) = without(&body, secret.expose_secret(), escapes) {
            body = Cow::Owned(clean);
        }
    }
    body
}

/// Returns whether the byte can begin an escape.
const fn begins_escape(byte: u8) -> bool {
    matches!(byte, b'%' | b'=' | b'&' | b'\\' | b'+')
}

/// Replaces each occurrence of the secret by stars; `None` if there is none.
fn without(text: &[u8], secret: &str, escapes: bool) -> Option<Vec<u8>> {
    // No spelling has less than a byte per character. WHY: most secrets are ASCII, and testing for that is cheaper
    // than counting.
    if text.len() < if secret.is_ascii() { secret.len() } else { secret.chars().count() } {
        return None;
    }
    let first = secret.chars().next()?;
    let mut lead = [0; 4];
    let lead = first.encode_utf8(&mut lead).as_bytes().first().copied()?;
    let next_begin = |rest: &[u8]| {
        let begins = |byte: &u8| *byte == lead || begins_escape(*byte);
        if escapes { rest.iter().position(begins) } else { memchr::memchr(lead, rest) }
    };
    let length = |rest: &[u8]| {
        let plain = || rest.starts_with(secret.as_bytes()).then_some(secret.len());
        if escapes { spelled(rest, secret) } else { plain() }
    };
    let (mut clean, mut from, mut at) = (Vec::new(), 0, 0);
    while let Some(next) = text.get(at..).and_then(next_begin) {
        at += next;
        let slashes = text.get(at..).map_or(0, |rest| rest.iter().take_while(|byte| **byte == b'\\').count());
        if lead != b'\\' {
            at += slashes.saturating_sub(SLASHES); // only the last of them can be an escape
        }
        let Some(length) = text.get(at..).and_then(length) else {
            at += 1;
            continue;
        };
        clean.extend_from_slice(text.get(from..at).unwrap_or_default());
        clean.extend_from_slice(b"***");
        at += length;
        from = at;
    }
    (from > 0).then(|| {
        clean.extend_from_slice(text.get(from..).unwrap_or_default());
        clean
    })
}

/// Returns how many bytes at the beginning of the text spell the secret, if they do.
fn spelled(text: &[u8], secret: &str) -> Option<usize> {
    // All positions at which the next character may begin: a backslash can be one, or the first of two that mean one.
    let (mut places, mut next) = (vec![0], Vec::new());
    for c in secret.chars() {
        for at in places.drain(..) {
            let rest = text.get(at..).unwrap_or_default();
            spellings(rest, c, |length| next.push(at + length));
        }
        next.sort_unstable();
        next.dedup();
        if next.is_empty() {
            return None;
        }
        std::mem::swap(&mut places, &mut next);
    }
    places.last().copied().filter(|length| *length > 0)
}

/// Reports the length of each way in which the text begins with this character.
fn spellings(text: &[u8], c: char, mut tell: impl FnMut(usize)) {
    let mut room = [0; 4];
    let bytes = c.encode_utf8(&mut room).as_bytes();
    if text.starts_with(bytes) {
        tell(bytes.len());
    }
    let mut each = |before: &[u8]| {
        let mut rest = text;
        for byte in bytes {
            let Some(code) = rest.strip_prefix(before) else { return };
            let Some(value) = code.get(..2).and_then(|code| number(code, 16)) else { return };
            if value != u32::from(*byte) {
                return;
            }
            rest = code.get(2..).unwrap_or_default();
        }
        tell(text.len() - rest.len());
    };
    match text.first() {
        Some(b'%') => {
            each(b"%");
            each(b"%25"); // encoded twice
        }
        Some(b'=') => each(b"="),
        Some(b'+') if c == ' ' => tell(1),
        Some(b'&') => {
            let end = text.iter().take(12).position(|byte| *byte == b';');
            let name = end.and_then(|end| text.get(1..end)).unwrap_or_default();
            if entity(name) == Some(c) {
                tell(name.len() + 2);
            }
        }
        Some(b'\\') => {
            // A longer run is never one escape, and counting it from each of a million positions would not end.
            let slashes = text.iter().take(SLASHES).take_while(|byte| **byte == b'\\').count();
            let code = text.get(slashes..).unwrap_or_default();
            let unit =
                code.strip_prefix(b"u").and_then(|code| code.get(..4)).and_then(|code| number(code, 16));
            if unit == Some(u32::from(c)) {
                tell(slashes + 5);
            }
            if matches!(c, '"' | '/' | '\'') && code.starts_with(bytes) {
                tell(slashes + 1);
            }
            if c == '\\' {
                (2..=slashes.min(4)).for_each(tell);
            }
        }
        _ => {}
    }
}

fn number(digits: &[u8], radix: u32) -> Option<u32> {
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()
}

/// Returns the character of `&NAME;`, for characters that occur in secrets.
fn entity(name: &[u8]) -> Option<char> {
    if let Some(code) = name.strip_prefix(b"#") {
        let hex = code.strip_prefix(b"x").or(code.strip_prefix(b"X"));
        return hex.map_or_else(|| number(code, 10), |hex| number(hex, 16)).and_then(char::from_u32);
    }
    let named: [(&[u8], char); 9] = [
        (b"amp", '&'),
        (b"lt", '<'),
        (b"gt", '>'),
        (b"quot", '"'),
        (b"apos", '\''),
        (b"plus", '+'),
        (b"sol", '/'),
        (b"equals", '='),
        (b"nbsp", ' '),
    ];
    named.iter().find(|(known, _)| *known == name).map(|(_, c)| *c)
}

/// Returns the text without these secrets.
fn scrubbed(text: &str, secrets: &[SecretString]) -> Option<String> {
    match scrub_body(text.as_bytes(), secrets) {
        Cow::Borrowed(_) => None,
        // Stars replace whole characters.
        Cow::Owned(clean) => Some(String::from_utf8_lossy(&clean).into_owned()),
    }
}

/// Replaces these secrets by stars, wherever a service sent them back in another spelling.
pub fn scrub(value: &mut Value, secrets: &[SecretString]) {
    match value {
        Value::String(text) => {
            if let Some(clean) = scrubbed(text, secrets) {
                *text = clean;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| scrub(item, secrets)),
        Value::Object(members) => {
            members.retain(|key, _| scrubbed(key, secrets).is_none());
            members.values_mut().for_each(|member| scrub(member, secrets));
        }
        Value::Number(number) => {
            if scrubbed(&number.to_string(), secrets).is_some() {
                *value = Value::String("***".to_owned());
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

/// Returns the name under which a vault keeps the secret of a connector, for a tenant or for a user of that tenant. A
/// user is an issuer and a name: the same name at two issuers is two users.
#[must_use]
pub fn secret_name(connector: &str, user: Option<(&str, &str)>) -> String {
    match user {
        None => format!("connector/{connector}"),
        Some((issuer, user)) => {
            let issuer = issuer.replace('%', "%25").replace('/', "%2F");
            format!("connector/{connector}/user/{issuer}/{user}")
        }
    }
}

/// Returns the issuer and the name of the user whose secret has this name; `None` if it does not belong to a user.
#[must_use]
pub fn secret_user(name: &str) -> Option<(String, &str)> {
    let (connector, user) = name.strip_prefix("connector/")?.split_once("/user/")?;
    let (issuer, user) = user.split_once('/').filter(|_| !connector.contains('/'))?;
    Some((issuer.replace("%2F", "/").replace("%25", "%"), user))
}

#[cfg(test)]
mod name_tests {
    use super::*;

    #[test]
    fn whose_a_secret_is_is_read_from_its_name_whatever_the_names_are_made_of() {
        for issuer in ["https://idp.example/a", "%2F", "cardea:keys", "100%"] {
            for user in ["ann", "a/b", "x/user/y/ann", "%2F"] {
                let name = secret_name("mail", Some((issuer, user)));
                assert_eq!(secret_user(&name), Some((issuer.to_owned(), user)), "{name}");
            }
        }
        for other in [secret_name("mail", None).as_str(), "placeholders/1", "connector/mail/user/ann"] {
            assert_eq!(secret_user(other), None, "{other}");
        }
    }
}
