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

/// Refusals that say: not now. A request with a key may be sent again.
const LATER: [&str; 6] =
    ["in_progress", "conflict", "draining", "overloaded", "store_unavailable", "store_full"];

/// What was seen from outside.
#[derive(Debug, Default)]
pub(crate) struct Saw {
    /// Ends of turns.
    pub(crate) acknowledged: Vec<Acknowledged>,
    /// Steps of refunds that were said to be done.
    pub(crate) done: Vec<String>,
    /// Approvals that were said to be given.
    pub(crate) approved: Vec<String>,
    /// Comments that were asked for once each, and whether they were said to be written.
    pub(crate) comments: Vec<(String, bool)>,
    /// Conversations, with the name of their owner.
    pub(crate) talks: Vec<(&'static str, String)>,
    /// Requests that were answered.
    pub(crate) answered: u64,
    /// Requests whose answer never came.
    pub(crate) lost: u64,
    /// Requests that were told to come again later.
    pub(crate) later: u64,
    /// Turns that were taken back.
    pub(crate) unwound: u64,
    /// Turns that ended with "nobody knows".
    pub(crate) unknown: u64,
    /// Answers that nobody should get.
    pub(crate) wrong: Vec<String>,
}

impl Saw {
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.acknowledged.extend(other.acknowledged);
        self.done.extend(other.done);
        self.approved.extend(other.approved);
        self.comments.extend(other.comments);
        self.talks.extend(other.talks);
        self.wrong.extend(other.wrong);
        self.answered += other.answered;
        self.lost += other.lost;
        self.later += other.later;
        self.unwound += other.unwound;
        self.unknown += other.unknown;
        self
    }
}

/// One way in: whoever asks and whoever approves, at the same node.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    pub(crate) user: User,
    pub(crate) supervisor: User,
}

/// Who of the two.
#[derive(Debug, Clone, Copy)]
enum As {
    User,
    Supervisor,
}

pub(crate) struct Client {
    name: &'static str,
    doors: Vec<Door>,
    at: usize,
    dice: Dice,
    up: watch::Receiver<u64>,
    answered: watch::Sender<u64>,
    asked: u64,
    saw: Saw,
}

impl Client {
    pub(crate) fn new(
        name: &'static str,
        doors: Vec<Door>,
        dice: Dice,
        up: watch::Receiver<u64>,
        answered: watch::Sender<u64>,
    ) -> Self {
        Self { name, doors, at: 0, dice, up, answered, asked: 0, saw: Saw::default() }
    }

    /// Whoever it is, at the door that is tried now.
    fn who(&self, who: As) -> User {
        let door = self.doors.get(self.at % self.doors.len()).expect("a door");
        match who {
            As::User => door.user.clone(),
            As::Supervisor => door.supervisor.clone(),
        }
    }

    pub(crate) async fn go_on(mut self, stop: Arc<AtomicBool>) -> Saw {
        drop(self.up.wait_for(|starts| *starts > 0).await);
        while !stop.load(Ordering::SeqCst) {
            self.asked += 1;
            let order = 1 + self.dice.below(200);
            match self.dice.below(12) {
                0 | 1 => self.ask("support", &format!("What is the status of order {order}?")).await,
                2..=6 => {
                    let cents = 1 + self.dice.below(300);
                    let (euros, cents) = (cents / 100, cents % 100);
                    let text = format!("Please refund {euros}.{cents:02} euros for order {order}");
                    self.ask("support", &text).await;
                }
                7 => self.ask("support", &format!("Please refund 101 euros for order {order}")).await,
                8 | 9 => self.ask("buyer", &format!("Buy lamp number {order}.")).await,
                _ => self.comment().await,
            }
        }
        self.saw
    }

    /// Waits for the next start of the server, but not for long: it may be up already.
    async fn patience(&mut self) {
        drop(tokio::time::timeout(SOON, self.up.changed()).await);
    }

    /// Sends it until it is answered; at the next door if this one does not help.
    async fn insist(&mut self, who: As, method: &str, path: &str, (key, body): (&str, &str)) -> Reply {
        let headers: &[(&str, &str)] = if key.is_empty() { &[] } else { &[("idempotency-key", key)] };
        loop {
            let answer = self.who(who).tries(method, path, headers, body).await;
            if answer.as_ref().map_or(true, |reply| reply.status >= 500) {
                self.at += 1;
            }
            match answer {
                // As its `Retry-After` asks for, only sooner.
                Ok(reply) if LATER.contains(&reply.at("/code")) => {
                    assert!(!reply.header("retry-after").is_empty(), "nobody said when: {}", reply.text);
                    self.saw.later += 1;
                    tokio::time::sleep(SOON).await;
                }
                // Nobody told the end; the key finds it.
                Ok(reply) if reply.at("/code") == "taken_over" && !key.is_empty() => {
                    assert_eq!(reply.header("retry-after"), "", "{}", reply.text);
                    self.saw.later += 1;
                    tokio::time::sleep(SOON).await;
                }
                Ok(reply) => {
                    self.saw.answered += 1;
                    self.answered.send_modify(|all| *all += 1);
                    return reply;
                }
                Err(_) => {
                    self.saw.lost += 1;
                    self.patience().await;
                }
            }
        }
    }

    async fn ask(&mut self, agent: &str, text: &str) {
        let key = format!("{}-{}", self.name, self.asked);
        let body = json!({ "agent": agent, "message": text }).to_string();
        let reply = self.insist(As::User, "POST", "/api/v1/turns", (&key, &body)).await;
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
        self.saw.unwound += u64::from(text("status") == "unwound");
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
        let approval = waiting.at("/approval").to_owned();
        let body = json!({ "decision": "approve", "comment": "kill test" }).to_string();
        let path = format!("/api/v1/approvals/{approval}");
        let decided = self.insist(As::Supervisor, "POST", &path, ("", &body)).await;
        match decided.status {
            200 => self.saw.approved.push(approval),
            409 => {} // the first try was decided, and its answer lost
            _ => self.saw.wrong.push(format!("an approval got {}: {}", decided.status, decided.text)),
        }
        let path = format!("/api/v1/turns/{}", waiting.at("/turn"));
        loop {
            let found = self.insist(As::User, "GET", &path, ("", "")).await;
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
        let written = match self.who(As::User).mcp(false).await {
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
                self.at += 1;
                self.patience().await;
            }
        }
        self.saw.comments.push((text, written == Some(true)));
    }
}
