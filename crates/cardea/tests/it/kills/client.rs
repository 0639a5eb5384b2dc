//! Somebody who goes on asking while the server dies and comes back. What is asked with a key is asked again with the
//! same key until there is an answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use cardea_testkit::{
    history::Acknowledged,
    kill::Dice,
    world::{Reply, User},
};
use rmcp::model::{CallToolRequestParams, CallToolResponse, RequestMetaObject};
use serde_json::{Value, json};
use tokio::sync::watch;

/// How long to wait for news of a server that did not answer, before asking again.
const SOON: Duration = Duration::from_millis(100);

/// What was seen from outside.
#[derive(Debug, Default)]
pub(super) struct Saw {
    /// Ends of turns.
    pub(super) acknowledged: Vec<Acknowledged>,
    /// Steps of refunds that were said to be done.
    pub(super) done: Vec<String>,
    /// Approvals that were said to be given.
    pub(super) approved: Vec<String>,
    /// Comments that were asked for once each, and whether they were said to be written.
    pub(super) comments: Vec<(String, bool)>,
    /// Conversations, with the name of their owner.
    pub(super) talks: Vec<(&'static str, String)>,
    /// Requests that were answered.
    pub(super) answered: u64,
    /// Requests whose answer never came.
    pub(super) lost: u64,
    /// Turns that ended with "nobody knows".
    pub(super) unknown: u64,
    /// Answers that nobody should get.
    pub(super) wrong: Vec<String>,
}

impl Saw {
    pub(super) fn and(mut self, other: Self) -> Self {
        self.acknowledged.extend(other.acknowledged);
        self.done.extend(other.done);
        self.approved.extend(other.approved);
        self.comments.extend(other.comments);
        self.talks.extend(other.talks);
        self.wrong.extend(other.wrong);
        self.answered += other.answered;
        self.lost += other.lost;
        self.unknown += other.unknown;
        self
    }
}

pub(super) struct Client {
    name: &'static str,
    user: User,
    supervisor: User,
    dice: Dice,
    up: watch::Receiver<u64>,
    asked: u64,
    saw: Saw,
}

impl Client {
    pub(super) fn new(
        name: &'static str,
        (user, supervisor): (User, User),
        dice: Dice,
        up: watch::Receiver<u64>,
    ) -> Self {
        Self { name, user, supervisor, dice, up, asked: 0, saw: Saw::default() }
    }

    pub(super) async fn go_on(mut self, stop: Arc<AtomicBool>) -> Saw {
        drop(self.up.wait_for(|starts| *starts > 0).await);
        while !stop.load(Ordering::SeqCst) {
            self.asked += 1;
            let order = 1 + self.dice.below(200);
            match self.dice.below(10) {
                0 | 1 => self.ask(&format!("What is the status of order {order}?")).await,
                2..=6 => {
                    let cents = 1 + self.dice.below(300);
                    self.ask(&format!(
                        "Please refund {}.{:02} euros for order {order}",
                        cents / 100,
                        cents % 100
                    ))
                    .await;
                }
                7 => self.ask(&format!("Please refund 101 euros for order {order}")).await,
                _ => self.comment().await,
            }
        }
        self.saw
    }

    /// Waits for the next start of the server, but not for long: it may be up already.
    async fn patience(&mut self) {
        drop(tokio::time::timeout(SOON, self.up.changed()).await);
    }

    /// Sends it until it is answered.
    async fn insist(&mut self, who: &User, method: &str, path: &str, (key, body): (&str, &str)) -> Reply {
        let headers: &[(&str, &str)] = if key.is_empty() { &[] } else { &[("idempotency-key", key)] };
        loop {
            match who.tries(method, path, headers, body).await {
                Ok(reply) if matches!(reply.at("/code"), "in_progress" | "draining" | "overloaded") => {
                    tokio::time::sleep(SOON).await; // as its `Retry-After` asks for, only sooner
                }
                Ok(reply) => {
                    self.saw.answered += 1;
                    return reply;
                }
                Err(_) => {
                    self.saw.lost += 1;
                    self.patience().await;
                }
            }
        }
    }

