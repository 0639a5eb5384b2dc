//! The protocol side: rmcp asks, the pipeline answers.
#![expect(deprecated, reason = "clients before 2026-07-28 still set levels and subscribe")]

use std::{borrow::Cow, sync::Arc, time::Instant};

use cardea_core::{Code, id::RequestId, time::Millis, trace::TraceContext};
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CacheScope, CallToolRequestParams, CallToolResponse, ClientRequest, CompleteRequest,
        CompleteRequestParams, CompleteResult, GetPromptRequest, GetPromptRequestParams, GetPromptResponse,
        Implementation, ListPromptsRequest, ListPromptsResult, ListResourceTemplatesRequest,
        ListResourceTemplatesResult, ListResourcesRequest, ListResourcesResult, ListToolsResult,
        PaginatedRequestParams, ReadResourceRequest, ReadResourceRequestParams, ReadResourceResponse,
        ResultType, ServerConfig, ServerResult, SetLevelRequest, SetLevelRequestMethod,
        SetLevelRequestParams, SubscribeRequest, SubscribeRequestMethod, SubscribeRequestParams,
        SubscriptionFilter, Tool as WireTool, UnsubscribeRequest, UnsubscribeRequestMethod,
        UnsubscribeRequestParams,
    },
    service::{RequestContext, SubscriptionContext},
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{
    Context, Stop,
    app::{App, Rights},
    beside::Beside,
    context,
    identity::Identity,
    layer::Seat,
    pipeline,
    stop::error_result,
};

/// One connection's view of the server.
#[derive(Clone)]
pub(crate) struct Rpc {
    pub(crate) app: Arc<App>,
    /// The caller that the operator vouches for, if requests carry no credentials (stdio).
    pub(crate) vouched: Option<Identity>,
}

/// Returns the trace context that a caller sent, if it is valid (W3C Trace Context, 3.2). WHY: it is part of each line
/// of the audit log, and a later version may be of any length.
fn traceparent(text: &str) -> Option<String> {
    const LETTERS: usize = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".len();
    TraceContext::parse(text).and_then(|_| text.get(..LETTERS)).map(str::to_owned)
}

impl Rpc {
    fn identity(&self, request: &RequestContext<RoleServer>) -> Identity {
        let carried =
            request.extensions.get::<http::request::Parts>().and_then(|parts| parts.extensions.get());
        carried.cloned().or_else(|| self.vouched.clone()).unwrap_or_default()
    }

    fn context(
        &self,
        request: RequestContext<RoleServer>,
        call: Option<(&CallToolRequestParams, Arc<Value>)>,
    ) -> Context {
        let identity = self.identity(&request);
        let name = call.as_ref().map(|(call, _)| call.name.as_ref()).unwrap_or_default();
        let limit = self.app.routes.get(name).and_then(|route| route.tool.timeout);
        let limit = [limit, self.app.layers.timeout].into_iter().flatten().min();
        let header = |parts: &http::request::Parts| {
            parts.headers.get("traceparent").and_then(|value| traceparent(value.to_str().ok()?))
        };
        let trace = request.meta.get("traceparent").and_then(Value::as_str).and_then(traceparent);
        let trace = trace.or_else(|| request.extensions.get::<http::request::Parts>().and_then(header));
        let cancel = request.ct.clone();
        let wire = call.map(|(call, arguments)| context::Wire {
            request,
            responses: call.input_responses.clone().unwrap_or_default(),
            state: call.request_state.clone(),
            codec: self.app.codec.clone(),
            arguments,
        });
        Context(Arc::new(context::Inner {
            who: identity.who,
            address: identity.address,
            request: identity.request.unwrap_or_else(RequestId::random),
            tool: name.to_owned(),
            trace,
            deadline: limit.map(Millis::duration).and_then(|limit| Instant::now().checked_add(limit)),
            cancel,
            extras: identity.extras,
            sessions: self.app.sessions.clone(),
            wire,
            seat: Seat::default(),
        }))
    }

