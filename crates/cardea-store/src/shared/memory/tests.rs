use std::sync::Arc;

use cardea_core::time::ManualClock;

use super::*;

fn memory(buckets: usize) -> (Arc<ManualClock>, Memory) {
    let clock = ManualClock::at(Timestamp(1_000_000));
    (clock.clone(), Memory::new(MemoryConfig { buckets }, clock))
}

#[tokio::test]
async fn tokens_come_back_with_time_and_a_clock_that_jumps_back_gives_none() {
    let (clock, memory) = memory(10);
    let rate = Rate { burst: 3, refill: 1, per: Millis(1_000) };
    assert_eq!(memory.take("k", rate, 2).await, Taken::Yes { left: 1 });
    assert_eq!(memory.take("k", rate, 2).await, Taken::No { after: Some(Millis(1_000)) });
    clock.advance(Millis(999));
    assert_eq!(memory.take("k", rate, 2).await, Taken::No { after: Some(Millis(1)) });
    clock.advance(Millis(1));
    assert_eq!(memory.take("k", rate, 2).await, Taken::Yes { left: 0 });
    clock.set(Timestamp(0));
    assert!(matches!(memory.take("k", rate, 1).await, Taken::No { .. }));
    assert_eq!(memory.take("k", rate, 4).await, Taken::No { after: None }, "more than it can ever hold");
    memory.give_back("k", rate, 9).await;
    assert_eq!(
        memory.take("k", rate, 3).await,
        Taken::Yes { left: 0 },
        "never more than its size comes back"
    );
}

#[tokio::test]
async fn a_flood_of_keys_stays_bounded_and_does_not_refill_an_empty_bucket() {
    let (_clock, memory) = memory(1_600);
    let rate = Rate { burst: 10, refill: 1, per: Millis::from_secs(3_600) };
    assert_eq!(memory.take("victim", rate, 10).await, Taken::Yes { left: 0 });
    for n in 0..20_000 {
        memory.take(&format!("flood{n}"), rate, 1).await;
    }
    assert!(memory.buckets() <= 1_600, "{} buckets", memory.buckets());
    assert!(
        matches!(memory.take("victim", rate, 1).await, Taken::No { .. }),
        "the flood bought a new bucket"
    );
}

#[tokio::test]
async fn a_wake_up_between_listening_and_waiting_is_not_lost() {
    let (_clock, memory) = memory(1);
    let mut listener = memory.listen("turns");
    memory.wake("others").await;
    memory.wake("turns").await;
    listener.heard().await;
    assert!(listener.heard().now_or_never().is_none(), "one wake-up is heard once");
}
