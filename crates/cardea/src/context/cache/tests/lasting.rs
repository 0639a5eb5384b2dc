//! What outlives a restart, and what other nodes are told: copies, clearings, and clearings that are owed.

use super::*;

#[tokio::test]
async fn a_store_that_is_away_is_a_miss_and_a_clearing_is_not_lost() {
    let House { cache, outside, .. } = house(false).await;
    let (helper, ann) = (agent("scope = \"user\""), person("acme", "ann"));
    let first = asked(&cache, &ann, &helper, "Where is order 17?");
    assert_eq!(said(&cache, &first).await, None);
    keep(&cache, &first, "On its way.", &["order:17"]).await;
    outside.cut.store(true, Ordering::SeqCst);
    let second = asked(&cache, &ann, &helper, "Where is order 17?");
    assert!(matches!(cache.look(&second).await, Lookup::Miss(None)), "and nobody waits for anybody");
    keep(&cache, &second, "Delivered.", &["order:17"]).await;
    cache.clear_tags(&"acme".into(), &["order:17".to_owned()]).await;
    assert!(!cache.reachable().await);
    assert_eq!(cache.purge(&"acme".into(), "bob").await, Purged::Owed, "and said so");
    outside.cut.store(false, Ordering::SeqCst);
    let third = asked(&cache, &ann, &helper, "Where is order 17?");
    assert_eq!(said(&cache, &third).await, None, "cleared while the store was away");
    assert!(cache.owed().is_empty());
    // So many that they are not remembered one by one: everything of the tenant goes.
    keep(&cache, &third, "Delivered.", &["order:18"]).await;
    outside.cut.store(true, Ordering::SeqCst);
    for n in 0..=OWED {
        cache.clear_tags(&"acme".into(), &[format!("n:{n}")]).await;
    }
    assert!(cache.owed().len() <= OWED + 1);
    outside.cut.store(false, Ordering::SeqCst);
    assert_eq!(said(&cache, &asked(&cache, &ann, &helper, "Where is order 17?")).await, None);
}

#[tokio::test]
async fn what_a_store_could_not_be_told_is_told_after_a_restart_or_by_another_node() {
    let House { clock, db, outside, .. } = house(false).await;
    let sealer = Arc::new(Sealer::ephemeral().unwrap());
    let open = async || {
        let store: Arc<dyn CacheStore> = Arc::<Outside>::clone(&outside);
        let with = neighbours(&db, &clock, store, Seal::Sealed(Arc::clone(&sealer)));
        let cache = Cache::new(settings(), None, with);
        cache.load().await.unwrap();
        cache
    };
    let owed = async || -> i64 {
        let count: Option<(i64,)> =
            db.row("SELECT COUNT(*) FROM cache_owed", cardea_store::args![]).await.unwrap();
        count.unwrap().0
    };
    let (helper, ann, bob) = (agent("scope = \"user\""), person("acme", "ann"), person("acme", "bob"));
    let acme = TenantId::from("acme");
    let cache = open().await;
    for (user, question, tag) in [(&ann, "one", "a"), (&ann, "two", "b"), (&bob, "three", "c")] {
        let query = asked(&cache, user, &helper, question);
        assert_eq!(said(&cache, &query).await, None);
        keep(&cache, &query, "answer", &[tag]).await;
    }
    let all = async |cache: &Cache| {
        let mut found = Vec::new();
        for (user, question) in [(&ann, "one"), (&ann, "two"), (&bob, "three")] {
            found.push(said(cache, &asked(cache, user, &helper, question)).await.is_some());
        }
        found
    };
    outside.cut.store(true, Ordering::SeqCst);
    assert_eq!(cache.clear_tags(&acme, &["a".to_owned()]).await, Cleared::Surely, "it is written down");
    drop(cache);
    outside.cut.store(false, Ordering::SeqCst);
    let cache = open().await;
    assert_eq!(all(&cache).await, [false, true, true], "a restart does not forget what is owed");
    cache.settle().await.unwrap();
    assert_eq!(owed().await, 0);

    // Another node reaches the store, and pays: also what was to be taken out.
    let other = open().await;
    outside.cut.store(true, Ordering::SeqCst);
    assert_eq!(cache.purge(&acme, "bob").await, Purged::Owed);
    cache.settle().await.unwrap();
    assert_eq!(owed().await, 1, "it is still away");
    outside.cut.store(false, Ordering::SeqCst);
    let held = outside.inside.held().await.unwrap().unwrap().entries;
    other.settle().await.unwrap();
    assert_eq!(all(&other).await, [false, true, false]);
    assert_eq!(outside.inside.held().await.unwrap().unwrap().entries, held - 1, "bob's is taken out");
    assert_eq!(owed().await, 0);

    // With the database away as well it is said, and written down later.
    outside.cut.store(true, Ordering::SeqCst);
    let gone = Commit::new().run("ALTER TABLE cache_owed RENAME TO elsewhere", cardea_store::args![]);
    db.commit(gone).await.unwrap();
    assert_eq!(cache.clear_tags(&acme, &["b".to_owned()]).await, Cleared::ForNow);
    assert_eq!(cache.purge(&acme, "nobody").await, Purged::ForNow);
    assert!(cache.settle().await.is_err());
    let back = Commit::new().run("ALTER TABLE elsewhere RENAME TO cache_owed", cardea_store::args![]);
    db.commit(back).await.unwrap();
    cache.settle().await.unwrap();
    drop(cache);
    outside.cut.store(false, Ordering::SeqCst);
    assert_eq!(all(&open().await).await, [false; 3]);
    // What is so old that nothing of before is left is not owed any more, but for what must be taken out.
    assert_eq!(owed().await, 2);
    clock.advance(Millis(LONGEST.0 + 1));
    other.forget_clearings().await.unwrap();
    assert_eq!(owed().await, 1);
}

