//! Reads what an upstream demands of the credential that it was sent.

use cardea_net::Streaming;
use http::{StatusCode, header};
use rmcp::transport::streamable_http_client::{
    AuthRequiredError, InsufficientScopeError, StreamableHttpError,
};

use super::fault::Failure;

/// Returns what an answer demands of the credential: another one (401), or one with a scope (403, RFC 6750 section
/// 3.1).
pub(super) fn challenge(answer: &Streaming) -> Option<Failure> {
    let header = answer.headers.get(header::WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
    let header = header.unwrap_or_default();
    match answer.status {
        StatusCode::UNAUTHORIZED => {
            Some(StreamableHttpError::AuthRequired(AuthRequiredError::new(header.to_owned())))
        }
        StatusCode::FORBIDDEN if parameter(header, "error") == Some("insufficient_scope") => {
            let scope = parameter(header, "scope").map(str::to_owned);
            Some(StreamableHttpError::InsufficientScope(InsufficientScopeError::new(
                header.to_owned(),
                scope,
            )))
        }
        _ => None, // the server's own text says why, if anything does
    }
}

/// Returns the value of `name="value"` in a challenge, as servers write them (RFC 9110 section 11.2).
fn parameter<'h>(header: &'h str, name: &str) -> Option<&'h str> {
    header.match_indices(name).find_map(|(at, _)| {
        let (before, rest) = (header.get(..at)?, header.get(at + name.len()..)?);
        if !before.is_empty() && !before.ends_with([' ', ',']) {
            return None; // the end of another name
        }
        let value = rest.trim_start().strip_prefix('=')?.trim_start();
        match value.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next(),
            None => value.split([',', ' ']).next(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_read_as_servers_write_it() {
        let header = r#"Bearer realm="a, scope=x", error="insufficient_scope", scope = "a:b c", no_error=1, last=token"#;
        assert_eq!(parameter(header, "error"), Some("insufficient_scope"));
        assert_eq!(parameter(header, "last"), Some("token"));
        assert_eq!(parameter(header, "missing"), None);
        assert_eq!(parameter("", "error"), None);
        assert_eq!(parameter(r#"Bearer scope="a:b c""#, "scope"), Some("a:b c"));
    }
}
