//! `cardea cache tune`: finds the setting of the semantic cache that fits your own questions.
//!
//! A file of pairs shows which pairs would share an answer. A file of questions in the order in which they came is
//! replayed against an empty cache.

mod replay;

use std::{collections::HashMap, fs, path::Path};

use cardea_core::cache::{Candidate, Mode, Question, Verdict, crowd, judge, upper_bound};
use cardea_embed::{Encoder, Vector};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{End, Out};

/// Error probability of the reported bounds.
const DOUBT: f64 = 0.05;

/// Two questions, and whether one answer serves both. Further members of the line are ignored.
#[derive(Debug, Deserialize)]
struct Pair {
    a: String,
    b: String,
    same: bool,
}

/// Result of one setting for the pairs.
#[derive(Debug, Clone, Copy, Serialize)]
struct Point {
    /// The least cosine; `None` is the default decision of an agent without a threshold.
    threshold: Option<f32>,
    /// Pairs that need the same answer and share it.
    hits: u32,
    /// Pairs that need different answers and share one.
    wrong: u32,
    /// Share of hits that are wrong.
    wrong_share: f64,
    /// Upper bound of that share, with 95 % confidence.
    wrong_at_most: f64,
}

/// Content of the file, recognised by its first line.
enum Log {
    Pairs(Vec<Pair>),
    Questions(Vec<replay::Asked>),
}

pub(super) fn tune(file: &Path, wrong: f64, out: &mut Out<'_>) -> End {
    if !(wrong > 0.0 && wrong < 1.0) {
        out.note("--wrong is a share, such as 0.01");
        return End::Misused;
    }
    let log = match fs::read_to_string(file) {
        Ok(text) => read(&text).map_err(|error| (error, End::Misused)),
        Err(error) => Err((error.to_string(), End::Unreachable)),
    };
    let log = match log {
        Ok(log) => log,
        Err((error, end)) => {
            out.note(format!("{}: {error}", file.display()));
            return end;
        }
    };
    let encoder = match Encoder::bundled() {
        Ok(encoder) => encoder,
        Err(error) => {
            out.note(error.to_string());
            return End::Unreachable;
        }
    };
    let pairs = match log {
        Log::Pairs(pairs) => pairs,
        Log::Questions(asked) => return replay::tune(&asked, &encoder, wrong, out),
    };
    let cosines = cosines(&pairs, &encoder);
    let points: Vec<Point> = thresholds().map(|threshold| measure(&pairs, &cosines, threshold)).collect();
    let best = points
        .iter()
        .filter(|point| point.hits > 0 && point.wrong_at_most <= wrong)
        .max_by_key(|point| point.hits);
    let same = pairs.iter().filter(|pair| pair.same).count();
    if out.json {
        out.json(&json!({ "pairs": pairs.len(), "same": same, "points": points, "recommended": best }));
    } else {
        print(&points, best, pairs.len(), same, out);
    }
    if best.is_some() { End::Good } else { End::Bad }
}

/// Returns the learned decision, then plain cosine thresholds.
fn thresholds() -> impl Iterator<Item = Option<f32>> {
    std::iter::once(None).chain((80_u8..=99).map(|hundredths| Some(f32::from(hundredths) / 100.0)))
}

fn mode(threshold: Option<f32>) -> Mode {
    threshold.map_or_else(Mode::default, |threshold| Mode::Strict { threshold, veto: true })
}

fn read(text: &str) -> Result<Log, String> {
    let lines = || text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let Some((_, first)) = lines().next() else { return Err("holds no pairs and no questions".to_owned()) };
    if serde_json::from_str::<replay::Asked>(first).is_ok() {
        let asked = |(i, line): (usize, &str)| {
            serde_json::from_str(line).map_err(|error| format!("line {} is no question: {error}", i + 1))
        };
        return lines().map(asked).collect::<Result<_, _>>().map(Log::Questions);
    }
    let pair = |(i, line): (usize, &str)| {
        serde_json::from_str(line)
            .map_err(|error| format!("line {} is no pair (`a`, `b`, `same`): {error}", i + 1))
    };
    lines().map(pair).collect::<Result<_, _>>().map(Log::Pairs)
}

fn cosines(pairs: &[Pair], encoder: &Encoder) -> Vec<f32> {
    let mut known: HashMap<&str, Vector> = HashMap::new();
    let mut of = |text| known.entry(text).or_insert_with(|| encoder.encode(text).vector).clone();
    pairs.iter().map(|pair| of(&pair.a).cosine(&of(&pair.b))).collect()
}

fn measure(pairs: &[Pair], cosines: &[f32], threshold: Option<f32>) -> Point {
    let mode = mode(threshold);
    let (mut hits, mut wrong) = (0_u32, 0_u32);
    for (pair, cosine) in pairs.iter().zip(cosines) {
        let asked = Question { text: &pair.a, crowd: crowd(&[], 0) };
        let kept = [Candidate { text: &pair.b, cosine: *cosine, crowd: crowd(&[], 0) }];
        if matches!(judge(asked, &kept, mode), Verdict::Hit { .. }) {
            hits += u32::from(pair.same);
            wrong += u32::from(!pair.same);
        }
    }
    let all = f64::from(hits + wrong);
    let wrong_share = if all > 0.0 { f64::from(wrong) / all } else { 0.0 };
    let wrong_at_most = upper_bound(f64::from(wrong), all, DOUBT);
    Point { threshold, hits, wrong, wrong_share, wrong_at_most }
}

fn print(points: &[Point], best: Option<&Point>, pairs: usize, same: usize, out: &mut Out<'_>) {
    out.line(format!("{pairs} pairs, {same} of them with one answer\n"));
    let head =
        ["threshold", "right hits", "wrong hits", "wrong share", "at most"].map(str::to_owned).to_vec();
    let row = |point: &Point| {
        vec![
            name(point.threshold),
            point.hits.to_string(),
            point.wrong.to_string(),
            percent(point.wrong_share),
            percent(point.wrong_at_most),
        ]
    };
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(points.iter().map(row)).collect();
    out.table(&rows);
    out.line(format!("\n{}", advice(best.map(|point| point.threshold))));
}

fn name(threshold: Option<f32>) -> String {
    threshold.map_or_else(|| "(learned)".to_owned(), |at| format!("{at:.2}"))
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn advice(best: Option<Option<f32>>) -> String {
    match best {
        None => {
            "no setting is good enough for this: in the agent's file, [cache] semantic = false".to_owned()
        }
        Some(None) => {
            "leave [cache] threshold out of the agent's file: the learned decision is best".to_owned()
        }
        Some(Some(at)) => format!("in the agent's file: [cache] threshold = {at:.2}"),
    }
}
