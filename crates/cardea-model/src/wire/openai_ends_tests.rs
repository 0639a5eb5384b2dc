//! How answers end, and what was thought before.

use cardea_core::message::{Message, ModelEvent, Thoughts};

use super::{
    tests::{chunk, trouble},
    *,
};
use crate::wire::{
    Format,
    samples::{alias, call, estimated, prompt, read, reading, stream},
};

#[test]
fn what_a_model_does_not_take_is_left_out() {
    let keys = ["temperature", "top_p", "max_tokens", "stop", "seed", "presence_penalty", "verbosity"];
    let mut asked = prompt();
    asked.sampling.presence_penalty = Some(1.0);
    asked.sampling.verbosity = Some(Verbosity::Low);
    let text = format!("provider = \"p\"\nmodel = \"m\"\nomit = {keys:?}");
    let sent = Format::OpenAi.request(&asked, &toml::from_str(&text).unwrap(), Dialect::COMMON).json();
    assert!(keys.iter().all(|key| sent.get(key).is_none()), "{sent}");
    let all = Format::OpenAi.request(&asked, &alias("m"), Dialect::COMMON).json();
    assert!(keys.iter().all(|key| all.get(key).is_some()), "{all}");
    assert!(toml::from_str::<AliasConfig>(&text.replace("seed", "seeds")).is_err());
}

#[test]
fn the_words_for_an_end_are_read_for_what_they_mean() {
    let finish = |word: &str| {
        let answer = stream(&[chunk(json!({ "content": "so" }), json!(word))]);
        match read(Format::OpenAi, &answer).map(|mut events| events.pop()) {
            Ok(Some(ModelEvent::End { finish, .. })) => Ok(finish),
            Ok(other) => panic!("{other:?}"),
            Err(failure) => Err(failure.trouble),
        }
    };
    for word in ["stop", "STOP", "eos", "eos_token", "end_turn", "stop_sequence"] {
        assert_eq!(finish(word), Ok(Finish::Stop), "{word}");
    }
    for word in ["length", "model_length", "max_tokens", "a_new_word"] {
        assert_eq!(finish(word), Ok(Finish::Length), "{word}");
    }
    assert_eq!(finish("insufficient_system_resource"), Err(Trouble::Broken));
}

#[test]
fn calls_before_an_unknown_end_are_not_made() {
    let call = json!([{ "index": 0, "id": "a", "function": { "name": "x", "arguments": "{}" } }]);
    for word in ["a_new_word", "model_length"] {
        let answer = stream(&[chunk(json!({ "tool_calls": call }), json!(word))]);
        let events = read(Format::OpenAi, &answer);
        let made = events.iter().flatten().any(|event| matches!(event, ModelEvent::Call(_)));
        assert!(!made, "{word}: {events:?}");
    }
    let unknown = stream(&[chunk(json!({ "tool_calls": call }), json!("a_new_word"))]);
    assert_eq!(trouble(&unknown), Trouble::Cut, "nobody is told that there is nothing to call");
}

#[test]
fn an_answer_of_no_words_is_none_unless_the_client_has_said_where_it_ends() {
    let silent = |stop: Vec<String>| {
        let mut asked = prompt();
        asked.sampling.stop = stop;
        let mut decoder = Format::OpenAi.decoder(&asked);
        let document = chunk(json!({ "content": "", "reasoning_content": "Hm." }), json!("stop")).to_string();
        decoder.whole(document.as_bytes()).map_err(|failure| failure.trouble)
    };
    assert_eq!(silent(Vec::new()), Err(Trouble::Garbage));
    assert_eq!(silent(vec!["END".into()]), Ok(()));
    let cut = stream(&[chunk(json!({ "content": "" }), json!("length"))]);
    assert!(read(Format::OpenAi, &cut).is_ok(), "all its words were thoughts");
}

#[test]
fn thoughts_that_only_the_total_counts_are_counted() {
    let used = |counted: Value| {
        let answer = stream(&[
            chunk(json!({ "content": "Hello" }), json!("stop")),
            json!({ "choices": [], "usage": counted }),
        ]);
        match read(Format::OpenAi, &answer).unwrap().pop() {
            Some(ModelEvent::End { usage, .. }) => (usage.input, usage.output),
            other => panic!("{other:?}"),
        }
    };
    let usage = |input: u64, output: u64, total: Value| json!({ "prompt_tokens": input, "completion_tokens": output, "total_tokens": total });
    assert_eq!(used(usage(21, 0, json!(81))), (21, 60));
    assert_eq!(used(usage(21, 70, json!(81))), (21, 70), "the larger of the two");
    assert_eq!(used(usage(21, 5, json!(u64::MAX))), (21, 5), "that total cannot be");
    assert_eq!(used(usage(21, 5, json!("many"))), (21, 5));
}

