use cardea_core::{
    Code,
    agent::{Agent, TurnLimits},
    cost::Prices,
    id::{ApprovalId, KeyId, RequestId, StepId, ToolName},
    journal::{Repeatable, StepState, TurnState},
    log::ChainKey,
    message::{Finish, Usage},
    page::{Limit, Place},
    principal::{Principal, Proof},
    time::{Clock, ManualClock, Millis},
    tool::{Effect, Outcome, ToolCall},
};
use cardea_store::{Commit, DbConfig, args};
use futures::future::join_all;
use serde_json::{Map, json};

use super::*;
use crate::{
    control::Screened,
    observe::{Checkpoints, Wanted, verify},
    vault::RootKey,
};

mod old_rows;

const KEY: [u8; 32] = [5; 32];

/// A database with a clock. SQLite in a folder of its own, or the PostgreSQL that `CARDEA_TEST_POSTGRES` names.
struct House {
    url: String,
    clock: Arc<ManualClock>,
    db: Db,
    node: String,
    _folder: tempfile::TempDir,
}

/// One with a root key of its own.
pub(super) async fn vault(db: &Db, observe: &Observe, clock: SharedClock) -> Vault {
    let root_key = Some("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".into());
    let config = crate::vault::Config { root_key, ..crate::vault::Config::default() };
    let root = RootKey::load(&config, std::path::Path::new("/nowhere")).unwrap();
    Vault::new(db.clone(), observe.clone(), root, clock).await
}

impl House {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = std::env::var("CARDEA_TEST_POSTGRES")
            .unwrap_or_else(|_| format!("sqlite:{}", folder.path().join("x.db").display()));
        let node = format!("n{:x}", cardea_core::id::random_bits());
        let db = Self::open(&url, &node).await;
        db.migrate().await.unwrap();
        Self { url, clock: ManualClock::at(Timestamp(1_700_000_000_000)), db, node, _folder: folder }
    }

    async fn open(url: &str, node: &str) -> Db {
        let config = DbConfig { node: node.to_owned(), ..DbConfig::at(url) };
        Db::open(config, ChainKey::new(&KEY)).await.unwrap()
    }

    /// A process of the node with this name; another process of the same name is its restart.
    async fn turns(&self, node: &str) -> Turns {
        let observe = Observe::new(self.db.clone(), self.clock.clone(), Prices::default());
        let vault = vault(&self.db, &observe, self.clock.clone()).await;
        Turns::new(self.db.clone(), observe, self.clock.clone(), node, vault).await.unwrap()
    }

    async fn process(&self) -> Turns {
        self.turns(&self.node).await
    }

    async fn conversation(&self, who: &Principal) -> ConversationId {
        let id = ConversationId::random();
        let commit = Commit::new().run(
            "INSERT INTO conversations (id, tenant, owner, user_id, agent, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, 'support', 0, 0)",
            args![id, &who.tenant, who.key(), &who.user],
        );
        self.db.commit(commit).await.unwrap();
        id
    }

    async fn count(&self, sql: &'static str, id: impl std::fmt::Display) -> i64 {
        self.db.row::<(i64,)>(sql, args![id.to_string()]).await.unwrap().unwrap().0
    }

    /// The events of the audit log about one turn.
    async fn told(&self, turn: TurnId) -> Vec<String> {
        let observe = Observe::new(self.db.clone(), self.clock.clone(), Prices::default());
        let entries = observe
            .search(
                &"acme".into(),
                &Place::START,
                Wanted { fields: &[("turn", &turn.to_string())], until: None },
                Limit::MOST,
            )
            .await
            .unwrap()
            .entries;
        entries.into_iter().map(|entry| entry.body["event"].as_str().unwrap().to_owned()).collect()
    }
}

fn user(name: &str) -> Principal {
    Principal {
        tenant: "acme".into(),
        user: name.into(),
        client: None,
        issuer: "https://issuer.example".into(),
        roles: BTreeSet::new(),
        scopes: BTreeSet::new(),
        actors: Vec::new(),
        proof: Proof::Jwt,
        address: None,
        metadata: std::collections::BTreeMap::new(),
    }
}

