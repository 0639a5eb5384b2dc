//! Public keys, and the algorithm that each may verify.

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse},
};
use serde_json::Value;

/// Limit of keys in a set.
const MOST_KEYS: usize = 64;

/// Limit of keys without an id that are tried for a token without an id.
const MOST_TRIED: usize = 4;

/// A key.
#[derive(Clone)]
pub(crate) struct Key {
    kid: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

/// The keys of one issuer.
#[derive(Clone, Default)]
pub(crate) struct KeySet(Vec<Key>);

impl KeySet {
    /// Creates a set of one shared secret. The caller has checked its strength.
    pub(crate) fn secret(secret: &str) -> Self {
        let algorithms = vec![Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
        Self(vec![Key { kid: None, algorithms, key: DecodingKey::from_secret(secret.as_bytes()) }])
    }

    /// Parses one public key in PEM format; `None` if it is of an unknown kind.
    pub(crate) fn pem(pem: &str) -> Option<Self> {
        let pem = pem.as_bytes();
        let rsa = || DecodingKey::from_rsa_pem(pem).map(|key| (rsa_algorithms(), key));
        let ec = || DecodingKey::from_ec_pem(pem).map(|key| (vec![Algorithm::ES256, Algorithm::ES384], key));
        let ed = || DecodingKey::from_ed_pem(pem).map(|key| (vec![Algorithm::EdDSA], key));
        let (algorithms, key) = rsa().or_else(|_| ec()).or_else(|_| ed()).ok()?;
        Some(Self(vec![Key { kid: None, algorithms, key }]))
    }

    /// Parses a JSON Web Key Set. Keys of unknown kinds, encryption keys and symmetric keys are left out; `None` if
    /// the text is not a key set or has no usable key.
    pub(crate) fn jwks(text: &[u8]) -> Option<Self> {
        let document = crate::json::object(text)?;
        let Some(Value::Array(listed)) = document.get("keys") else { return None };
        let keys: Vec<Key> = listed.iter().take(MOST_KEYS).filter_map(one).collect();
        (!keys.is_empty()).then_some(Self(keys))
    }

    /// Returns the keys that may have signed a token with this header: with a key id only those of that id or, if the
    /// set has no ids at all, the few that there are.
    pub(crate) fn candidates(&self, kid: Option<&str>, algorithm: Algorithm) -> Vec<&DecodingKey> {
        let fits = |key: &&Key| {
            key.algorithms.contains(&algorithm)
                && match (kid, key.kid.as_deref()) {
                    (Some(wanted), Some(kid)) => wanted == kid,
                    _ => true,
                }
        };
        self.0.iter().filter(fits).take(MOST_TRIED).map(|key| &key.key).collect()
    }

    /// Returns whether a key of the set has this id.
    pub(crate) fn names(&self, kid: Option<&str>) -> bool {
        kid.is_some_and(|kid| self.0.iter().any(|key| key.kid.as_deref() == Some(kid)))
    }

    /// Returns whether a key can verify one of these algorithms.
    pub(crate) fn serves(&self, algorithms: &[Algorithm]) -> bool {
        self.0.iter().any(|key| key.algorithms.iter().any(|algorithm| algorithms.contains(algorithm)))
    }
}

/// Returns the algorithm with this name. RFC 9864 calls EdDSA on the one curve supported here `Ed25519`.
pub(crate) fn algorithm_of(name: &str) -> Option<Algorithm> {
    if name == "Ed25519" { Some(Algorithm::EdDSA) } else { name.parse().ok() }
}

fn rsa_algorithms() -> Vec<Algorithm> {
    use Algorithm::{PS256, PS384, PS512, RS256, RS384, RS512};
    vec![RS256, RS384, RS512, PS256, PS384, PS512]
}

fn one(value: &Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
    let for_signing =
        jwk.common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
    let may_verify = jwk
        .common
        .key_operations
        .as_ref()
        .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
    if !for_signing || !may_verify {
        return None;
    }
    let mut algorithms = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => rsa_algorithms(),
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => vec![Algorithm::ES256],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => vec![Algorithm::ES384],
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            vec![Algorithm::EdDSA]
        }
        // WHY: a symmetric key in a published set is not secret, and other kinds are unknown.
        _ => return None,
    };
    if let Some(Value::String(named)) = value.get("alg") {
        let named = algorithm_of(named);
        algorithms.retain(|algorithm| named == Some(*algorithm));
    }
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    (!algorithms.is_empty()).then(|| Key { kid: jwk.common.key_id, algorithms, key })
}
