//! Claims of a token: parsing, and access by path.

use std::collections::BTreeSet;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use cardea_core::{
    canonical::hex,
    time::{Millis, Timestamp},
};
use serde_json::{Map, Value};

use crate::{config::TokenKind, json, reason::Reason};

/// Limit of roles or scopes in a token; more is an attack on policy.
const MOST_NAMES: usize = 256;

/// Length limit of the name of a user, tenant or client.
const LONGEST_NAME: usize = 256;

/// Length limit of the chain of actors.
const MOST_ACTORS: usize = 8;

/// Headers that bring a key along, or ask for processing that is not supported.
const REFUSED_HEADERS: [&str; 8] = ["jku", "jwk", "x5u", "x5c", "crit", "b64", "zip", "enc"];

/// A parsed token; nothing is verified.
pub(crate) struct Parts<'a> {
    pub(crate) signed: &'a str,
    pub(crate) signature: &'a str,
    pub(crate) header: Map<String, Value>,
    pub(crate) claims: Map<String, Value>,
}

/// Parses a compact JWS.
pub(crate) fn parts(token: &str) -> Result<Parts<'_>, Reason> {
    let (signed, signature) = token.rsplit_once('.').ok_or(Reason::Malformed)?;
    let (header, payload) = signed.split_once('.').ok_or(Reason::Malformed)?;
    let read = |part: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| Reason::Malformed)?;
        json::object(&bytes).ok_or(Reason::Malformed)
    };
    Ok(Parts { signed, signature, header: read(header)?, claims: read(payload)? })
}

/// Returns the id of a token: its `jti` if it has a usable one, else a digest of the signed text. The signature is
/// left out, since some algorithms have several for the same text.
pub(crate) fn token_id(parts: &Parts<'_>) -> String {
    match parts.claims.get("jti").map(|jti| name(jti, "jti")) {
        Some(Ok(jti)) => jti,
        _ => format!("sha256:{}", hex(digest(&SHA256, parts.signed.as_bytes()).as_ref())),
    }
}

/// Checks the header except its algorithm and key id.
pub(crate) fn check_header(header: &Map<String, Value>, kind: TokenKind) -> Result<(), Reason> {
    if REFUSED_HEADERS.iter().any(|name| header.contains_key(*name)) {
        return Err(Reason::Header);
    }
    let kind_named = match header.get("typ") {
        None => None,
        Some(Value::String(kind)) => Some(kind.to_ascii_lowercase()),
        Some(_) => return Err(Reason::Header),
    };
    let marked = kind_named.as_deref().map(|name| name.strip_prefix("application/").unwrap_or(name));
    match (kind, marked) {
        (_, Some("at+jwt")) | (TokenKind::Unmarked, None | Some("jwt")) => Ok(()),
        _ => Err(Reason::Kind),
    }
}

/// Claims of ID tokens, logout tokens and security events that an access token never has.
const NEVER: [&str; 4] = ["at_hash", "c_hash", "s_hash", "events"];

/// Refuses tokens that are recognisably not access tokens: ID tokens, refresh tokens, logout tokens, security events.
pub(crate) fn check_kind(
    header: &Map<String, Value>,
    claims: &Map<String, Value>,
    scopes_claim: &str,
) -> Result<(), Reason> {
    let other = NEVER.iter().any(|name| claims.contains_key(*name))
        || claims.get("token_use").is_some_and(|usage| usage == "id")
        || claims.get("typ").is_some_and(|kind| kind == "ID" || kind == "Refresh" || kind == "Logout");
    // WHY: some issuers also write the `nonce` of the sign-in into access tokens; those have scopes, or declare their
    // type.
    let says = header
        .get("typ")
        .and_then(Value::as_str)
        .is_some_and(|kind| kind.to_ascii_lowercase().ends_with("at+jwt"))
        || claims.get("typ").is_some_and(|kind| kind == "Bearer")
        || [scopes_claim, "scope", "scp"].iter().any(|path| at(claims, path).is_some());
    if other || claims.contains_key("nonce") && !says { Err(Reason::Kind) } else { Ok(()) }
}

