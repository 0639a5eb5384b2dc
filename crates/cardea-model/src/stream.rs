//! An answer in progress, and the model that gives it.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use cardea_core::{Result, message::ModelEvent};
use futures::{Stream, StreamExt, stream::BoxStream};

/// The model that answers: after a fallback it differs from the requested one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// The name in Cardea's configuration.
    pub name: String,
    /// The provider in Cardea's configuration.
    pub provider: String,
    /// Name of the model at its provider, by which prices are found.
    pub model: String,
    /// Limit of tokens that it was given.
    pub limit: Option<u32>,
}

/// The events of one answer. See [`crate::Model`] for their contract.
pub struct ModelStream {
    served: Served,
    events: BoxStream<'static, Result<ModelEvent>>,
}

impl ModelStream {
    /// Creates a stream of these events.
    pub fn new(served: Served, events: impl Stream<Item = Result<ModelEvent>> + Send + 'static) -> Self {
        Self { served, events: events.boxed() }
    }

    /// Sets the name in the configuration under which it is served, and the limit that the model was given.
    pub(crate) fn named(mut self, name: &str, limit: Option<u32>) -> Self {
        name.clone_into(&mut self.served.name);
        self.served.limit = limit;
        self
    }

    /// Returns the model that answers.
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
