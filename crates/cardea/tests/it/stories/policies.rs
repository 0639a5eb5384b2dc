//! Policies that change while Cardea runs.

use std::fs;

use cardea_core::time::Millis;
use cardea_testkit::{World, model::Act, world::User};
use serde_json::{Value, json};

const REFUND: &str = "ops__process_refund";

fn refund() -> Act {
    Act::call(REFUND, json!({ "order_id": "ORD-17", "amount": 5, "idempotency_key": "k" }))
}

/// Verdict and policy version of the newest decision about a refund. Time goes on, so that the next one is newer.
async fn newest(world: &World, user: &User) -> (String, String) {
    world.clock.advance(Millis(10));
    let decisions = user.get("/api/v1/decisions?limit=1000").await.expect(200);
    let all = decisions.body["decisions"].as_array().cloned().unwrap_or_default();
    let one = all.into_iter().rev().find(|one| one["resource"] == REFUND).expect("a decision");
    let text = |key: &str| one.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    (text("verdict"), text("policy_version"))
}

#[tokio::test]
async fn a_bad_policy_set_changes_nothing_and_a_good_one_is_taken_without_a_restart() {
    let script = (0..4).flat_map(|_| [refund(), Act::say("That is all.")]);
    let plan = World::plan().model(script).set("CARDEA_POLICIES__RELOAD", "100ms");
    let world = plan.start().await;
    let ann = world.user("support");
    let file = world.folder().join("policies/shop.cedar");
    let good = fs::read_to_string(&file).unwrap();
    ann.asks("Refund order 17.").await.ends().await;
    let (verdict, first) = newest(&world, &ann).await;
    assert_eq!(verdict, "allow");

    // Broken in ways that are found at different depths: no Cedar, no such tool argument, an id that is used twice.
    let twice = good.replace("@id(\"support-works\")", "@id(\"staff-looks\")");
    let unknown = good.replace("amount_hundredths", "amuont");
    for bad in ["permit (principal", &twice, &unknown] {
        fs::write(&file, bad).unwrap();
        assert!(!world.app.refresh().await, "this set was taken: {bad}");
        assert_eq!(world.app.control.policies().version().as_ref(), first);
    }
    ann.asks("Refund order 17 again.").await.ends().await;
    assert_eq!(newest(&world, &ann).await, ("allow".to_owned(), first.clone()), "the old set decides on");

    let strict = format!(
        "{good}\n@id(\"closed-today\")\n@reason(\"no refunds today.\")\nforbid (principal, action == Action::\"{REFUND}\", resource)\nwhen {{ context.args.amount_hundredths > 0 }};\n"
    );
    fs::write(&file, strict).unwrap();
    while **world.app.control.policies().version() == *first {
        tokio::task::yield_now().await; // taken up by the watch itself, nobody asks it to
    }
    let receipt = ann.asks("And once more, refund order 17.").await.ends().await;
    let (verdict, second) = newest(&world, &ann).await;
    assert_eq!(verdict, "deny", "{receipt}");
    assert_ne!(second, first);
    assert_eq!(second.as_str(), world.app.control.policies().version().as_ref());

    fs::write(&file, good).unwrap();
    assert!(world.app.refresh().await);
    ann.asks("Is it open again? Refund order 17.").await.ends().await;
    assert_eq!(newest(&world, &ann).await, ("allow".to_owned(), first), "the same set has the same version");
}

#[test]
fn a_folder_that_cannot_be_read_is_no_folder_without_policies() {
    let dir = tempfile::tempdir().unwrap();
    let built_in = cardea::control::load(&dir.path().join("missing"), "supervisor").unwrap();
    assert_eq!(built_in.len(), 1);
    let file = dir.path().join("policies");
    fs::write(&file, "not a folder").unwrap();
    let error = cardea::control::load(&file, "supervisor").unwrap_err();
    assert!(error.public().contains("cannot be read"), "{}", error.public());
    let folder = dir.path().join("folder");
    fs::create_dir_all(folder.join("broken.cedar")).unwrap();
    assert!(
        cardea::control::load(&folder, "supervisor").is_err(),
        "an entry that cannot be read may be a `forbid`"
    );
}
