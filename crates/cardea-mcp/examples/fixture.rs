//! The server that the MCP conformance suite asks for, written on cardea-mcp:
//! `cargo run -p cardea-mcp --example fixture -- 127.0.0.1:18300`, and add `sessions` for the 2025-11-25 run.
#![expect(
    deprecated,
    reason = "the suite still tests sampling, logging and subscriptions of the older revisions"
)]

use std::{io::Write as _, time::Duration};

use cardea_mcp::{Code, Context, Error, Raw, Result, Server, Stop, Tool, rmcp};
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CompleteRequestParams, CompleteResult, GetPromptRequestParams, GetPromptResponse, JsonObject,
        ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult, LoggingMessageNotificationParam,
        PaginatedRequestParams, ReadResourceRequestParams, ReadResourceResponse, ServerCapabilities,
        ServerConfig, SetLevelRequestParams, SubscribeRequestParams, SubscriptionFilter,
        UnsubscribeRequestParams,
    },
    service::RequestContext,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// One red pixel.
const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";
/// No sound at all.
const WAV: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=";

fn of<T: DeserializeOwned>(value: Value) -> Result<T> {
    serde_json::from_value(value).map_err(|why| Error::new(Code::Internal).because(why).into())
}

fn content(blocks: Value) -> Result<Raw> {
    Ok(Raw(of(json!({ "content": blocks }))?))
}

fn text(text: impl Into<String>) -> Result<Raw> {
    content(json!([{ "type": "text", "text": text.into() }]))
}

fn asks(requests: Value, state: Option<&str>) -> Result<Raw> {
    let mut asked = json!({ "resultType": "input_required", "inputRequests": requests });
    if let (Some(state), Some(asked)) = (state, asked.as_object_mut()) {
        asked.insert("requestState".to_owned(), json!(state));
    }
    Err(Stop::Input(Box::new(of(asked)?)))
}

fn question(message: &str, field: &str, kind: &str) -> Value {
    json!({ "method": "elicitation/create", "params": {
        "mode": "form", "message": message,
        "requestedSchema": { "type": "object", "properties": { field: { "type": kind } }, "required": [field] },
    }})
}

fn sampling(prompt: &str, most: u32) -> Value {
    json!({ "method": "sampling/createMessage", "params": {
        "messages": [{ "role": "user", "content": { "type": "text", "text": prompt } }], "maxTokens": most,
    }})
}

fn roots() -> Value {
    json!({ "method": "roots/list", "params": {} })
}

/// The part of an answer that a person or model gave, if it came with the call.
fn answered(context: &Context, key: &str, pointer: &str) -> Option<Value> {
    context.input_responses().0?.get(key)?.pointer(pointer).cloned()
}

fn can(context: &Context, what: &str) -> bool {
    let capabilities = context.rmcp().and_then(|request| request.client_capabilities());
    capabilities
        .and_then(|known| serde_json::to_value(known).ok())
        .is_some_and(|known| known.get(what).is_some())
}

async fn elicited(context: Context, schema: Value, message: String) -> Result<Value> {
    let request = context.rmcp().ok_or(Code::BadRequest)?;
    let params = of(json!({ "mode": "form", "message": message, "requestedSchema": schema }))?;
    let answer = request.peer.create_elicitation(params).await;
    let answer =
        answer.map_err(|why| Error::new(Code::BadRequest).detail("The client cannot ask.").because(why))?;
    serde_json::to_value(answer).map_err(|why| Error::new(Code::Internal).because(why).into())
}

fn told(answer: &Value, what: &str) -> Result<Raw> {
    let (action, content) = (answer.get("action"), answer.get("content"));
    text(format!(
        "{what}action={}, content={}",
        action.unwrap_or(&Value::Null),
        content.unwrap_or(&Value::Null)
    ))
}