#[test]
fn thoughts_before_calls_are_kept_for_the_model_that_had_them() {
    let call = json!([{ "index": 0, "id": "a", "function": { "name": "x", "arguments": "{}" } }]);
    let answer = |finish: &str| {
        stream(&[
            chunk(json!({ "reasoning_content": "First I " }), Value::Null),
            chunk(json!({ "reasoning_content": "look." }), Value::Null),
            if finish == "stop" {
                chunk(json!({ "content": "Nine." }), json!("stop"))
            } else {
                chunk(json!({ "tool_calls": call }), json!(finish))
            },
        ])
    };
    let thoughts = |finish: &str| {
        let events = read(Format::OpenAi, &answer(finish)).unwrap();
        events.into_iter().find_map(|event| match event {
            ModelEvent::Thoughts(text) => Some(text),
            _ => None,
        })
    };
    assert_eq!(thoughts("tool_calls").as_deref(), Some("First I look."));
    assert_eq!(thoughts("stop"), None, "nobody wants to see those again");

    let mut asked = prompt();
    let Message::Assistant { thoughts, .. } = &mut asked.messages[3] else { panic!("{asked:?}") };
    *thoughts = Some(Thoughts { model: "deep-x".into(), text: "First I look.".into() });
    let told = |model: &str| {
        let sent = Format::OpenAi.request(&asked, &alias(model), Dialect::COMMON).json();
        sent["messages"][2]["reasoning_content"].clone()
    };
    assert_eq!((told("deep-x"), told("gpt-x")), (json!("First I look."), Value::Null));
}

#[test]
fn thoughts_are_work_that_is_paid() {
    let words = "Let me see what there is. 1 2 3 4 5 6 7 ";
    let in_parts = json!([{ "type": "thinking", "thinking": [{ "type": "text", "text": words }] }]);
    for delta in [
        json!({ "reasoning_content": words }),
        json!({ "reasoning": words }),
        json!({ "reasoning_content": words, "reasoning": words }),
        json!({ "content": in_parts }),
    ] {
        let thinking = stream(&vec![chunk(delta.clone(), Value::Null); 40]);
        let mut cut = reading(Format::OpenAi, &thinking);
        assert_eq!(cut.finish().unwrap_err().trouble, Trouble::Cut);
        assert_eq!(cut.spent(), estimated(400), "{delta}: four bytes are a token where nobody counts");

        let over = stream(&[chunk(json!({}), json!("stop"))]);
        let end = |output: u64| ModelEvent::End { finish: Finish::Stop, usage: estimated(output) };
        assert_eq!(read(Format::OpenAi, &(thinking.clone() + &over)).unwrap(), [end(400)], "{delta}");

        let answer =
            thinking + &stream(&[chunk(json!({ "content": "Nine" }), Value::Null)]) + "data: [DONE]\n\n";
        let events = read(Format::OpenAi, &answer).unwrap();
        assert_eq!(events, [ModelEvent::Text("Nine".into()), end(401)], "{delta}");
    }
}

#[test]
fn what_is_written_unseen_is_told_as_it_comes() {
    let call = |id: &str, arguments: &str| json!({ "tool_calls": [{ "index": 0, "id": id, "function": { "name": "x", "arguments": arguments } }] });
    let pieces = stream(&[
        chunk(json!({ "reasoning_content": "First I " }), Value::Null),
        chunk(json!({ "reasoning_content": "look." }), Value::Null),
        chunk(json!({ "content": "Well, " }), Value::Null),
        chunk(call("a", "{\"n\":"), Value::Null),
        chunk(call("a", "1}"), Value::Null),
    ]);
    let mut decoder = reading(Format::OpenAi, &pieces);
    let told: Vec<ModelEvent> = std::iter::from_fn(|| decoder.pop()).collect();
    assert_eq!(told, [ModelEvent::Unseen(13), ModelEvent::Text("Well, ".into()), ModelEvent::Unseen(7)]);
}

#[test]
fn ids_of_calls_are_such_as_the_server_takes() {
    let long = |end: char| format!("chatcmpl-tool-{}{end}", "0123456789abcdef".repeat(2).split_at(31).0);
    let ids = [long('0'), long('1'), "call_1".to_owned(), "a1B2c3D4e".to_owned()];
    assert_eq!(ids[0].len(), 46);
    let mut asked = prompt();
    let calls = ids.iter().map(|id| call(id, "x", json!({}))).collect();
    let result = |id: &String| Message::Tool {
        call_id: id.clone(),
        name: "x".into(),
        text: id.clone(),
        failed: false,
    };
    asked.messages = vec![Message::User { text: "Look.".into() }];
    asked.messages.push(Message::Assistant { text: String::new(), calls, thoughts: None });
    asked.messages.extend(ids.iter().map(result));
    let sent = |dialect: Dialect| {
        let body = Format::OpenAi.request(&asked, &alias("m"), dialect).json();
        let calls: Vec<String> = (0..4)
            .map(|place| body["messages"][1]["tool_calls"][place]["id"].as_str().unwrap().to_owned())
            .collect();
        for (place, id) in calls.iter().enumerate() {
            let result = &body["messages"][2 + place];
            assert_eq!((&result["tool_call_id"], &result["content"]), (&json!(id), &json!(ids[place])));
            assert!(!calls[..place].contains(id), "two calls stay two: {calls:?}");
        }
        calls
    };
    assert_eq!(sent(Dialect::COMMON), ids, "some servers want back what they have put into it");
    let short = sent(Dialect::OPENAI);
    assert!(short.iter().all(|id| id.len() <= 40), "{short:?}");
    assert_eq!((&short[2..], &short), (&ids[2..], &sent(Dialect::OPENAI)));
    let nine = sent(Dialect { ids: CallIds::Nine, ..Dialect::COMMON });
    let fits = |id: &String| id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    assert!(nine.iter().all(fits) && nine[3] == ids[3], "{nine:?}");
}
