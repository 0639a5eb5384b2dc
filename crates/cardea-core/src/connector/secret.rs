//! Where a secret is put, and that nothing that comes back shows it.

use std::borrow::Cow;

use base64::Engine as _;
use serde_json::Value;

use super::{Per, address};
use crate::secret::{ExposeSecret, SecretString};

/// How a connector proves whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// Not at all.
    None,
    /// With a secret.
    Secret {
        /// Where it stands in the request.
        place: SecretPlace,
        /// Whose it is.
        per: Per,
    },
    /// With a token that Cardea signs for the caller and this audience.
    Caller {
        /// The audience.
        audience: String,
    },
}

/// Where a secret stands in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretPlace {
    /// `Authorization: Bearer SECRET`.
    Bearer,
    /// A header, with what stands before the secret.
    Header {
        /// The header, in small letters.
        name: String,
        /// What stands before the secret.
        prefix: String,
    },
    /// A parameter of the query.
    Query {
        /// The parameter.
        name: String,
    },
    /// `Authorization: Basic`, the secret being the password.
    Basic {
        /// The user name.
        user: String,
    },
}

/// A secret in the form in which it is sent.
#[derive(Debug, Clone)]
pub enum Placed {
    /// As this header.
    Header(String, SecretString),
    /// At the end of the query.
    Query(SecretString),
}

impl SecretPlace {
    /// The secret as it is sent. `None` if it has characters that cannot be sent there.
    #[must_use]
    pub fn put(&self, secret: &SecretString) -> Option<Placed> {
        let text = secret.expose_secret();
        let header = |name: &str, value: String| {
            let sendable = !text.is_empty() && address::header_value(&value).is_ok_and(|sent| sent == value);
            sendable.then(|| Placed::Header(name.to_owned(), SecretString::from(value)))
        };
        match self {
            Self::Bearer => header("authorization", format!("Bearer {text}")),
            Self::Header { name, prefix } => header(name, format!("{prefix}{text}")),
            Self::Basic { user } => {
                let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{text}"));
                header("authorization", format!("Basic {pair}"))
            }
            Self::Query { name } => {
                let pair = format!("{}={}", address::escaped(name), address::escaped(text));
                (!text.is_empty()).then(|| Placed::Query(SecretString::from(pair)))
            }
        }
    }

    /// The forms in which the secret could come back.
    #[must_use]
    pub fn forms(&self, secret: &SecretString) -> Vec<SecretString> {
        let text = secret.expose_secret();
        let mut forms = vec![text.to_owned()];
        match self {
            Self::Basic { user } => {
                forms.push(base64::engine::general_purpose::STANDARD.encode(format!("{user}:{text}")));
            }
            Self::Query { .. } => forms.push(address::escaped(text)),
            Self::Bearer | Self::Header { .. } => {}
        }
        forms.retain(|form| form.len() >= 4);
        forms.into_iter().map(SecretString::from).collect()
    }
}

/// A body without these secrets: before it is read, so that no cut can leave half of one.
#[must_use]
pub fn scrub_body<'b>(body: &'b [u8], secrets: &[SecretString]) -> Cow<'b, [u8]> {
    let mut body = Cow::Borrowed(body);
    for secret in secrets {
        let escaped = Value::from(secret.expose_secret()).to_string();
        for form in [secret.expose_secret(), escaped.trim_matches('"')] {
            while let Some(at) = body.windows(form.len()).position(|window| window == form.as_bytes()) {
                body.to_mut().splice(at..at + form.len(), *b"***");
            }
        }
    }
    body
}

/// Puts stars in the place of these secrets, wherever a service sent them back in another spelling.
pub fn scrub(value: &mut Value, secrets: &[SecretString]) {
    match value {
        Value::String(text) => {
            for secret in secrets {
                if text.contains(secret.expose_secret()) {
                    *text = text.replace(secret.expose_secret(), "***");
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| scrub(item, secrets)),
        Value::Object(members) => {
            let shown = |key: &String| secrets.iter().any(|secret| key.contains(secret.expose_secret()));
            members.retain(|key, _| !shown(key));
            members.values_mut().for_each(|member| scrub(member, secrets));
        }
        Value::Number(number) => {
            let text = number.to_string();
            if secrets.iter().any(|secret| text.contains(secret.expose_secret())) {
                *value = Value::String("***".to_owned());
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}