async fn progress(context: Context) -> Result<Raw> {
    for done in [0.0, 50.0, 100.0] {
        context.progress(done, Some(100.0), None).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    text("done")
}

async fn logging(context: Context) -> Result<Raw> {
    let request = context.rmcp().ok_or(Code::BadRequest)?;
    for line in ["Tool execution started", "Tool processing data", "Tool execution completed"] {
        let note: LoggingMessageNotificationParam = of(json!({ "level": "info", "data": line }))?;
        request
            .peer
            .notify_logging_message(note)
            .await
            .map_err(|why| Error::new(Code::Internal).because(why))?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    text("logged")
}

fn plain() -> Vec<Tool> {
    let embedded = |uri: &str, kind: &str, text: &str| json!({ "type": "resource", "resource": { "uri": uri, "mimeType": kind, "text": text } });
    let image = json!({ "type": "image", "data": PNG, "mimeType": "image/png" });
    let mixed = json!([
        { "type": "text", "text": "Multiple content types test:" }, image,
        embedded("test://mixed-content-resource", "application/json", r#"{"test":"data","value":123}"#),
    ]);
    let blocks = [
        (
            "test_simple_text",
            json!([{ "type": "text", "text": "This is a simple text response for testing." }]),
        ),
        ("test_image_content", json!([image])),
        ("test_audio_content", json!([{ "type": "audio", "data": WAV, "mimeType": "audio/wav" }])),
        (
            "test_embedded_resource",
            json!([embedded(
                "test://embedded-resource",
                "text/plain",
                "This is an embedded resource content."
            )]),
        ),
        ("test_multiple_content_types", mixed),
    ];
    let blocks = blocks
        .map(|(name, blocks)| Tool::new(name, move || std::future::ready(content(blocks.clone()))).reads());
    let mut tools = Vec::from(blocks);
    tools.push(Tool::new("test_error_handling", || async {
        let text = "This tool intentionally returns an error for testing";
        Ok::<_, Stop>(Raw(of(json!({ "isError": true, "content": [{ "type": "text", "text": text }] }))?))
    }));
    tools.push(Tool::new("test_tool_with_progress", progress));
    tools.push(Tool::new("test_tool_with_logging", logging));
    tools.push(Tool::new("test_logging_tool", |context: Context| async move {
        match context.rmcp().and_then(|request| request.meta.log_level()) {
            Some(_) => logging(context).await,
            None => text("nothing was logged"),
        }
    }));
    tools.push(Tool::new("test_streaming_elicitation", |context: Context| async move {
        context.progress(0.0, None, None).await;
        state(context).await
    }));
    tools.push(Tool::new("test_missing_capability", |context: Context| async move {
        if can(&context, "sampling") {
            return text("the client can sample");
        }
        let wanted = of(json!({ "sampling": {} }))?;
        Err(Stop::Protocol(Box::new(ErrorData::missing_required_client_capability(wanted))))
    }));
    tools
}

fn schema(value: Value) -> JsonObject {
    value.as_object().cloned().unwrap_or_default()
}

fn older() -> Vec<Tool> {
    let defaults = json!({ "type": "object", "properties": {
        "name": { "type": "string", "default": "John Doe" }, "age": { "type": "integer", "default": 30 },
        "score": { "type": "number", "default": 95.5 }, "verified": { "type": "boolean", "default": true },
        "status": { "type": "string", "enum": ["active", "inactive", "pending"], "default": "active" },
    }});
    let titled = |word: &str| json!([{ "const": "value1", "title": format!("First {word}") }, { "const": "value2", "title": format!("Second {word}") }, { "const": "value3", "title": format!("Third {word}") }]);
    let enums = json!({ "type": "object", "properties": {
        "untitledSingle": { "type": "string", "enum": ["option1", "option2", "option3"] },
        "titledSingle": { "type": "string", "oneOf": titled("Option") },
        "legacyEnum": { "type": "string", "enum": ["opt1", "opt2", "opt3"], "enumNames": ["Option One", "Option Two", "Option Three"] },
        "untitledMulti": { "type": "array", "items": { "type": "string", "enum": ["option1", "option2", "option3"] } },
        "titledMulti": { "type": "array", "items": { "anyOf": titled("Choice") } },
    }});
    let user = json!({ "type": "object", "required": ["username", "email"], "properties": {
        "username": { "type": "string", "description": "User's response" }, "email": { "type": "string", "description": "User's email address" },
    }});
    let one = |name: &str| {
        schema(
            json!({ "type": "object", "properties": { name: { "type": "string", "description": "A text." } }, "required": [name] }),
        )
    };
    let form = |form: Value| {
        move |context: Context| {
            let form = form.clone();
            async move {
                told(
                    &elicited(context, form, "Please fill this in".to_owned()).await?,
                    "Elicitation completed: ",
                )
            }
        }
    };
    vec![
        Tool::new("test_elicitation_sep1034_defaults", form(defaults)),
        Tool::new("test_elicitation_sep1330_enums", form(enums)),
        Tool::new("test_elicitation", form(user)).input(one("message")),
        Tool::new("test_sampling", |context: Context| async move {
            let request = context.rmcp().ok_or(Code::BadRequest)?;
            let params = sampling("Hello", 100).get("params").cloned().unwrap_or_default();
            let answer = request
                .peer
                .create_message(of(params)?)
                .await
                .map_err(|why| Error::new(Code::BadRequest).because(why))?;
            text(format!("LLM response: {}", serde_json::to_value(answer).unwrap_or_default()))
        })
        .input(one("prompt")),
    ]
}

fn rounds() -> Vec<Tool> {
    let name = || question("What is your name?", "name", "string");
    vec![
        Tool::new("test_input_required_result_elicitation", move |context: Context| async move {
            match answered(&context, "user_name", "/content/name") {
                Some(Value::String(name)) => text(format!("Hello, {name}!")),
                _ => asks(json!({ "user_name": question("What is your name?", "name", "string") }), None),
            }
        }),
        Tool::new("test_input_required_result_sampling", |context: Context| async move {
            match answered(&context, "capital_question", "/content/text") {
                Some(said) => text(said.as_str().unwrap_or_default()),
                None => {
                    asks(json!({ "capital_question": sampling("What is the capital of France?", 100) }), None)
                }
            }
        }),
        Tool::new("test_input_required_result_list_roots", |context: Context| async move {
            match answered(&context, "client_roots", "/roots") {
                Some(roots) => text(format!("Roots: {roots}")),
                None => asks(json!({ "client_roots": roots() }), None),
            }
        }),
        Tool::new("test_input_required_result_request_state", state),
        Tool::new("test_input_required_result_tampered_state", state),
        Tool::new("test_input_required_result_multiple_inputs", move |context: Context| async move {
            let keys = ["user_name", "greeting", "client_roots"];
            if keys.iter().all(|key| answered(&context, key, "").is_some()) {
                return text("all answered");
            }
            asks(
                json!({ "user_name": name(), "greeting": sampling("Generate a greeting", 50), "client_roots": roots() }),
                Some("several"),
            )
        }),
        Tool::new("test_input_required_result_multi_round", |context: Context| async move {
            match (
                context.input_responses().1,
                answered(&context, "step1", ""),
                answered(&context, "step2", ""),
            ) {
                (Some("round-2"), _, Some(_)) => text("done after two questions"),
                (Some("round-1"), Some(_), _) => asks(
                    json!({ "step2": question("Step 2: What is your favorite color?", "color", "string") }),
                    Some("round-2"),
                ),
                _ => asks(
                    json!({ "step1": question("Step 1: What is your name?", "name", "string") }),
                    Some("round-1"),
                ),
            }
        }),
        Tool::new("test_input_required_result_capabilities", |context: Context| async move {
            let mut wanted = schema(json!({}));
            for (can_do, key, request) in [
                (can(&context, "elicitation"), "user_name", question("What is your name?", "name", "string")),
                (can(&context, "sampling"), "greeting", sampling("Generate a greeting", 50)),
                (can(&context, "roots"), "client_roots", roots()),
            ] {
                if can_do {
                    wanted.insert(key.to_owned(), request);
                }
            }
            if wanted.is_empty() || wanted.keys().any(|key| answered(&context, key, "").is_some()) {
                return text("done");
            }
            asks(Value::Object(wanted), None)
        }),
    ]
}

async fn state(context: Context) -> Result<Raw> {
    #[derive(serde::Deserialize, cardea_mcp::schemars::JsonSchema)]
    #[expect(dead_code, reason = "only that it was answered counts")]
    struct Ok {
        ok: bool,
    }
    context.ask::<Ok>("confirm", "Please confirm").await?;
    text("state-ok")
}

/// What stands beside the tools.
struct Others;

fn rpc<T: DeserializeOwned>(value: Value) -> std::result::Result<T, ErrorData> {
    serde_json::from_value(value).map_err(|why| ErrorData::internal_error(why.to_string(), None))
}

impl ServerHandler for Others {
    fn get_info(&self) -> ServerConfig {
        let known =
            ServerCapabilities::builder().enable_prompts().enable_resources().enable_resources_subscribe();
        ServerConfig::new(known.enable_completions().enable_logging().build())
    }

    fn accepted_subscription_filter(&self, wanted: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(wanted.clone())
    }

    async fn complete(
        &self,
        _: CompleteRequestParams,
        _: RequestContext<RoleServer>,
    ) -> std::result::Result<CompleteResult, ErrorData> {
        rpc(
            json!({ "resultType": "complete", "completion": { "values": ["paris", "park", "party"], "total": 3, "hasMore": false } }),
        )
    }

    async fn set_level(
        &self,
        _: SetLevelRequestParams,
        _: RequestContext<RoleServer>,
    ) -> std::result::Result<(), ErrorData> {
        Ok(())
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> std::result::Result<ListPromptsResult, ErrorData> {
        let argument = |name: &str| json!({ "name": name, "description": "An argument.", "required": true });
        let prompt = |name: &str, arguments: Value| json!({ "name": name, "description": "A prompt of the fixture.", "arguments": arguments });
        rpc(json!({ "resultType": "complete", "prompts": [
            prompt("test_simple_prompt", json!([])),
            prompt("test_prompt_with_arguments", json!([argument("arg1"), argument("arg2")])),
            prompt("test_prompt_with_embedded_resource", json!([argument("resourceUri")])),
            prompt("test_prompt_with_image", json!([])),
            prompt("test_input_required_result_prompt", json!([])),
        ]}))
    }

    async fn get_prompt(
        &self,
        params: GetPromptRequestParams,
        _: RequestContext<RoleServer>,
    ) -> std::result::Result<GetPromptResponse, ErrorData> {
        let given = |name: &str| {
            params.arguments.as_ref().and_then(|all| all.get(name)?.as_str()).unwrap_or_default().to_owned()
        };
        let user = |content: Value| json!({ "role": "user", "content": content });
        let says = |text: String| user(json!({ "type": "text", "text": text }));
        let messages = match params.name.as_str() {
            "test_simple_prompt" => json!([says("This is a simple prompt for testing.".to_owned())]),
            "test_prompt_with_arguments" => {
                json!([says(format!(
                    "Prompt with arguments: arg1='{}', arg2='{}'",
                    given("arg1"),
                    given("arg2")
                ))])
            }
            "test_prompt_with_embedded_resource" => {
                let resource = json!({ "uri": given("resourceUri"), "mimeType": "text/plain", "text": "Embedded resource content for testing." });
                json!([
                    user(json!({ "type": "resource", "resource": resource })),
                    says("Please process the embedded resource above.".to_owned())
                ])
            }
            "test_prompt_with_image" => {
                json!([
                    user(json!({ "type": "image", "data": PNG, "mimeType": "image/png" })),
                    says("Please analyze the image above.".to_owned())
                ])
            }
            "test_input_required_result_prompt" => {
                match params.input_responses.as_ref().and_then(|all| all.get("user_context")) {
                    Some(answer) => json!([says(format!("Context: {answer}"))]),
                    None => {
                        let asked = json!({ "user_context": question("What context should the prompt use?", "context", "string") });
                        let asked: rmcp::model::InputRequiredResult =
                            rpc(json!({ "resultType": "input_required", "inputRequests": asked }))?;
                        return Ok(asked.into());
                    }
                }
            }
            _ => return Err(ErrorData::invalid_params("There is no such prompt.", None)),
        };
        let result: rmcp::model::GetPromptResult =
            rpc(json!({ "resultType": "complete", "messages": messages }))?;
        Ok(result.into())
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> std::result::Result<ListResourcesResult, ErrorData> {
        let one = |uri: &str, kind: &str| json!({ "uri": uri, "name": uri, "description": "A resource of the fixture.", "mimeType": kind });
        rpc(
            json!({ "resultType": "complete", "resources": [one("test://static-text", "text/plain"), one("test://static-binary", "image/png"), one("test://watched-resource", "text/plain")] }),
        )
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> std::result::Result<ListResourceTemplatesResult, ErrorData> {
        rpc(
            json!({ "resultType": "complete", "resourceTemplates": [{ "uriTemplate": "test://template/{id}/data", "name": "template", "description": "A template of the fixture.", "mimeType": "application/json" }] }),
        )
    }

    async fn read_resource(
        &self,
        params: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> std::result::Result<ReadResourceResponse, ErrorData> {
        let uri = params.uri.as_str();
        let id = uri.strip_prefix("test://template/").and_then(|rest| rest.strip_suffix("/data"));
        let content = match (uri, id) {
            ("test://static-text", _) => {
                json!({ "uri": uri, "mimeType": "text/plain", "text": "This is the content of the static text resource." })
            }
            ("test://static-binary", _) => json!({ "uri": uri, "mimeType": "image/png", "blob": PNG }),
            ("test://watched-resource", _) => {
                json!({ "uri": uri, "mimeType": "text/plain", "text": "Watched." })
            }
            (_, Some(id)) => {
                let text = json!({ "id": id, "templateTest": true, "data": format!("Data for ID: {id}") })
                    .to_string();
                json!({ "uri": uri, "mimeType": "application/json", "text": text })
            }
            _ => {
                return Err(ErrorData::resource_not_found("Resource not found", Some(json!({ "uri": uri }))));
            }
        };
        let result: rmcp::model::ReadResourceResult =
            rpc(json!({ "resultType": "complete", "contents": [content] }))?;
        Ok(result.into())
    }

    async fn subscribe(
        &self,
        _: SubscribeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> std::result::Result<(), ErrorData> {
        Ok(())
    }

    async fn unsubscribe(
        &self,
        _: UnsubscribeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> std::result::Result<(), ErrorData> {
        Ok(())
    }
}

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:18300".to_owned());
    let header = schema(
        json!({ "type": "object", "properties": { "region": { "type": "string", "x-mcp-header": "Region" } }, "required": ["region"] }),
    );
    let full = schema(json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
        "$defs": { "address": { "$anchor": "addressDef", "type": "object", "properties": { "street": { "type": "string" }, "city": { "type": "string" } } } },
        "properties": { "name": { "type": "string" }, "address": { "$ref": "#/$defs/address" }, "contactMethod": { "type": "string", "enum": ["phone", "email"] }, "phone": { "type": "string" }, "email": { "type": "string" } },
        "allOf": [{ "anyOf": [{ "required": ["phone"] }, { "required": ["email"] }] }],
        "if": { "properties": { "contactMethod": { "const": "phone" } }, "required": ["contactMethod"] },
        "then": { "required": ["phone"] }, "else": { "required": ["email"] },
        "additionalProperties": false,
    }));
    let mut server = Server::new("cardea-mcp-fixture", "1.0.0").beside(Others);
    for tool in plain().into_iter().chain(older()).chain(rounds()) {
        server = server.tool(tool.about("A tool of the conformance fixture."));
    }
    server = server
        .tool(Tool::new("test_x_mcp_header", || async { text("ok") }).about("Takes a header.").input(header))
        .tool(
            Tool::new("json_schema_2020_12_tool", || async { text("ok") })
                .about("Has a rich schema.")
                .input(full),
        );
    if arguments.next().as_deref() == Some("sessions") {
        server = server.legacy_sessions();
    }
    let listener = tokio::net::TcpListener::bind(address).await?;
    // Whoever started it waits for this line.
    writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
    Ok(server.build()?.serve(listener, std::future::pending()).await?)
}
