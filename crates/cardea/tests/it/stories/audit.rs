use cardea::{
    observe::{Checkpoints, verify},
    vault::RootKey,
};
use cardea_testkit::{World, model::Act};
use serde_json::json;

#[tokio::test]
async fn what_happened_stands_in_a_log_that_proves_itself() {
    let world = World::with_model([
        Act::call("ops__get_order", json!({ "order_id": "ORD-17" })),
        Act::say("It is delivered."),
    ])
    .await;
    let support = world.user("support");
    let asked = support.asks("What is with order 17?").await;
    asked.answers("delivered").await;
    let audit = world.audit().await;
    audit.tells(["turn.asked", "step.ended", "turn.ended"]);
    let text = serde_json::to_string(&audit.entries).unwrap();
    assert!(!text.contains("What is with order 17?") && !text.contains(support.token()), "{text}");

    let auditor = world.person(("acme", "eva"), &["auditor"], &["read"]);
    let found = auditor.get(&format!("/api/v1/audit?turn={}", asked.turn())).await.expect(200);
    let entries = found.body["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 3, "{}", found.text);
    assert!(entries.iter().all(|entry| entry["body"]["user"] == "support"));
    drop(support.get("/api/v1/audit").await.expect(403));
    let told = auditor.get("/api/v1/audit/follow?after=7").await.expect(400);
    assert!(told.at("/detail").contains("after"), "{}", told.text);
    let (mut written, mut path) = (Vec::new(), "/api/v1/audit/follow?limit=2".to_owned());
    loop {
        let part = auditor.get(&path).await.expect(200);
        written.extend(part.body["entries"].as_array().unwrap().clone());
        path = format!("/api/v1/audit/follow?limit=2&after={}", part.at("/next"));
        if part.body["more"] == false {
            break;
        }
    }
    assert!(entries.iter().all(|entry| written.contains(entry)), "{written:?}");
    // Where many nodes came and went, a bookmark is too long for an address.
    let first = auditor.post("/api/v1/audit/follow", &json!({ "limit": 2 })).await.expect(200);
    assert_eq!(first.body["entries"].as_array().unwrap()[..], written[..2]);
    let rest =
        auditor.post("/api/v1/audit/follow", &json!({ "after": first.body["next"] })).await.expect(200);
    assert_eq!(rest.body["entries"].as_array().unwrap()[..], written[2..]);
    drop(auditor.post("/api/v1/audit/follow", &json!({ "after": "7" })).await.expect(400));
    let foreign = world.person(("other", "eva"), &["auditor"], &["read"]);
    for path in ["/api/v1/audit", "/api/v1/audit/follow"] {
        assert_eq!(foreign.get(path).await.expect(200).body["entries"], json!([]));
    }
    drop(support.get(&path).await.expect(403));

    let data = &world.app.config.data.dir;
    let key = RootKey::load(&world.app.config.vault, data).unwrap().chain_key();
    let seen = Checkpoints::load(&data.join("audit.checkpoints")).unwrap();
    let proved = verify(&world.app.db, &key, &seen).await.unwrap();
    assert!(proved.entries >= 3, "{proved:?}");
}

#[tokio::test]
async fn operators_see_that_it_lives_and_what_it_counts() {
    let world = World::with_model([Act::say("Hello.")]).await;
    let nobody = world.stranger();
    assert_eq!(nobody.get("/healthz").await.expect(200).text, "ok\n");
    assert_eq!(nobody.get("/readyz").await.expect(200).text, "ready\n");
    world.user("support").asks("Hello?").await.answers("Hello.").await;
    let metrics = nobody.get("/metrics").await.expect(200);
    assert!(
        metrics.text.contains("cardea_") && metrics.text.trim_end().ends_with("# EOF"),
        "{}",
        metrics.text
    );
    assert!(!metrics.text.contains("Hello"), "{}", metrics.text);
}

#[tokio::test]
async fn a_page_that_leads_its_own_name_to_this_machine_reads_no_meters() {
    let world = World::start().await;
    let nobody = world.stranger();
    for (host, status) in [
        ("evil.example", 403),
        ("localhost.evil.example:8787", 403),
        ("localhost", 200),
        ("127.0.0.1:9", 200),
        ("[::1]:8787", 200),
    ] {
        let answer = nobody.send("GET", "/metrics", &[("host", host)], "").await;
        assert_eq!(answer.status, status, "{host}: {}", answer.text);
    }
}