#[tokio::test]
async fn entries_that_are_persisted_are_there_after_a_restart_and_cleared_ones_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let db = database(&format!("sqlite:{}", folder.path().join("c.db").display())).await;
    let clock = ManualClock::at(Timestamp(1_800_000_000_000));
    let sealer = || Sealer::ephemeral();
    let key = Arc::new(sealer().unwrap());
    let open = async |sealer: &Arc<Sealer>| {
        let store = Arc::new(MemoryCache::new(1 << 20, 100, Arc::<ManualClock>::clone(&clock)));
        let mut with = neighbours(&db, &clock, Arc::<MemoryCache>::clone(&store), Seal::Own);
        with.persist = Some(Persisted { store, seal: Seal::Sealed(Arc::clone(sealer)) });
        let cache = Cache::new(settings(), None, with);
        cache.load().await.unwrap();
        cache
    };
    let (helper, ann, bob) = (agent("scope = \"user\""), person("acme", "ann"), person("acme", "bob"));
    let cache = open(&key).await;
    for (user, question, tag) in
        [(&ann, "one", "a"), (&ann, "two", "b"), (&ann, "three", "c"), (&bob, "four", "d")]
    {
        let query = asked(&cache, user, &helper, question);
        assert_eq!(said(&cache, &query).await, None);
        keep(&cache, &query, "MARKER answer", &[tag]).await;
    }
    cache.persist().await;
    cache.clear_tags(&"acme".into(), &["a".to_owned()]).await;
    let rows = async || -> Vec<(Vec<u8>,)> {
        db.rows("SELECT record FROM cache_records", cardea_store::args![]).await.unwrap()
    };
    assert_eq!(rows().await.len(), 4);
    assert!(rows().await.iter().all(|(bytes,)| !String::from_utf8_lossy(bytes).contains("MARKER")));
    drop(cache);

    let cache = open(&key).await;
    let all = async |cache: &Cache| {
        let mut found = Vec::new();
        for (user, question) in [(&ann, "one"), (&ann, "two"), (&ann, "three"), (&bob, "four")] {
            found.push(said(cache, &asked(cache, user, &helper, question)).await.is_some());
        }
        found
    };
    assert_eq!(all(&cache).await, [false, true, true, true], "what was cleared stays cleared");
    // A clearing of the second life counts for entries of the first.
    cache.clear_tags(&"acme".into(), &["b".to_owned()]).await;
    assert_eq!(all(&cache).await, [false, false, true, true]);
    assert_eq!(cache.purge(&"acme".into(), "ann").await, Purged::Out);
    assert_eq!(all(&cache).await, [false, false, false, true]);
    assert_eq!(rows().await.len(), 1, "a purge takes them out of the database as well");
    drop(cache);
    assert_eq!(all(&open(&key).await).await, [false, false, false, true]);
    assert_eq!(all(&open(&Arc::new(sealer().unwrap())).await).await, [false; 4], "another key opens nothing");
    clock.advance(Millis::from_secs(60));
    drop(open(&key).await);
    assert!(rows().await.is_empty(), "what is over is tidied up");
}

