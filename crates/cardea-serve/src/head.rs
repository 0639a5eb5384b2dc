//! How a request arrived, by its head.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use http::{Extensions, HeaderMap, Uri, header, uri::Authority};

/// Returns the host that a request was sent to, in lower case; `None` if it names none, or several.
#[must_use]
pub fn host(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok()?,
        (None, None) => uri.authority().map(Authority::as_str)?,
        _ => return None,
    };
    Some(host.to_ascii_lowercase())
}

/// Returns `host` of `host:port`; brackets of IPv6 are kept.
#[must_use]
pub fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') =>
        {
            name
        }
        _ => host,
    }
}

/// Returns the address that a request came from, if it came by a socket: for one caller always in the same form, since an
/// IPv6 socket shows IPv4 addresses as `::ffff:127.0.0.1`.
#[must_use]
pub fn peer(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip().to_canonical())
}

/// Returns true if a proxy has forwarded the request: by the headers of RFC 7239 and RFC 9110 section 7.6.3, and by the older
/// ones. A proxy that adds none of them cannot be recognized.
#[must_use]
pub fn is_handed_on(headers: &HeaderMap) -> bool {
    let tells =
        |name: &str| matches!(name, "forwarded" | "via" | "x-real-ip") || name.starts_with("x-forwarded-");
    headers.keys().any(|name| tells(name.as_str()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn ports_are_cut_off_and_nothing_else() {
        for (host, name) in [
            ("127.0.0.1:8080", "127.0.0.1"),
            ("localhost", "localhost"),
            ("localhost:", "localhost:"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("a::80", "a::80"),
            ("evil.example:127.0.0.1", "evil.example:127.0.0.1"),
            ("127.0.0.1.evil.example", "127.0.0.1.evil.example"),
        ] {
            assert_eq!(without_port(host), name);
        }
    }

    #[test]
    fn a_request_has_one_host_or_none() {
        let named = |hosts: &[&'static str], uri: &'static str| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(header::HOST, HeaderValue::from_static(host));
            }
            host(&headers, &Uri::from_static(uri))
        };
        assert_eq!(named(&["LocalHost:80"], "/x").as_deref(), Some("localhost:80"));
        assert_eq!(named(&["a.example"], "http://b.example/x").as_deref(), Some("a.example"));
        assert_eq!(named(&[], "http://B.example:1/x").as_deref(), Some("b.example:1"));
        assert_eq!(named(&[], "/x"), None);
        assert_eq!(named(&["a.example", "a.example"], "/x"), None);
    }
}
