//! Credentials of a request.

use std::{fmt, net::IpAddr, sync::Arc};

use cardea_core::{Code, Error, Result};
use http::{HeaderMap, HeaderName, Method, Uri, header};
use secrecy::SecretString;

use crate::{dpop::Target, reason::Reason};

/// Size limit of a credential. A typical token has less than one KiB.
const LARGEST: usize = 8 * 1024;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const PROOF: HeaderName = HeaderName::from_static("dpop");

#[derive(Clone)]
pub(crate) enum Shown {
    Nothing,
    Token(SecretString),
    /// A token with the proof that its sender holds the key it is bound to.
    Bound(SecretString, String),
    Key(SecretString),
}

/// The single credential of a request, not verified yet.
///
/// Read from the `Authorization` header (`Bearer`, or `DPoP` with a proof) or from `X-API-Key`. A token in the URL, in
/// a form or in a cookie is never read, so it can neither sign a user in nor reach a log from here.
#[derive(Clone)]
pub struct Credentials {
    pub(crate) shown: Shown,
    pub(crate) peer: Option<IpAddr>,
    pub(crate) target: Option<Target>,
}

impl Credentials {
    /// Refuses an address with a token in it.
    ///
    /// # Errors
    /// `bad_request`.
    pub fn none_in(address: &Uri) -> Result<()> {
        if address.query().is_some_and(|query| query.contains("access_token=")) {
            // WHY: addresses end up in logs; a token there is spent (RFC 6750 section 2.3, RFC 9700 section 4.3.2).
            return Err(Error::new(Code::BadRequest).detail("Send the token in the Authorization header."));
        }
        Ok(())
    }

    /// Reads the credential of a request that came from this address.
    ///
    /// # Errors
    /// `bad_request` if there are two, `token_invalid` if it is of an unknown scheme, too large or not text.
    pub fn from_headers(headers: &HeaderMap, peer: Option<IpAddr>) -> Result<Self> {
        let mut found = headers.get_all(header::AUTHORIZATION).iter().chain(headers.get_all(API_KEY).iter());
        let (first, second) = (found.next(), found.next());
        if second.is_some() {
            return Err(Error::new(Code::BadRequest).detail("Send one credential, in one header."));
        }
        let Some(value) = first else { return Ok(Self::none(peer)) };
        if value.len() > LARGEST {
            return Err(Error::new(Code::TokenInvalid).detail("The credential is larger than 8 KiB."));
        }
        let text = value.to_str().map_err(|_| Error::new(Code::TokenInvalid))?;
        if !headers.contains_key(header::AUTHORIZATION) {
            return Ok(Self::key(text.trim(), peer));
        }
        let (scheme, rest) = text.trim().split_once(' ').ok_or_else(|| Error::new(Code::TokenInvalid))?;
        let token = rest.trim_start_matches(' ');
        let bound = scheme.eq_ignore_ascii_case("dpop");
        if !(bound || scheme.eq_ignore_ascii_case("bearer"))
            || token.is_empty()
            || b" ,\t".iter().any(|mark| token.as_bytes().contains(mark))
        {
            let hint = "Send `Authorization: Bearer TOKEN` or `X-API-Key: KEY`.";
            return Err(Error::new(Code::TokenInvalid).detail(hint));
        }
        if bound {
            let shown = Shown::Bound(SecretString::from(token), proof(headers)?);
            return Ok(Self { shown, ..Self::none(peer) });
        }
        Ok(if token.starts_with(crate::key::PREFIX) {
            Self::key(token, peer)
        } else {
            Self::token(token, peer)
        })
    }

    /// Creates an empty value: no credential.
    #[must_use]
    pub const fn none(peer: Option<IpAddr>) -> Self {
        Self { shown: Shown::Nothing, peer, target: None }
    }

    /// Wraps a token that did not come in HTTP headers.
    #[must_use]
    pub fn token(token: &str, peer: Option<IpAddr>) -> Self {
        Self { shown: Shown::Token(SecretString::from(token)), ..Self::none(peer) }
    }

    /// Wraps an API key that did not come in HTTP headers.
    #[must_use]
    pub fn key(key: &str, peer: Option<IpAddr>) -> Self {
        Self { shown: Shown::Key(SecretString::from(key)), ..Self::none(peer) }
    }

    /// Adds the method and the URL of the request, as clients write it. Without them no key-bound token is accepted,
    /// since its proof could not be checked. A proof counts once: authenticate once.
    #[must_use]
    pub fn of_request(mut self, method: &Method, url: impl Into<Arc<str>>) -> Self {
        self.target = Some(Target::new(method, url.into()));
        self
    }

    /// Returns whether there is no credential.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        matches!(self.shown, Shown::Nothing)
    }

    /// Returns the client address.
    #[must_use]
    pub const fn peer(&self) -> Option<IpAddr> {
        self.peer
    }
}

/// Returns the single proof of a request.
fn proof(headers: &HeaderMap) -> Result<String> {
    let mut found = headers.get_all(PROOF).iter();
    match (found.next().map(|value| value.to_str()), found.next()) {
        (Some(Ok(proof)), None) => Ok(proof.trim().to_owned()),
        (None, _) => Err(Reason::Proof("missing").into()),
        _ => Err(Reason::Proof("form").into()),
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.shown {
            Shown::Nothing => "Credentials(none)",
            Shown::Token(_) | Shown::Bound(..) => "Credentials(token ***)",
            Shown::Key(_) => "Credentials(key ***)",
        })
    }
}
