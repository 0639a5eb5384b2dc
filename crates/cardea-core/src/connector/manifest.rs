//! The file format of a connector.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    size::Bytes,
    time::Millis,
    tool::{Effect, Sharing},
    units::{LengthText, Rate},
};

/// A connector's file.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    /// The service.
    pub(super) connector: Head,
    /// Its operations; each is one tool.
    #[serde(default, rename = "operation")]
    pub(super) operations: Vec<OperationSpec>,
}

/// `[connector]`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    /// Name, equal to the file name. Its tools are called `NAME__OPERATION`.
    pub(super) name: String,
    /// Description of the service, for people.
    #[serde(default)]
    #[expect(dead_code, reason = "read by people; a name that is known to be good")]
    pub(super) about: String,
    /// Start of all paths, such as `https://api.example/v1`.
    pub(super) base: String,
    /// The only hosts that this connector may reach: `host` or `host:port`, no patterns. If absent: the host of
    /// `base`.
    #[serde(default)]
    pub(super) hosts: Vec<String>,
    /// The only methods that its operations may use. If absent: all.
    #[serde(default)]
    pub(super) methods: Vec<Method>,
    /// Where the secret is put. The secret itself is never in this file.
    #[serde(default)]
    pub(super) auth: Option<AuthSpec>,
    /// Headers of every request; fixed texts.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
}

/// HTTP method of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Reads.
    Get,
    /// Reads without a body.
    Head,
    /// Creates or searches.
    Post,
    /// Replaces; idempotent.
    Put,
    /// Changes.
    Patch,
    /// Deletes; idempotent.
    Delete,
}

impl Method {
    /// Returns the name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// Whose secret is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Per {
    /// The tenant's own, or else that of the installation.
    #[default]
    Tenant,
    /// The user's own, with no fallback.
    User,
}

/// `connector.auth`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum AuthSpec {
    /// `Authorization: Bearer SECRET`.
    Bearer {
        /// Whose secret.
        #[serde(default)]
        per: Per,
    },
    /// A header of this name.
    Header {
        /// The header.
        name: String,
        /// Text before the secret.
        #[serde(default)]
        prefix: String,
        /// Whose secret.
        #[serde(default)]
        per: Per,
    },
    /// A query parameter.
    Query {
        /// The parameter.
        name: String,
        /// Whose secret.
        #[serde(default)]
        per: Per,
    },
    /// `Authorization: Basic`, with the secret as the password.
    Basic {
        /// The user name.
        user: String,
        /// Whose secret.
        #[serde(default)]
        per: Per,
    },
    /// A short-lived token that Cardea signs for the caller and this audience.
    Caller {
        /// The audience.
        audience: String,
    },
}

/// `[[operation]]`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OperationSpec {
    /// Name.
    pub(super) name: String,
    /// Description for the model.
    pub(super) about: String,
    /// Effect on the world. If absent: the worst.
    #[serde(default)]
    pub(super) effect: Effect,
    /// Whether it sends data outside the tenant. If absent: true if it changes something.
    #[serde(default)]
    pub(super) sends_outside: Option<bool>,
    /// Example requests of users, for tool selection only.
    #[serde(default)]
    pub(super) utterances: Vec<String>,
    /// The request.
    pub(super) request: RequestSpec,
    /// The arguments: `"string"`, `"integer"`, `"number"`, `"boolean"`, with `?` at the end if optional; or a table
    /// with a JSON Schema and `optional`.
    #[serde(default)]
    pub(super) input: BTreeMap<String, Value>,
    /// How the service recognises a repeated request.
    #[serde(default)]
    pub(super) idempotency: Option<IdempotencySpec>,
    /// A request that checks whether a write was done.
    #[serde(default)]
    pub(super) check: Option<CheckSpec>,
    /// Whether the outcome of a write may stay unknown.
    #[serde(default)]
    pub(super) accept_unknown: bool,
    /// How it is undone.
    #[serde(default)]
    pub(super) undo: Option<UndoSpec>,
    /// When it is sent again.
    #[serde(default)]
    pub(super) retry: Option<RetrySpec>,
    /// The part of the answer that the model gets.
    #[serde(default)]
    pub(super) result: ResultSpec,
    /// How long a result may be reused; reads only.
    #[serde(default)]
    pub(super) cache: Option<CacheSpec>,
    /// Tags of results that a write makes stale, such as `order:{order}`.
    #[serde(default)]
    pub(super) clears: Vec<String>,
    /// Limits of time and rate.
    #[serde(default)]
    pub(super) limit: LimitSpec,
    /// Example exchanges; `cardea connector check` runs them.
    #[serde(default, rename = "example")]
    pub(super) examples: Vec<ExampleSpec>,
}

