use std::{collections::BTreeSet, io::Cursor};

use cardea_core::{
    Code,
    id::{DecisionId, TenantId, TurnId},
    log::{Broken, ChainKey},
    page::{Limit, Page, Place},
    time::{Clock as _, ManualClock, Timestamp},
};
use cardea_store::{Commit, DbConfig, args};
use serde_json::{Value, json};

use super::*;

const KEY: [u8; 32] = [3; 32];

fn key() -> ChainKey {
    ChainKey::new(&KEY)
}

fn ann(tenant: &str) -> Principal {
    Principal::new(tenant, "ann", "https://issuer.example", Proof::Jwt)
}

struct House {
    db: Db,
    observe: Observe,
    clock: Arc<ManualClock>,
    folder: tempfile::TempDir,
}

impl House {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = DbConfig::at(format!("sqlite:{}", folder.path().join("x.db").display()));
        let db = Db::open(config, key()).await.unwrap();
        db.migrate().await.unwrap();
        let clock = ManualClock::at(Timestamp(1_700_000_000_000));
        let prices = Prices::parse("[[price]]\nmodel='m'\ninput=1\noutput=2\n").unwrap();
        let observe = Observe::new(db.clone(), clock.clone(), prices);
        Self { db, observe, clock, folder }
    }

    async fn tell(&self, tenant: &str, turn: Option<TurnId>, detail: Value) {
        let who = ann(tenant);
        let mut commit = Commit::new();
        let (step, tool, request) = (None, Some("billing__refund"), None);
        self.observe.audit(
            &mut commit,
            Entry { principal: &who, event: "step.started", turn, step, tool, request, detail },
        );
        self.clock.advance(Millis(1));
        self.db.commit(commit).await.unwrap();
    }

    async fn verified(&self, seen: &Checkpoints) -> Result<Verified, Unproved> {
        verify(&self.db, &key(), seen).await
    }

    async fn spoil(&self, sql: &'static str) {
        self.db.commit(Commit::new().run(sql, args![])).await.unwrap();
    }
}

fn first_bad(result: &Result<Verified, Unproved>) -> String {
    result.as_ref().unwrap_err().to_string()
}

#[tokio::test]
async fn an_argument_cannot_break_out_of_its_entry_or_make_it_large() {
    let house = House::new().await;
    let attack =
        "\"}\n{\"event\":\"turn.ended\"}\r\u{1b}[2K\u{202e}\u{2028}".to_owned() + &"A".repeat(1 << 20);
    house
        .tell(
            "acme",
            None,
            json!({ "arguments": { "note": attack, "deep": (0..40).fold(json!(1), |v, _| json!([v])) } }),
        )
        .await;
    let rows: Vec<(Vec<u8>,)> = house.db.rows("SELECT body FROM audit", args![]).await.unwrap();
    let body = String::from_utf8(rows[0].0.clone()).unwrap();
    assert_eq!((rows.len(), body.lines().count()), (1, 1));
    assert!(body.len() < 20_000, "{} bytes", body.len());
    assert!(!body.chars().any(|char| char.is_control() || "\u{202e}\u{2028}".contains(char)), "{body}");
    let entry: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(entry["event"], "step.started");
    let note = &entry["detail"]["arguments"]["note"];
    assert_eq!(
        note["sha256"],
        cardea_core::canonical::sha256_hex(attack.as_bytes()),
        "the digest covers it all"
    );
    assert_eq!(house.verified(&Checkpoints::default()).await.unwrap().entries, 1);
}