    async fn ask(&mut self, text: &str) {
        let (user, key) = (self.user.clone(), format!("{}-{}", self.name, self.asked));
        let body = json!({ "agent": "support", "message": text }).to_string();
        let reply = self.insist(&user, "POST", "/api/v1/turns", (&key, &body)).await;
        match reply.status {
            200 => self.heard(&reply.body),
            202 => self.approve(&reply).await,
            _ => self.saw.wrong.push(format!("`{text}` got {}: {}", reply.status, reply.text)),
        }
        let talk = reply.at("/conversation");
        if !talk.is_empty() {
            self.saw.talks.push((self.name, talk.to_owned()));
        }
    }

    /// Notes the end of a turn.
    fn heard(&mut self, receipt: &Value) {
        let text = |key: &str| receipt.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let Ok(turn) = text("turn").parse() else {
            self.saw.wrong.push(format!("a receipt without a turn: {receipt}"));
            return;
        };
        self.saw.unknown += u64::from(text("status") == "unknown");
        let answer = Some(text("answer")).filter(|answer| !answer.is_empty());
        self.saw.acknowledged.push(Acknowledged { turn, status: text("status"), answer });
        for tool in receipt.get("tools").and_then(Value::as_array).into_iter().flatten() {
            let of = |key: &str| tool.get(key).and_then(Value::as_str).unwrap_or_default();
            if of("tool") == "ops__process_refund" && of("state") == "done" {
                self.saw.done.push(of("step").to_owned());
            }
        }
    }

    /// A second person approves, and the turn goes on by itself.
    async fn approve(&mut self, waiting: &Reply) {
        let (supervisor, user) = (self.supervisor.clone(), self.user.clone());
        let approval = waiting.at("/approval").to_owned();
        let body = json!({ "decision": "approve", "comment": "kill test" }).to_string();
        let path = format!("/api/v1/approvals/{approval}");
        let decided = self.insist(&supervisor, "POST", &path, ("", &body)).await;
        match decided.status {
            200 => self.saw.approved.push(approval),
            409 => {} // the first try was decided, and its answer lost
            _ => self.saw.wrong.push(format!("an approval got {}: {}", decided.status, decided.text)),
        }
        let path = format!("/api/v1/turns/{}", waiting.at("/turn"));
        loop {
            let found = self.insist(&user, "GET", &path, ("", "")).await;
            if found.status != 200 {
                self.saw.wrong.push(format!("a turn got {}: {}", found.status, found.text));
                return;
            }
            if !matches!(found.at("/status"), "running" | "waiting") {
                self.heard(found.body.get("receipt").unwrap_or(&Value::Null));
                return;
            }
            self.patience().await;
        }
    }

    /// A write that the shop cannot recognise when it is repeated, over MCP; asked for once.
    async fn comment(&mut self) {
        let text = format!("{} was here, {}.", self.name, self.asked);
        let arguments = json!({ "ticket_id": 1 + self.dice.below(20), "body": text });
        let arguments = arguments.as_object().cloned().unwrap_or_default();
        let written = match self.user.mcp(false).await {
            Err(_) => None,
            Ok(client) => {
                let mut params =
                    CallToolRequestParams::new("ops__add_ticket_comment").with_arguments(arguments);
                if self.asked.is_multiple_of(2) {
                    // With a key of the client, the turn is durable before its step is.
                    let mut meta = RequestMetaObject::new();
                    meta.insert("dev.cardea/idempotency-key".to_owned(), json!(text));
                    params.meta = Some(meta);
                }
                match client.call_tool_once(params).await {
                    Ok(CallToolResponse::Complete(result)) => Some(result.is_error != Some(true)),
                    _ => None,
                }
            }
        };
        match written {
            Some(_) => self.saw.answered += 1,
            None => {
                self.saw.lost += 1;
                self.patience().await;
            }
        }
        self.saw.comments.push((text, written == Some(true)));
    }
}