/// `request`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RequestSpec {
    /// The method.
    pub(super) method: Method,
    /// Another base than that of the connector; its host must be among `hosts`.
    #[serde(default)]
    pub(super) base: Option<String>,
    /// The path, such as `/orders/{order}`.
    pub(super) path: String,
    /// The query. A parameter whose argument is missing is left out.
    #[serde(default)]
    pub(super) query: BTreeMap<String, Value>,
    /// Headers.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    /// The body as JSON.
    #[serde(default)]
    pub(super) body: Option<Value>,
    /// The body as a form.
    #[serde(default)]
    pub(super) form: BTreeMap<String, Value>,
}

/// `idempotency`: either `header` or `by`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct IdempotencySpec {
    /// Header that carries the key.
    #[serde(default)]
    pub(super) header: Option<String>,
    /// Format of the key in the header.
    #[serde(default)]
    pub(super) form: KeyForm,
    /// Another reason why a repeat is harmless.
    #[serde(default)]
    pub(super) by: Option<By>,
}

/// Format in which a header carries the key of a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum KeyForm {
    /// The id of the step as in the audit log: `step_` and 32 digits; `undo.` before it for an undo.
    #[default]
    Step,
    /// A UUID of 36 characters derived from that: for services that accept nothing else, or nothing longer.
    Uuid,
}

/// Why a repeat is harmless without a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum By {
    /// The request itself contains the key, as `{step}`.
    Request,
    /// PUT and DELETE are idempotent.
    Method,
}

/// `check`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckSpec {
    /// Path of a GET; `{step}` is the key of the write.
    pub(super) path: String,
    /// Query.
    #[serde(default)]
    pub(super) query: BTreeMap<String, Value>,
    /// JSON pointer to a value that exists only if the write was done. If absent: any success status says so.
    #[serde(default)]
    pub(super) found: Option<String>,
    /// JSON pointer to what the write would have returned.
    #[serde(default)]
    pub(super) take: Option<String>,
}

/// `undo`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UndoSpec {
    /// Operation of this connector that undoes this one.
    pub(super) operation: String,
    /// Its arguments, from the arguments of this one and from `{result.…}`.
    #[serde(default)]
    pub(super) with: BTreeMap<String, Value>,
}

/// `retry`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RetrySpec {
    /// Statuses after which the request is sent again. A request without an answer is sent again as well.
    #[serde(default)]
    pub(super) on: Vec<u16>,
    /// Number of tries in total.
    #[schemars(range(min = 1, max = 5))]
    pub(super) attempts: u32,
}

/// `result`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ResultSpec {
    /// JSON pointer to the part that counts.
    pub(super) take: Option<String>,
    /// Members to keep, of the object or of each object of the list. If absent: all.
    pub(super) keep: Vec<String>,
    /// Size limit of the result.
    pub(super) max: Bytes,
    /// JSON pointer to a value that must be `true`, for services that answer 200 to a failure.
    pub(super) ok: Option<String>,
    /// JSON pointer to the text of an error answer.
    pub(super) error: Option<String>,
}

impl Default for ResultSpec {
    fn default() -> Self {
        Self { take: None, keep: Vec::new(), max: Bytes::kib(64), ok: None, error: None }
    }
}

/// `cache`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CacheSpec {
    /// Lifetime of a result.
    #[serde(with = "crate::time::text")]
    #[schemars(with = "LengthText")]
    pub(super) ttl: Millis,
    /// Tags such as `order:{order}`.
    #[serde(default)]
    pub(super) tags: Vec<String>,
    /// Who may reuse the results.
    #[serde(default)]
    pub(super) sharing: Sharing,
}

/// `limit`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitSpec {
    /// Time limit of one call, repeats included.
    #[serde(with = "crate::time::text")]
    #[schemars(with = "LengthText")]
    pub(super) timeout: Millis,
    /// Rate limit of one user.
    pub(super) per_user: Option<Rate>,
}

impl Default for LimitSpec {
    fn default() -> Self {
        Self { timeout: Millis::from_secs(3), per_user: None }
    }
}

/// `[[operation.example]]`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExampleSpec {
    /// The arguments.
    #[serde(default)]
    pub(super) given: BTreeMap<String, Value>,
    /// Method and path with query of the request.
    pub(super) sends: String,
    /// JSON body of the request.
    #[serde(default)]
    pub(super) body: Option<Value>,
    /// Answer of the service.
    pub(super) gets: GetsSpec,
    /// Result for the model.
    #[serde(default)]
    pub(super) result: Option<Value>,
    /// Or a part of the reason for the failure.
    #[serde(default)]
    pub(super) fails: Option<String>,
}

/// `gets`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GetsSpec {
    /// The status.
    #[schemars(range(min = 100, max = 599))]
    pub(super) status: u16,
    /// The body, as JSON.
    #[serde(default)]
    pub(super) body: Value,
}
