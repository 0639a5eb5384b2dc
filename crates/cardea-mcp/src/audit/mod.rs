//! The audit log of a server: who called what, when, and how it ended. An append-only file in which every change can
//! be detected.
//!
//! Each line is `{"seq":n,"link":"<hex>","entry":{…}}`; the link chains it to the preceding line under a secret key
//! ([`cardea_core::log`]). A call's entry is on the disk before its answer leaves. A tool that changes something has a
//! second entry, its intent, on the disk before it runs. One thread writes for all calls, so concurrent calls share
//! one flush. If an entry cannot be written the call is refused, unless the operator chose to continue without
//! ([`OnFailure::GoOn`]); the loss is then counted.

mod file;
#[cfg(test)]
mod tests;
mod verify;

use std::path::PathBuf;

use aws_lc_rs::digest;
use cardea_core::{
    Result,
    log::ChainKey,
    secret::{ExposeSecret, SecretString, WeakSecret, check_signing_secret},
    time::Timestamp,
};
use serde::Serialize;
use serde_json::{Map, Value, json};

pub use self::{
    file::{AuditError, AuditFile},
    verify::{Fault, Held, verify},
};
use crate::Context;

/// Length limit of arguments or results in an entry; of longer ones only the digest is recorded.
const MAX_RECORDED: usize = 4 * 1024;

/// What happens to a call whose entry cannot be written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// The call is refused.
    #[default]
    Refuse,
    /// The call continues; the loss is logged and counted as `mcp_audit_lost_total`.
    GoOn,
}

/// How much of arguments and results is recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Record {
    /// Only a digest of the arguments.
    #[default]
    Digest,
    /// Arguments as well, with fields that look secret masked.
    Arguments,
    /// Arguments and results, with fields that look secret masked.
    Everything,
}

/// The audit log of one server.
pub struct Audit {
    pub(crate) file: AuditFile,
    pub(crate) on_failure: OnFailure,
    record: Record,
    hidden: Vec<String>,
}

/// Words in a field's name that mark its value as secret.
const SECRET_WORDS: [&str; 9] =
    ["password", "passwd", "secret", "token", "authorization", "api_key", "apikey", "card_number", "cvv"];

impl Audit {
    /// Opens or creates the file and continues its chain. The key must stay the same for the life of the file.
    ///
    /// # Errors
    /// If the file cannot be used, another process writes it, or its chain is broken.
    pub fn open(path: impl Into<PathBuf>, key: &SecretString) -> Result<Self, AuditError> {
        let path = path.into();
        let checkpoint = path.with_extension("checkpoint");
        Self::open_with_checkpoint(path, checkpoint, key)
    }

    /// Does the same as [`Audit::open`] with the checkpoint in another place. Someone who can truncate the log must
    /// not be able to reach it there.
    ///
    /// # Errors
    /// As [`Audit::open`].
    pub fn open_with_checkpoint(
        path: impl Into<PathBuf>,
        checkpoint: impl Into<PathBuf>,
        key: &SecretString,
    ) -> Result<Self, AuditError> {
        let file = AuditFile::open(path.into(), checkpoint.into(), chain_key(key)?)?;
        Ok(Self { file, on_failure: OnFailure::default(), record: Record::default(), hidden: Vec::new() })
    }

    /// Sets what happens to a call whose entry cannot be written.
    #[must_use]
    pub fn on_failure(mut self, what: OnFailure) -> Self {
        self.on_failure = what;
        self
    }

    /// Sets how much is recorded.
    #[must_use]
    pub fn record(mut self, record: Record) -> Self {
        self.record = record;
        self
    }

    /// Adds field names whose values are masked.
    #[must_use]
    pub fn hide<I: IntoIterator<Item = S>, S: Into<String>>(mut self, fields: I) -> Self {
        self.hidden.extend(fields.into_iter().map(|field| field.into().to_lowercase()));
        self
    }

    pub(crate) async fn append(&self, entry: &Entry<'_>) -> Result<()> {
        let body = serde_json::to_vec(entry).map_err(AuditError::Json)?;
        Ok(self.file.append(body).await?)
    }

    pub(crate) fn arguments(&self, arguments: &Value) -> Option<Value> {
        (self.record != Record::Digest).then(|| self.shown(arguments))
    }

    pub(crate) fn result(&self, result: &rmcp::model::CallToolResult) -> Option<Value> {
        if self.record != Record::Everything {
            return None;
        }
        match &result.structured_content {
            Some(value) => Some(self.shown(value)),
            None => serde_json::to_value(&result.content).ok().map(|value| self.shown(&value)),
        }
    }

    fn shown(&self, value: &Value) -> Value {
        let starred = self.starred(value);
        let size = starred.to_string().len();
        if size > MAX_RECORDED { json!({ "left_out_bytes": size }) } else { starred }
    }

    fn starred(&self, value: &Value) -> Value {
        match value {
            Value::Object(map) => Value::Object(
                map.iter()
                    .map(|(name, value)| {
                        let value = if self.is_secret(name) { json!("***") } else { self.starred(value) };
                        (name.clone(), value)
                    })
                    .collect::<Map<_, _>>(),
            ),
            Value::Array(items) => Value::Array(items.iter().map(|item| self.starred(item)).collect()),
            other => other.clone(),
        }
    }

    fn is_secret(&self, name: &str) -> bool {
        let name = name.to_lowercase().replace('-', "_");
        SECRET_WORDS.iter().any(|word| name.contains(word))
            || self.hidden.iter().any(|word| name.contains(word))
    }
}

/// One line of the log.
#[derive(Debug, Serialize)]
pub(crate) struct Entry<'a> {
    pub(crate) at: String,
    pub(crate) phase: &'static str,
    pub(crate) request: String,
    pub(crate) tool: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    actors: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<&'a str>,
    pub(crate) arguments_sha256: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) arguments: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) outcome: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) result: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) took_us: Option<u64>,
}

impl<'a> Entry<'a> {
    pub(crate) fn new(phase: &'static str, context: &'a Context, at: Timestamp, tool: &'a str) -> Self {
        let caller = context.caller();
        Self {
            at: at.to_string(),
            phase,
            request: context.request().to_string(),
            tool,
            tenant: caller.map(|caller| caller.tenant.as_str()),
            user: caller.map(|caller| caller.user.as_str()),
            issuer: caller.map(|caller| caller.issuer.as_str()),
            client: context.client().map(|client| client.as_str()),
            actors: caller.map_or(&[], |caller| caller.actors.as_slice()),
            address: context.address().map(|address| address.to_string()),
            trace: context.traceparent(),
            arguments_sha256: String::new(),
            arguments: None,
            outcome: None,
            reason: None,
            result: None,
            took_us: None,
        }
    }
}

/// Derives the chain key from a configured secret of sufficient length.
fn chain_key(secret: &SecretString) -> Result<ChainKey, WeakSecret> {
    check_signing_secret(secret)?;
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"dev.cardea/audit-chain/1\0");
    context.update(secret.expose_secret().as_bytes());
    let mut key = [0_u8; 32];
    key.copy_from_slice(context.finish().as_ref());
    Ok(ChainKey::new(&key))
}
