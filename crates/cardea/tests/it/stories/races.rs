//! Things that happen at the same instant: each has one outcome, whichever comes first.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use cardea::{
    config::Config,
    observe::{self, Observe},
    vault::{RootKey, Vault},
};
use cardea_core::{
    cost::Prices,
    time::{Clock as _, Millis, SystemClock, Timestamp},
};
use cardea_testkit::{
    World,
    model::Act,
    world::{TENANT, User},
};
use futures::{StreamExt as _, stream::FuturesUnordered};
use serde_json::{Value, json};

fn refund(order: usize, amount: u32) -> Act {
    Act::call("ops__process_refund", json!({ "order_id": format!("ORD-{order}"), "amount": amount }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_an_approval_a_rejection_and_its_expiry_at_the_same_instant_exactly_one_counts() {
    const ROUNDS: usize = 24;
    let acts = (1..=ROUNDS).flat_map(|round| [refund(round, 150), Act::say("It is decided.")]);
    let world = World::plan().model(acts).set("CARDEA_LIMITS__PER_USER", "6000/min").start().await;
    let ann = world.user("support");
    let (sue, sam) = (
        world.person((TENANT, "sue"), &["supervisor"], &["read"]),
        world.person((TENANT, "sam"), &["supervisor"], &["read"]),
    );
    let (mut approved, mut rejected, mut expired) = (0, 0, 0);
    for round in 1..=ROUNDS {
        let turn = ann.asks("Refund it, please.").await;
        let late = async {
            if round % 3 == 0 {
                world.clock.advance(Millis::from_secs(3 * 86_400));
            }
        };
        let said = if round % 2 == 0 {
            tokio::join!(
                late,
                sue.decides(&turn, "approve"),
                sam.decides(&turn, "reject"),
                ann.decides(&turn, "approve")
            )
        } else {
            let (late, no, yes, own) = tokio::join!(
                late,
                sam.decides(&turn, "reject"),
                sue.decides(&turn, "approve"),
                ann.decides(&turn, "approve")
            );
            (late, yes, no, own)
        };
        let ((), yes, no, own) = said;
        if round % 3 == 0 {
            // Everybody's token is older than it may be now.
            world.clock.set(Timestamp(world.clock.now().0 - 3 * 86_400_000));
        }
        assert!(own.status == 409 || own.status == 401, "nobody approves their own: {}", own.text);
        let counted = [&yes, &no].iter().filter(|reply| reply.status == 200).count();
        assert!(counted <= 1, "both count: {} {}", yes.text, no.text);
        approved += usize::from(yes.status == 200);
        rejected += usize::from(no.status == 200);
        expired += usize::from(counted == 0);
        if counted == 0 {
            world.user("supervisor").decides(&turn, "reject").await;
        }
        let receipt = turn.ends().await;
        // Whether the shop then pays is its own affair: a small order has no 150 to give back.
        let called = receipt["tools"][0]["state"] != "refused";
        assert_eq!(called, yes.status == 200, "round {round}: {receipt} {} {}", yes.text, no.text);
    }
    println!("{approved} approved, {rejected} rejected, {expired} neither");
    assert!(approved > 0 && rejected > 0);
    let events = world.audit().await;
    let told = |event: &str| events.events().iter().filter(|one| **one == event).count();
    assert!(told("approval.decided") >= approved + rejected && told("approval.refused") > 0);
}

/// Pays back over MCP until told to stop or refused; gives the number of calls that were said to be done.
async fn pays(robot: &User, stop: &AtomicBool) -> usize {
    let mut done = 0;
    for n in 0.. {
        if stop.load(Ordering::SeqCst) || n > 400 {
            break;
        }
        let arguments = json!({ "order_id": "ORD-17", "amount": 1, "reason": format!("{n}") });
        let call = json!({ "jsonrpc": "2.0", "id": n, "method": "tools/call",
                           "params": { "name": "ops__process_refund", "arguments": arguments } });
        let accept = [("accept", "application/json, text/event-stream")];
        let reply = robot.send("POST", "/mcp", &accept, &call.to_string()).await;
        done += usize::from(reply.status == 200 && !reply.text.contains("\"isError\":true"));
        if reply.status == 401 {
            break;
        }
    }
    done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_write_starts_after_its_key_was_withdrawn_however_many_calls_are_on_their_way() {
    let plan = World::plan().set("CARDEA_LIMITS__PER_USER", "100000/min");
    let world = plan.set("CARDEA_LIMITS__PER_TENANT", "100000/min").start().await;
    let admin = world.person((TENANT, "admin"), &["admin", "support"], &["read", "write", "billing:write"]);
    let scopes = ["read", "write", "billing:write"];
    for round in 0..6 {
        let wanted =
            json!({ "user": format!("robot{round}"), "name": "r", "roles": ["support"], "scopes": scopes });
        let made = admin.post("/api/v1/keys", &wanted).await.expect(201);
        let robot = world.holder(made.at("/key"));
        let stop = Arc::new(AtomicBool::new(false));
        let mut paying: FuturesUnordered<_> = (0..8).map(|_| pays(&robot, &stop)).collect();
        let withdraw = async {
            while world.shop().paid().await.len() < (round + 1) * 8 {
                tokio::task::yield_now().await;
            }
            drop(admin.delete(&format!("/api/v1/keys/{}", made.at("/id"))).await.expect(204));
        };
        let all = async { while paying.next().await.is_some() {} };
        tokio::join!(all, withdraw);
        let entries = world.audit().await.entries;
        let of =
            |entry: &Value, key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let withdrawn = entries.iter().rposition(|entry| of(entry, "event") == "key.revoked").unwrap();
        let name = format!("robot{round}");
        let by_robot =
            |entry: &&Value| of(entry, "event") == "step.started" && entry.to_string().contains(&name);
        assert!(entries.iter().take(withdrawn).filter(by_robot).count() > 0, "nothing was going on");
        let late: Vec<&Value> = entries.iter().skip(withdrawn).filter(by_robot).collect();
        assert!(late.is_empty(), "round {round}: begun after the key was withdrawn: {late:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_that_is_deleted_while_its_turn_runs_leaves_nothing_to_read() {
    let slow = Act::Drip("MARKER of the answer.".into(), std::time::Duration::from_millis(5));
    let look = || Act::call("ops__search_customers", json!({ "query": "MARKER" }));
    let world = World::with_model([look(), Act::say("First."), look(), slow]).await;
    let ann = world.user("support");
    let first = ann.asks("Remember MARKER one.").await;
    let talk = first.conversation().to_owned();
    let deleting = async {
        while world.model().seen().len() < 4 {
            tokio::task::yield_now().await;
        }
        drop(ann.delete(&format!("/api/v1/conversations/{talk}")).await.expect(204));
    };
    let (asked, ()) = tokio::join!(ann.goes_on(&talk, "And MARKER two."), deleting);
    assert!(asked.reply.status == 200 || asked.reply.status >= 400, "{}", asked.reply.text);
    let turn = format!("/api/v1/turns/{}", first.turn());
    for path in
        [format!("/api/v1/conversations/{talk}/messages"), format!("/api/v1/conversations/{talk}"), turn]
    {
        let gone = ann.get(&path).await;
        assert!(!gone.text.contains("MARKER"), "{path}: {}", gone.text);
    }
    drop(ann.goes_on(&talk, "Hello?").await.reply.expect(404));
    let open = "SELECT COUNT(*) FROM turns WHERE ended_at IS NULL";
    assert_eq!(
        world.app.db.row::<(i64,)>(open, Vec::new()).await.unwrap(),
        Some((0,)),
        "the turn has an end"
    );
    let kept = "SELECT body FROM messages UNION ALL SELECT prompt FROM turns UNION ALL SELECT COALESCE(receipt, '') FROM turns \
                UNION ALL SELECT body FROM events UNION ALL SELECT args FROM steps UNION ALL SELECT COALESCE(outcome, '') FROM steps";
    let kept: Vec<(String,)> = world.app.db.rows(kept, Vec::new()).await.unwrap();
    assert!(!format!("{kept:?}").contains("MARKER"), "{kept:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_in_the_database_is_an_error_or_changes_nothing_that_is_proved() {
    let world = World::with_model([Act::say("One."), refund(17, 2), Act::say("Two.")]).await;
    let ann = world.user("support");
    drop(ann.asks("First?").await.ends().await);
    drop(ann.asks("Second?").await.ends().await);
    world.app.vault.seal(&TENANT.into(), "s", b"a secret that is known").await.unwrap();
    let entries: Vec<(Vec<u8>,)> = world.app.db.rows("SELECT body FROM audit", Vec::new()).await.unwrap();
    let (config, folder) = (&world.app.config, tempfile::tempdir().unwrap());
    world.app.stop().await;
    let bytes = std::fs::read(config.data.dir.join("cardea.db")).unwrap();
    let (mut dice, copy) = (cardea_testkit::kill::Dice::seeded(23), folder.path().join("copy.db"));
    let sound = read(&copy, &bytes, config).await.expect("the untouched copy");
    let mut noticed = 0;
    for _ in 0..150 {
        let mut flipped = bytes.clone();
        let at = usize::try_from(dice.below(bytes.len() as u64)).unwrap();
        flipped[at] ^= 1 << dice.below(8);
        match read(&copy, &flipped, config).await {
            Ok(found) => assert_eq!(found, sound, "byte {at} changed what is proved, and nobody noticed"),
            Err(_) => noticed += 1,
        }
    }
    println!("{noticed} of 150 flipped bits were noticed, the others changed nothing that is proved");
    for (entry,) in &entries {
        let start: &[u8] = &entry[..entry.len().min(64)]; // the rest may lie on another page
        let mut flipped = bytes.clone();
        let places = bytes.windows(start.len()).enumerate().filter(|(_, window)| *window == start);
        // A page that is free may hold the same bytes.
        let places: Vec<usize> = places.map(|(at, _)| at + start.len() / 2).collect();
        places.iter().for_each(|at| flipped[*at] ^= 1);
        let read = read(&copy, &flipped, config).await;
        assert!(
            !places.is_empty() && read.is_err(),
            "a bit of the log was flipped, and nobody noticed: {read:?}"
        );
    }
}

/// The audit log, verified, and the secret, opened; or why not.
async fn read(file: &std::path::Path, bytes: &[u8], config: &Config) -> Result<String, String> {
    let words = |error: cardea_core::Error| error.public();
    let root = RootKey::load(&config.vault, &config.data.dir).map_err(words)?;
    std::fs::write(file, bytes).map_err(|error| error.to_string())?;
    let (url, clock) = (format!("sqlite:{}", file.display()), Arc::new(SystemClock));
    let db =
        cardea_store::Db::open(cardea_store::DbConfig::at(url), root.chain_key()).await.map_err(words)?;
    let verified = observe::verify(&db, &root.chain_key(), &observe::Checkpoints::default()).await;
    let log: Result<Vec<(i64, Vec<u8>)>, _> =
        db.rows("SELECT seq, body FROM audit ORDER BY node, seq", Vec::new()).await;
    let observe = Observe::new(db.clone(), clock.clone(), Prices::default());
    let opened = Vault::new(db.clone(), observe, root, clock).await.open(&TENANT.into(), "s").await;
    db.close().await;
    verified.map_err(|error| error.to_string())?;
    let opened = opened.map_err(words)?.map(|secret| String::from_utf8_lossy(&secret).into_owned());
    Ok(format!("{:?} {opened:?}", log.map_err(words)?))
}