const LIMITS: Limits = Limits {
    reflections: 2,
    tool_calls: 1,
    cost_micros: 1_000,
    tokens: 500,
    call: Millis::from_secs(3),
    time: Millis::from_secs(60),
};

/// An agent with these limits.
pub(super) fn agent(name: &str, limits: Limits) -> Agent {
    let limits = TurnLimits {
        reflections: limits.reflections,
        tool_calls: limits.tool_calls,
        tool_timeout: limits.call,
        time: limits.time,
        money: Some(limits.cost_micros as f64 / 1e6),
        tokens: Some(limits.tokens),
    };
    let spec = json!({ "model": "m", "instructions": "Answer.", "limits": limits });
    let spec = serde_json::from_value(spec).unwrap();
    Agent { name: name.into(), version: "1".to_owned(), spec }
}

struct Asks {
    who: Principal,
    agent: String,
    kind: Kind,
    conversation: Option<ConversationId>,
    prompt: String,
    /// As the client sent it, before a guardrail has changed it.
    said: String,
    key: Option<String>,
}

impl Asks {
    fn chat(who: &Principal, conversation: ConversationId, prompt: &str) -> Self {
        let (agent, prompt, said) = ("support".to_owned(), prompt.to_owned(), prompt.to_owned());
        Self {
            who: who.clone(),
            agent,
            kind: Kind::Chat,
            conversation: Some(conversation),
            prompt,
            said,
            key: None,
        }
    }

    fn call(who: &Principal) -> Self {
        let agent = "mcp".to_owned();
        Self {
            who: who.clone(),
            agent,
            kind: Kind::Call,
            conversation: None,
            prompt: String::new(),
            said: String::new(),
            key: None,
        }
    }

    fn with_key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    async fn begin(&self, turns: &Turns) -> Result<Begun, Error> {
        let (agent, prompt) = (agent(&self.agent, LIMITS), Screened::own_words(self.prompt.clone()));
        let asker = Asker { principal: &self.who, agent: &agent, trace: &Trace::default() };
        let key = self.key.as_ref();
        let key = key.map(|key| asker.keyed(self.kind, self.conversation, key, &self.said));
        let tool = ToolName::from("refund");
        let question = match self.conversation {
            Some(talk) => Question::chat(asker, prompt, talk, None),
            None => Question::call(asker, &tool),
        };
        let question = question.once(key.as_ref());
        turns.begin(question).await
    }

    async fn fresh(&self, turns: &Turns) -> Turn {
        match self.begin(turns).await.unwrap() {
            Begun::Fresh(turn) => turn,
            Begun::Again(receipt) => panic!("{receipt:?}"),
        }
    }
}

struct Refund {
    call: ToolCall,
    tool: ToolName,
}

impl Refund {
    fn of(order: u32) -> Self {
        let arguments = Map::from_iter([("order".to_owned(), json!(order))]);
        Self {
            call: ToolCall { id: format!("c{order}"), name: "refund".into(), arguments, written: None },
            tool: "refund".into(),
        }
    }

    fn start(&self, effect: Effect) -> Start<'_> {
        Start {
            call: &self.call,
            tool: &self.tool,
            effect,
            repeatable: Repeatable::ByKey,
            digest: self.call.id.clone(),
            decision: None,
        }
    }
}

fn done() -> Screened<Outcome> {
    Screened::own_words(Outcome::Done { result: json!({ "refunded": true }) })
}

fn answer(text: &str) -> Ending {
    Ending::Answer { text: Screened::own_words(text.to_owned()), finish: Finish::Stop }
}