#[tokio::test]
async fn a_clearing_that_a_copy_is_not_told_of_is_told_as_one_for_now() {
    let db = database("sqlite::memory:").await;
    let clock = ManualClock::at(Timestamp(1_800_000_000_000));
    let key = Arc::new(Sealer::ephemeral().unwrap());
    let open = async || {
        let store = Arc::new(MemoryCache::new(1 << 20, 100, Arc::<ManualClock>::clone(&clock)));
        let mut with = neighbours(&db, &clock, Arc::<MemoryCache>::clone(&store), Seal::Own);
        with.persist = Some(Persisted { store, seal: Seal::Sealed(Arc::clone(&key)) });
        let cache = Cache::new(settings(), None, with);
        cache.load().await.unwrap();
        cache
    };
    let (helper, ann, bob) = (agent("scope = \"user\""), person("acme", "ann"), person("acme", "bob"));
    let acme = TenantId::from("acme");
    let cache = open().await;
    for (user, question, tag) in [(&ann, "one", "a"), (&bob, "two", "b")] {
        let query = asked(&cache, user, &helper, question);
        assert_eq!(said(&cache, &query).await, None);
        keep(&cache, &query, "answer", &[tag]).await;
    }
    cache.persist().await;
    let all = async |cache: &Cache| {
        let mut found = Vec::new();
        for (user, question) in [(&ann, "one"), (&bob, "two")] {
            found.push(said(cache, &asked(cache, user, &helper, question)).await.is_some());
        }
        found
    };
    let sql = "ALTER TABLE cache_marks RENAME TO elsewhere";
    db.commit(Commit::new().run(sql, cardea_store::args![])).await.unwrap();
    assert_eq!(cache.clear_tags(&acme, &["a".to_owned()]).await, Cleared::ForNow);
    assert_eq!(cache.purge(&acme, "bob").await, Purged::ForNow);
    assert_eq!(all(&cache).await, [false, false], "here it is gone");
    let sql = "ALTER TABLE elsewhere RENAME TO cache_marks";
    db.commit(Commit::new().run(sql, cardea_store::args![])).await.unwrap();
    assert_eq!(
        all(&open().await).await,
        [true, true],
        "a restart would bring it back, so it is not told as done"
    );
    assert_eq!(cache.clear_tags(&acme, &["a".to_owned()]).await, Cleared::Surely);
    assert_eq!(cache.purge(&acme, "bob").await, Purged::Out);
    assert_eq!(all(&open().await).await, [false, false]);
}

#[tokio::test]
async fn entries_that_left_are_deleted_once_however_many_write_at_the_same_time() {
    let folder = tempfile::tempdir().unwrap();
    let db = database(&format!("sqlite:{}", folder.path().join("c.db").display())).await;
    let clock = ManualClock::at(Timestamp(1_800_000_000_000));
    let store = Arc::new(MemoryCache::new(1 << 20, 100, Arc::<ManualClock>::clone(&clock)));
    let mut with = neighbours(&db, &clock, Arc::<MemoryCache>::clone(&store), Seal::Own);
    let seal = Seal::Sealed(Arc::new(Sealer::ephemeral().unwrap()));
    with.persist = Some(Persisted { store: Arc::clone(&store), seal });
    let cache = Cache::new(settings(), None, with);
    cache.load().await.unwrap();
    let (helper, ann) = (agent("scope = \"user\""), person("acme", "ann"));
    for n in 0..20 {
        let query = asked(&cache, &ann, &helper, &format!("question {n}"));
        assert_eq!(said(&cache, &query).await, None);
        keep(&cache, &query, "answer", &[]).await;
    }
    let rows = async || -> i64 {
        let count: Option<(i64,)> =
            db.row("SELECT COUNT(*) FROM cache_records", cardea_store::args![]).await.unwrap();
        count.unwrap().0
    };
    cache.persist().await;
    assert_eq!(rows().await, 20);
    store.take_out(&user_tags(&ann)[0]);
    futures::future::join_all((0..10).map(|_| cache.persist())).await;
    assert_eq!(rows().await, 0);
}

