//! Why a credential was refused: for the log, never for the client.

use cardea_core::{Code, Error, time::Millis};

/// When to come again where an issuer's keys are not known.
const KEYS: Millis = Millis::from_secs(5);

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
    /// A header that brings its own key, or asks for an extension.
    #[error("header")]
    Header,
    /// An algorithm that this issuer does not use.
    #[error("algorithm")]
    Algorithm,
    /// Not an access token.
    #[error("token kind")]
    Kind,
    /// No such issuer here.
    #[error("issuer")]
    Issuer,
    /// No key with this id.
    #[error("unknown key")]
    UnknownKey,
    /// The keys of the issuer have not been fetched, or are too old.
    #[error("no keys of the issuer")]
    NoKeys,
    /// The signature does not fit.
    #[error("signature")]
    Signature,
    /// A claim that must be there is missing or of the wrong type.
    #[error("claim `{0}`")]
    Claim(&'static str),
    /// Meant for somebody else.
    #[error("audience")]
    Audience,
    /// Over.
    #[error("expired")]
    Expired,
    /// Not yet.
    #[error("not yet valid")]
    NotYet,
    /// Bound to something of which no proof is taken here.
    #[error("sender-constrained")]
    Bound,
    /// The proof that the sender holds the token's key is missing, or this part of it does not fit.
    #[error("proof: {0}")]
    Proof(&'static str),
    /// Taken back.
    #[error("revoked")]
    Revoked,
    /// Not an API key of this installation.
    #[error("api key")]
    ApiKey,
}

impl From<Reason> for Error {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Expired => Self::new(Code::TokenExpired).because(reason),
            // WHY: that nobody can say whether a token is good is no reason for its owner to throw it away.
            Reason::NoKeys => Self::new(Code::IssuerAway).retry_after(KEYS).because(reason),
            _ => Self::new(Code::TokenInvalid).because(reason),
        }
    }
}
