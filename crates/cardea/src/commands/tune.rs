//! `cardea cache tune`: which setting of the semantic cache fits your own questions.

use std::{collections::HashMap, fs, path::Path};

use cardea_core::cache::{Candidate, Mode, Question, Verdict, crowd, judge, upper_bound};
use cardea_embed::{Encoder, Vector};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{End, Out};

/// The bounds are told with this doubt.
const DOUBT: f64 = 0.05;

/// Two questions, and whether one answer serves both. Further members of the line are not looked at.
#[derive(Debug, Deserialize)]
struct Pair {
    a: String,
    b: String,
    same: bool,
}

/// What a setting does with the pairs.
#[derive(Debug, Clone, Copy, Serialize)]
struct Point {
    /// The least cosine; `None` is the setting that counts where an agent says nothing.
    threshold: Option<f32>,
    /// Pairs with one answer that get it.
    hits: u32,
    /// Pairs with two answers that get one.
    wrong: u32,
    /// The share of hits that are wrong.
    wrong_share: f64,
    /// What that share is at most, with 95 % certainty.
    wrong_at_most: f64,
}

pub(super) fn tune(file: &Path, wrong: f64, out: &mut Out<'_>) -> End {
    if !(wrong > 0.0 && wrong < 1.0) {
        out.note("--wrong is a share, such as 0.01");
        return End::Misused;
    }
    let pairs = match read(file) {
        Ok(pairs) => pairs,
        Err(error) => {
            out.note(format!("{}: {error}", file.display()));
            return End::Unreachable;
        }
    };
    let cosines = match cosines(&pairs) {
        Ok(cosines) => cosines,
        Err(error) => {
            out.note(error);
            return End::Unreachable;
        }
    };
    let modes =
        std::iter::once(None).chain((80_u8..=99).map(|hundredths| Some(f32::from(hundredths) / 100.0)));
    let points: Vec<Point> = modes.map(|threshold| measure(&pairs, &cosines, threshold)).collect();
    let best = points
        .iter()
        .filter(|point| point.hits > 0 && point.wrong_at_most <= wrong)
        .max_by_key(|point| point.hits);
    let same = pairs.iter().filter(|pair| pair.same).count();
    if out.json {
        out.json(&json!({ "pairs": pairs.len(), "same": same, "points": points, "recommended": best }));
    } else {
        print(&points, best, (pairs.len(), same), out);
    }
    if best.is_some() { End::Good } else { End::Bad }
}

fn read(file: &Path) -> Result<Vec<Pair>, String> {
    let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let pair = |(i, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|error| format!("line {} is no pair: {error}", i + 1))
    };
    let pairs: Vec<Pair> = lines.map(pair).collect::<Result<_, _>>()?;
    if pairs.is_empty() { Err("holds no pairs".to_owned()) } else { Ok(pairs) }
}

fn cosines(pairs: &[Pair]) -> Result<Vec<f32>, String> {
    let encoder = Encoder::bundled().map_err(|error| error.to_string())?;
    let mut known: HashMap<&str, Vector> = HashMap::new();
    let mut of = |text| known.entry(text).or_insert_with(|| encoder.encode(text).vector).clone();
    Ok(pairs.iter().map(|pair| of(&pair.a).cosine(&of(&pair.b))).collect())
}

fn measure(pairs: &[Pair], cosines: &[f32], threshold: Option<f32>) -> Point {
    let mode = threshold.map_or_else(Mode::default, |threshold| Mode::Strict { threshold, veto: true });
    let (mut hits, mut wrong) = (0_u32, 0_u32);
    for (pair, cosine) in pairs.iter().zip(cosines) {
        let asked = Question { text: &pair.a, crowd: crowd(&[]) };
        let kept = [Candidate { text: &pair.b, cosine: *cosine, crowd: crowd(&[]) }];
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

fn print(points: &[Point], best: Option<&Point>, (pairs, same): (usize, usize), out: &mut Out<'_>) {
    out.line(format!("{pairs} pairs, {same} of them with one answer\n"));
    let name =
        |point: &Point| point.threshold.map_or_else(|| "(learned)".to_owned(), |at| format!("{at:.2}"));
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    let head =
        ["threshold", "right hits", "wrong hits", "wrong share", "at most"].map(str::to_owned).to_vec();
    let row = |point: &Point| {
        vec![
            name(point),
            point.hits.to_string(),
            point.wrong.to_string(),
            percent(point.wrong_share),
            percent(point.wrong_at_most),
        ]
    };
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(points.iter().map(row)).collect();
    out.table(&rows);
    let advice = match best {
        None => "no setting is good enough for these pairs: in the agent's file, [cache] semantic = false"
            .to_owned(),
        Some(Point { threshold: None, .. }) => {
            "leave [cache] threshold out of the agent's file: the learned decision is best".to_owned()
        }
        Some(Point { threshold: Some(at), .. }) => {
            format!("in the agent's file: [cache] threshold = {at:.2}")
        }
    };
    out.line(format!("\n{advice}"));
}
