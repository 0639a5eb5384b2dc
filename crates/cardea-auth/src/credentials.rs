//! What a request shows to prove who sends it.

use std::{fmt, net::IpAddr};

use cardea_core::{Code, Error, Result};
use http::{HeaderMap, HeaderName, header};
use secrecy::SecretString;

/// The largest credential. A token of the usual kind has less than one KiB.
const LARGEST: usize = 8 * 1024;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

pub(crate) enum Shown {
    Nothing,
    Token(SecretString),
    Key(SecretString),
}

/// The one credential of a request, not checked yet.
///
/// Read from the `Authorization` header (`Bearer`) or from `X-API-Key`. A token in the address, in a form or in a
/// cookie is never looked at, so it can neither sign anybody in nor reach a log from here.
pub struct Credentials {
    pub(crate) shown: Shown,
    pub(crate) peer: Option<IpAddr>,
}

impl Credentials {
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
        if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() || token.contains([' ', ',', '\t']) {
            let hint = "Send `Authorization: Bearer TOKEN` or `X-API-Key: KEY`.";
            return Err(Error::new(Code::TokenInvalid).detail(hint));
        }
        Ok(if token.starts_with(crate::key::PREFIX) {
            Self::key(token, peer)
        } else {
            Self::token(token, peer)
        })
    }

    /// No credential at all.
    #[must_use]
    pub const fn none(peer: Option<IpAddr>) -> Self {
        Self { shown: Shown::Nothing, peer }
    }

    /// A token that came by another way than HTTP headers.
    #[must_use]
    pub fn token(token: &str, peer: Option<IpAddr>) -> Self {
        Self { shown: Shown::Token(SecretString::from(token)), peer }
    }

    /// An API key that came by another way than HTTP headers.
    #[must_use]
    pub fn key(key: &str, peer: Option<IpAddr>) -> Self {
        Self { shown: Shown::Key(SecretString::from(key)), peer }
    }

    /// True if nothing was shown.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        matches!(self.shown, Shown::Nothing)
    }

    /// From where the request came.
    #[must_use]
    pub const fn peer(&self) -> Option<IpAddr> {
        self.peer
    }
}

impl Clone for Credentials {
    fn clone(&self) -> Self {
        let shown = match &self.shown {
            Shown::Nothing => Shown::Nothing,
            Shown::Token(token) => Shown::Token(token.clone()),
            Shown::Key(key) => Shown::Key(key.clone()),
        };
        Self { shown, peer: self.peer }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.shown {
            Shown::Nothing => "Credentials(none)",
            Shown::Token(_) => "Credentials(token ***)",
            Shown::Key(_) => "Credentials(key ***)",
        })
    }
}
