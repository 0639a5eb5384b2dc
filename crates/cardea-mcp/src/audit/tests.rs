//! A long log, and somebody who holds its key.

use std::{fs, path::Path};

use cardea_core::{log::Broken, secret::SecretString};
use futures::future::join_all;

use super::{AuditFile, Fault, chain_key, verify};

fn key() -> SecretString {
    SecretString::from("an audit key of at least 32 bytes".to_owned())
}

async fn written(path: &Path, entries: std::ops::Range<u32>, edited: Option<u32>) {
    let file =
        AuditFile::open(path.to_owned(), path.with_extension("checkpoint"), chain_key(&key()).unwrap())
            .unwrap();
    let numbers: Vec<u32> = entries.collect();
    for chunk in numbers.chunks(500) {
        let body =
            |n: u32| if edited == Some(n) { "\"forged\"".to_owned() } else { format!(r#"{{"n":{n}}}"#) };
        let done = join_all(chunk.iter().map(|n| file.append(body(*n).into_bytes()))).await;
        assert!(done.iter().all(Result::is_ok));
    }
    file.close();
}

#[tokio::test]
async fn j01_in_ten_thousand_entries_the_first_bad_one_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    written(&path, 0..10_000, None).await;
    let good = fs::read_to_string(&path).unwrap();
    let lines: Vec<String> = good.lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 10_000);
    let checkpoint = path.with_extension("checkpoint");
    let tampered = |change: &dyn Fn(&mut Vec<String>)| {
        let mut lines = lines.clone();
        change(&mut lines);
        fs::write(&path, lines.join("\n") + "\n").unwrap();
        verify(&path, Some(&checkpoint), &key()).map(|head| head.sequence)
    };
    let gap = |expected, found| Err(Fault::Chain(Broken::Gap { expected, found }));
    assert_eq!(tampered(&|_| {}), Ok(10_000));
    assert_eq!(
        tampered(&|l| l[7_776] = l[7_776].replace("7776", "7775")),
        Err(Fault::Chain(Broken::Link(7_777)))
    );
    assert_eq!(tampered(&|l| drop(l.remove(4_999))), gap(5_000, 5_001));
    assert_eq!(tampered(&|l| l.swap(9_000, 9_001)), gap(9_001, 9_002));
    assert_eq!(tampered(&|l| l.insert(100, l[100].clone())), gap(102, 101));
    assert_eq!(
        tampered(&|l| l.insert(1, r#"{"seq":2,"link":"","entry":{}}"#.to_owned())),
        Err(Fault::Line(2))
    );
    let cut = Err(Fault::Chain(Broken::Truncated { expected: 10_000, found: 9_999 }));
    assert_eq!(tampered(&|l| l.truncate(9_999)), cut);
}

#[tokio::test]
async fn j03_whoever_holds_the_key_cannot_write_the_past_anew_under_an_earlier_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let (path, apart) = (dir.path().join("audit.jsonl"), dir.path().join("kept-apart"));
    written(&path, 0..600, None).await;
    fs::copy(path.with_extension("checkpoint"), &apart).unwrap();
    fs::remove_file(&path).unwrap();
    fs::remove_file(path.with_extension("checkpoint")).unwrap();
    written(&path, 0..700, Some(17)).await;
    assert_eq!(verify(&path, None, &key()).unwrap().sequence, 700, "the forged chain holds by itself");
    assert_eq!(verify(&path, Some(&apart), &key()), Err(Fault::Chain(Broken::Rewritten(600))));
}

#[tokio::test]
async fn the_checkpoint_follows_the_log_although_the_server_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (path, checkpoint) = (dir.path().join("audit.jsonl"), dir.path().join("checkpoint"));
    let file = AuditFile::open(path.clone(), checkpoint.clone(), chain_key(&key()).unwrap()).unwrap();
    for n in 0..3 {
        file.append(format!(r#"{{"n":{n}}}"#).into_bytes()).await.unwrap();
    }
    let began = std::time::Instant::now();
    while !fs::read_to_string(&checkpoint).is_ok_and(|text| text.starts_with("3 ")) {
        assert!(began.elapsed().as_secs() < 30, "no checkpoint within its time");
        tokio::task::yield_now().await;
    }
    let first = fs::read_to_string(&path).unwrap().lines().next().unwrap().to_owned();
    fs::write(&path, first + "\n").unwrap();
    let cut = Err(Fault::Chain(Broken::Truncated { expected: 3, found: 1 }));
    assert_eq!(verify(&path, Some(&checkpoint), &key()), cut);
}

/// The most memory that this process ever had, in KiB; nothing where the system does not tell.
fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().trim_end_matches(" kB").parse().ok()
}

#[tokio::test]
async fn a_log_is_checked_and_opened_again_without_being_held_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let (path, checkpoint) = (dir.path().join("audit.jsonl"), dir.path().join("audit.checkpoint"));
    let open = || AuditFile::open(path.clone(), checkpoint.clone(), chain_key(&key()).unwrap()).unwrap();
    let file = open();
    let body = format!("\"{}\"", "x".repeat(1 << 20));
    for _ in 0..48 {
        file.append(body.clone().into_bytes()).await.unwrap();
    }
    file.close();
    let before = peak();
    assert_eq!(verify(&path, Some(&checkpoint), &key()).unwrap().sequence, 48);
    open().close();
    if let (Some(before), Some(after)) = (before, peak()) {
        assert!(after - before < 24 * 1024, "{before} KiB became {after} KiB");
    }
}

#[tokio::test]
async fn an_entry_that_a_crash_has_cut_off_is_taken_away_and_one_in_the_middle_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    written(&path, 0..3, None).await;
    let good = fs::read_to_string(&path).unwrap();
    for torn in ["{", r#"{"seq":4,"link":"00"#, &"x".repeat(100_000)] {
        fs::write(&path, format!("{good}{torn}")).unwrap();
        written(&path, 0..0, None).await;
        assert_eq!(fs::read_to_string(&path).unwrap(), good);
    }
    fs::write(&path, format!("{{\n{good}")).unwrap();
    let open = AuditFile::open(path.clone(), path.with_extension("checkpoint"), chain_key(&key()).unwrap());
    assert!(matches!(open.err(), Some(super::AuditError::Fault { source: Fault::Line(1), .. })));
    fs::write(&path, "x").unwrap();
    fs::remove_file(path.with_extension("checkpoint")).unwrap();
    written(&path, 0..0, None).await;
    assert_eq!(fs::read_to_string(&path).unwrap(), "", "nothing but the beginning of a first entry");
}
