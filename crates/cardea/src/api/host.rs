//! Whether a request names this server. A page in a browser that was led here under a name of its own (DNS rebinding) is
//! refused: whatever it sends carries that name in `Host`.

use std::net::IpAddr;

use axum::http::{Uri, request::Parts};
use cardea_core::{Code, Error, Result};
use cardea_serve::{host, without_port};

use crate::app::App;

/// Refuses a request under a name that is not ours: neither this machine's, nor that of `server.public_url`, nor one of
/// `server.allowed_hosts`. Addresses in digits pass, since no name leads from one page to another there.
///
/// # Errors
/// `origin_refused`.
pub(super) fn addressed_to_us(app: &App, parts: &Parts) -> Result<()> {
    let refused = || Error::new(Code::OriginRefused);
    let host = host(&parts.headers, &parts.uri).ok_or_else(refused)?;
    let public = app.public_url().parse::<Uri>().ok();
    let public = public.as_ref().and_then(Uri::host).unwrap_or_default();
    if is_ours(&host, public, &app.config.server.allowed_hosts) {
        return Ok(());
    }
    Err(refused())
}

fn is_ours(host: &str, public: &str, allowed: &[String]) -> bool {
    let name = without_port(host);
    if name.is_empty() {
        return false;
    }
    let digits = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    digits
        || name == "localhost"
        || name.eq_ignore_ascii_case(public)
        || allowed.iter().any(|one| one.eq_ignore_ascii_case(host) || one.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn our_names_pass_and_what_only_looks_like_them_does_not() {
        let allowed = ["cardea.internal".to_owned(), "other:8443".to_owned()];
        let ours = |host: &str| is_ours(host, "agents.example", &allowed);
        for host in [
            "localhost",
            "localhost:8787",
            "127.0.0.1:8787",
            "[::1]:8787",
            "[::1]",
            "10.0.0.7",
            "agents.example",
            "agents.example:443",
            "cardea.internal",
            "cardea.internal:1",
            "other:8443",
        ] {
            assert!(ours(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1@evil.example",
            "evil.example:127.0.0.1",
            "agents.example.evil.example",
            "xagents.example",
            "other",
            "other:1",
            "localhost:8787.evil.example",
            "0x7f.1",
            "2130706433",
            "a:b:c",
            "localhost:",
        ] {
            assert!(!ours(host), "{host}");
        }
        assert!(!is_ours("", "", &[]), "no name is nobody's");
    }

    proptest! {
        #[test]
        fn no_name_under_somebody_elses_domain_passes(before in "[a-z0-9.:@\\[\\]-]{0,40}") {
            let host = format!("{before}.evil.example");
            prop_assert!(!is_ours(&host, "agents.example", &[]));
        }
    }
}
