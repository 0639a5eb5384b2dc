//! `[CARD_1]` means the same card in every turn of a conversation, also after a restart, and comes back only to its
//! owner and only where the agent's file says so.

use std::{fs, sync::Arc};

use cardea::{
    app::{App, Options},
    config::{Config, Environment},
};
use cardea_auth::VerifiedClaims;
use cardea_testkit::{World, history::leaks, model::Act};

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
    let ann = world.app.auth.embedded(claims());
    let scripted = world.app.agent("scripted");
    let first = scripted.chat(&ann, None, &format!("My card is {FIRST}.")).await.unwrap();
    let talk = first.conversation;
    assert!(asked(0).contains("[CARD_1]") && !asked(0).contains("4111"), "{}", asked(0));
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
    let ann = again.auth.embedded(claims());
    let scripted = again.agent("scripted");
    scripted.chat(&ann, talk, &format!("Charge {FIRST}, not {SECOND}.")).await.unwrap();
    assert!(asked(2).contains("Charge [CARD_1], not [CARD_2]."), "{}", asked(2));

    let owned = again.context.conversation(&ann, talk.unwrap()).await.unwrap();
    let masked = again.context.messages(&owned, 0, 100).await.unwrap();
    let shown = |said: &[cardea::context::Said]| serde_json::to_string(said).unwrap();
    assert!(!shown(&masked).contains("4111") && shown(&masked).contains("[CARD_2]"), "{}", shown(&masked));
    let restore = again.find_agent(&"scripted".into()).unwrap().spec.restore.clone();
    let open = again.context.with_originals(&owned, masked.clone(), &restore).await.unwrap();
    assert!(shown(&open).contains(&format!("I charged {FIRST} and not {SECOND}.")), "{}", shown(&open));
    let closed = again.context.with_originals(&owned, masked.clone(), &[]).await.unwrap();
    assert_eq!(shown(&closed), shown(&masked), "nothing comes back that the agent's file does not name");

    // Another user's numbers begin anew, and know nothing of these.
    let eve = again.auth.embedded(VerifiedClaims::new("acme", "eve").role("support").scope("read"));
    assert!(again.context.conversation(&eve, talk.unwrap()).await.is_err());
    scripted.chat(&eve, None, &format!("Mine is {SECOND}.")).await.unwrap();
    assert!(asked(3).contains("Mine is [CARD_1]."), "{}", asked(3));

    let kept = leaks(world.folder(), &[FIRST, SECOND, "4111111111111111", "5500005555555559"]).unwrap();
    assert_eq!(kept, Vec::<String>::new());
    again.context.delete(owned).await.unwrap();
    let left: Vec<(String,)> =
        again.db.rows("SELECT name FROM secrets WHERE name LIKE 'placeholders/%'", Vec::new()).await.unwrap();
    assert_eq!(left.len(), 1, "only eve's are left: {left:?}");
    again.stop().await;
}