    /// Creates a context for a call that is refused before rmcp sees it.
    pub(crate) fn bare_context(&self, identity: &Identity, tool: &str) -> Context {
        let identity = identity.clone();
        Context(Arc::new(context::Inner {
            who: identity.who,
            address: identity.address,
            request: identity.request.unwrap_or_else(RequestId::random),
            tool: tool.to_owned(),
            trace: None,
            deadline: None,
            cancel: CancellationToken::new(),
            extras: identity.extras,
            sessions: self.app.sessions.clone(),
            wire: None,
            seat: Seat::default(),
        }))
    }

    async fn beside(
        &self,
        request: ClientRequest,
        context: RequestContext<RoleServer>,
    ) -> Option<Result<ServerResult, ErrorData>> {
        let beside = self.app.beside.as_ref()?;
        let method = request.method().to_owned();
        let params =
            serde_json::to_value(&request).ok().and_then(|mut whole| Some(whole.get_mut("params")?.take()));
        let asks = self.bare_context(&self.identity(&context), &method);
        let work = beside.handle(request, context);
        let answer = pipeline::beside(&self.app, &asks, &method, &params.unwrap_or_default(), work).await;
        Some(answer.map_err(Stop::on_the_wire))
    }
}

fn odd() -> ErrorData {
    ErrorData::internal_error("the handler answered another question", None)
}

impl ServerHandler for Rpc {
    fn get_info(&self) -> ServerConfig {
        let mut capabilities = self.app.beside.as_ref().map(Beside::capabilities).unwrap_or_default();
        capabilities.tools.get_or_insert_default();
        let mut info = ServerConfig::new(capabilities)
            .with_server_info(Implementation::new(self.app.name.clone(), self.app.version.clone()));
        info.instructions.clone_from(&self.app.instructions);
        info
    }

    async fn list_tools(
        &self,
        _page: Option<PaginatedRequestParams>,
        request: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let parts = request.extensions.get::<http::request::Parts>();
        let rights = match parts.and_then(|parts| parts.extensions.get::<Rights>()) {
            Some(rights) => rights.clone(),
            None => self.app.rights(&self.context(request, None)).await,
        };
        let tools = self.app.listed(&rights);
        // WHY: the list depends on the caller's rights, so it must not be served to anyone else.
        Ok(ListToolsResult::with_all_items(tools).with_ttl_ms(0).with_cache_scope(CacheScope::Private))
    }

    fn get_tool(&self, name: &str) -> Option<WireTool> {
        self.app.routes.get(name).map(|route| route.outline.clone())
    }

    async fn call_tool(
        &self,
        mut params: CallToolRequestParams,
        request: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = Arc::new(Value::Object(params.arguments.take().unwrap_or_default()));
        let context = self.context(request, Some((&params, arguments.clone())));
        match pipeline::call(&self.app, context, &params.name, arguments).await {
            Ok(mut result) => {
                // WHY: results built by hand may lack it; rmcp removes it again for older clients.
                result.result_type.get_or_insert(ResultType::COMPLETE);
                Ok(result.into())
            }
            Err(Stop::Protocol(error)) => Err(*error),
            Err(Stop::Input(asked)) => Ok((*asked).into()),
            Err(Stop::Failed(error))
                if error.code() == Code::NotFound && !self.app.routes.contains_key(&*params.name) =>
            {
                Err(ErrorData::invalid_params("There is no such tool.", None))
            }
            Err(Stop::Failed(error)) if error.code() == Code::BadRequest => {
                Err(ErrorData::invalid_params(error.public(), None))
            }
            Err(Stop::Failed(error)) => Ok(error_result(&error).into()),
        }
    }

    async fn complete(
        &self,
        params: CompleteRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        match self.beside(ClientRequest::CompleteRequest(CompleteRequest::new(params)), context).await {
            Some(Ok(ServerResult::CompleteResult(result))) => Ok(result),
            Some(other) => Err(other.err().unwrap_or_else(odd)),
            None => Ok(CompleteResult::default()),
        }
    }

    async fn list_prompts(
        &self,
        page: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let request = ListPromptsRequest { params: page, ..Default::default() };
        match self.beside(ClientRequest::ListPromptsRequest(request), context).await {
            Some(Ok(ServerResult::ListPromptsResult(result))) => {
                Ok(result.with_cache_scope(CacheScope::Private))
            }
            Some(other) => Err(other.err().unwrap_or_else(odd)),
            None => Ok(ListPromptsResult::default().with_cache_scope(CacheScope::Private)),
        }
    }

