//! One call on its way to the handler, as guards of arguments, layers and handlers see it.

use std::sync::Arc;

use futures::future::BoxFuture;
use rmcp::model::CallToolResult;
use serde_json::Value;

use crate::{Context, Stop, extras::Extras, facts::Facts};

/// How a call ended.
pub type Reply = Result<CallToolResult, Stop>;

/// What does the work of a call in the end.
pub(crate) type Work = dyn Fn(Call) -> BoxFuture<'static, Reply> + Send + Sync;

/// One call on its way to the handler.
#[derive(Clone)]
pub struct Call {
    pub(crate) facts: Arc<Facts>,
    pub(crate) arguments: Arc<Value>,
    pub(crate) context: Context,
    pub(crate) state: Arc<Extras>,
}

impl Call {
    /// The tool's full name.
    #[must_use]
    pub fn tool(&self) -> &str {
        self.context.tool()
    }

    /// What the tool says about itself: its effect, and how its results may be used.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The arguments, already checked.
    #[must_use]
    pub fn arguments(&self) -> &Value {
        &self.arguments
    }

    /// Who calls, and under what conditions.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    pub(crate) fn state(&self) -> &Extras {
        &self.state
    }
}
