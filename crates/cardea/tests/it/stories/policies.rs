//! Policies that change while Cardea runs.

use std::{
    fs,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use cardea::control::{LeftOut, Watch, adopted, adopted_text};
use cardea_core::{Result, time::Millis};
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

fn look(world: &World, watch: &mut Watch) -> Result<Option<LeftOut>> {
    world.app.control.follow(watch, || world.app.action.catalog().specs())
}

/// Waits until the meters say so of the policies in force.
async fn is_stale(world: &World, stale: bool) {
    let line = format!("cardea_policies_stale {}\n", i32::from(stale));
    while !world.app.observe.metrics_text().contains(&line) {
        tokio::task::yield_now().await;
    }
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
        let mut watch = Watch::default();
        assert!(look(&world, &mut watch).is_ok(), "it may be half of a good one");
        assert!(look(&world, &mut watch).is_err(), "this set was taken: {bad}");
        assert_eq!(world.app.control.policies().version().as_ref(), first);
    }
    ann.asks("Refund order 17 again.").await.ends().await;
    assert_eq!(newest(&world, &ann).await, ("allow".to_owned(), first.clone()), "the old set decides on");
    is_stale(&world, true).await;

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
    while **world.app.control.policies().version() != *first {
        tokio::task::yield_now().await;
    }
    ann.asks("Is it open again? Refund order 17.").await.ends().await;
    assert_eq!(
        newest(&world, &ann).await,
        ("allow".to_owned(), first.clone()),
        "the same set has the same version"
    );
    is_stale(&world, false).await;

    // What a version said can be read as long as there are decisions under it.
    world.app.control.record().await.unwrap();
    assert!(text_of(&world, &second).await.contains("closed-today"));
    assert!(!text_of(&world, &first).await.contains("closed-today"));
}

/// The texts that a version was made of.
async fn text_of(world: &World, version: &str) -> String {
    let all = adopted(&world.app.db).await.unwrap();
    let one =
        all.iter().find(|one| one.version == version).unwrap_or_else(|| panic!("no {version}: {all:?}"));
    let mut whole = String::new();
    for file in &one.files {
        whole += &adopted_text(&world.app.db, file).await.unwrap().expect("its text");
    }
    whole
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

#[tokio::test]
async fn a_policy_file_is_not_taken_while_it_is_being_written() {
    let world = World::plan().set("CARDEA_POLICIES__RELOAD", "1h").start().await;
    let version = || world.app.control.policies().version().to_string();
    let file = world.folder().join("policies/shop.cedar");
    let (good, first) = (fs::read_to_string(&file).unwrap(), version());
    let (mut watch, written) = (Watch::default(), fs::metadata(&file).unwrap().modified().unwrap());

    // Half of it, which happens to be good Cedar: each look finds more of it, or the same written again.
    for (seconds, half) in [(1, "// a"), (2, "// a comment"), (3, "// a comment"), (4, "// another")] {
        fs::write(&file, half).unwrap();
        let time = written + Duration::from_secs(seconds);
        fs::File::options().append(true).open(&file).unwrap().set_modified(time).unwrap();
        look(&world, &mut watch).unwrap();
        assert_eq!(version(), first, "taken while it was written: {half}");
    }
    // Emptied, as copying programs begin.
    fs::write(&file, "\n").unwrap();
    for _ in 0..3 {
        let refused = look(&world, &mut watch).unwrap_err().public();
        assert!(refused.contains("shop.cedar` cannot be read: it is empty"), "{refused}");
    }
    assert_eq!(version(), first);

    // Whole again, with one more, and left alone.
    let more = "\n@id(\"never\")\n@reason(\"never.\")\nforbid (principal, action, resource);\n";
    fs::write(&file, format!("{good}{more}")).unwrap();
    look(&world, &mut watch).unwrap();
    assert_eq!(version(), first, "at the first look nobody knows that it is whole");
    look(&world, &mut watch).unwrap();
    assert_ne!(version(), first);
    assert!(world.app.control.policies().names().any(|name| name == "never"));

    // What upstreams offer changes nothing about that.
    fs::write(&file, "// half").unwrap();
    let strict = version();
    assert!(world.app.refresh().await);
    assert_eq!(version(), strict, "an upstream that is read again is no second look");
}

#[tokio::test]
async fn a_new_set_stays_in_force_while_the_old_one_is_still_being_fitted_to_changed_tools() {
    let mut many = String::new();
    for n in 0..300 {
        let line = format!(
            "@id(\"many-{n}\")\nforbid (principal, action, resource) when {{ principal.scopes.contains(\"x{n}\") }};\n"
        );
        many.push_str(&line);
    }
    let plan = World::plan().set("CARDEA_POLICIES__RELOAD", "1h").policies(&many);
    let world = plan.start().await;
    let (control, tools) = (world.app.control.clone(), world.app.action.catalog().specs());
    let (begin, begun) = mpsc::channel();
    let fitting = thread::spawn(move || {
        control.fit(|| {
            begin.send(()).unwrap();
            tools[1..].to_vec() // an upstream has taken a tool back: hundreds of policies take their time
        })
    });
    begun.recv().unwrap();
    let more = "@id(\"never\")\n@reason(\"never.\")\nforbid (principal, action, resource);\n";
    fs::write(world.folder().join("policies/more.cedar"), more).unwrap();
    let mut watch = Watch::default();
    look(&world, &mut watch).unwrap();
    look(&world, &mut watch).unwrap();
    let in_force = || world.app.control.policies().names().any(|name| name == "never");
    assert!(in_force());
    fitting.join().unwrap().unwrap();
    assert!(in_force(), "a `forbid` that was in force is gone");
}

#[tokio::test]
async fn tools_of_an_hour_ago_never_come_back_because_their_policies_were_long_in_the_making() {
    let world = World::plan().set("CARDEA_POLICIES__RELOAD", "1h").start().await;
    let (control, now) = (&world.app.control, world.app.action.catalog().specs());
    let (begin, begun) = mpsc::channel();
    let (end, ended) = mpsc::channel::<()>();
    let read = &AtomicBool::new(false);
    thread::scope(|scope| {
        let tools = now.clone();
        scope.spawn(move || {
            control.fit(|| {
                begin.send(()).unwrap();
                ended.recv().unwrap();
                tools[1..].to_vec()
            })
        });
        begun.recv().unwrap();
        let tools = now.clone();
        scope.spawn(move || {
            control.fit(|| {
                read.store(true, Ordering::Relaxed);
                tools
            })
        });
        let (_never, nothing) = mpsc::channel::<()>();
        assert!(nothing.recv_timeout(Duration::from_millis(300)).is_err());
        assert!(!read.load(Ordering::Relaxed), "the tools were read before it was this one's turn");
        end.send(()).unwrap();
    });
    assert_eq!(control.policies().tools().count(), now.len());
}

#[test]
fn what_editors_leave_in_a_folder_is_no_policy_and_an_empty_file_is_none_either() {
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    for name in [".a.cedar", ".#a.cedar", "._a.cedar", "~a.cedar", "a.cedar~", "#a.cedar#", ".a.cedar.swp"] {
        put(name, "garbage(");
    }
    put("a.cedar", "permit (principal, action, resource);");
    let found = cardea::control::load(dir.path(), "supervisor").unwrap();
    assert_eq!(found.len(), 2, "the built-in one and `a.cedar`: {found:?}");
    put("b.cedar", " \n");
    let refused = cardea::control::load(dir.path(), "supervisor").unwrap_err().public();
    assert!(refused.contains("b.cedar") && refused.contains("it is empty"), "{refused}");
}
