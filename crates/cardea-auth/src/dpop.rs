//! Key-bound tokens (RFC 9449): verification of the proof that comes with each request.
//!
//! A proof is a small token, signed with the holder's key, that names one request: its method, its URL, the access
//! token and the time. It counts once, for a minute, on this node. Nodes do not share the proofs that they have seen,
//! so someone who reads a request inside its TLS connection could repeat it to another node within that minute.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use cardea_core::time::{Millis, Timestamp};
use http::{Method, Uri};
use jsonwebtoken::{
    Algorithm, DecodingKey, crypto,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk},
};
use serde_json::{Map, Value, json};
use subtle::ConstantTimeEq as _;

use crate::{claims, keyset::algorithm_of, reason::Reason};

/// Algorithms of proofs, as named in challenges.
pub(crate) const ALGORITHMS: &str = "ES256 EdDSA ES384 PS256 RS256";

/// Largest difference between the time of a proof and now, either way.
const WINDOW: Millis = Millis::from_secs(60);

/// Limit of proofs in each half of the memory. When they come faster, proofs are refused for a while.
const MOST: usize = 500_000;

/// Limit of proofs of one key's holder among them: 160 a second, and all can be used at once.
const MOST_OF_ONE: u32 = 20_000;

const LARGEST: usize = 8 * 1024;
const LONGEST_ID: usize = 256;

/// Members of private and shared keys.
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// The request that a credential came with.
#[derive(Clone)]
pub(crate) struct Target {
    method: Method,
    url: Arc<str>,
}

impl Target {
    pub(crate) fn new(method: &Method, url: Arc<str>) -> Self {
        Self { method: method.clone(), url }
    }
}

/// Returns the key that a token is bound to (`cnf.jkt`); `None` if it is bound to none.
pub(crate) fn binding(claims: &Map<String, Value>) -> Result<Option<String>, Reason> {
    let Some(confirmation) = claims.get("cnf") else { return Ok(None) };
    let members = confirmation.as_object().ok_or(Reason::Claim("cnf"))?;
    match (members.get("jkt"), members.len()) {
        (Some(Value::String(thumbprint)), 1) => Ok(Some(thumbprint.clone())),
        (Some(_), 1) => Err(Reason::Claim("cnf")),
        // WHY: a certificate, or a second key beside the first: the issuer that bound the token meant both.
        _ => Err(Reason::Bound),
    }
}

/// The request that a proof must be made for, and the key that it must be made with.
pub(crate) struct Expected<'a> {
    pub(crate) target: &'a Target,
    pub(crate) token: &'a str,
    pub(crate) thumbprint: &'a str,
}

/// Checks that this proof was made for this request and token, with this key.
pub(crate) fn check(proof: &str, expected: &Expected<'_>, now: Timestamp, seen: &Seen) -> Result<(), Reason> {
    let Expected { target, token, thumbprint } = *expected;
    if proof.len() > LARGEST {
        return Err(Reason::Proof("size"));
    }
    let parts = claims::parts(proof).map_err(|_| Reason::Proof("form"))?;
    let (algorithm, key, print) = header(&parts.header)?;
    if !bool::from(print.as_bytes().ct_eq(thumbprint.as_bytes())) {
        return Err(Reason::Proof("key"));
    }
    if !crypto::verify(parts.signature, parts.signed.as_bytes(), &key, algorithm).unwrap_or(false) {
        return Err(Reason::Proof("signature"));
    }
    let text = |name: &str| parts.claims.get(name).and_then(Value::as_str);
    if text("htm") != Some(target.method.as_str()) {
        return Err(Reason::Proof("method"));
    }
    let named = text("htu").and_then(place);
    if named.is_none() || named != place(&target.url) {
        return Err(Reason::Proof("address"));
    }
    let hash = URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes()));
    if !text("ath").is_some_and(|named| bool::from(named.as_bytes().ct_eq(hash.as_bytes()))) {
        return Err(Reason::Proof("token"));
    }
    match claims::time(&parts.claims, "iat") {
        Ok(Some(at)) if now.since(at) <= WINDOW && at.since(now) <= WINDOW => {}
        _ => return Err(Reason::Proof("time")),
    }
    match text("jti") {
        Some(id) if !id.is_empty() && id.len() <= LONGEST_ID => seen.first(thumbprint, id, now),
        _ => Err(Reason::Proof("id")),
    }
}