#[tokio::test]
async fn every_change_is_found_at_its_first_entry_in_the_database_and_in_the_export() {
    for (spoil, named) in [
        (
            "UPDATE audit SET body = CAST(REPLACE(CAST(body AS TEXT), 'ann', 'bob') AS BLOB) WHERE seq = 4",
            "entry 4",
        ),
        ("DELETE FROM audit WHERE seq = 4", "entry 4 is missing"),
        ("UPDATE audit SET tenant = 'other' WHERE seq = 4", "`tenant` beside entry 4"),
        ("UPDATE audit SET at = at + 1 WHERE seq = 4", "`at` beside entry 4"),
        ("UPDATE audit SET link = (SELECT link FROM audit WHERE seq = 5) WHERE seq = 4", "entry 4"),
    ] {
        let house = House::new().await;
        for n in 0..6 {
            house.tell("acme", None, json!({ "n": n })).await;
        }
        assert_eq!(house.verified(&Checkpoints::default()).await.unwrap().entries, 6);
        house.spoil(spoil).await;
        let bad = house.verified(&Checkpoints::default()).await;
        assert!(first_bad(&bad).contains(named), "{spoil}: {}", first_bad(&bad));

        let mut file = Vec::new();
        export(&house.db, &mut file).await.unwrap();
        let bad = verify_export(Cursor::new(file), &key(), &Checkpoints::default(), None);
        assert!(first_bad(&bad).contains(named), "{spoil}: {}", first_bad(&bad));
    }
}

#[tokio::test]
async fn one_changed_byte_anywhere_in_an_export_is_found() {
    let house = House::new().await;
    for n in 0..3 {
        house.tell("acme", None, json!({ "n": n })).await;
    }
    let mut file = Vec::new();
    assert_eq!(export(&house.db, &mut file).await.unwrap().entries, 3);
    assert_eq!(verify_export(Cursor::new(&file), &key(), &Checkpoints::default(), None).unwrap().entries, 3);
    for place in 0..file.len() {
        let mut changed = file.clone();
        changed[place] ^= 1;
        let result = verify_export(Cursor::new(&changed), &key(), &Checkpoints::default(), None);
        assert!(result.is_err(), "byte {place} of {:?}", String::from_utf8_lossy(&file));
    }
}

#[tokio::test]
async fn a_cut_end_and_a_chain_written_anew_show_against_the_checkpoints() {
    let house = House::new().await;
    let path = house.folder.path().join("kept/elsewhere.jsonl");
    for n in 0..5 {
        house.tell("acme", None, json!({ "n": n })).await;
        house.observe.checkpoint(&path).await.unwrap();
        house.observe.checkpoint(&path).await.unwrap();
    }
    let seen = Checkpoints::load(&path).unwrap();
    assert_eq!(seen.newest("main").unwrap().sequence, 5);
    assert_eq!(
        std::fs::read_to_string(&path).unwrap().lines().count(),
        5,
        "a chain that stands still adds no line"
    );
    assert_eq!(house.verified(&seen).await.unwrap().entries, 5);

    let link: Vec<([u8; 32],)> =
        house.db.rows("SELECT link FROM audit WHERE seq = 3", args![]).await.unwrap();
    let cut = Commit::new()
        .run("DELETE FROM audit WHERE seq > 3", args![])
        .run("UPDATE audit_heads SET seq = 3, link = $1", args![link[0].0]);
    house.db.commit(cut).await.unwrap();
    assert!(house.verified(&Checkpoints::default()).await.is_ok(), "the chain alone cannot know");
    assert!(matches!(
        house.verified(&seen).await,
        Err(Unproved::Broken { broken: Broken::Truncated { expected: 5, found: 3 }, .. })
    ));
    assert!(
        house.observe.checkpoint(&path).await.is_err(),
        "a shorter chain is not written over a longer one"
    );

    let forger = House::new().await;
    for n in 0..9 {
        forger.tell("acme", None, json!({ "forged": n })).await;
    }
    assert!(matches!(
        forger.verified(&seen).await,
        Err(Unproved::Broken { broken: Broken::Rewritten(1), .. })
    ));
    forger.spoil("DELETE FROM audit").await;
    forger.spoil("DELETE FROM audit_heads").await;
    assert!(forger.verified(&seen).await.is_err(), "an empty log is not the log that was seen");
}

