//! Replays questions in the order in which they came against an empty cache.

use std::collections::HashMap;

use cardea_core::cache::{Candidate, Mode, Question, SAMPLE, Verdict, crowd, judge, upper_bound};
use cardea_embed::{Encoder, Partition, Vector};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{DOUBT, End, Out, advice, mode, name, percent, thresholds};

/// Neighbours that a decision looks at, as in the cache itself.
const NEIGHBOURS: usize = 12;

/// One question. Questions of one class want the same answer; sources do not see each other's entries.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    text: String,
    class: String,
    #[serde(default, alias = "scope")]
    source: String,
}

/// Result of one setting for the questions of all sources.
#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Point {
    /// The least cosine; `None` is the default decision of an agent without a threshold.
    threshold: Option<f32>,
    /// Questions that were answered from the cache.
    hits: u32,
    /// Hits that got the answer of another class.
    wrong: u32,
    /// Hits in the later half of each source, when the cache is warm.
    warm: u32,
    /// Share of all questions answered from the cache.
    hit_share: f64,
    /// Share of all questions answered wrongly.
    wrong_share: f64,
    /// Upper bound of that share, with 95 % confidence.
    wrong_at_most: f64,
}

pub(super) fn tune(asked: &[Asked], encoder: &Encoder, wrong: f64, out: &mut Out<'_>) -> End {
    let vectors: Vec<Vector> = asked.iter().map(|asked| encoder.encode(&asked.text).vector).collect();
    let mut sources: HashMap<&str, Vec<(&Asked, &Vector)>> = HashMap::new();
    for (asked, vector) in asked.iter().zip(&vectors) {
        sources.entry(&asked.source).or_default().push((asked, vector));
    }
    let mut sources: Vec<_> = sources.into_iter().collect();
    sources.sort_unstable_by_key(|(source, _)| *source);
    let per_source: Vec<(&str, usize, Vec<Point>)> = sources
        .iter()
        .map(|(source, asked)| (*source, asked.len(), thresholds().map(|at| replay(asked, at)).collect()))
        .collect();
    let points: Vec<Point> = (0..thresholds().count())
        .map(|at| total(per_source.iter().filter_map(|(_, _, points)| points.get(at)), asked.len()))
        .collect();
    let best = points
        .iter()
        .filter(|point| point.hits > 0 && point.wrong_at_most <= wrong)
        .max_by_key(|point| point.hits - point.wrong);
    if out.json {
        let sources: Vec<_> = per_source
            .iter()
            .map(|(source, count, points)| json!({ "source": source, "questions": count, "points": points }))
            .collect();
        out.json(
            &json!({ "questions": asked.len(), "sources": sources, "points": points, "recommended": best }),
        );
    } else {
        if per_source.len() > 1 {
            for (source, count, points) in &per_source {
                print(source, *count, points, out);
            }
        }
        print("all", asked.len(), &points, out);
        out.line(advice(best.map(|point| point.threshold)));
    }
    if best.is_some() { End::Good } else { End::Bad }
}

/// Replays one setting. A hit yields the class of its entry; a miss adds an entry.
fn replay(asked: &[(&Asked, &Vector)], threshold: Option<f32>) -> Point {
    let mode = mode(threshold);
    let mut kept: Partition<&Asked> = Partition::new();
    let mut point = Point { threshold, ..Point::default() };
    for (at, (question, vector)) in asked.iter().enumerate() {
        match found(question, vector, &kept, mode) {
            Some(entry) => {
                point.hits += 1;
                point.wrong += u32::from(entry.class != question.class);
                point.warm += u32::from(at >= asked.len() / 2);
            }
            None => drop(kept.insert(Vector::clone(vector), *question)),
        }
    }
    total(std::iter::once(&point), asked.len())
}

fn found<'a>(asked: &Asked, vector: &Vector, kept: &Partition<&'a Asked>, mode: Mode) -> Option<&'a Asked> {
    let near = kept.nearest(vector, NEIGHBOURS);
    let crowd_at = |index| {
        let own = kept.vector(index).map(|own| kept.sample(&own, SAMPLE, Some(index)));
        crowd(&own.unwrap_or_default(), kept.len())
    };
    let candidates: Vec<Candidate<'_>> = near
        .iter()
        .map(|near| Candidate { text: &near.item.text, cosine: near.cosine, crowd: crowd_at(near.index) })
        .collect();
    let question =
        Question { text: &asked.text, crowd: crowd(&kept.sample(vector, SAMPLE, None), kept.len()) };
    match judge(question, &candidates, mode) {
        Verdict::Hit { index, .. } => near.get(index).map(|near| *near.item),
        Verdict::Miss(_) => None,
    }
}

fn total<'a>(points: impl Iterator<Item = &'a Point>, questions: usize) -> Point {
    let mut sum = points.fold(Point::default(), |sum, point| Point {
        threshold: point.threshold,
        hits: sum.hits + point.hits,
        wrong: sum.wrong + point.wrong,
        warm: sum.warm + point.warm,
        ..sum
    });
    let all = questions as f64;
    sum.hit_share = f64::from(sum.hits) / all.max(1.0);
    sum.wrong_share = f64::from(sum.wrong) / all.max(1.0);
    sum.wrong_at_most = upper_bound(f64::from(sum.wrong), all, DOUBT);
    sum
}

fn print(source: &str, count: usize, points: &[Point], out: &mut Out<'_>) {
    out.line(format!("{source}: {count} questions"));
    let head = ["threshold", "hits", "later half", "wrong", "wrong at most"].map(str::to_owned).to_vec();
    let later = f64::from(u32::try_from(count - count / 2).unwrap_or(u32::MAX)).max(1.0);
    let row = |point: &Point| {
        vec![
            name(point.threshold),
            percent(point.hit_share),
            percent(f64::from(point.warm) / later),
            format!("{:.2} %", point.wrong_share * 100.0),
            format!("{:.2} %", point.wrong_at_most * 100.0),
        ]
    };
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(points.iter().map(row)).collect();
    out.table(&rows);
    out.line(String::new());
}
