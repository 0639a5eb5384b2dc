//! The file of a connector, as it is written.

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
    /// What can be done there; each is one tool.
    #[serde(default, rename = "operation")]
    pub(super) operations: Vec<OperationSpec>,
}

/// `[connector]`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    /// Its name: that of its file. Its tools are called `NAME__OPERATION`.
    pub(super) name: String,
    /// What the service is, for people.
    #[serde(default)]
    #[expect(dead_code, reason = "read by people; a name that is known to be good")]
    pub(super) about: String,
    /// Where all paths begin, such as `https://api.example/v1`.
    pub(super) base: String,
    /// The only hosts that this connector may reach: `host` or `host:port`, no patterns. Absent: the one of `base`.
    #[serde(default)]
    pub(super) hosts: Vec<String>,
    /// The only methods that its operations may use. Absent: all.
    #[serde(default)]
    pub(super) methods: Vec<Method>,
    /// Where the secret is put. The secret itself never stands in this file.
    #[serde(default)]
    pub(super) auth: Option<AuthSpec>,
    /// Headers of every request; fixed texts.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
}

/// How a request is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Looks.
    Get,
    /// Looks without a body.
    Head,
    /// Makes or searches.
    Post,
    /// Puts in place; twice is as good as once.
    Put,
    /// Changes.
    Patch,
    /// Takes away; twice is as good as once.
    Delete,
}

impl Method {
    /// The word on the wire.
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
    /// The tenant's own, or else the installation's.
    #[default]
    Tenant,
    /// The user's own, and nobody else's.
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
        /// What stands before the secret.
        #[serde(default)]
        prefix: String,
        /// Whose secret.
        #[serde(default)]
        per: Per,
    },
    /// A parameter of the query.
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
    /// Its name.
    pub(super) name: String,
    /// What it does, for the model.
    pub(super) about: String,
    /// What it does to the world. Absent: the worst.
    #[serde(default)]
    pub(super) effect: Effect,
    /// True if it sends data outside the tenant. Absent: if it changes something.
    #[serde(default)]
    pub(super) sends_outside: Option<bool>,
    /// What people say who want it; for the choice of tools only.
    #[serde(default)]
    pub(super) utterances: Vec<String>,
    /// What is sent.
    pub(super) request: RequestSpec,
    /// The arguments: `"string"`, `"integer"`, `"number"`, `"boolean"`, with `?` at the end if it may be left out; or
    /// a table with a JSON Schema and `optional`.
    #[serde(default)]
    pub(super) input: BTreeMap<String, Value>,
    /// How the service knows a repeated request.
    #[serde(default)]
    pub(super) idempotency: Option<IdempotencySpec>,
    /// A look that tells whether a write was done.
    #[serde(default)]
    pub(super) check: Option<CheckSpec>,
    /// True if it may stay unknown whether a write was done.
    #[serde(default)]
    pub(super) accept_unknown: bool,
    /// What takes it back.
    #[serde(default)]
    pub(super) undo: Option<UndoSpec>,
    /// When it is sent again.
    #[serde(default)]
    pub(super) retry: Option<RetrySpec>,
    /// What of the answer the model gets.
    #[serde(default)]
    pub(super) result: ResultSpec,
    /// How long a result may be given again; reads only.
    #[serde(default)]
    pub(super) cache: Option<CacheSpec>,
    /// Tags of results that a write makes old, such as `order:{order}`.
    #[serde(default)]
    pub(super) clears: Vec<String>,
    /// How long and how often.
    #[serde(default)]
    pub(super) limit: LimitSpec,
    /// Exchanges that show what happens; `cardea connector check` plays them.
    #[serde(default, rename = "example")]
    pub(super) examples: Vec<ExampleSpec>,
}

/// `request`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RequestSpec {
    /// The method.
    pub(super) method: Method,
    /// Another start than the connector's `base`; its host must be among `hosts`.
    #[serde(default)]
    pub(super) base: Option<String>,
    /// The path, such as `/orders/{order}`.
    pub(super) path: String,
    /// The query. A parameter whose argument is left out is left out too.
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

/// `idempotency`: one of the two.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct IdempotencySpec {
    /// The header that carries the key.
    #[serde(default)]
    pub(super) header: Option<String>,
    /// How the header carries it.
    #[serde(default)]
    pub(super) form: KeyForm,
    /// What else makes a repeat harmless.
    #[serde(default)]
    pub(super) by: Option<By>,
}

/// How a header carries the key of a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum KeyForm {
    /// As the audit log names the step: `step_` and 32 digits; `undo.` before it for an undo.
    #[default]
    Step,
    /// As a UUID of 36 bytes, made of that: for services that take nothing else, or nothing longer.
    Uuid,
}

/// What makes a repeat harmless where no header does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum By {
    /// The request carries the key itself, as `{step}`.
    Request,
    /// PUT and DELETE: twice is as good as once.
    Method,
}

/// `check`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckSpec {
    /// The path of a GET; `{step}` is the key of the write.
    pub(super) path: String,
    /// Its query.
    #[serde(default)]
    pub(super) query: BTreeMap<String, Value>,
    /// A JSON pointer to something that is only there if the write was done. Absent: any answer of success says so.
    #[serde(default)]
    pub(super) found: Option<String>,
    /// A JSON pointer to what the write would have returned.
    #[serde(default)]
    pub(super) take: Option<String>,
}

/// `undo`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UndoSpec {
    /// The operation of this connector that takes it back.
    pub(super) operation: String,
    /// Its arguments, from this one's and from `{result.…}`.
    #[serde(default)]
    pub(super) with: BTreeMap<String, Value>,
}

/// `retry`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RetrySpec {
    /// The statuses after which it is sent again. A request that got no answer is sent again as well.
    #[serde(default)]
    pub(super) on: Vec<u16>,
    /// How often it is sent in all.
    #[schemars(range(min = 1, max = 5))]
    pub(super) attempts: u32,
}

/// `result`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ResultSpec {
    /// A JSON pointer to the part that counts.
    pub(super) take: Option<String>,
    /// The members to keep, of the object or of each object of the list. Absent: all.
    pub(super) keep: Vec<String>,
    /// The largest result.
    pub(super) max: Bytes,
    /// A JSON pointer to what must be `true`, for services that answer 200 to a failure.
    pub(super) ok: Option<String>,
    /// A JSON pointer to what an error answer says.
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
    /// How long a result stays good.
    #[serde(with = "crate::time::text")]
    #[schemars(with = "LengthText")]
    pub(super) ttl: Millis,
    /// Tags such as `order:{order}`.
    #[serde(default)]
    pub(super) tags: Vec<String>,
    /// Whose results may be reused.
    #[serde(default)]
    pub(super) sharing: Sharing,
}

/// `limit`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitSpec {
    /// How long one call may take, repeats included.
    #[serde(with = "crate::time::text")]
    #[schemars(with = "LengthText")]
    pub(super) timeout: Millis,
    /// How often one user may call it.
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
    /// Method and path with query that are sent.
    pub(super) sends: String,
    /// The JSON body that is sent.
    #[serde(default)]
    pub(super) body: Option<Value>,
    /// What the service answers.
    pub(super) gets: GetsSpec,
    /// What the model then gets.
    #[serde(default)]
    pub(super) result: Option<Value>,
    /// Or a part of the reason why it failed.
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