#[tokio::test]
async fn a_log_that_is_written_meanwhile_is_proved_and_a_head_that_disagrees_has_its_own_words() {
    let (house, none) = (House::new().await, Checkpoints::default());
    house.tell("acme", None, json!({})).await;
    let writes = async {
        loop {
            house.tell("acme", None, json!({})).await;
        }
    };
    let proves = async {
        for _ in 0..30 {
            house.verified(&none).await.unwrap();
        }
    };
    tokio::select! {
        () = proves => {}
        () = writes => {}
    }
    house.tell("acme", None, json!({})).await;
    let last = house.verified(&none).await.unwrap().entries;
    assert!(last > 2, "somebody wrote meanwhile");
    house.spoil("DELETE FROM audit WHERE seq = (SELECT seq FROM audit_heads)").await;
    let told = first_bad(&house.verified(&none).await);
    assert!(told.contains(&format!("ends at entry {}", last - 1)), "{told}");
    assert!(told.contains(&format!("names entry {last}")), "{told}");
    house.spoil("UPDATE audit_heads SET seq = seq - 2").await;
    let told = first_bad(&house.verified(&none).await);
    assert!(told.contains("`audit_heads`"), "{told}");
}

#[tokio::test]
async fn nodes_that_share_a_file_of_checkpoints_do_not_take_each_other_for_a_cut_log() {
    let house = House::new().await;
    let (path, beside) = (house.folder.path().join("shared.jsonl"), house.folder.path().join("beside.jsonl"));
    house.tell("acme", None, json!({})).await;
    house.observe.checkpoint(&path).await.unwrap();
    house.tell("acme", None, json!({})).await;

    // One node has read where the chain stands, and waits for the file, which another one has.
    let held = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    held.lock().unwrap();
    let waits = house.observe.checkpoint(&path);
    futures::pin_mut!(waits);
    for _ in 0..2_000 {
        assert!(futures::poll!(waits.as_mut()).is_pending());
        tokio::task::yield_now().await;
    }
    house.tell("acme", None, json!({})).await;
    let second = Observe::new(house.db.clone(), house.clock.clone(), Prices::default());
    second.checkpoint(&beside).await.unwrap();
    std::io::Write::write_all(&mut &held, &std::fs::read(&beside).unwrap()).unwrap();
    drop(held);
    waits.await.unwrap();
    let seen = Checkpoints::load(&path).unwrap();
    assert_eq!(seen.newest("main").unwrap().sequence, 3);
    assert_eq!(house.verified(&seen).await.unwrap().entries, 3);
}

#[tokio::test]
async fn an_entry_before_the_first_and_a_chain_under_a_second_name_are_found() {
    let none = Checkpoints::default();
    for sql in [
        "INSERT INTO audit SELECT node, 0, tenant, at, body, link FROM audit WHERE seq = 3",
        "INSERT INTO audit SELECT node, -7, tenant, at, body, link FROM audit WHERE seq = 3",
    ] {
        let house = House::new().await;
        for n in 0..5 {
            house.tell("acme", None, json!({ "n": n })).await;
        }
        house.spoil(sql).await;
        let told = first_bad(&house.verified(&none).await);
        assert!(told.contains("before the first") && told.contains("main"), "{told}");
        // Nobody is shown it, and it does not keep the others from being shown.
        let acme = TenantId::from("acme");
        let shown = house.observe.search(&acme, &Place::START, Wanted::ALL, Limit::MOST).await.unwrap();
        assert_eq!(shown.entries.len(), 5);
        let mut out = Vec::new();
        assert_eq!(export(&house.db, &mut out).await.unwrap().entries, 5);
    }
    let house = House::new().await;
    for n in 0..5 {
        house.tell("acme", None, json!({ "n": n })).await;
    }
    house
        .spoil("INSERT INTO audit SELECT 'other', seq, tenant, at, body, link FROM audit WHERE seq <= 3")
        .await;
    house
        .spoil(
            "INSERT INTO audit_heads SELECT 'other', seq, link FROM audit WHERE node = 'other' AND seq = 3",
        )
        .await;
    let told = first_bad(&house.verified(&none).await);
    assert!(told.contains("`other`") && told.contains("copied"), "{told}");
    let mut out = Vec::new();
    export(&house.db, &mut out).await.unwrap();
    let told = first_bad(&verify_export(out.as_slice(), &key(), &none, None));
    assert!(told.contains("copied"), "{told}");
}

