use cardea_core::time::ManualClock;
use proptest::prelude::*;

use super::*;

fn memory(cache_bytes: usize, buckets: usize) -> (Arc<ManualClock>, Memory) {
    let clock = ManualClock::at(Timestamp(1_000_000));
    (clock.clone(), Memory::new(MemoryConfig { cache_bytes, buckets }, clock))
}

fn keep(ttl: u64, tags: &[&str]) -> Keep {
    Keep { ttl: Millis(ttl), tags: tags.iter().map(|tag| Arc::from(*tag)).collect() }
}

#[tokio::test]
async fn an_entry_lives_until_its_time_or_one_of_its_tags_is_over() {
    let (clock, memory) = memory(1 << 20, 10);
    memory.put("a", Arc::from(*b"1"), keep(100, &["order:1", "user:ann"])).await;
    memory.put("b", Arc::from(*b"2"), keep(1_000, &["order:2", "user:ann"])).await;
    assert_eq!(memory.get("a").await.as_deref(), Some(b"1".as_slice()));
    clock.advance(Millis(100));
    assert_eq!(memory.get("a").await, None, "its time was over");
    memory.clear_tag("order:1").await;
    assert_eq!(memory.get("b").await.as_deref(), Some(b"2".as_slice()));
    memory.clear_tag("user:ann").await;
    assert_eq!(memory.get("b").await, None);
    assert_eq!(memory.cache_bytes(), 0, "nothing is left behind");
}

#[tokio::test]
async fn tokens_come_back_with_time_and_a_clock_that_jumps_back_gives_none() {
    let (clock, memory) = memory(0, 10);
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
    let (_clock, memory) = memory(0, 1_600);
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
    let (_clock, memory) = memory(0, 1);
    let mut listener = memory.listen("turns");
    memory.wake("others").await;
    memory.wake("turns").await;
    listener.heard().await;
    assert!(listener.heard().now_or_never().is_none(), "one wake-up is heard once");
}

proptest! {
    #[test]
    fn the_cache_never_holds_more_than_its_bytes_and_never_a_wrong_value(
        ops in prop::collection::vec((0_u8..12, 0_usize..3_000, 0_u8..5), 1..60)
    ) {
        let (clock, memory) = memory(32 << 10, 1);
        let mut last: HashMap<String, u8> = HashMap::new();
        for (n, (key, size, tag)) in ops.into_iter().enumerate() {
            let key = format!("key{key}");
            let byte = u8::try_from(n % 251).unwrap();
            match tag {
                0 => memory.clear_tag("t1").now_or_never().unwrap(),
                1 => clock.advance(Millis(7)),
                _ => {
                    let value: Bytes = vec![byte; size].into();
                    memory.put(&key, value, keep(50, &[&format!("t{tag}")])).now_or_never().unwrap();
                    last.insert(key.clone(), byte);
                }
            }
            prop_assert!(memory.cache_bytes() <= 32 << 10);
            if let Some(found) = memory.get(&key).now_or_never().unwrap() {
                prop_assert!(found.iter().all(|b| Some(b) == last.get(&key)));
            }
        }
    }
}