#[tokio::test]
async fn what_one_node_clears_another_one_over_the_same_database_forgets_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let db = database(&format!("sqlite:{}", folder.path().join("c.db").display())).await;
    let clock = ManualClock::at(Timestamp(1_800_000_000_000));
    let key = Arc::new(Sealer::ephemeral().unwrap());
    let open = async |persisted: bool| {
        let store = Arc::new(MemoryCache::new(1 << 20, 100, Arc::<ManualClock>::clone(&clock)));
        let mut with = neighbours(&db, &clock, Arc::<MemoryCache>::clone(&store), Seal::Own);
        with.told = Some(Arc::clone(&store));
        with.persist = persisted.then(|| Persisted { store, seal: Seal::Sealed(Arc::clone(&key)) });
        let cache = Cache::new(settings(), None, with);
        cache.load().await.unwrap();
        cache
    };
    let (one, two) = (open(true).await, open(false).await);
    let (helper, ann, bob) = (agent("scope = \"user\""), person("acme", "ann"), person("acme", "bob"));
    // What one node has cleared often must not count for more than what the other clears.
    for _ in 0..5 {
        one.clear_tags(&"acme".into(), &["elsewhere".to_owned()]).await;
    }
    for (user, question, tag) in [(&ann, "one", "a"), (&ann, "two", "b"), (&bob, "three", "c")] {
        let query = asked(&one, user, &helper, question);
        assert_eq!(said(&one, &query).await, None);
        keep(&one, &query, "MARKER answer", &[tag]).await;
    }
    one.persist().await;
    let all = async |cache: &Cache| {
        let mut found = Vec::new();
        for (user, question) in [(&ann, "one"), (&ann, "two"), (&bob, "three")] {
            found.push(said(cache, &asked(cache, user, &helper, question)).await.is_some());
        }
        found
    };
    let slow = asked(&one, &bob, &helper, "slow");
    assert_eq!(said(&one, &slow).await, None);
    two.clear_tags(&"acme".into(), &["a".to_owned()]).await;
    one.follow_others().await.unwrap();
    assert_eq!(all(&one).await, [false, true, true]);
    keep(&one, &slow, "made of what was cleared meanwhile", &["a"]).await;
    assert_eq!(said(&one, &asked(&one, &bob, &helper, "slow")).await, None);

    let many: Vec<String> = (0..1_700).map(|n| format!("order:{n}")).collect();
    two.clear_tags(&"acme".into(), &many).await;
    two.clear_tags(&"acme".into(), &["c".to_owned()]).await;
    one.follow_others().await.unwrap();
    assert_eq!(all(&one).await, [false, true, false], "more than a page of them");

    assert_eq!(two.purge(&"acme".into(), "ann").await, Purged::Out);
    // A later clearing of the same tag does not hide that all was to be taken out.
    two.clear(&"acme".into(), &[user_tag_of(&"acme".into(), "ann")]).await;
    let held = one.held().await.unwrap().entries;
    one.follow_others().await.unwrap();
    assert!(one.held().await.unwrap().entries < held, "what is kept of whoever was erased is taken out");
    one.persist().await;
    drop(one);
    let rows: Vec<(i64,)> =
        db.rows("SELECT COUNT(*) FROM cache_records", cardea_store::args![]).await.unwrap();
    assert!(rows[0].0 <= 2, "of ann nothing is left in the database");
    assert_eq!(all(&open(true).await).await, [false; 3], "nor does it come back with a restart");
}