/// Checks `exp`, `nbf` and `iat`, and returns the expiry.
pub(crate) fn check_times(
    claims: &Map<String, Value>,
    now: Timestamp,
    leeway: Millis,
) -> Result<Timestamp, Reason> {
    let expires_at = time(claims, "exp")?.ok_or(Reason::Claim("exp"))?;
    let (not_before, issued_at) = (time(claims, "nbf")?, time(claims, "iat")?);
    // INVARIANT: `since` is zero if the order is reversed, so each line tests one direction.
    if now >= expires_at && now.since(expires_at) >= leeway.max(Millis(1)) {
        return Err(Reason::Expired);
    }
    if [not_before, issued_at].into_iter().flatten().any(|at| at.since(now) > leeway) {
        return Err(Reason::NotYet);
    }
    Ok(expires_at)
}

/// Parses a point in time (RFC 7519 NumericDate): a number that is not negative.
pub(crate) fn time(claims: &Map<String, Value>, name: &'static str) -> Result<Option<Timestamp>, Reason> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let Value::Number(number) = value else { return Err(Reason::Claim(name)) };
    let millis = match (number.as_i64(), number.as_f64()) {
        (Some(secs), _) => secs.checked_mul(1_000),
        #[expect(clippy::cast_possible_truncation, reason = "bounded on the line before")]
        (None, Some(secs)) if (0.0..1e12).contains(&secs) => Some((secs * 1_000.0) as i64),
        _ => None,
    };
    match millis {
        Some(millis) if millis >= 0 => Ok(Some(Timestamp(millis))),
        _ => Err(Reason::Claim(name)),
    }
}

/// Returns whether `aud` names one of ours.
pub(crate) fn audience_fits(claims: &Map<String, Value>, ours: &[String]) -> Result<bool, Reason> {
    let is_ours = |value: &Value| value.as_str().map(|name| ours.iter().any(|audience| audience == name));
    match claims.get("aud") {
        Some(Value::Array(items)) => {
            let fits: Option<Vec<bool>> = items.iter().map(is_ours).collect();
            Ok(fits.ok_or(Reason::Claim("aud"))?.contains(&true))
        }
        Some(value) => is_ours(value).ok_or(Reason::Claim("aud")),
        None => Err(Reason::Claim("aud")),
    }
}

/// Returns the claim at a path such as `realm_access.roles`. A claim whose own name contains dots (a URL) is found as
/// it is.
pub(crate) fn at<'a>(claims: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    claims.get(path).or_else(|| {
        let mut steps = path.split('.');
        let first = claims.get(steps.next()?)?;
        steps.try_fold(first, |value, step| value.as_object()?.get(step))
    })
}

/// Parses a name: a text of limited length without control characters.
pub(crate) fn name(value: &Value, claim: &'static str) -> Result<String, Reason> {
    match value.as_str() {
        Some(text) if is_name(text) => Ok(text.to_owned()),
        _ => Err(Reason::Claim(claim)),
    }
}

/// Returns whether a text may be the name of something.
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST_NAME && !text.chars().any(char::is_control)
}

/// Parses a set of names: a list of texts, or one text separated by spaces.
pub(crate) fn names(value: Option<&Value>, claim: &'static str) -> Result<BTreeSet<String>, Reason> {
    let found: BTreeSet<String> = match value {
        None | Some(Value::Null) => return Ok(BTreeSet::new()),
        Some(Value::String(text)) => {
            let each = text.split(' ').filter(|name| !name.is_empty());
            each.map(|one| if is_name(one) { Ok(one.to_owned()) } else { Err(Reason::Claim(claim)) })
                .collect::<Result<_, _>>()?
        }
        Some(Value::Array(items)) => items.iter().map(|item| name(item, claim)).collect::<Result<_, _>>()?,
        Some(_) => return Err(Reason::Claim(claim)),
    };
    if found.len() > MOST_NAMES { Err(Reason::Claim(claim)) } else { Ok(found) }
}

/// Returns the chain of `act` (RFC 8693 section 4.1), outermost first.
pub(crate) fn actors(claims: &Map<String, Value>) -> Result<Vec<String>, Reason> {
    let mut chain = Vec::new();
    let mut next = claims.get("act");
    while let Some(value) = next {
        let actor = value.as_object().ok_or(Reason::Claim("act"))?;
        chain.push(name(actor.get("sub").ok_or(Reason::Claim("act"))?, "act")?);
        if chain.len() > MOST_ACTORS {
            return Err(Reason::Claim("act"));
        }
        next = actor.get("act");
    }
    Ok(chain)
}
