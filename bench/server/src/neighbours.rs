//! The model that answers at once, and the tool server.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use axum::{
    Router,
    body::Body,
    http::header,
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;
use cardea_mcp::{Args, Server, Tool, schemars::JsonSchema};
use futures::stream;
use serde::Deserialize;
use tokio::net::TcpListener;

use crate::Result;

/// What the instant model says.
pub(crate) const ANSWER: &str = "The order has left the house and will be with you on Tuesday.";

/// How long the dripping model waits before each piece.
pub(crate) const DRIP: Duration = Duration::from_millis(5);

fn piece(text: &str) -> String {
    format!("data: {}\n\n", serde_json::json!({ "choices": [{ "index": 0, "delta": { "content": text } }] }))
}

const END: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
                   data: {\"choices\":[],\"usage\":{\"prompt_tokens\":21,\"completion_tokens\":14}}\n\n\
                   data: [DONE]\n\n";

fn events(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
}

/// An OpenAI-compatible model that has its whole answer ready.
pub(crate) async fn instant_model() -> Result<SocketAddr> {
    let whole = Bytes::from(format!("{}{END}", piece(ANSWER)));
    let answer = move || {
        let whole = whole.clone();
        async move { events(Body::from(whole)) }
    };
    serve(Router::new().route("/v1/chat/completions", post(answer))).await
}

/// The same, a word every [`DRIP`].
pub(crate) async fn dripping_model() -> Result<SocketAddr> {
    let answer = || async {
        let words = ANSWER.split_inclusive(' ').cycle().take(60).map(piece);
        let pieces: Vec<String> = words.chain([END.to_owned()]).collect();
        let slow = stream::unfold(pieces.into_iter(), |mut rest| async move {
            let next = rest.next()?;
            tokio::time::sleep(DRIP).await;
            Some((Ok::<_, Infallible>(Bytes::from(next)), rest))
        });
        events(Body::from_stream(slow))
    };
    serve(Router::new().route("/v1/chat/completions", post(answer))).await
}

/// Serves these routes on a free port.
pub(crate) async fn serve(routes: Router) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        let serving = axum::serve(
            axum::serve::ListenerExt::tap_io(listener, |socket| drop(socket.set_nodelay(true))),
            routes,
        );
        drop(serving.await);
    });
    Ok(address)
}

/// Look an order up.
#[derive(Deserialize, JsonSchema)]
struct Order {
    /// The order's number.
    order_id: u32,
}

async fn order(Args(wanted): Args<Order>) -> cardea_mcp::Result<String> {
    Ok(format!("order {} has been shipped", wanted.order_id))
}

/// A tool server with one tool, which knows the answer.
pub(crate) async fn tool_server() -> Result<SocketAddr> {
    let server = Server::new("desk", "1.0.0").tool(Tool::new("get_order", order).reads());
    let service = server.build()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { drop(service.serve(listener, std::future::pending()).await) });
    Ok(address)
}
