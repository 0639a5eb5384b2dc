//! Scripts of web pages: those of `server.allowed_origins` may call every route and read the answers (CORS, Fetch
//! standard section 3.2), those of other pages none. A request without `Origin` comes from no page.

use std::time::Duration;

use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue, Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use cardea_core::{Code, Error};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use super::{
    extract::Outside,
    headers::{APPLIED, CONVERSATION, REQUEST_ID, SHOULD_RETRY},
};
use crate::app::App;

/// How long a browser may remember what it was told.
const REMEMBERED: Duration = Duration::from_secs(3_600);

/// Tells browsers what the pages of these origins may do. Nothing rides on cookies here, so none are asked for.
pub(super) fn told_to_browsers(app: &App) -> CorsLayer {
    let ours = app.clone();
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |origin, _| is_allowed(&ours, origin)))
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([
            header::LOCATION,
            header::RETRY_AFTER,
            header::WWW_AUTHENTICATE,
            HeaderName::from_static(CONVERSATION),
            HeaderName::from_static(APPLIED),
            HeaderName::from_static(REQUEST_ID),
            HeaderName::from_static(SHOULD_RETRY),
        ])
        .max_age(REMEMBERED)
}

/// Refuses what the script of any other page sends, before anything of it is read.
pub(super) async fn pages(app: &App, request: Request, next: Next) -> Response {
    match request.headers().get(header::ORIGIN) {
        Some(origin) if !is_allowed(app, origin) => {
            let name: String = String::from_utf8_lossy(origin.as_bytes()).chars().take(128).collect();
            let detail = format!("The page `{name}` is not in `server.allowed_origins`.");
            let (parts, _) = request.into_parts();
            Outside::read(&parts).problem(Error::new(Code::OriginRefused).detail(detail)).into_response()
        }
        _ => next.run(request).await,
    }
}

fn is_allowed(app: &App, origin: &HeaderValue) -> bool {
    let allowed = &app.config.server.allowed_origins;
    origin.to_str().is_ok_and(|origin| allowed.iter().any(|one| same(one, origin)))
}

/// Browsers leave the port away where it is the scheme's own (RFC 6454 section 6.2); a configuration may have it.
fn same(allowed: &str, origin: &str) -> bool {
    let own = if allowed.starts_with("https:") { ":443" } else { ":80" };
    allowed.strip_suffix(own).unwrap_or(allowed).eq_ignore_ascii_case(origin)
}

#[cfg(test)]
mod tests {
    use super::same;

    #[test]
    fn an_origin_is_scheme_host_and_port_and_no_part_of_them() {
        for (allowed, origin) in [
            ("https://a.example", "https://a.example"),
            ("https://a.example:443", "https://a.example"),
            ("http://a.example:80", "http://a.example"),
            ("https://A.example", "https://a.example"),
            ("http://localhost:3000", "http://localhost:3000"),
        ] {
            assert!(same(allowed, origin), "{allowed} {origin}");
        }
        for (allowed, origin) in [
            ("https://a.example", "http://a.example"),
            ("https://a.example", "https://a.example:8443"),
            ("https://a.example:80", "https://a.example"),
            ("https://a.example", "https://a.example.evil"),
            ("https://a.example", "https://xa.example"),
            ("https://a.example", "null"),
            ("https://a.example", ""),
        ] {
            assert!(!same(allowed, origin), "{allowed} {origin}");
        }
    }
}