/// Returns the algorithm and the key in the header, and the thumbprint of that key.
fn header(header: &Map<String, Value>) -> Result<(Algorithm, DecodingKey, String), Reason> {
    let kind = header.get("typ").and_then(Value::as_str).map(str::to_ascii_lowercase);
    let kind = kind.as_deref().map(|name| name.strip_prefix("application/").unwrap_or(name));
    if kind != Some("dpop+jwt") || ["crit", "b64", "zip", "enc"].iter().any(|name| header.contains_key(*name))
    {
        return Err(Reason::Proof("header"));
    }
    let shown = header.get("jwk").ok_or(Reason::Proof("key"))?;
    let members = shown.as_object().ok_or(Reason::Proof("key"))?;
    if PRIVATE.iter().any(|name| members.contains_key(*name)) {
        return Err(Reason::Proof("private key"));
    }
    let jwk: Jwk = serde_json::from_value(shown.clone()).map_err(|_| Reason::Proof("key"))?;
    let member = |name: &str| members.get(name).and_then(Value::as_str).ok_or(Reason::Proof("key"));
    use Algorithm::{ES256, ES384, EdDSA, PS256, RS256};
    // The members that RFC 7638 requires, in lexicographic order: `json!` keeps it, whatever its map type.
    let (fits, canonical): (&[Algorithm], Value) = match &jwk.algorithm {
        AlgorithmParameters::EllipticCurve(key) => {
            let fits: &[Algorithm] = match key.curve {
                EllipticCurve::P256 => &[ES256],
                EllipticCurve::P384 => &[ES384],
                _ => &[],
            };
            let crv = member("crv")?;
            (fits, json!({"crv": crv, "kty": "EC", "x": member("x")?, "y": member("y")?}))
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            (&[EdDSA], json!({"crv": "Ed25519", "kty": "OKP", "x": member("x")?}))
        }
        AlgorithmParameters::RSA(_) => {
            (&[PS256, RS256], json!({"e": member("e")?, "kty": "RSA", "n": member("n")?}))
        }
        _ => return Err(Reason::Proof("key")),
    };
    let named = header.get("alg").and_then(Value::as_str).ok_or(Reason::Proof("algorithm"))?;
    let algorithm = algorithm_of(named).ok_or(Reason::Proof("algorithm"))?;
    if !fits.contains(&algorithm) {
        return Err(Reason::Proof("algorithm"));
    }
    let key = DecodingKey::from_jwk(&jwk).map_err(|_| Reason::Proof("key"))?;
    let print = URL_SAFE_NO_PAD.encode(digest(&SHA256, canonical.to_string().as_bytes()));
    Ok((algorithm, key, print))
}