#[tokio::test]
async fn an_export_of_a_log_whose_end_was_cut_before_is_not_proved_by_its_last_line() {
    let house = House::new().await;
    let path = house.folder.path().join("trusted.jsonl");
    for n in 0..5 {
        house.tell("acme", None, json!({ "n": n })).await;
        house.observe.checkpoint(&path).await.unwrap();
    }
    let (seen, signer) = (Checkpoints::load(&path).unwrap(), CheckpointKey::from_seed(&[7; 32]).unwrap());
    let exported = async |at: Timestamp| {
        let mut out = Vec::new();
        let stood = export(&house.db, &mut out).await.unwrap();
        out.extend_from_slice(stood.line(at, &signer, &Checkpoints::default()).unwrap().as_bytes());
        verify_export(out.as_slice(), &key(), &seen, Some(&signer.public()))
    };
    let (early, now) = (house.clock.now(), house.clock.now().plus(Millis(2_000)));
    assert_eq!(exported(now).await.unwrap().as_of, Some(now));
    house.spoil("DELETE FROM audit WHERE seq > 3").await;
    let cut = exported(now).await;
    assert!(
        matches!(cut, Err(Unproved::Broken { broken: Broken::Truncated { expected: 5, found: 3 }, .. })),
        "what was seen before that moment is gone: {cut:?}"
    );
    // As one that was made before the rest was written.
    assert_eq!(exported(early.minus(Millis(5))).await.unwrap().entries, 3);
}

#[tokio::test]
async fn who_follows_the_log_misses_nothing_however_late_it_is_written() {
    let house = House::new().await;
    let (acme, of) = (TenantId::from("acme"), |limit: u32| Limit::try_from(limit).unwrap());
    let numbers = |entries: &[Audited]| -> Vec<Value> {
        entries.iter().map(|entry| entry.body["detail"]["n"].clone()).collect()
    };
    // A slow call is noted now and written last.
    let who = ann("acme");
    let mut slow = Commit::new();
    house.observe.audit(&mut slow, Entry { detail: json!({ "n": "slow" }), ..Entry::new(&who, "read") });
    let (mut seen, mut read) = (Bookmark::default(), Vec::new());
    for n in 0..9 {
        house.tell(if n % 3 == 2 { "other" } else { "acme" }, None, json!({ "n": n })).await;
    }
    loop {
        let part = house.observe.follow(&acme, &seen, of(4)).await.unwrap();
        assert!(part.entries.len() <= 4);
        read.extend(part.entries);
        seen = serde_json::from_value(serde_json::to_value(&part.next).unwrap()).unwrap();
        if !part.more {
            break;
        }
    }
    assert_eq!(numbers(&read), [0, 1, 3, 4, 6, 7]);
    let idle = house.observe.follow(&acme, &seen, of(4)).await.unwrap();
    assert_eq!((idle.entries, &idle.next, idle.more), (Vec::new(), &seen, false));
    house.db.commit(slow).await.unwrap();
    let by_time =
        Place { at: read.last().unwrap().at, id: format!("main.{}", read.last().unwrap().sequence) };
    let by_time = house.observe.search(&acme, &by_time, Wanted::ALL, of(4)).await.unwrap();
    assert!(numbers(&by_time.entries).is_empty(), "it lies before the moment that was seen last");
    let part = house.observe.follow(&acme, &seen, of(4)).await.unwrap();
    assert_eq!(numbers(&part.entries), ["slow"]);
    // Another node begins: it is read from its first entry, and a busy one does not keep it from being read.
    house
        .spoil("INSERT INTO audit SELECT 'next', seq, tenant, at, body, link FROM audit WHERE seq <= 2")
        .await;
    house
        .spoil("INSERT INTO audit_heads SELECT 'next', 2, link FROM audit WHERE node = 'next' AND seq = 2")
        .await;
    let both = house.observe.follow(&acme, &Bookmark::default(), of(4)).await.unwrap();
    let nodes: Vec<&str> = both.entries.iter().map(|entry| entry.node.as_str()).collect();
    assert_eq!((nodes, both.more), (vec!["main", "main", "next", "next"], true));
    let one = house.observe.follow(&acme, &part.next, of(1)).await.unwrap();
    assert_eq!((one.entries[0].node.as_str(), one.entries[0].sequence, one.more), ("next", 1, true));
    // However little is asked for at a time, and however busy one of them is.
    let (mut seen, mut nodes) = (one.next, BTreeSet::new());
    for n in 10..13 {
        house.tell("acme", None, json!({ "n": n })).await;
        let part = house.observe.follow(&acme, &seen, of(1)).await.unwrap();
        nodes.extend(part.entries.into_iter().map(|entry| entry.node));
        seen = part.next;
    }
    assert_eq!(nodes.into_iter().collect::<Vec<_>>(), ["main", "next"]);
    // A copy from before is put in its place, and what is written then has the numbers of what was read.
    house.spoil("UPDATE audit SET link = x'0000000000' WHERE node = 'main' AND seq = 10").await;
    house.tell("acme", None, json!({ "n": 13 })).await;
    let told = house.observe.follow(&acme, &part.next, of(4)).await.unwrap_err();
    assert_eq!(told.code(), Code::BadRequest);
    // And one that is still shorter.
    house.spoil("UPDATE audit_heads SET seq = 5 WHERE node = 'main'").await;
    let told = house.observe.follow(&acme, &part.next, of(4)).await.unwrap_err();
    assert_eq!(told.code(), Code::BadRequest);
    assert!("e30x".parse::<Bookmark>().is_err() && "[]".parse::<Bookmark>().is_err());
}

