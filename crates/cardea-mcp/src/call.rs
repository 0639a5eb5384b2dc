//! A call on its way to the handler, as guards of arguments, layers and handlers see it.

use std::sync::Arc;

use futures::future::BoxFuture;
use rmcp::model::CallToolResult;
use serde_json::Value;

use crate::{Context, Stop, extras::Extras, facts::Facts};

/// Result of a call.
pub type Reply = Result<CallToolResult, Stop>;

/// The work of a call.
pub(crate) type Work = dyn Fn(Call) -> BoxFuture<'static, Reply> + Send + Sync;

/// A call on its way to the handler.
#[derive(Clone)]
pub struct Call {
    pub(crate) facts: Arc<Facts>,
    pub(crate) arguments: Arc<Value>,
    pub(crate) context: Context,
    pub(crate) state: Arc<Extras>,
}

impl Call {
    /// Returns the full name of the tool.
    #[must_use]
    pub fn tool(&self) -> &str {
        self.context.tool()
    }

    /// Returns the tool's declarations: its effect, and how its results may be used.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Returns the validated arguments.
    #[must_use]
    pub fn arguments(&self) -> &Value {
        &self.arguments
    }

    /// Returns the context of the call.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    pub(crate) fn state(&self) -> &Extras {
        &self.state
    }
}
