//! Reasons why a credential was refused: for the log, never for the client.

use cardea_core::{Code, Error, time::Millis};

/// The check that failed. The client only learns that the credential is not valid, or has expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// Larger than 8 KiB.
    #[error("size")]
    Size,
    /// Not three parts of base64url, or not strict JSON in them.
    #[error("malformed")]
    Malformed,
    /// The header brings its own key, or asks for an extension.
    #[error("header")]
    Header,
    /// The algorithm is not one of this issuer.
    #[error("algorithm")]
    Algorithm,
    /// Not an access token.
    #[error("token kind")]
    Kind,
    /// The issuer is not configured here.
    #[error("issuer")]
    Issuer,
    /// There is no key with this id.
    #[error("unknown key")]
    UnknownKey,
    /// The keys of the issuer have not been fetched, or are too old. Retry after this time.
    #[error("no keys of the issuer")]
    NoKeys(Millis),
    /// The fetched keys have none with this id, and the issuer cannot be asked again before this time is over.
    #[error("unknown key, and the issuer cannot be asked now")]
    OldKeys(Millis),
    /// The signature is wrong.
    #[error("signature")]
    Signature,
    /// A required claim is missing or has the wrong type.
    #[error("claim `{0}`")]
    Claim(&'static str),
    /// The audience is someone else.
    #[error("audience")]
    Audience,
    /// The issuer may not name this tenant.
    #[error("tenant")]
    Tenant,
    /// Expired.
    #[error("expired")]
    Expired,
    /// Not valid yet.
    #[error("not yet valid")]
    NotYet,
    /// Bound to something for which no proof is supported.
    #[error("sender-constrained")]
    Bound,
    /// The proof that the sender holds the token's key is missing, or this part of it is wrong.
    #[error("proof: {0}")]
    Proof(&'static str),
    /// More proofs came than can be remembered. Retry after this time.
    #[error("proof: too many of all holders")]
    ManyProofs(Millis),
    /// More proofs came from the holder of this key than are remembered of one. Retry after this time.
    #[error("proof: too many of this holder")]
    ManyProofsOfOne(Millis),
    /// Revoked.
    #[error("revoked")]
    Revoked,
    /// Issued so soon after its user's tokens were revoked that it may be from before.
    #[error("issued within the leeway after its user was signed out")]
    TooSoon,
    /// Not an API key of this installation.
    #[error("api key")]
    ApiKey,
}

impl From<Reason> for Error {
    fn from(reason: Reason) -> Self {
        match reason {
            // WHY: `token_expired` says what helps in both cases: get a new one.
            Reason::Expired | Reason::TooSoon => Self::new(Code::TokenExpired).because(reason),
            // WHY: that a token cannot be verified at the moment is no reason for its owner to discard it.
            Reason::NoKeys(again) | Reason::OldKeys(again) => {
                Self::new(Code::IssuerAway).retry_after(again).because(reason)
            }
            Reason::ManyProofs(again) => Self::new(Code::Overloaded).retry_after(again).because(reason),
            Reason::ManyProofsOfOne(again) => Self::new(Code::RateLimited).retry_after(again).because(reason),
            _ => Self::new(Code::TokenInvalid).because(reason),
        }
    }
}