#[tokio::test]
async fn who_follows_the_log_over_a_gap_reads_what_is_there_and_comes_to_an_end() {
    let house = House::new().await;
    let (acme, of) = (TenantId::from("acme"), |limit: u32| Limit::try_from(limit).unwrap());
    for n in 0..5 {
        house.tell("acme", None, json!({ "n": n })).await;
    }
    house
        .spoil("INSERT INTO audit SELECT 'next', seq, tenant, at, body, link FROM audit WHERE seq <= 2")
        .await;
    house
        .spoil("INSERT INTO audit_heads SELECT 'next', 3, link FROM audit WHERE node = 'next' AND seq = 2")
        .await; // at the end of a chain
    house
        .spoil("INSERT INTO audit_heads SELECT 'gone', 50000, link FROM audit_heads WHERE node = 'main'")
        .await; // all of it
    let (mut seen, mut nodes) = (Bookmark::default(), BTreeSet::new());
    for round in 0.. {
        assert!(round < 9, "it never ends");
        let part = house.observe.follow(&acme, &seen, of(100)).await.unwrap();
        nodes.extend(part.entries.into_iter().map(|entry| entry.node));
        seen = part.next;
        if !part.more {
            break;
        }
    }
    assert_eq!(nodes.into_iter().collect::<Vec<_>>(), ["main", "next"]);
    let idle = house.observe.follow(&acme, &seen, of(100)).await.unwrap();
    assert_eq!((idle.entries, idle.more), (Vec::new(), false));
}

