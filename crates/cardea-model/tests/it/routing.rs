//! Names, fallbacks, the breaker, and what is told about them.

use std::{sync::Arc, time::Duration};

use cardea_core::{
    Code,
    message::{Message, Prompt},
    time::{Millis, SystemClock},
};
use cardea_model::{Model, Models, ModelsConfig, Rehearsal, Tries};
use cardea_net::Net;
use serde_json::json;

use crate::{
    fake::{Act, Wire},
    world::{CONFIG, hear, models, net, prompt, provider},
};

#[tokio::test]
async fn an_unknown_name_is_not_found_and_a_known_one_says_who_serves_it() {
    let (_server, config) = provider("main", Wire::OpenAi, vec![Act::say("hi")], "").await;
    let models = models(&format!("{CONFIG}{config}"), &net());
    assert_eq!(hear(&models, prompt("gpt")).await.code(), Some(Code::NotFound));
    assert_eq!(
        hear(&models, prompt("main-model")).await.code(),
        Some(Code::NotFound),
        "the provider's own name"
    );
    assert_eq!(hear(&models, prompt("main")).await.served.as_deref(), Some("main-model"));
    assert!(!format!("{models:?}").contains("sk-test"));
}

#[tokio::test]
async fn a_name_that_means_another_model_has_another_identity() {
    let alias =
        |model: &str, more: &str| format!("[aliases.a]\nprovider = \"p\"\nmodel = \"{model}\"\n{more}");
    let config = |base: &str, alias: &str| {
        let spare = "[aliases.spare]\nprovider = \"p\"\nmodel = \"small\"\n";
        let provider =
            format!("[providers.p]\nkind = \"openai\"\nbase_url = \"http://{base}/v1\"\napi_key = \"k\"\n");
        models(&format!("{provider}{spare}{alias}"), &net()).identity("a").to_owned()
    };
    let first = config("127.0.0.1:1", &alias("big", ""));
    assert_eq!(first, config("127.0.0.1:1", &alias("big", "")));
    for (base, alias) in [
        ("127.0.0.1:2", alias("big", "")),
        ("127.0.0.1:1", alias("bigger", "")),
        ("127.0.0.1:1", alias("big", "fallback = [\"spare\"]\n")),
    ] {
        assert_ne!(first, config(base, &alias), "{base} {alias}");
    }
}

#[tokio::test]
async fn a_long_hint_reaches_the_client() {
    let (_server, config) = provider("main", Wire::OpenAi, vec![Act::busy(Some("37"))], "").await;
    let heard = hear(&models(&format!("{CONFIG}{config}"), &net()), prompt("main")).await;
    let (error, _) = heard.error.unwrap();
    assert_eq!(error.retry_hint(), Some(Millis::from_secs(37)));
    assert!(
        !error.public().contains("slow down"),
        "the provider's words are for the log: {}",
        error.public()
    );
}

#[tokio::test]
async fn a_provider_that_keeps_failing_is_left_alone_and_the_spare_answers_at_once() {
    let (main, config) =
        provider("main", Wire::OpenAi, vec![Act::Status(503, None, String::new())], "fallback = [\"spare\"]")
            .await;
    let (_spare, more) = provider("spare", Wire::Anthropic, vec![Act::say("spare")], "").await;
    let models = models(&format!("{CONFIG}{config}{more}"), &net());
    for _ in 0..12 {
        assert_eq!(hear(&models, prompt("main")).await.text, "spare");
    }
    assert!(main.seen().len() < 12, "the breaker never opened: {} requests", main.seen().len());
}

#[tokio::test]
async fn the_rehearsal_model_stands_in_with_words_and_calls_no_tool() {
    let tool = r#"{"name":"close_ticket","description":"Close a ticket.","effect":"write","examples":["close ticket 5"],
        "input_schema":{"type":"object","properties":{"ticket_id":{"type":"integer"}},"required":["ticket_id"]}}"#;
    let asked = |model: &str| Prompt {
        messages: vec![Message::User { text: "Close ticket 8".into() }],
        tools: vec![serde_json::from_str(tool).unwrap()],
        ..prompt(model)
    };
    let rehearsal = "[providers.rehearsal]\nkind = \"rehearsal\"\n[aliases.rehearsal]\nprovider = \"rehearsal\"\nmodel = \"rehearsal\"\n";
    for act in [Act::Silent, Act::Status(401, None, String::new())] {
        let (_main, config) = provider("main", Wire::Gemini, vec![act], "fallback = [\"rehearsal\"]").await;
        let models = models(&format!("{CONFIG}{config}{rehearsal}"), &net());
        let heard = hear(&models, asked("main")).await;
        assert!(heard.calls.is_empty(), "{heard:?}");
        assert!(
            heard.text.starts_with("The model that should answer cannot be reached.")
                && heard.text.contains("no language model was used"),
            "{heard:?}"
        );
        assert_eq!(heard.served.as_deref(), Some("rehearsal"));
        let own = hear(&models, asked("rehearsal")).await;
        assert_eq!(own.calls.len(), 1, "asked for by its own name it acts: {own:?}");
    }
}

