//! Addresses of a manifest. Stricter than the standard, so that no two parsers can see different hosts in one text.

/// The start of a connector's paths: `https://api.example/v1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// Whether the scheme is `https`.
    pub encrypted: bool,
    /// The host, in lower case.
    pub host: String,
    /// The port, if one is given.
    pub port: Option<u16>,
    prefix: String,
}

impl Base {
    /// Parses an address.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (encrypted, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err("must begin with https://".to_owned()),
        };
        let (authority, path) = rest.find('/').and_then(|at| rest.split_at_checked(at)).unwrap_or((rest, ""));
        let (host, port) = authority_of(authority)?;
        let path = path.trim_end_matches('/');
        if !path.split('/').skip(1).all(literal_segment) {
            return Err("has a path with characters that no path should have".to_owned());
        }
        Ok(Self { encrypted, host, port, prefix: path.to_owned() })
    }

    /// Returns the address up to the path of a request.
    #[must_use]
    pub fn start(&self) -> String {
        let scheme = if self.encrypted { "https" } else { "http" };
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{scheme}://{}{port}{}", self.host, self.prefix)
    }

    /// Returns whether one of the entries allows this host and port.
    pub(super) fn is_among(&self, hosts: &[String]) -> bool {
        let port = self.port.unwrap_or(if self.encrypted { 443 } else { 80 });
        let with_port = format!("{}:{port}", self.host);
        hosts.iter().any(|entry| *entry == self.host || *entry == with_port)
    }

    /// Returns `host:port`, the form of `net.allow`.
    #[must_use]
    pub fn target(&self) -> String {
        let port = self.port.unwrap_or(if self.encrypted { 443 } else { 80 });
        format!("{}:{port}", self.host)
    }
}

// WHY: the text is not repeated, since it may contain a password.
const PLAIN: &str = "is no plain host with a port at most: no user, no password, no pattern, no slot";

/// Parses an entry of `hosts`: a host, or a host with its port.
pub(super) fn host_entry(text: &str) -> Result<String, String> {
    let (host, port) = authority_of(text)?;
    Ok(port.map_or_else(|| host.clone(), |port| format!("{host}:{port}")))
}

fn authority_of(text: &str) -> Result<(String, Option<u16>), String> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !text.ends_with(']') => {
            let number = port.parse().ok().filter(|_| !port.starts_with(['+', '0']));
            (host, Some(number.ok_or_else(|| PLAIN.to_owned())?))
        }
        _ => (text, None),
    };
    let named = host.split('.').all(|label| {
        !label.is_empty() && label.len() <= 63 && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    });
    let literal = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let numbered = literal.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok());
    if !(named || numbered) || host.len() > 253 {
        return Err(PLAIN.to_owned());
    }
    Ok((host.to_ascii_lowercase(), port))
}

/// Returns whether a fixed path segment has the same meaning to every parser.
pub(super) fn literal_segment(segment: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@".contains(c);
    !matches!(segment, "." | "..") && segment.chars().all(plain)
}

/// Returns a filled segment, percent-encoded. A value that could be read as another path is refused even when encoded,
/// since some servers decode before they split the path.
pub(super) fn segment(filled: &str) -> Result<String, String> {
    let steps = filled.chars().all(|c| c == '.');
    if filled.is_empty() || steps || filled.contains(['/', '\\']) || filled.chars().any(char::is_control) {
        return Err("is empty or has characters that cannot stand in a path".to_owned());
    }
    Ok(escaped(filled))
}

/// Percent-encodes everything except letters, digits and `-._~`.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.extend(
                [byte >> 4, byte & 15]
                    .map(|half| char::from_digit(u32::from(half), 16).unwrap_or('0'))
                    .map(|c| c.to_ascii_uppercase()),
            );
        }
    }
    out
}

/// Checks the value of a header: no line end, only printable ASCII.
pub(super) fn header_value(text: &str) -> Result<String, String> {
    if text.len() > 4_096 || !text.bytes().all(|byte| (0x20..=0x7e).contains(&byte)) {
        return Err("has characters that cannot stand in a header, or is too long".to_owned());
    }
    Ok(text.trim().to_owned())
}

/// Headers that a manifest may not set: they decide where a request goes, where it ends, or on whose behalf it is
/// made.
const OURS: &[&str] = &[
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// Checks the name of a header that a manifest may set, and returns it in lower case.
pub(super) fn header_name(name: &str) -> Result<String, String> {
    let lower = name.to_ascii_lowercase();
    let token = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if lower.is_empty() || lower.len() > 64 || !lower.chars().all(token) {
        return Err(format!("`{name}` is no header name"));
    }
    if OURS.contains(&lower.as_str()) || lower.starts_with("x-forwarded-") {
        return Err(format!("`{name}` is set by Cardea itself and cannot be set here"));
    }
    Ok(lower)
}
