//! What a server offers beside its tools: an rmcp handler of the author for prompts, resources, completions and
//! subscriptions.

use std::sync::Arc;

use futures::future::BoxFuture;
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{ClientRequest, ServerCapabilities, ServerResult, SubscriptionFilter},
    service::{DynService, RequestContext, SubscriptionContext},
};

type Filter = dyn Fn(&SubscriptionFilter) -> Option<SubscriptionFilter> + Send + Sync;
type Listen = dyn Fn(SubscriptionContext) -> BoxFuture<'static, Result<(), ErrorData>> + Send + Sync;

/// An rmcp handler for what is offered beside the tools: prompts, resources, completions, subscriptions.
pub(crate) struct Beside {
    service: Arc<dyn DynService<RoleServer>>,
    filter: Arc<Filter>,
    listen: Arc<Listen>,
}

impl Beside {
    pub(crate) fn new<H: ServerHandler>(handler: H) -> Self {
        let handler = Arc::new(handler);
        let (filter, listen) = (handler.clone(), handler.clone());
        Self {
            service: handler,
            filter: Arc::new(move |wanted| filter.accepted_subscription_filter(wanted)),
            listen: Arc::new(move |subscription| {
                let handler = listen.clone();
                Box::pin(async move { handler.listen(subscription).await })
            }),
        }
    }

    pub(crate) fn capabilities(&self) -> ServerCapabilities {
        self.service.get_info().capabilities
    }

    pub(crate) async fn handle(
        &self,
        request: ClientRequest,
        context: RequestContext<RoleServer>,
    ) -> Result<ServerResult, ErrorData> {
        self.service.handle_request(request, context).await
    }

    pub(crate) fn accepts(&self, wanted: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        (self.filter)(wanted)
    }

    pub(crate) async fn listen(&self, subscription: SubscriptionContext) -> Result<(), ErrorData> {
        (self.listen)(subscription).await
    }
}