#[tokio::test]
async fn a_program_can_bring_a_model_of_its_own() {
    let own: Arc<dyn Model> = Arc::new(Rehearsal::new(None, Arc::new(SystemClock)).unwrap());
    let config = ModelsConfig::default();
    let models = Models::new(config, net(), None, Arc::new(SystemClock)).unwrap().with("mine", own);
    assert!(hear(&models, prompt("mine")).await.text.starts_with("Hello."));
    assert_eq!(models.names().collect::<Vec<_>>(), ["mine", "rehearsal"]);
}

#[tokio::test]
async fn reaching_for_a_provider_tells_a_bad_key_from_an_absent_server() {
    let (server, config) = provider("main", Wire::OpenAi, vec![], "").await;
    let net = net();
    let there = models(&format!("{CONFIG}{config}"), &net);
    assert!(there.reach("main").await.is_ok());
    assert_eq!(server.seen().len(), 0, "no prompt was sent");
    let target = server.target();
    drop(server);
    let away = models(
        &format!("{CONFIG}{config}"),
        &Net::new(toml::from_str("allow = [\"127.0.0.0/8\"]").unwrap(), Arc::new(SystemClock)).unwrap(),
    );
    assert_eq!(away.reach("main").await.unwrap_err().code(), Code::ModelFailed, "{target}");
    let closed =
        models(&format!("{CONFIG}{config}"), &Net::new(Default::default(), Arc::new(SystemClock)).unwrap());
    assert_eq!(closed.reach("main").await.unwrap_err().code(), Code::AddressRefused);
}

#[tokio::test]
async fn who_wants_one_call_at_a_time_is_told_by_a_format_that_cannot_promise_it() {
    let tool = r#"{"name":"a","description":"A.","effect":"read","input_schema":{"type":"object"}}"#;
    let mut one = prompt("main");
    one.demands.parallel_tool_calls = Some(false);
    let mut with_tools = one.clone();
    with_tools.tools = vec![serde_json::from_str(tool).unwrap()];
    let (main, config) = provider("main", Wire::Gemini, vec![Act::say("hi")], "").await;
    let alone = models(&format!("{CONFIG}{config}"), &net());
    assert_eq!(hear(&alone, with_tools.clone()).await.code(), Some(Code::BadRequest));
    assert_eq!(
        (hear(&alone, one).await.text.as_str(), main.seen().len()),
        ("hi", 1),
        "without tools there is none"
    );
    let (_main, config) =
        provider("main", Wire::Gemini, vec![Act::say("hi")], "fallback = [\"spare\"]").await;
    let (_spare, more) = provider("spare", Wire::OpenAi, vec![Act::say("spare")], "").await;
    let both = models(&format!("{CONFIG}{config}{more}"), &net());
    assert_eq!(hear(&both, with_tools).await.text, "spare");
}

#[tokio::test]
async fn a_provider_that_has_all_it_may_have_under_way_is_crowded_and_not_broken() {
    let crowded = || {
        let config = "allow = [\"127.0.0.0/8\"]\nper_host = 1\nqueue_timeout = \"50ms\"";
        Net::new(toml::from_str(config).unwrap(), Arc::new(SystemClock)).unwrap()
    };
    let (_main, config) = provider("main", Wire::OpenAi, vec![Act::SilentAfter("so ".into())], "").await;
    let alone = models(&format!("{CONFIG}{config}"), &crowded());
    let first = Models::next(&alone, &prompt("main")).await.unwrap();
    assert_eq!(hear(&alone, prompt("main")).await.code(), Some(Code::Overloaded));
    drop(first);
    let (_main, config) =
        provider("main", Wire::OpenAi, vec![Act::SilentAfter("so ".into())], "fallback = [\"spare\"]").await;
    let (_spare, more) = provider("spare", Wire::OpenAi, vec![Act::say("spare")], "").await;
    let both = models(&format!("{CONFIG}{config}{more}"), &crowded());
    let _first = Models::next(&both, &prompt("main")).await.unwrap();
    assert_eq!(hear(&both, prompt("main")).await.text, "spare");
}

