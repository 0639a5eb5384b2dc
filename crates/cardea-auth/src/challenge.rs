//! How a refusal tells a client what to do next (RFC 6750, RFC 9728).

use cardea_core::{Code, Error};
use http::HeaderValue;
use serde::Serialize;

/// A `WWW-Authenticate` header of the scheme `Bearer`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Challenge {
    resource_metadata: Option<String>,
    error: Option<&'static str>,
    description: Option<&'static str>,
    scope: Option<String>,
}

impl Challenge {
    /// The challenge for a request without a credential: it names no error.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The challenge that belongs to an error, or `None` if the error is not about the credential.
    #[must_use]
    pub fn for_error(error: &Error) -> Option<Self> {
        let named = match error.code() {
            Code::NotSignedIn => None,
            Code::TokenInvalid | Code::TokenExpired => Some("invalid_token"),
            Code::ScopeMissing => Some("insufficient_scope"),
            _ => return None,
        };
        Some(Self { error: named, description: named.map(|_| error.code().sentence()), ..Self::default() })
    }

    /// Where the metadata of this resource stands.
    #[must_use]
    pub fn resource_metadata(mut self, url: impl Into<String>) -> Self {
        self.resource_metadata = Some(url.into());
        self
    }

    /// All scopes that the call needs, in one challenge.
    #[must_use]
    pub fn scope<S: AsRef<str>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        let scopes: Vec<String> = scopes.into_iter().map(|scope| scope.as_ref().to_owned()).collect();
        self.scope = (!scopes.is_empty()).then(|| scopes.join(" "));
        self
    }

    /// The header value.
    #[must_use]
    pub fn header(&self) -> HeaderValue {
        let fields = [
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
            if fields.is_empty() { "Bearer".to_owned() } else { format!("Bearer {}", fields.join(", ")) };
        HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("Bearer"))
    }
}

/// Only what may stand in a quoted string; a quote cannot end it early.
fn quotable(text: &str) -> String {
    text.chars().filter(|c| matches!(c, ' '..='~') && !matches!(c, '"' | '\\')).collect()
}

/// The metadata of a protected resource (RFC 9728).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProtectedResource {
    /// The resource's own address; tokens carry it as audience.
    pub resource: String,
    /// The issuers whose tokens it takes.
    pub authorization_servers: Vec<String>,
    /// Scopes that make sense here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes_supported: Vec<String>,
    /// Where a token may stand: in the header only.
    pub bearer_methods_supported: Vec<&'static str>,
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_name: Option<String>,
}

impl ProtectedResource {
    /// Metadata of a resource that takes tokens of these issuers.
    #[must_use]
    pub fn new(resource: impl Into<String>, issuers: Vec<String>) -> Self {
        Self {
            resource: resource.into(),
            authorization_servers: issuers,
            scopes_supported: Vec::new(),
            bearer_methods_supported: vec!["header"],
            resource_name: None,
        }
    }

    /// Adds scopes. `offline_access` is for the issuer, not for the resource, and is left out.
    #[must_use]
    pub fn scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes_supported
            .extend(scopes.into_iter().map(Into::into).filter(|scope| scope != "offline_access"));
        self
    }

    /// The path at which the metadata of a resource with this path stands.
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