#[tokio::test]
async fn a_question_is_durable_before_it_is_answered_and_only_one_runs_at_a_time() {
    let (house, ann) = (House::new().await, user("ann"));
    let (turns, talk) = (house.process().await, house.conversation(&ann).await);
    let turn = Asks::chat(&ann, talk, "where is order 17?").fresh(&turns).await;
    let messages = "SELECT COUNT(*) FROM messages WHERE conversation = $1";
    assert_eq!(house.count(messages, talk).await, 1);

    let busy = Asks::chat(&ann, talk, "and 18?").begin(&turns).await.unwrap_err();
    assert_eq!(busy.code(), Code::ConversationBusy);
    let foreign = Asks::chat(&user("bob"), talk, "and mine?").begin(&turns).await.unwrap_err();
    assert_eq!(
        foreign.code(),
        Code::ConversationBusy,
        "bob's question is not written into ann's conversation"
    );
    assert_eq!(house.count(messages, talk).await, 1);

    let id = turn.id();
    let receipt = turns.close(turn, answer("On its way.")).await.unwrap();
    assert_eq!((receipt.status, receipt.answer.as_deref()), (TurnState::Answered, Some("On its way.")));
    let second = Asks::chat(&ann, talk, "thanks").fresh(&turns).await;
    turns.close(second, Ending::Failed(Code::ModelSilent.into())).await.unwrap();
    let said: Vec<(i64, String)> = house
        .db
        .rows("SELECT seq, role FROM messages WHERE conversation = $1 ORDER BY seq", args![talk])
        .await
        .unwrap();
    let roles = ["user", "assistant", "user", "assistant"];
    assert_eq!(said, (1..).zip(roles.map(str::to_owned)).collect::<Vec<_>>());
    assert_eq!(house.told(id).await, ["turn.asked", "turn.ended"]);
}

#[tokio::test]
async fn the_same_key_gives_the_same_answer_and_never_another_one() {
    let (house, ann) = (House::new().await, user("ann"));
    let (turns, talk) = (house.process().await, house.conversation(&ann).await);
    let asks = Asks::chat(&ann, talk, "refund order 17").with_key("k1");
    let tries = join_all((0..40).map(|_| asks.begin(&turns))).await;
    let mut fresh = Vec::new();
    for begun in tries {
        match begun {
            Ok(Begun::Fresh(turn)) => fresh.push(turn),
            Ok(Begun::Again(receipt)) => panic!("answered before it was: {receipt:?}"),
            Err(error) => assert_eq!(error.code(), Code::InProgress),
        }
    }
    assert_eq!(fresh.len(), 1, "forty at once, one turn");
    let receipt = turns.close(fresh.pop().unwrap(), answer("done")).await.unwrap();
    assert!(matches!(asks.begin(&turns).await.unwrap(), Begun::Again(again) if again == receipt));
    let other = Asks::chat(&ann, talk, "refund order 18").with_key("k1").begin(&turns).await.unwrap_err();
    assert_eq!(other.code(), Code::KeyReused);
    // A repeat is told by what the client said, also if a guardrail masks otherwise by now.
    let masked = Asks {
        prompt: "refund [ORDER_1]".to_owned(),
        ..Asks::chat(&ann, talk, "refund order 17").with_key("k1")
    };
    assert!(matches!(masked.begin(&turns).await.unwrap(), Begun::Again(again) if again == receipt));
    let bob = user("bob");
    let other_user =
        Asks::chat(&bob, house.conversation(&bob).await, "hi").with_key("k1").fresh(&turns).await;
    drop(other_user);
    house.clock.advance(Millis::from_secs(24 * 3_600 + 1));
    drop(asks.fresh(&turns).await);
}