#[tokio::test]
async fn a_provider_that_sends_heads_and_nothing_more_is_left_alone() {
    let (main, config) = provider("main", Wire::OpenAi, vec![Act::SilentAfterHead], "").await;
    let quick = CONFIG.replace("600ms", "60ms");
    let models = models(&format!("{quick}{config}"), &net());
    for _ in 0..8 {
        assert_eq!(hear(&models, prompt("main")).await.code(), Some(Code::ModelSilent));
    }
    let seen = main.seen().len();
    assert_eq!(hear(&models, prompt("main")).await.code(), Some(Code::ModelFailed));
    assert_eq!(main.seen().len(), seen, "the ninth was not asked");
}

#[tokio::test]
async fn what_a_provider_may_have_read_that_fell_silent_is_counted_though_another_answers() {
    for act in [Act::Silent, Act::SilentAfterHead] {
        let (_main, config) = provider("main", Wire::OpenAi, vec![act], "fallback = [\"spare\"]").await;
        let (_spare, more) = provider("spare", Wire::OpenAi, vec![Act::say("spare")], "").await;
        let models = models(&format!("{CONFIG}{config}{more}"), &net());
        let (asked, mut tries) = (prompt("main"), Tries::default());
        drop(models.next_under(&asked, None, &mut tries).await.unwrap());
        let spent: Vec<u64> = tries.failed.iter().map(|tried| tried.spent.input).collect();
        assert_eq!(spent, [asked.tokens()]);
    }
    let (away, config) = provider("main", Wire::OpenAi, Vec::new(), "").await;
    drop(away);
    let (asked, mut tries) = (prompt("main"), Tries::default());
    let models = models(&format!("{CONFIG}{config}"), &net());
    assert!(models.next_under(&asked, None, &mut tries).await.is_err());
    assert!(tries.failed.iter().all(|tried| tried.spent.input == 0), "nothing was sent");
}

#[tokio::test]
async fn thoughts_that_came_to_nothing_are_counted_though_another_answers() {
    let thought = "So many things to think of. ".repeat(20);
    let piece = json!({ "choices": [{ "index": 0, "delta": { "reasoning_content": thought } }] });
    let garbage = Act::Then(String::new(), format!("data: {piece}\n\ndata: {{oops").into_bytes());
    let silent = Act::SilentAfterThoughts(thought);
    for (act, tried) in [(garbage, 2), (silent, 1)] {
        let (_main, config) = provider("main", Wire::OpenAi, vec![act], "fallback = [\"spare\"]").await;
        let (_spare, more) = provider("spare", Wire::OpenAi, vec![Act::say("spare")], "").await;
        let models = models(&format!("{CONFIG}{config}{more}"), &net());
        let (asked, mut tries) = (prompt("main"), Tries::default());
        drop(models.next_under(&asked, None, &mut tries).await.unwrap());
        let spent: Vec<_> =
            tries.failed.iter().map(|tried| (tried.spent.input, tried.spent.output)).collect();
        assert_eq!(spent, vec![(asked.tokens(), 140); tried]);
        assert_eq!(tries.now.map(|now| now.unseen), Some(0), "the spare has thought of nothing");
    }
}

#[tokio::test]
async fn whoever_asks_no_further_knows_how_far_the_thoughts_had_come() {
    for wire in Wire::ALL {
        let acts = vec![Act::SilentAfterThoughts("hm, ".repeat(100))];
        let (_main, config) = provider("main", wire, acts, "").await;
        let models = models(&format!("{CONFIG}{config}"), &net());
        let (asked, mut tries) = (prompt("main"), Tries::default());
        let asking = models.next_under(&asked, None, &mut tries);
        assert!(tokio::time::timeout(Duration::from_millis(300), asking).await.is_err());
        assert_eq!(tries.now.map(|now| now.unseen), Some(400), "{wire:?}");
    }
}
