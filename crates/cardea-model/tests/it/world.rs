//! Models over fake providers.

use std::time::{Duration, Instant};

use cardea_core::{
    Code, Error,
    message::{Finish, Message, ModelEvent, Prompt, Usage},
    time::SystemClock,
};
use cardea_model::{Model, Models, ModelsConfig};
use cardea_net::{Net, NetConfig};
use futures::StreamExt;
use std::sync::Arc;

use crate::fake::{Act, FakeModel, Wire};

/// Short, so that a test of waiting is short. The order matters: `first` and `idle` end before `total`.
pub(crate) const FIRST: Duration = Duration::from_millis(600);
pub(crate) const TOTAL: Duration = Duration::from_millis(1_500);

pub(crate) const CONFIG: &str = r#"
    retries = 1
    patience = "1s"
    max_answer = "64KiB"
    max_event = "16KiB"
    timeouts = { first = "600ms", idle = "400ms", total = "1500ms" }
"#;

pub(crate) fn net() -> Net {
    let config: NetConfig = toml::from_str("allow = [\"127.0.0.0/8\"]\nbreaker_pause = \"60s\"").unwrap();
    Net::new(config, Arc::new(SystemClock)).unwrap()
}

pub(crate) fn models(config: &str, net: &Net) -> Models {
    let config: ModelsConfig = toml::from_str(config).unwrap();
    Models::new(config, net.clone(), None, Arc::new(SystemClock)).unwrap()
}

/// A server with this script, and the part of a configuration that makes it the provider and alias `name`.
pub(crate) async fn provider(name: &str, wire: Wire, acts: Vec<Act>, more: &str) -> (FakeModel, String) {
    let server = FakeModel::start(acts).await.unwrap();
    let (kind, base) = (wire.kind(), server.base_url());
    let config = format!(
        "[providers.{name}]\nkind = \"{kind}\"\nbase_url = \"{base}\"\napi_key = \"sk-test\"\n\
         [aliases.{name}]\nprovider = \"{name}\"\nmodel = \"{name}-model\"\n{more}\n"
    );
    (server, config)
}

pub(crate) fn prompt(model: &str) -> Prompt {
    let messages = vec![Message::User { text: "hello".into() }];
    Prompt {
        model: model.into(),
        messages,
        tools: Vec::new(),
        sampling: Default::default(),
        demands: Default::default(),
        room: None,
    }
}

/// How an answer went.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) text: String,
    pub(crate) calls: Vec<(String, String)>,
    pub(crate) end: Option<(Finish, Usage)>,
    /// The error, and whether something had been handed out before.
    pub(crate) error: Option<(Error, bool)>,
    pub(crate) served: Option<String>,
    /// What an answer used that broke off.
    pub(crate) spent: Option<Usage>,
    pub(crate) took: Duration,
}

impl Heard {
    pub(crate) fn code(&self) -> Option<Code> {
        self.error.as_ref().map(|(error, _)| error.code())
    }
}

pub(crate) async fn hear(models: &dyn Model, prompt: Prompt) -> Heard {
    let started = Instant::now();
    let mut heard = Heard {
        text: String::new(),
        calls: Vec::new(),
        end: None,
        error: None,
        served: None,
        spent: None,
        took: Duration::ZERO,
    };
    match models.next(prompt).await {
        Err(error) => heard.error = Some((error, false)),
        Ok(mut events) => {
            heard.served = Some(events.served().model.clone());
            while let Some(event) = events.next().await {
                assert!(heard.end.is_none() && heard.error.is_none(), "something came after the end");
                match event {
                    Ok(ModelEvent::Text(text) | ModelEvent::Refusal(text)) => heard.text.push_str(&text),
                    Ok(ModelEvent::Call(call)) => {
                        heard.calls.push((call.name, serde_json::Value::Object(call.arguments).to_string()));
                    }
                    Ok(ModelEvent::Unseen(_) | ModelEvent::Thoughts(_)) => {}
                    Ok(ModelEvent::Spent(usage)) => heard.spent = Some(usage),
                    Ok(ModelEvent::End { finish, usage }) => heard.end = Some((finish, usage)),
                    Err(error) => heard.error = Some((error, true)),
                }
            }
            assert!(heard.end.is_some() || heard.error.is_some(), "the stream just stopped");
        }
    }
    heard.took = started.elapsed();
    heard
}
