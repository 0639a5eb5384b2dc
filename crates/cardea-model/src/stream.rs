//! An answer on its way, and who gives it.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use cardea_core::{Result, message::ModelEvent};
use futures::{Stream, StreamExt, stream::BoxStream};

/// Which model answers: after a fallback it is another than the one that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// The name in Cardea's configuration.
    pub name: String,
    /// The provider in Cardea's configuration.
    pub provider: String,
    /// The model as the provider calls it: prices go by this.
    pub model: String,
    /// The most tokens that it was told to write, if it was told.
    pub limit: Option<u32>,
}

/// The events of one answer. See [`crate::Model`] for what they promise.
pub struct ModelStream {
    served: Served,
    events: BoxStream<'static, Result<ModelEvent>>,
}

impl ModelStream {
    /// A stream of these events.
    pub fn new(served: Served, events: impl Stream<Item = Result<ModelEvent>> + Send + 'static) -> Self {
        Self { served, events: events.boxed() }
    }

    /// The same, served under this name of the configuration by a model that was told this limit.
    pub(crate) fn named(mut self, name: &str, limit: Option<u32>) -> Self {
        name.clone_into(&mut self.served.name);
        self.served.limit = limit;
        self
    }

    /// Who answers.
    #[must_use]
    pub const fn served(&self) -> &Served {
        &self.served
    }
}

impl Stream for ModelStream {
    type Item = Result<ModelEvent>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.poll_next_unpin(cx)
    }
}

impl fmt::Debug for ModelStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelStream").field("served", &self.served).finish_non_exhaustive()
    }
}
