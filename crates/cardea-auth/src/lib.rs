//! Room `auth`: credentials in, a [`Caller`] out.
//!
//! Promises: a `Caller` exists only if a credential was verified in this process: a signed token of a configured
//! issuer, or an API key of this installation. It fixes tenant, user, actors, roles and scopes for the request. Tokens
//! are parsed strictly: one algorithm list per issuer, keys only from the configuration, no duplicate members, numeric
//! times, an audience that is ours.
//!
//! Refuses: two credentials at once, tokens outside the header, tokens bound to a key without its proof (RFC 9449) or
//! to a certificate, ID tokens, and tokens whose issuer cannot be verified right now. It never asks what the caller
//! wants; that is for the rooms below.
//!
//! Called by: every flow, in its first line, and tool servers on `cardea-mcp`.

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