    async fn get_prompt(
        &self,
        params: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        match self.beside(ClientRequest::GetPromptRequest(GetPromptRequest::new(params)), context).await {
            Some(Ok(ServerResult::GetPromptResult(result))) => Ok(result.into()),
            Some(Ok(ServerResult::InputRequiredResult(result))) => Ok(result.into()),
            Some(other) => Err(other.err().unwrap_or_else(odd)),
            None => Err(ErrorData::method_not_found::<rmcp::model::GetPromptRequestMethod>()),
        }
    }

    async fn list_resources(
        &self,
        page: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let request = ListResourcesRequest { params: page, ..Default::default() };
        match self.beside(ClientRequest::ListResourcesRequest(request), context).await {
            Some(Ok(ServerResult::ListResourcesResult(result))) => {
                Ok(result.with_cache_scope(CacheScope::Private))
            }
            Some(other) => Err(other.err().unwrap_or_else(odd)),
            None => Ok(ListResourcesResult::default().with_cache_scope(CacheScope::Private)),
        }
    }

    async fn list_resource_templates(
        &self,
        page: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let request = ListResourceTemplatesRequest { params: page, ..Default::default() };
        match self.beside(ClientRequest::ListResourceTemplatesRequest(request), context).await {
            Some(Ok(ServerResult::ListResourceTemplatesResult(result))) => {
                Ok(result.with_cache_scope(CacheScope::Private))
            }
            Some(other) => Err(other.err().unwrap_or_else(odd)),
            None => Ok(ListResourceTemplatesResult::default().with_cache_scope(CacheScope::Private)),
        }
    }

    async fn read_resource(
        &self,
        params: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        match self.beside(ClientRequest::ReadResourceRequest(ReadResourceRequest::new(params)), context).await
        {
            Some(Ok(ServerResult::ReadResourceResult(result))) => Ok(result.into()),
            Some(Ok(ServerResult::InputRequiredResult(result))) => Ok(result.into()),
            Some(other) => Err(other.err().unwrap_or_else(odd)),
            None => Err(ErrorData::method_not_found::<rmcp::model::ReadResourceRequestMethod>()),
        }
    }

    async fn set_level(
        &self,
        params: SetLevelRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let request = ClientRequest::SetLevelRequest(SetLevelRequest::new(params));
        match self.beside(request, context).await {
            Some(answer) => answer.map(drop),
            None => Err(ErrorData::method_not_found::<SetLevelRequestMethod>()),
        }
    }

    async fn subscribe(
        &self,
        params: SubscribeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let request = ClientRequest::SubscribeRequest(SubscribeRequest::new(params));
        match self.beside(request, context).await {
            Some(answer) => answer.map(drop),
            None => Err(ErrorData::method_not_found::<SubscribeRequestMethod>()),
        }
    }

    async fn unsubscribe(
        &self,
        params: UnsubscribeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let request = ClientRequest::UnsubscribeRequest(UnsubscribeRequest::new(params));
        match self.beside(request, context).await {
            Some(answer) => answer.map(drop),
            None => Err(ErrorData::method_not_found::<UnsubscribeRequestMethod>()),
        }
    }

    fn accepted_subscription_filter(&self, wanted: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        self.app.beside.as_ref().and_then(|beside| beside.accepts(wanted))
    }

    async fn listen(&self, subscription: SubscriptionContext) -> Result<(), ErrorData> {
        match &self.app.beside {
            Some(beside) => {
                let asks =
                    self.bare_context(&self.identity(subscription.request_context()), "subscriptions/listen");
                let wanted = serde_json::to_value(subscription.requested()).unwrap_or_default();
                let begun = std::future::ready(Ok(ServerResult::empty(())));
                let begun = pipeline::beside(&self.app, &asks, asks.tool(), &wanted, begun).await;
                begun.map_err(Stop::on_the_wire)?;
                beside.listen(subscription).await
            }
            None => Ok(()),
        }
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [rmcp::model::ProtocolVersion]> {
        Cow::Borrowed(rmcp::model::ProtocolVersion::KNOWN_VERSIONS)
    }
}