#[tokio::test]
async fn an_auditor_sees_one_tenant_and_can_follow_one_turn() {
    let house = House::new().await;
    let turn = TurnId::random();
    for n in 0..30 {
        house
            .tell(if n % 2 == 0 { "acme" } else { "other" }, (n % 6 == 0).then_some(turn), json!({ "n": n }))
            .await;
    }
    let acme = TenantId::from("acme");
    let of = |limit: u32| Limit::try_from(limit).unwrap();
    let all = house.observe.search(&acme, &Place::START, Wanted::ALL, of(100)).await.unwrap().entries;
    assert_eq!(all.len(), 15);
    assert!(all.iter().all(|entry| entry.body["tenant"] == "acme"));
    let from = Place { at: all[9].at, id: String::new() };
    let later = house.observe.search(&acme, &from, Wanted::ALL, of(100)).await.unwrap();
    assert_eq!(later.entries, all[9..], "from a point in time on, it too");
    let (mut page, mut paged) = (Some(Place::START), Vec::new());
    while let Some(after) = page {
        let found = house.observe.search(&acme, &after, Wanted::ALL, of(4)).await.unwrap();
        assert!(found.entries.len() <= 4);
        paged.extend(found.entries);
        page = found.next;
    }
    assert_eq!(paged, all, "in pages, each entry once");
    let of_turn = house
        .observe
        .search(&acme, &Place::START, Wanted { fields: &[("turn", &turn.to_string())], until: None }, of(3))
        .await
        .unwrap();
    assert_eq!(
        of_turn.entries.iter().map(|entry| entry.body["detail"]["n"].clone()).collect::<Vec<_>>(),
        [0, 6, 12]
    );
    let timed = TurnId::timed(all[9].at);
    house.tell("acme", Some(timed), json!({ "n": 30 })).await;
    let of_turn = house
        .observe
        .search(&acme, &Place::START, Wanted { fields: &[("turn", &timed.to_string())], until: None }, of(3))
        .await
        .unwrap();
    assert_eq!(of_turn.entries.len(), 1, "from its moment on");
    let nobodys = house.observe.search(&"nobody".into(), &Place::START, Wanted::ALL, of(100)).await.unwrap();
    assert_eq!(nobodys, Page { entries: Vec::new(), next: None });
}

