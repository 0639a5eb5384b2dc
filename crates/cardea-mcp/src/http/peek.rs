//! What can be known of a request before rmcp reads it.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// The outside of a JSON-RPC request. Nothing in it is checked; whatever is odd is left to rmcp.
#[derive(Deserialize)]
pub(super) struct Peek<'a> {
    #[serde(borrow)]
    pub(super) method: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

/// The tool and the arguments that a call names.
#[derive(Deserialize)]
pub(super) struct Called<'a> {
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) arguments: Option<&'a RawValue>,
}

impl<'a> Peek<'a> {
    pub(super) fn at(body: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// `None` if it calls no tool.
    pub(super) fn called(&self) -> Option<Called<'a>> {
        if self.method != "tools/call" {
            return None;
        }
        serde_json::from_str(self.params?.get()).ok()
    }

    /// True if it asks for a session.
    pub(super) fn begins(&self) -> bool {
        self.method == "initialize"
    }

    pub(super) fn lists(&self) -> bool {
        self.method == "tools/list"
    }
}
