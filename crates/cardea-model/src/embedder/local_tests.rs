use futures::future::join_all;

use super::*;

/// Long enough for a machine that is busy with other things.
const PATIENT: Duration = Duration::from_secs(60);

fn start(config: LocalConfig) -> LocalEmbedder {
    LocalEmbedder::start(&Encoder::bundled().unwrap(), &config).unwrap()
}

fn texts(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("where is order {number}?")).collect()
}

#[tokio::test]
async fn each_text_gets_its_own_vector_in_its_own_place() {
    let service = start(LocalConfig { threads: 2, batch: 3, ..LocalConfig::default() });
    let direct = Encoder::bundled().unwrap();
    let asked = texts(20);
    let found = service.embed(asked.clone(), PATIENT).await.unwrap();
    assert_eq!(found.len(), asked.len());
    for (text, found) in asked.iter().zip(&found) {
        assert_eq!(*found.vector, direct.encode(text).vector, "{text}");
        assert_eq!(&found.encoder, service.encoder());
    }
    assert_eq!(service.embed(Vec::new(), PATIENT).await.unwrap(), []);
}

#[tokio::test]
async fn a_hundred_equal_questions_are_encoded_once() {
    let service = start(LocalConfig::default());
    let asked = (0..100).map(|_| service.embed(vec!["the same".into(), "the same".into()], PATIENT));
    let found = join_all(asked).await;
    let first = found[0].as_ref().unwrap()[0].clone();
    assert!(found.iter().all(|found| found.as_ref().unwrap().iter().all(|one| *one == first)));
    let stats = service.stats();
    assert_eq!(stats.encoded, 1, "{stats:?}");
    assert_eq!(stats.joined + stats.remembered, 199, "{stats:?}");
    service.embed(vec!["the same".into()], PATIENT).await.unwrap();
    assert_eq!(service.stats().encoded, 1, "it was not remembered");
}

#[tokio::test]
async fn who_asks_for_the_vector_and_then_for_the_tokens_pays_once() {
    let service = start(LocalConfig::default());
    let question = || vec!["where is my parcel?".to_owned()];
    let vector = service.embed(question(), PATIENT).await.unwrap();
    let close = service.read(question(), PATIENT).await.unwrap();
    assert_eq!((&close[0].embedding, service.stats().encoded), (&vector[0], 1));
    let pieces = close[0].pieces.as_ref().expect("this encoder tells its tokens");
    assert_eq!(pieces.len(), 5, "where is my parcel ?");
    service.read(texts(LAST), PATIENT).await.unwrap();
    service.embed(question(), PATIENT).await.unwrap();
    assert_eq!(service.stats().encoded, 1 + LAST as u64, "the vector was forgotten with the tokens");
    assert!(service.read(question(), PATIENT).await.unwrap()[0].pieces.is_some());
    assert_eq!(service.stats().encoded, 2 + LAST as u64, "tokens of older texts are not kept");
}

#[test]
fn a_full_queue_says_not_now_and_takes_no_half() {
    let mut state = State::new(Lru::new(1 << 20));
    let _first = state.ask(&texts(6), 8, Need::Vector).unwrap();
    assert_eq!(state.ask(&["a".into(), "b".into(), "c".into()], 8, Need::Vector).err(), Some(NotNow::Busy));
    assert_eq!((state.queued(), state.stats.refused), (6, 1));
    assert!(!state.waiting.contains_key("a"), "a refused text waits");
    assert!(state.ask(&texts(6), 8, Need::Vector).is_ok(), "texts that wait already need no room");
    let mut empty = State::new(Lru::new(1 << 20));
    assert!(
        empty.ask(&texts(20), 8, Need::Vector).is_ok(),
        "a catalogue that is larger than the queue could never be read"
    );
}

#[test]
fn a_question_that_would_come_too_late_hears_it_before_it_waits() {
    let mut state = State::new(Lru::new(1 << 20));
    let question = ["what now?".to_owned()];
    let soon = Duration::from_millis(10);
    assert!(!state.hopeless(&question, soon, Need::Vector), "nothing is known yet");
    state.pace = (Duration::from_millis(1), 2);
    for number in 0..24 {
        let ahead = state.questions.len();
        assert_eq!(state.hopeless(&question, soon, Need::Vector), ahead > 20, "{ahead} half milliseconds");
        let _asked = state.ask(&[format!("question {number}")], 64, Need::Vector).unwrap();
    }
    assert!(!state.hopeless(&texts(20), soon, Need::Vector), "a catalogue has time");
    let known = Embedding {
        encoder: EncoderId::new("e"),
        vector: Arc::new(cardea_embed::Vector::from_bytes(&[1; 384]).unwrap()),
        truncated: false,
    };
    state.memory.put(&question[0], known);
    assert!(!state.hopeless(&question, soon, Need::Vector), "what is remembered takes no time");
}

#[test]
fn a_question_goes_before_a_catalogue() {
    let mut state = State::new(Lru::new(1 << 20));
    let _catalogue = state.ask(&texts(20), 64, Need::Vector).unwrap();
    let _question = state.ask(&["what now?".into()], 64, Need::Vector).unwrap();
    assert_eq!(state.pop().as_deref(), Some("what now?"));
    assert_eq!(state.pop().as_deref(), Some("where is order 0?"));
}

#[tokio::test]
async fn who_is_too_late_hears_it_and_ghosts_are_not_encoded() {
    let service = start(LocalConfig { batch: 64, ..LocalConfig::default() });
    let long = "word ".repeat(400);
    let asked: Vec<String> = (0..200).map(|number| format!("{number} {long}")).collect();
    assert_eq!(service.embed(asked, Duration::from_millis(1)).await, Err(NotNow::Late));
    // The queue is worked off in order, so this text of the same lane comes after all ghosts.
    let last = texts(FEW + 1);
    service.embed(last, PATIENT).await.unwrap();
    let stats = service.stats();
    assert!(stats.skipped > 100 && stats.refused == 1, "ghosts were encoded: {stats:?}");
}

#[tokio::test]
async fn the_threads_end_with_the_last_handle() {
    let service = start(LocalConfig::default());
    let shared = Arc::downgrade(&service.0.shared);
    drop(service.clone());
    assert!(service.embed(vec!["still there".into()], PATIENT).await.is_ok(), "a clone ended the threads");
    drop(service);
    // The threads hold the last references: they let go when they end.
    while shared.strong_count() > 0 {
        tokio::task::yield_now().await;
    }
}
