//! Who is it: credentials in, a [`Caller`] out.
//!
//! The room promises that a `Caller` exists only if a credential was checked in this process: a signed token of a
//! configured issuer, or an API key of this installation. It fixes tenant, user, actors, roles and scopes for the
//! request. Tokens are read strictly: one algorithm list per issuer, keys only from the configuration, no duplicate
//! members, times that are numbers, an audience that is ours.
//!
//! It refuses what it does not know: two credentials at once, tokens outside the header, tokens that are bound to a
//! key without the proof of it (RFC 9449) or to a certificate, ID tokens, and tokens whose issuer it cannot verify right now. It never asks what
//! the caller wants; that is for the rooms below.
//!
//! Callers: every flow, first line; and tool servers on `cardea-mcp`.

mod auth;
mod caller;
mod challenge;
mod claims;
mod config;
mod credentials;
mod dpop;
mod issuer;
mod json;
mod key;
mod keyset;
mod reason;
mod remembered;
mod remote;
mod revoked;
mod signer;

pub use auth::{Auth, TokenFacts, TokenName};
pub use caller::{Caller, VerifiedClaims};
pub use challenge::{Challenge, ProtectedResource};
pub use config::{AuthConfig, IssuerConfig, TokenKind};
pub use credentials::Credentials;
pub use jsonwebtoken::Algorithm;
pub use key::{KeyDirectory, KeyRecord, NewKey, NoKeys, StaticKeys};
pub use reason::Reason;
pub use remote::LARGEST_KEY_SET;
pub use revoked::{REMEMBERED_AFTER_END, Revocation};
pub use signer::{Claims, Lifetime, Signer};