#[tokio::test]
async fn a_write_is_durable_before_it_is_done_and_its_owner_before_the_crash_can_write_no_more() {
    let (house, ann) = (House::new().await, user("ann"));
    let talk = house.conversation(&ann).await;
    let before = house.process().await;
    let mut turn = Asks::chat(&ann, talk, "refund order 17").fresh(&before).await;
    let refund = Refund::of(17);
    let step = before.start(&mut turn, refund.start(Effect::Write)).await.unwrap();
    let intent: Vec<(String, StepId)> =
        house.db.rows("SELECT state, id FROM steps WHERE turn = $1", args![turn.id()]).await.unwrap();
    assert_eq!(intent, [("started".to_owned(), step.id())]);
    assert_eq!(house.told(turn.id()).await, ["turn.asked", "step.started"]);

    let after = house.process().await;
    assert!(after.free(100).await.unwrap().iter().any(|free| free.id == turn.id()));
    let claims = join_all((0..8).map(|_| after.claim(turn.id(), LIMITS))).await;
    let mut claimed: Vec<Turn> = claims.into_iter().filter_map(|claim| claim.unwrap()).collect();
    assert_eq!(claimed.len(), 1, "one new owner");
    let mut resumed = claimed.pop().unwrap();
    assert_eq!((resumed.prompt().as_str(), resumed.principal()), ("refund order 17", &ann));
    assert_eq!((resumed.steps()[0].state(), resumed.steps()[0].id()), (StepState::Started, step.id()));
    assert_eq!(resumed.steps()[0].call().arguments, refund.call.arguments);

    let late = before.record(&mut turn, step, done()).await.unwrap_err();
    assert_eq!(late.code(), Code::TakenOver, "the frozen owner woke up and was kept out");
    let again = after.start(&mut resumed, refund.start(Effect::Write)).await.unwrap();
    assert_eq!(again.id(), resumed.steps()[0].id(), "the provider gets the same idempotency key");
    after.record(&mut resumed, again, done()).await.unwrap();
    let id = resumed.id();
    after.close(resumed, answer("refunded")).await.unwrap();
    assert_eq!(
        house.told(id).await,
        ["turn.asked", "step.started", "turn.taken_over", "step.started", "step.ended", "turn.ended"]
    );
    assert_eq!(house.count("SELECT COUNT(*) FROM steps WHERE turn = $1", id).await, 1);
    assert!(before.heartbeat("v").await.is_err(), "the process before the restart has lost its name");
    after.heartbeat("v").await.unwrap();
    let house_log = verify(&house.db, &ChainKey::new(&KEY), &Checkpoints::default()).await.unwrap();
    assert!(house_log.chains[&house.node].sequence >= 5);
}

#[tokio::test]
async fn a_call_that_only_reads_is_one_commit_at_its_end() {
    let house = House::new().await;
    let turns = house.process().await;
    let mut turn = Asks::call(&user("ann")).fresh(&turns).await;
    let id = turn.id();
    let lookup = Refund::of(1);
    let step = turns.start(&mut turn, lookup.start(Effect::Read)).await.unwrap();
    turns.record(&mut turn, step, done()).await.unwrap();
    let rows = "SELECT COUNT(*) FROM turns WHERE id = $1";
    assert_eq!(house.count(rows, id).await, 0);
    turns.close(turn, answer("{}")).await.unwrap();
    assert_eq!(house.count(rows, id).await, 1);
    assert_eq!(house.told(id).await, ["turn.asked", "step.ended", "turn.ended"]);
    assert_eq!(house.count("SELECT commits FROM turns WHERE id = $1", id).await, 0, "the first was the last");
}