/// Normalises a URL: without query, fragment and differences that do not matter (RFC 3986 section 6.2).
fn place(url: &str) -> Option<(String, String, Option<u16>, String)> {
    let url = url.split('#').next()?;
    let uri: Uri = url.parse().ok()?;
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let usual = match scheme.as_str() {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
    let path = if uri.path().is_empty() { "/" } else { uri.path() };
    Some((scheme, authority.host().to_ascii_lowercase(), authority.port_u16().or(usual), path.to_owned()))
}

/// The used proofs, for as long as they could be used again.
#[derive(Default)]
pub(crate) struct Seen(Mutex<Halves>);

/// Two halves, of which the older one is dropped as a whole once all of its proofs have expired.
#[derive(Default)]
struct Halves {
    new: HashSet<[u8; 32]>,
    old: HashSet<[u8; 32]>,
    /// Number of proofs of each holder in the new half.
    of_one: HashMap<[u8; 32], u32>,
    turned: Timestamp,
    /// Proofs from before the clock was set back, until it has caught up.
    ahead: HashSet<[u8; 32]>,
    ahead_until: Timestamp,
}

impl Halves {
    /// Swaps the halves when it is time to.
    fn turn(&mut self, now: Timestamp) {
        // INVARIANT: a proof counts for at most two windows after it was first seen (its time may be in the future),
        // and a half is kept for at least that long after the last proof was added to it.
        let half = Millis(WINDOW.0 * 2);
        if self.turned.since(now) > WINDOW && self.ahead.len() <= MOST {
            // WHY: the time of a half ends only when the clock has caught up, and until then all proofs would go into
            // one half. Proofs from before count again by then.
            self.ahead_until = self.ahead_until.max(self.turned.plus(Millis(half.0 * 2)));
            self.ahead.extend(self.old.drain().chain(self.new.drain()));
            self.of_one.clear();
            self.turned = now;
        }
        if now.since(self.turned) > half {
            self.old = std::mem::take(&mut self.new);
            self.of_one.clear();
            self.turned = now;
        }
        if !self.ahead.is_empty() && now > self.ahead_until {
            self.ahead = HashSet::new();
        }
    }

    fn has(&self, print: &[u8; 32]) -> bool {
        self.old.contains(print) || self.new.contains(print) || self.ahead.contains(print)
    }
}

impl Seen {
    /// Records a proof, or refuses it if it is recorded already.
    fn first(&self, thumbprint: &str, id: &str, now: Timestamp) -> Result<(), Reason> {
        let hash = |text: &str| {
            let mut print = [0; 32];
            print.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
            print
        };
        let (holder, print) = (hash(thumbprint), hash(&format!("{}:{thumbprint}{id}", thumbprint.len())));
        let mut halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        halves.turn(now);
        if halves.has(&print) {
            return Err(Reason::Proof("used before"));
        }
        let until = halves.turned.plus(Millis(WINDOW.0 * 2)).since(now).max(Millis(1_000));
        if halves.new.len() >= MOST {
            return Err(Reason::ManyProofs(until));
        }
        let Halves { new, of_one, .. } = &mut *halves;
        let of_holder = of_one.entry(holder).or_default();
        if *of_holder >= MOST_OF_ONE {
            return Err(Reason::ManyProofsOfOne(until));
        }
        *of_holder += 1;
        new.insert(print);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_thumbprint_is_the_one_of_the_standard() {
        // The key and thumbprint of RFC 7638 section 3.1.
        let key = json!({
            "kty": "RSA", "e": "AQAB", "alg": "RS256", "kid": "2011-04-29",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        });
        let header = json!({"typ": "dpop+jwt", "alg": "RS256", "jwk": key});
        let (_, _, print) = super::header(header.as_object().unwrap()).unwrap();
        assert_eq!(print, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn addresses_are_the_same_if_they_name_the_same_place() {
        let same = |a, b| place(a).is_some() && place(a) == place(b);
        assert!(same("https://Tools.example:443/mcp?x=1#y", "HTTPS://tools.example/mcp"));
        assert!(same("http://h", "http://h:80/"));
        assert!(!same("https://tools.example/mcp", "http://tools.example/mcp"));
        assert!(!same("https://tools.example/mcp", "https://tools.example/mcp/"));
        assert!(!same("https://tools.example/mcp", "https://tools.example.evil/mcp"));
        assert!(!same("https://tools.example/mcp", "https://tools.example@evil/mcp"));
        assert_eq!(place("/mcp"), None);
    }

    #[test]
    fn a_proof_is_remembered_for_as_long_as_it_could_count() {
        let seen = Seen::default();
        let start = Timestamp(1_800_000_000_000);
        assert!(seen.first("k", "a", start).is_ok());
        assert_eq!(
            seen.first("k", "a", start.plus(Millis::from_secs(121))),
            Err(Reason::Proof("used before"))
        );
        assert!(seen.first("l", "a", start).is_ok(), "another holder's id is another id");
        for step in 0..10 {
            let at = start.plus(Millis::from_secs(1_000 + step * 30));
            assert!(seen.first("k", &step.to_string(), at).is_ok());
            for before in step.saturating_sub(4)..=step {
                assert!(seen.first("k", &before.to_string(), at).is_err(), "{before} at {step}");
            }
        }
    }

    #[test]
    fn the_holder_of_one_key_takes_no_proofs_of_others_away() {
        let (seen, now) = (Seen::default(), Timestamp(1_800_000_000_000));
        let taken = (0..=MOST_OF_ONE).find_map(|n| seen.first("greedy", &n.to_string(), now).err());
        assert!(matches!(taken, Some(Reason::ManyProofsOfOne(_))), "{taken:?}");
        assert!(matches!(seen.first("greedy", "one more", now), Err(Reason::ManyProofsOfOne(_))));
        assert!(seen.first("another", "one", now).is_ok());
        assert!(seen.first("greedy", "later", now.plus(Millis::from_secs(121))).is_ok());
    }

    #[test]
    fn a_clock_that_is_set_back_refuses_no_proof_and_forgets_none() {
        let seen = Seen::default();
        let before = Timestamp(1_800_000_000_000);
        assert!(seen.first("k", "before", before).is_ok());
        assert!(seen.first("k", "the future", before.plus(Millis::from_secs(120))).is_ok());
        let back = before.minus(Millis::from_secs(3_600));
        let at = |n: u64| back.plus(Millis(n * 30)); // 20,001 over ten minutes
        for n in 0..=u64::from(MOST_OF_ONE) {
            assert_eq!(seen.first("k", &n.to_string(), at(n)), Ok(()), "{n}");
        }
        for n in [16_500, 20_000] {
            let again = seen.first("k", &n.to_string(), at(20_000));
            assert_eq!(again, Err(Reason::Proof("used before")), "{n}");
        }
        // The clock has caught up: proofs that count again are known to be used.
        for (id, late) in [("before", 0), ("before", 120), ("the future", 121), ("the future", 239)] {
            let at = before.plus(Millis::from_secs(late));
            assert_eq!(seen.first("k", id, at), Err(Reason::Proof("used before")), "{id} at {late}");
        }
        assert!(
            seen.first("k", "before", before.plus(Millis::from_secs(3_600))).is_ok(),
            "it counts no more"
        );
        assert!(seen.0.lock().unwrap().ahead.is_empty());
    }

    #[test]
    fn a_full_memory_of_proofs_is_not_told_as_a_bad_token() {
        use cardea_core::{Code, Error};
        for (reason, code) in [
            (Reason::ManyProofs(Millis(1)), Code::Overloaded),
            (Reason::ManyProofsOfOne(Millis(1)), Code::RateLimited),
        ] {
            assert_eq!(Error::from(reason).code(), code);
        }
    }

    proptest! {
        #[test]
        fn no_proof_makes_it_panic(proof in "[A-Za-z0-9_.-]{0,80}", url in "[a-z:/@#?.0-9\\[\\]]{0,40}") {
            let target = Target::new(&Method::POST, url.into());
            let expected = Expected { target: &target, token: "token", thumbprint: "print" };
            let checked = check(&proof, &expected, Timestamp(0), &Seen::default());
            prop_assert!(checked.is_err());
        }
    }
}
