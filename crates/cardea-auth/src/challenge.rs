//! Challenges, which tell a refused client what to do next (RFC 6750, RFC 9449, RFC 9728).

use std::error::Error as _;

use cardea_core::{Code, Error};
use http::HeaderValue;
use serde::Serialize;

use crate::{dpop::ALGORITHMS, reason::Reason};

/// A `WWW-Authenticate` header of the scheme `Bearer`, or `DPoP` if the proof of a key is missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Challenge {
    algorithms: Option<&'static str>,
    resource_metadata: Option<String>,
    error: Option<&'static str>,
    description: Option<&'static str>,
    scope: Option<String>,
}

impl Challenge {
    /// Creates the challenge for a request without a credential; it names no error.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the challenge for an error, or `None` if the error is not about the credential.
    #[must_use]
    pub fn for_error(error: &Error) -> Option<Self> {
        let named = match error.code() {
            Code::NotSignedIn => None,
            Code::TokenInvalid | Code::TokenExpired => Some("invalid_token"),
            Code::ScopeMissing => Some("insufficient_scope"),
            _ => return None,
        };
        let description = named.map(|_| error.code().sentence());
        Some(match error.source().and_then(|cause| cause.downcast_ref()) {
            Some(Reason::Proof(what)) => {
                let error = if *what == "missing" { "invalid_token" } else { "invalid_dpop_proof" };
                Self { algorithms: Some(ALGORITHMS), error: Some(error), description, ..Self::default() }
            }
            _ => Self { error: named, description, ..Self::default() },
        })
    }

    /// Adds the URL of the metadata of this resource.
    #[must_use]
    pub fn resource_metadata(mut self, url: impl Into<String>) -> Self {
        self.resource_metadata = Some(url.into());
        self
    }

    /// Adds all scopes that the call needs.
    #[must_use]
    pub fn scope<S: AsRef<str>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        let scopes: Vec<String> = scopes.into_iter().map(|scope| scope.as_ref().to_owned()).collect();
        self.scope = (!scopes.is_empty()).then(|| scopes.join(" "));
        self
    }

    /// Returns the header value.
    #[must_use]
    pub fn header(&self) -> HeaderValue {
        let scheme = if self.algorithms.is_some() { "DPoP" } else { "Bearer" };
        let fields = [
            ("algs", self.algorithms),
            ("error", self.error),
            ("error_description", self.description),
            ("scope", self.scope.as_deref()),
            ("resource_metadata", self.resource_metadata.as_deref()),
        ];
        let fields: Vec<String> = fields
            .into_iter()
            .filter_map(|(name, value)| value.map(|value| format!("{name}=\"{}\"", quotable(value))))
            .collect();
        let text =
            if fields.is_empty() { scheme.to_owned() } else { format!("{scheme} {}", fields.join(", ")) };
        HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("Bearer"))
    }
}

/// Removes characters that a quoted string may not contain; a quote cannot end it early.
fn quotable(text: &str) -> String {
    text.chars().filter(|c| matches!(c, ' '..='~') && !matches!(c, '"' | '\\')).collect()
}

/// Metadata of a protected resource (RFC 9728).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProtectedResource {
    /// Identifier of the resource, the audience of its tokens.
    pub resource: String,
    /// URLs of the issuers whose tokens are accepted. Left out if none has one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub authorization_servers: Vec<String>,
    /// Scopes that are meaningful here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes_supported: Vec<String>,
    /// Where a token may be sent: in the header only.
    pub bearer_methods_supported: Vec<&'static str>,
    /// Algorithms for the proofs of key-bound tokens. Empty if no proofs are accepted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dpop_signing_alg_values_supported: Vec<&'static str>,
    /// Name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_name: Option<String>,
}

impl ProtectedResource {
    /// Creates the metadata of a resource that accepts tokens of these issuers.
    #[must_use]
    pub fn new(resource: impl Into<String>, issuers: Vec<String>) -> Self {
        Self {
            resource: resource.into(),
            authorization_servers: issuers,
            scopes_supported: Vec::new(),
            bearer_methods_supported: vec!["header"],
            dpop_signing_alg_values_supported: Vec::new(),
            resource_name: None,
        }
    }

    /// Adds scopes. `offline_access` concerns the issuer, not the resource, and is left out.
    #[must_use]
    pub fn scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes_supported
            .extend(scopes.into_iter().map(Into::into).filter(|scope| scope != "offline_access"));
        self
    }

    /// Declares that key-bound tokens are accepted, with their proof ([`crate::Credentials::of_request`]).
    #[must_use]
    pub fn proofs(mut self) -> Self {
        self.dpop_signing_alg_values_supported = ALGORITHMS.split(' ').collect();
        self
    }

    /// Returns the path of the metadata for a resource with this path.
    #[must_use]
    pub fn well_known(resource_path: &str) -> String {
        format!("/.well-known/oauth-protected-resource{}", resource_path.trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_names_error_scopes_and_metadata_once() {
        let none =
            Challenge::for_error(&Error::new(Code::NotSignedIn)).unwrap().resource_metadata("https://a/m");
        assert_eq!(none.header(), r#"Bearer resource_metadata="https://a/m""#);
        let scope =
            Challenge::for_error(&Error::new(Code::ScopeMissing)).unwrap().scope(["read", "wri\"te\r\n"]);
        assert_eq!(
            scope.header(),
            r#"Bearer error="insufficient_scope", error_description="The credential lacks a scope that this needs.", scope="read write""#
        );
        assert_eq!(Challenge::for_error(&Error::new(Code::RateLimited)), None);
        assert_eq!(ProtectedResource::well_known("/mcp"), "/.well-known/oauth-protected-resource/mcp");
    }
}