#[tokio::test]
async fn a_sleeping_turn_goes_on_under_the_same_step_once_a_person_has_decided() {
    let (house, ann) = (House::new().await, user("ann"));
    let (turns, talk) = (house.process().await, house.conversation(&ann).await);
    let asks = Asks::chat(&ann, talk, "refund 900").with_key("k");
    let mut turn = asks.fresh(&turns).await;
    let (id, approval, refund) = (turn.id(), ApprovalId::random(), Refund::of(900));
    turn.taint_with("mail");
    let receipt = turns.sleep(turn, refund.start(Effect::Write), approval).await.unwrap();
    assert_eq!((receipt.status, receipt.approval), (TurnState::Waiting, Some(approval)));
    assert!(
        matches!(asks.begin(&turns).await.unwrap(), Begun::Again(again) if again.status == TurnState::Waiting)
    );
    let insert = Commit::new().run(
        "INSERT INTO approvals (id, tenant, turn, step, owner, user_id, tool, args, args_digest, digest, state, \
         created_at, expires_at) VALUES ($1, 'acme', $2, 1, $3, 'ann', 'refund', '{}', '', '', 'open', 0, $4)",
        args![approval, id, ann.key(), house.clock.now().plus(Millis::from_secs(60)).0],
    );
    house.db.commit(insert).await.unwrap();
    let is_free = async || turns.free(1_000).await.unwrap().iter().any(|free| free.id == id);
    assert!(!is_free().await, "nobody has decided");
    let decide = "UPDATE approvals SET state = 'approved' WHERE id = $1";
    house.db.commit(Commit::new().run(decide, args![approval])).await.unwrap();
    assert!(is_free().await);

    let mut turn = turns.claim(id, LIMITS).await.unwrap().unwrap();
    assert_eq!(asks.begin(&turns).await.unwrap_err().code(), Code::InProgress, "awake again");
    assert_eq!((turn.steps()[0].state(), turn.steps()[0].approval()), (StepState::Waiting, Some(approval)));
    assert!(turn.taint().contains("mail"));
    turn.another_call().unwrap();
    let waited = turn.steps()[0].id();
    let step = turns.start(&mut turn, refund.start(Effect::Write)).await.unwrap();
    assert_eq!(step.id(), waited);
    turns.record(&mut turn, step, done()).await.unwrap();
    assert_eq!(turn.another_call().unwrap_err().code(), Code::StepsSpent);
    turns.close(turn, answer("refunded")).await.unwrap();
    let told = ["turn.asked", "step.waits", "step.started", "step.ended", "turn.ended"];
    assert_eq!(house.told(id).await, told);

    let (events, status) = turns.events(&ann, id, 0).await.unwrap();
    assert_eq!(status, TurnState::Answered);
    assert_eq!(events.iter().map(|event| event.seq).collect::<Vec<_>>(), (1..=5).collect::<Vec<_>>());
    assert_eq!(turns.events(&ann, id, 3).await.unwrap().0, events[3..], "a stream goes on after any event");
    assert_eq!(turns.events(&user("bob"), id, 0).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(turns.find(&user("bob"), id).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_turn_that_waits_a_second_time_is_woken_by_the_second_decision() {
    let (house, ann) = (House::new().await, user("ann"));
    let (turns, talk) = (house.process().await, house.conversation(&ann).await);
    let turn = Asks::chat(&ann, talk, "refund 900").fresh(&turns).await;
    let (id, refund) = (turn.id(), Refund::of(900));
    let (first, second) = (ApprovalId::random(), ApprovalId::random());
    let insert = "INSERT INTO approvals (id, tenant, turn, step, owner, user_id, tool, args, args_digest, digest, state, \
                  created_at, expires_at) VALUES ($1, 'acme', $2, 1, $3, 'ann', 'refund', '{}', '', '', 'approved', 0, $4)";
    let until = house.clock.now().plus(Millis::from_secs(60)).0;
    for approval in [first, second] {
        house.db.commit(Commit::new().run(insert, args![approval, id, ann.key(), until])).await.unwrap();
    }
    turns.sleep(turn, refund.start(Effect::Write), first).await.unwrap();
    // Policy wants another person by now.
    let turn = turns.claim(id, LIMITS).await.unwrap().unwrap();
    turns.sleep(turn, refund.start(Effect::Write), second).await.unwrap();
    let turn = turns.claim(id, LIMITS).await.unwrap().unwrap();
    assert_eq!((turn.steps().len(), turn.steps()[0].approval()), (1, Some(second)));
    turns.close(turn, answer("refunded")).await.unwrap();
}

#[tokio::test]
async fn a_write_that_was_sent_is_not_forgotten_where_its_key_is_withdrawn() {
    let house = House::new().await;
    let robot = Principal {
        client: Some(KeyId::random().to_string().as_str().into()),
        proof: Proof::ApiKey,
        ..user("robot")
    };
    let talk = house.conversation(&user("robot")).await;
    let before = house.process().await;
    let mut turn = Asks::chat(&user("robot"), talk, "refund order 17").fresh(&before).await;
    drop(before.start(&mut turn, Refund::of(17).start(Effect::Write)).await.unwrap());
    let after = house.process().await;
    let mut resumed = after.claim(turn.id(), LIMITS).await.unwrap().unwrap();
    resumed.asked.principal = robot;
    let noted = "INSERT INTO policy_texts (digest, text) VALUES ('noted', 'what policy said of it')";
    resumed.note(Commit::new().run(noted, args![]));
    let refused = after.start(&mut resumed, Refund::of(17).start(Effect::Write)).await.unwrap_err();
    assert_eq!(refused.code(), Code::TokenInvalid);
    assert!(resumed.steps()[0].is_sent() && resumed.has_effects(), "{:?}", resumed.steps());
    let id = resumed.id();
    after.close(resumed, Ending::Unknown(refused)).await.unwrap();
    let noted: Vec<(String,)> =
        house.db.rows("SELECT digest FROM policy_texts WHERE digest = 'noted'", args![]).await.unwrap();
    assert_eq!(noted.len(), 1, "what was noted before is written all the same");
    let (events, _) = after.events(&user("robot"), id, 0).await.unwrap();
    let told: Vec<_> = events.iter().map(|event| (event.seq, event.kind.as_str())).collect();
    assert_eq!(told, [(1, "turn.started"), (2, "step.started"), (3, "turn.ended")]);
}

#[tokio::test]
async fn a_turn_that_was_dropped_on_the_way_is_found_again_by_its_own_process() {
    let (house, ann) = (House::new().await, user("ann"));
    let turns = house.process().await;
    let turn = Asks::chat(&ann, house.conversation(&ann).await, "hello").fresh(&turns).await;
    let id = turn.id();
    house.clock.advance(Millis::from_secs(9));
    let is_free = async || turns.free(1_000).await.unwrap().iter().any(|free| free.id == id);
    assert!(!is_free().await && turns.claim(id, LIMITS).await.unwrap().is_none(), "it is in hand");
    drop(turn);
    assert!(is_free().await);
    let look = turns.look(id, LIMITS).await.unwrap().unwrap();
    assert!(!is_free().await && turns.look(id, LIMITS).await.unwrap().is_none(), "somebody looks at it");
    drop(look);
    let told = house.told(id).await;
    let turn = turns.claim(id, LIMITS).await.unwrap().unwrap();
    assert_eq!(house.told(id).await, told, "its owner is who it was");
    assert!(!is_free().await);
    turns.close(turn, answer("hello")).await.unwrap();
    assert!(
        !is_free().await && turns.claim(id, LIMITS).await.unwrap().is_none(),
        "what has ended stays ended"
    );
}

#[tokio::test]
async fn a_node_sees_that_another_one_that_lives_decides_by_other_policies() {
    let house = House::new().await;
    let (one, two) = (house.process().await, house.turns(&format!("{}b", house.node)).await);
    one.heartbeat("old").await.unwrap();
    let nodes = async || {
        let seen = one.deciding_otherwise("old").await.unwrap().into_iter();
        // Others share the database.
        let ours =
            |(node, version): (String, String)| Some((node.strip_prefix(&house.node)?.to_owned(), version));
        seen.filter_map(ours).collect::<Vec<_>>()
    };
    assert_eq!(nodes().await, [], "a node that has said nothing yet");
    two.heartbeat("new").await.unwrap();
    assert_eq!(nodes().await, [("b".to_owned(), "new".to_owned())]);
    two.heartbeat("old").await.unwrap();
    assert_eq!(nodes().await, []);
    two.heartbeat("new").await.unwrap();
    house.clock.advance(Millis::from_secs(11));
    assert_eq!(nodes().await, [], "a node that is gone");
}

#[tokio::test]
async fn how_often_a_turn_is_taken_up_is_counted_until_something_of_it_is_written() {
    let (house, ann) = (House::new().await, user("ann"));
    let turns = house.process().await;
    let turn = Asks::chat(&ann, house.conversation(&ann).await, "hello").fresh(&turns).await;
    let id = turn.id();
    drop(turn);
    for tries in 1..=3 {
        assert_eq!(turns.claim(id, LIMITS).await.unwrap().unwrap().tries(), tries);
    }
    let mut turn = turns.claim(id, LIMITS).await.unwrap().unwrap();
    turns.start(&mut turn, Refund::of(1).start(Effect::Write)).await.unwrap();
    drop(turn);
    assert_eq!(turns.claim(id, LIMITS).await.unwrap().unwrap().tries(), 1);
}

#[tokio::test]
async fn another_node_takes_over_when_the_lease_has_run_out_and_not_before() {
    let (house, ann) = (House::new().await, user("ann"));
    let (one, two) = (house.process().await, house.turns(&format!("{}b", house.node)).await);
    let mut turn = Asks::chat(&ann, house.conversation(&ann).await, "hello").fresh(&one).await;
    let id = turn.id();
    let is_free = async || two.free(1_000).await.unwrap().iter().any(|free| free.id == id);
    assert!(!is_free().await && two.claim(id, LIMITS).await.unwrap().is_none(), "its owner lives");
    house.clock.advance(Millis::from_secs(9));
    one.heartbeat("v").await.unwrap();
    house.clock.advance(Millis::from_secs(9));
    assert!(!is_free().await, "the heartbeat has made the lease longer");
    house.clock.advance(Millis::from_secs(2));
    assert!(is_free().await);
    let taken = two.claim(id, LIMITS).await.unwrap().unwrap();
    let woken = one.start(&mut turn, Refund::of(1).start(Effect::Write)).await.unwrap_err();
    assert_eq!(woken.code(), Code::TakenOver, "the frozen node starts no action");
    let (trail, none) = (turn.trail(), Millis(0));
    let lost = one.ended_elsewhere(&trail, none).await.unwrap_err();
    assert!(lost.code() == Code::TakenOver && lost.retry_hint().is_none(), "{lost:?}");
    assert!(lost.public().contains(&format!("/api/v1/turns/{id}")), "{lost}");
    let receipt = two.close(taken, answer("hello")).await.unwrap();
    assert!(one.close(turn, answer("hello twice")).await.is_err());
    assert_eq!(one.ended_elsewhere(&trail, Millis::from_secs(5)).await.unwrap(), receipt);
}

#[tokio::test]
async fn each_limit_has_its_own_ending() {
    let (house, ann) = (House::new().await, user("ann"));
    let turns = house.process().await;
    let mut turn = Asks::chat(&ann, house.conversation(&ann).await, "think").fresh(&turns).await;
    let now = house.clock.now();
    for _ in 0..3 {
        turn.within_limits(now).unwrap();
        turn.charge("m", Usage { input: 10, cached_input: 0, output: 5 }, 300);
    }
    assert_eq!(turn.within_limits(now).unwrap_err().code(), Code::ReflectionsSpent);
    turn.spending.model_calls = 0;
    assert_eq!(turn.within_limits(now.plus(LIMITS.time)).unwrap_err().code(), Code::TimeSpent);
    turn.charge("m", Usage::default(), 101);
    assert_eq!(turn.within_limits(now).unwrap_err().code(), Code::MoneySpent);
    assert_eq!(turn.tokens_left(400).unwrap(), Some(55), "of 500, 45 are used");
    assert_eq!(turn.tokens_left(455).unwrap_err().code(), Code::TokensSpent);
    assert_eq!(turn.call_time(now).0, LIMITS.call);
    assert_eq!(turn.call_time(now.plus(Millis::from_secs(58))).0, Millis::from_secs(2));
    let receipt = turns.close(turn, Ending::Failed(Code::MoneySpent.into())).await.unwrap();
    assert_eq!((receipt.usage.total(), receipt.cost_micros), (45, 1_001));
    assert_eq!(receipt.error.unwrap().error().code(), Code::MoneySpent);
}

#[tokio::test]
async fn what_cannot_be_written_is_not_said_to_have_been() {
    let (house, ann) = (House::new().await, user("ann"));
    let turns = house.process().await;
    let mut turn = Asks::chat(&ann, house.conversation(&ann).await, "refund").fresh(&turns).await;
    house.db.close().await;
    let refused = turns.start(&mut turn, Refund::of(1).start(Effect::Write)).await.unwrap_err();
    assert_eq!(refused.code(), Code::StoreUnavailable);
    let id = turn.id();
    drop(turn);
    let house = House { db: House::open(&house.url, &house.node).await, ..house };
    let turns = house.process().await;
    let turn = turns.claim(id, LIMITS).await.unwrap().unwrap();
    assert!(turn.steps().is_empty(), "no intent, so no action was started");
}
