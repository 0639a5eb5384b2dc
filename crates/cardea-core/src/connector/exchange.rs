//! Builds a request from arguments, without its secret.

use serde_json::{Map, Value};

use super::{Body, Operation, Plan, address, manifest::KeyForm};
use crate::{
    canonical::sha256_hex,
    template::{Tree, Values},
};

/// Length limit of an address. Beyond it the behaviour of servers differs.
const LONGEST_URL: usize = 8_000;

/// A request without its secret. It may be printed: it contains what the model gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The method.
    pub method: &'static str,
    /// The full address.
    pub url: String,
    /// Headers, their names in lower case.
    pub headers: Vec<(String, String)>,
    /// Content type and bytes of the body.
    pub body: Option<(&'static str, Vec<u8>)>,
}

impl Operation {
    /// Builds the request for a call. `key` is the idempotency key, the same for each try.
    ///
    /// # Errors
    /// Which argument cannot be sent, in words for the model and without the value.
    pub fn draft(&self, arguments: &Map<String, Value>, key: &str) -> Result<Draft, String> {
        let mut draft = self.request.draft(&Values { arguments, step: key, result: None })?;
        if let Some((header, form)) = &self.key_header {
            let key = match form {
                KeyForm::Step => address::header_value(key)?,
                KeyForm::Uuid => as_uuid(key),
            };
            draft.headers.push((header.clone(), key));
        }
        Ok(draft)
    }

    /// Builds the request that checks whether a write was done, if the file declares one.
    ///
    /// # Errors
    /// As [`Operation::draft`].
    pub fn look(&self, arguments: &Map<String, Value>, key: &str) -> Result<Option<Draft>, String> {
        let values = Values { arguments, step: key, result: None };
        self.check.as_ref().map(|look| look.plan.draft(&values)).transpose()
    }
}

/// Derives a UUID (RFC 9562, version 8) from the key, so that it is the same at each try.
fn as_uuid(key: &str) -> String {
    let digest = sha256_hex(key.as_bytes());
    let part = |from: usize, to: usize| digest.get(from..to).unwrap_or_default();
    format!("{}-{}-8{}-8{}-{}", part(0, 8), part(8, 12), part(13, 16), part(17, 20), part(20, 32))
}

impl Plan {
    fn draft(&self, values: &Values<'_>) -> Result<Draft, String> {
        let mut url = self.base.start();
        for template in &self.path {
            let filled = template.text(values)?.ok_or("an argument of the path is missing")?;
            let named =
                || template.slots().map(|slot| format!("`{}`", slot.name)).collect::<Vec<_>>().join(", ");
            url.push('/');
            if template.slots().next().is_none() {
                url.push_str(&filled); // a fixed segment, checked when the file was loaded
            } else {
                url.push_str(&address::segment(&filled).map_err(|why| format!("{} {why}", named()))?);
            }
        }
        let query = pairs(&self.query, values)?;
        if !query.is_empty() {
            url.push('?');
            url.push_str(&query);
        }
        if url.len() > LONGEST_URL {
            return Err("the arguments make the address too long".to_owned());
        }
        let mut headers = Vec::with_capacity(self.headers.len() + 1);
        for (name, template) in &self.headers {
            if let Some(text) = template.text(values)? {
                headers.push((
                    name.clone(),
                    address::header_value(&text).map_err(|why| format!("`{name}` {why}"))?,
                ));
            }
        }
        let body = match &self.body {
            None => None,
            Some(Body::Json(tree)) => {
                let value = tree.value(values)?.unwrap_or(Value::Null);
                Some(("application/json", value.to_string().into_bytes()))
            }
            Some(Body::Form(fields)) => {
                Some(("application/x-www-form-urlencoded", pairs(fields, values)?.into_bytes()))
            }
        };
        Ok(Draft { method: self.method.name(), url, headers, body })
    }
}

/// Formats `name=value&…`, percent-encoded. A list repeats its name for each item; missing arguments are left out.
fn pairs(fields: &[(String, Tree)], values: &Values<'_>) -> Result<String, String> {
    let mut all: Vec<String> = Vec::new();
    for (name, tree) in fields {
        let texts = match tree {
            Tree::Text(template) => template.texts(values)?,
            Tree::Plain(value) => vec![value.to_string()],
            Tree::List(_) | Tree::Members(_) => Vec::new(),
        };
        all.extend(texts.iter().map(|text| format!("{}={}", address::escaped(name), address::escaped(text))));
    }
    Ok(all.join("&"))
}
