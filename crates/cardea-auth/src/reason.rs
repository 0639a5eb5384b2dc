//! Why a credential was refused: for the log, never for the client.

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
    /// Worth another try after this.
    #[error("no keys of the issuer")]
    NoKeys(Millis),
    /// No key with this id among those that were fetched, and whether there is one now cannot be asked until this is over.
    #[error("unknown key, and the issuer cannot be asked now")]
    OldKeys(Millis),
    /// The signature does not fit.
    #[error("signature")]
    Signature,
    /// A claim that must be there is missing or of the wrong type.
    #[error("claim `{0}`")]
    Claim(&'static str),
    /// Meant for somebody else.
    #[error("audience")]
    Audience,
    /// Of a tenant that its issuer may not name.
    #[error("tenant")]
    Tenant,
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
    /// More proofs came than can be remembered. Worth another try after this.
    #[error("proof: too many of all holders")]
    ManyProofs(Millis),
    /// More proofs came of the holder of this key than of one are remembered. Worth another try after this.
    #[error("proof: too many of this holder")]
    ManyProofsOfOne(Millis),
    /// Taken back.
    #[error("revoked")]
    Revoked,
    /// Issued so soon after its user was signed out that it may be from before.
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
            // WHY: that nobody can say whether a token is good is no reason for its owner to throw it away.
            Reason::NoKeys(again) | Reason::OldKeys(again) => {
                Self::new(Code::IssuerAway).retry_after(again).because(reason)
            }
            Reason::ManyProofs(again) => Self::new(Code::Overloaded).retry_after(again).because(reason),
            Reason::ManyProofsOfOne(again) => Self::new(Code::RateLimited).retry_after(again).because(reason),
            _ => Self::new(Code::TokenInvalid).because(reason),
        }
    }
}