#[tokio::test]
async fn a_decision_is_written_with_its_reason_and_read_by_its_user_or_an_auditor() {
    let house = House::new().await;
    let (who, mut commit) = (ann("acme"), Commit::new());
    let decision = Decision {
        id: DecisionId::random(),
        principal: &who,
        action: "call",
        resource: "billing__refund",
        verdict: Verdict::Deny,
        reason: "analysts may not refund",
        policies: &["refund-support-only".to_owned()],
        policy_version: &"7".into(),
        turn: None,
        request: None,
        context: json!({ "blob": "x".repeat(100_000) }),
    };
    house.observe.decision(&mut commit, decision);
    house.db.commit(commit).await.unwrap();
    let start = Place::START;
    let read = |whose| house.observe.decisions(whose, &start, Wanted::ALL, Limit::default());
    let rows = read(Whose::Tenant(&who.tenant)).await.unwrap().entries;
    assert_eq!((rows[0].verdict.as_str(), rows[0].reason.as_str()), ("deny", "analysts may not refund"));
    assert_eq!(rows[0].policies, json!(["refund-support-only"]));
    assert!(rows[0].context.to_string().len() < 1_000);
    assert_eq!(read(Whose::Own(&who)).await.unwrap().entries, rows);
    let bob = Principal { user: "bob".into(), ..ann("acme") };
    assert!(read(Whose::Own(&bob)).await.unwrap().entries.is_empty());
    assert!(
        house.observe.metrics_text().contains(r#"cardea_decisions_total{verdict="deny",tenant="acme"} 1"#)
    );
}

#[tokio::test]
async fn meters_have_units_and_do_not_grow_with_made_up_names() {
    let house = House::new().await;
    let usage = Usage { input: 1_000_000, cached_input: 0, output: 500_000 };
    assert_eq!(house.observe.cost("m", "acme", usage), 2_000_000);
    assert_eq!(house.observe.cost("free", "acme", usage), 0);
    assert_eq!(house.observe.cost("of_nothing", "acme", Usage::default()), 0);
    for n in 0..2_000 {
        house.observe.tool_call(Seen { name: &format!("made_up_{n}"), status: "refused", code: None });
    }
    house.observe.cache("exact", "support", CacheResult::Hit);
    house.observe.finding("payment_card", "output", "masked");
    house.observe.model_took("m", "ok", Millis(1_500));
    house.observe.turn(Seen { name: "support", status: "answered", code: None });
    house.observe.turn(Seen { name: "support", status: "failed", code: Some(Code::ModelFailed) });
    let mut event = RequestEvent::new(cardea_core::id::RequestId::random(), "POST", "/v1/chat/completions");
    event.asked_by(&ann("acme"));
    (event.status, event.took) = (200, Duration::from_micros(12_345));
    house.observe.request(&event);

    let text = house.observe.metrics_text();
    for line in [
        r#"cardea_requests_total{route="/v1/chat/completions",status="200",class="jwt",tenant="acme"} 1"#,
        r#"cardea_request_duration_seconds_count{route="/v1/chat/completions"} 1"#,
        r#"cardea_request_duration_seconds_sum{route="/v1/chat/completions"} 0.012345"#,
        r#"cardea_cache_lookups_total{layer="exact",agent="support",result="hit"} 1"#,
        r#"cardea_guard_findings_total{kind="payment_card",surface="output",action="masked"} 1"#,
        r#"cardea_cost_micros_total{model="m",tenant="acme"} 2000000"#,
        r#"cardea_unpriced_calls_total{model="free"} 1"#,
        r#"cardea_tokens_total{model="m",direction="output",tenant="acme"} 500000"#,
        r#"cardea_model_duration_seconds_sum{model="m",outcome="ok"} 1.5"#,
        "\nprocess_start_time_seconds 1700000000",
        r#"cardea_turns_total{agent="support",status="answered",code="none"} 1"#,
        r#"cardea_turns_total{agent="support",status="failed",code="model_failed"} 1"#,
    ] {
        assert!(text.contains(line), "`{line}` is missing in\n{text}");
    }
    assert!(text.ends_with("# EOF\n") && !text.contains("of_nothing"));
    assert_eq!(text.lines().filter(|line| line.starts_with("cardea_tool_calls_total")).count(), 257);
}

#[tokio::test]
async fn a_checkpoint_that_another_key_signed_or_that_was_changed_counts_for_nothing() {
    let house = House::new().await;
    let signer = |seed: u8| CheckpointKey::from_seed(&[seed; 32]).unwrap();
    house.observe.sign_checkpoints(signer(1));
    house.tell("acme", None, json!({})).await;
    let path = house.folder.path().join("kept/signed.jsonl");
    house.observe.checkpoint(&path).await.unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(Checkpoints::load_signed(&path, &signer(1).public()).unwrap().nodes().count(), 1);
    assert!(Checkpoints::load_signed(&path, &signer(2).public()).is_err(), "another installation's");
    let point: Checkpoint = serde_json::from_str(text.trim()).unwrap();
    let forgeries = [
        Checkpoint { sequence: point.sequence + 1, ..point.clone() },
        Checkpoint { node: "other".into(), ..point.clone() },
        Checkpoint { link: point.link.chars().rev().collect(), ..point.clone() },
        Checkpoint { at: Timestamp(point.at.0 + 1), ..point.clone() },
        Checkpoint { signature: String::new(), ..point.clone() },
        Checkpoint { signature: "zz".into(), ..point.clone() },
    ];
    for forged in forgeries {
        let line = serde_json::to_string(&forged).unwrap();
        std::fs::write(&path, format!("{text}{line}\n")).unwrap();
        let refused = Checkpoints::load_signed(&path, &signer(1).public()).unwrap_err();
        assert!(refused.public().contains("Line 2"), "{line}: {refused}");
        assert!(
            house.observe.checkpoint(&path).await.is_err(),
            "nothing is added to a file that was changed"
        );
    }
}

/// A place to which log lines go.
#[derive(Debug, Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_request_is_told_in_one_line_whatever_its_cause_and_tenant_contain() {
    let house = House::new().await;
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
    let mut event = RequestEvent::new(cardea_core::id::RequestId::random(), "POST", "/api/v1/turns/{turn}");
    event.asked_by(&ann("acme\n{\"forged\":true}"));
    (event.status, event.code) = (503, Some(Code::StoreUnavailable));
    event.cause = Some("lost\r\n\u{1b}[2Kconnection".into());
    event.stages = vec![("auth", Millis(1).duration()), ("model", Millis(40).duration())];
    tracing::subscriber::with_default(subscriber, || house.observe.request(&event));
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    let line: Value = serde_json::from_str(&text).unwrap();
    let fields = &line["fields"];
    assert_eq!(
        (&fields["http.response.status_code"], &fields["error.type"]),
        (&json!(503), &json!("store_unavailable"))
    );
    assert_eq!(
        (&fields["user.class"], &fields["stages_ms"]),
        (&json!("jwt"), &json!("auth=1.00 model=40.00"))
    );
    assert_eq!(fields["request.id"], event.request.to_string());
    assert!(!text.contains("ann") && !text.contains('\u{1b}'), "{text}");
}

