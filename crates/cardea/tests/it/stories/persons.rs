//! Who stands behind a request: people for whom somebody else acts, and people of the same name.

use cardea_auth::{Claims, Lifetime, Signer};
use cardea_core::{
    secret::ExposeSecret,
    time::{Clock as _, Millis},
};
use cardea_testkit::{
    World,
    model::Act,
    world::{TENANT, User},
};
use serde_json::json;

use super::refund;

const ISSUER: &str = "https://portal.example";
const AUDIENCE: &str = "https://cardea.example";

/// A world that trusts a portal whose tokens say who acts for whom.
async fn world(script: impl IntoIterator<Item = Act>) -> (World, Signer) {
    let signer = Signer::new(ISSUER, &Signer::new_key().unwrap(), Lifetime::Short).unwrap();
    let trust = format!(
        "[auth.issuers.portal]\nissuer = \"{ISSUER}\"\naudience = [\"{AUDIENCE}\"]\ntenant = \"{TENANT}\"\njwks = '{}'\n",
        signer.jwks()
    );
    (World::plan().model(script).configure(&trust).start().await, signer)
}

/// Somebody of the portal, for whom these act, the outermost first.
fn acting(world: &World, signer: &Signer, user: &str, actors: &[&str], role: &str) -> User {
    let names = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
    let claims = Claims {
        subject: user.into(),
        audience: AUDIENCE.to_owned(),
        tenant: TENANT.into(),
        roles: names(&[role]),
        scopes: names(&["read", "write", "billing:read", "billing:write"]),
        client: None,
        actors: actors.iter().map(|one| (*one).to_owned()).collect(),
        lifetime: Millis::from_secs(600),
    };
    world.holder(signer.sign(&claims, world.clock.now()).unwrap().expose_secret())
}

#[tokio::test]
async fn who_acts_for_a_second_person_is_no_second_person() {
    let (world, signer) = world([refund(150), Act::say("It is refunded.")]).await;
    let ann = acting(&world, &signer, "ann", &[], "support");
    let asked = ann.asks("Refund 150 for order 17, please.").await;
    asked.waits_for_approval("ops__process_refund").await;
    for chain in [&["ann"][..], &["portal", "ann"], &["portal", "robot", "ann"]] {
        let told = acting(&world, &signer, "bob", chain, "supervisor");
        let refused = told.decides(&asked, "approve").await.expect(409);
        assert_eq!(refused.at("/code"), "approval_invalid", "{chain:?}: {}", refused.text);
    }
    assert_eq!(world.shop().refunds(17).await, 0);

    let bob = acting(&world, &signer, "bob", &["portal"], "supervisor");
    let decided = bob.decides(&asked, "approve").await.expect(200);
    assert_eq!(decided.at("/issuer"), ISSUER);
    assert_eq!((decided.at("/decided_by"), decided.at("/decided_by_issuer")), ("bob", ISSUER));
    assert_eq!(decided.body["decided_by_actors"], json!(["portal"]));
    asked.answers("It is refunded.").await;
    assert_eq!(world.shop().refunds(17).await, 1);
}

#[tokio::test]
async fn who_acted_for_the_asker_does_not_decide_and_is_shown_to_who_does() {
    let (world, signer) = world([refund(150), Act::say("It is refunded.")]).await;
    let customer = acting(&world, &signer, "customer", &["portal", "ann"], "support");
    let asked = customer.asks("Refund 150 for order 17, please.").await;
    asked.waits_for_approval("ops__process_refund").await;
    for (user, actors) in [("ann", &[][..]), ("portal", &[]), ("bob", &["ann"]), ("bob", &["customer"])] {
        let refused = acting(&world, &signer, user, actors, "supervisor").decides(&asked, "approve").await;
        assert_eq!((refused.status, refused.at("/code")), (409, "approval_invalid"), "{user} {actors:?}");
    }
    // The same name at another issuer may be the same person.
    let namesake = world.person((TENANT, "ann"), &["supervisor"], &["read"]);
    drop(namesake.decides(&asked, "approve").await.expect(409));

    let bob = world.person((TENANT, "bob"), &["supervisor"], &["read"]);
    let shown = bob.get("/api/v1/approvals").await.expect(200);
    assert_eq!(shown.body["approvals"][0]["actors"], json!(["portal", "ann"]), "{}", shown.text);
    assert_eq!(shown.at("/approvals/0/issuer"), ISSUER);
    bob.approves(&asked).await;
    asked.answers("It is refunded.").await;

    let auditor = world.person((TENANT, "auditor"), &["auditor"], &["read"]);
    let decisions = auditor.get("/api/v1/decisions").await.expect(200);
    let allowed =
        decisions.body["decisions"].as_array().unwrap().iter().find(|one| one["verdict"] == "allow");
    let allowed = allowed.expect("the call that was approved");
    assert_eq!(allowed["issuer"], ISSUER);
    assert_eq!(allowed["context"]["actors"], json!(["portal", "ann"]));
    assert_eq!(
        (&allowed["context"]["approved_by"], &allowed["context"]["approval"]),
        (&json!("bob"), &json!(asked.approval()))
    );
    assert!(allowed["context"]["approved_by_issuer"].is_string(), "{allowed}");
}