#[tokio::test]
async fn half_a_line_at_the_end_of_the_checkpoints_spoils_nothing_before_or_after_it() {
    let house = House::new().await;
    let signer = || CheckpointKey::from_seed(&[1; 32]).unwrap();
    house.observe.sign_checkpoints(signer());
    let path = house.folder.path().join("points");
    house.tell("acme", None, json!({})).await;
    house.observe.checkpoint(&path).await.unwrap();
    let whole = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{whole}{{\"node\":\"main\",\"sequ")).unwrap();

    let seen = Checkpoints::load_signed(&path, &signer().public()).unwrap();
    assert_eq!((seen.torn(), seen.newest("main").unwrap().sequence), (Some(2), 1));
    assert!(house.verified(&seen).await.is_ok());

    // The next process finds it, and goes on after the last whole line.
    let next = Observe::new(house.db.clone(), house.clock.clone(), Prices::default());
    next.sign_checkpoints(signer());
    house.tell("acme", None, json!({})).await;
    next.checkpoint(&path).await.unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with(&whole) && text.lines().count() == 2, "{text}");
    let seen = Checkpoints::load_signed(&path, &signer().public()).unwrap();
    assert_eq!((seen.torn(), seen.newest("main").unwrap().sequence), (None, 2));
}

#[tokio::test]
async fn checkpoints_of_another_node_are_read_and_not_written_again() {
    let house = House::new().await;
    let path = house.folder.path().join("points");
    let lines = || std::fs::read_to_string(&path).unwrap().lines().count();
    let other = Observe::new(house.db.clone(), house.clock.clone(), Prices::default());
    for n in 1..=3 {
        house.tell("acme", None, json!({})).await;
        house.observe.checkpoint(&path).await.unwrap();
        other.checkpoint(&path).await.unwrap();
        assert_eq!(lines(), n, "both look at the same chain");
    }
    std::fs::remove_file(&path).unwrap();
    house.observe.checkpoint(&path).await.unwrap();
    assert_eq!(lines(), 1, "a file that was carried away is begun anew");
}

#[tokio::test]
async fn another_root_key_is_said_to_be_another_one() {
    let house = House::new().await;
    let signer = |seed: u8| CheckpointKey::from_seed(&[seed; 32]).unwrap();
    house.observe.sign_checkpoints(signer(1));
    let path = house.folder.path().join("points");
    for _ in 0..2 {
        house.tell("acme", None, json!({})).await;
        house.observe.checkpoint(&path).await.unwrap();
    }
    let refused = Checkpoints::load_signed(&path, &signer(2).public()).unwrap_err().public();
    assert!(refused.contains("it is another one than that of this log"), "{refused}");
    let unlike = verify(&house.db, &ChainKey::new(&[9; 32]), &Checkpoints::default()).await;
    assert!(matches!(unlike, Err(Unproved::OtherKey)), "{unlike:?}");
}

#[tokio::test]
async fn a_page_of_decisions_begins_where_an_index_says() {
    let house = House::new().await;
    let page = args!["x", 0_i64, "", 10_i64];
    let own = args!["ann", 0_i64, "", 10_i64, "key"];
    for (sql, args, begins) in [
        (decision::OF_OWNER, own, "USING INDEX decisions_by (user_id=? AND owner=? AND at>?)"),
        (decision::OF_TENANT, page, "USING PRIMARY KEY (tenant=? AND at>?)"),
    ] {
        let explain: &'static str = Box::leak(format!("EXPLAIN QUERY PLAN {sql}").into_boxed_str());
        let plan: Vec<(i64, i64, i64, String)> = house.db.rows(explain, args).await.unwrap();
        let steps: Vec<&str> = plan.iter().map(|step| step.3.as_str()).collect();
        assert!(matches!(steps[..], [step] if step.ends_with(begins)), "{steps:?}");
    }
}
