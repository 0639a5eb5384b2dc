//! Warm-up: a JSON Lines file of known answers, read at start.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use cardea_core::{
    cache::Finished,
    message::{Finish, Usage},
    time::Millis,
};
use cardea_embed::Vector;
use serde::Deserialize;

use super::{Cache, NewAnswer, Query};
use crate::control::Screened;

/// Limit of lines in a file.
const LINES: usize = 200_000;

/// One known answer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Warm {
    /// The agent that would answer. Its answers must be shared, or `user` and `issuer` must name the owner of this
    /// one.
    pub agent: String,
    /// The tenant.
    #[serde(default = "default_tenant")]
    pub tenant: String,
    /// The question.
    pub question: String,
    /// The answer.
    pub answer: String,
    /// Roles of the users who may be given it: exactly these.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Scopes of the users who may be given it: exactly these.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Verified facts of the users who may be given it (plan, department): exactly these.
    #[serde(default)]
    pub metadata: BTreeMap<String, serde_json::Value>,
    /// The only user who may be given it.
    pub user: Option<String>,
    /// Issuer of that user.
    pub issuer: Option<String>,
    /// Client named in that user's tokens; it counts if policies distinguish users.
    pub client: Option<String>,
    /// Tags that clear it.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Lifetime. If absent: that of the agent's other answers.
    #[serde(default, deserialize_with = "length")]
    pub ttl: Option<Millis>,
    /// Vector of the question: 384 signed bytes in base64. If absent, it is computed at start.
    #[serde(default, deserialize_with = "vector")]
    pub vector: Option<Vector>,
    /// Id of the encoder that made `vector`.
    pub encoder: Option<String>,
}

fn default_tenant() -> String {
    "default".to_owned()
}

fn length<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Millis>, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map(Some).map_err(|error| serde::de::Error::custom(format!("`ttl`: {error}")))
}

fn vector<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Vector>, D::Error> {
    let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
    let bytes = STANDARD.decode(text).map_err(|_| serde::de::Error::custom("`vector` is not base64"))?;
    let vector = Vector::from_bytes(&bytes);
    vector.map(Some).ok_or_else(|| serde::de::Error::custom("`vector` does not hold 384 bytes"))
}

/// A problem in the file, with its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}{line}: {problem}", line = .line.map(|line| format!(", line {line}")).unwrap_or_default())]
pub struct WarmError {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: Option<usize>,
    /// What is wrong.
    pub problem: String,
}

/// Reads a file of known answers; `encoder` is the id of the encoder in use, if that is known yet.
///
/// # Errors
/// The first line that cannot be used.
pub fn read_warm(path: &Path, encoder: Option<&str>) -> Result<Vec<Warm>, WarmError> {
    let wrong =
        |line: Option<usize>, problem: String| WarmError { file: path.display().to_string(), line, problem };
    let text =
        std::fs::read_to_string(path).map_err(|error| wrong(None, format!("cannot be read: {error}")))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let mut found = Vec::new();
    for (at, line) in lines {
        let at = Some(at + 1);
        let warm: Warm = serde_json::from_str(line).map_err(|error| wrong(at, error.to_string()))?;
        if warm.question.trim().is_empty() || warm.answer.trim().is_empty() {
            return Err(wrong(at, "`question` and `answer` must say something".to_owned()));
        }
        if warm.user.is_some() != warm.issuer.is_some() {
            return Err(wrong(at, "`user` and `issuer` go together".to_owned()));
        }
        match (&warm.vector, &warm.encoder, encoder) {
            (Some(_), None, _) => {
                return Err(wrong(at, "`vector` needs `encoder`, the id of what made it".to_owned()));
            }
            (Some(_), Some(made), Some(here)) if made != here => {
                let help = format!("`vector` was made by `{made}`, and here works `{here}`: leave it out");
                return Err(wrong(at, help));
            }
            _ => {}
        }
        if found.len() >= LINES {
            return Err(wrong(at, format!("has more than {LINES} lines")));
        }
        found.push(warm);
    }
    Ok(found)
}

impl Cache {
    /// Keeps a known answer at the place of this question. Returns false if the store is unavailable.
    pub async fn warm(&self, mut query: Query, warm: &Warm) -> bool {
        let Some(count) = self.ready().await else { return false };
        query.asked_at.get_or_init(|| count);
        query.ttl = warm.ttl.unwrap_or(query.ttl);
        let here = self.0.embedder.as_ref().map(|embedder| embedder.encoder().as_str());
        if let (Some(vector), true) = (&warm.vector, here.is_some() && here == warm.encoder.as_deref()) {
            query.vector.get_or_init(|| Some(Arc::new(vector.clone())));
        }
        let text = &Screened::own_words(warm.answer.clone()); // the operator's text
        let (taint, finish, usage) = (&BTreeSet::new(), Finish::Stop, Usage::default());
        let answer = NewAnswer { text, finish, usage, micros: 0, taint, good_for: None };
        self.keep(&query, answer, Finished::default(), warm.tags.clone()).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, encoder: Option<&str>) -> Result<Vec<Warm>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("warm.jsonl");
        std::fs::write(&path, text).unwrap();
        read_warm(&path, encoder).map_err(|error| {
            assert!(error.to_string().contains("warm.jsonl"), "{error}");
            format!("{}: {}", error.line.unwrap_or(0), error.problem)
        })
    }

    #[test]
    fn a_file_is_read_whole_or_its_first_bad_line_is_told() {
        let vector = STANDARD.encode([1_u8; 384]);
        let good = r#"{"agent":"faq","question":"When do you open?","answer":"Address 9.","tags":["hours"],"ttl":"2d"}"#;
        let with =
            format!(r#"{{"agent":"faq","question":"q","answer":"a","vector":"{vector}","encoder":"e1"}}"#);
        let found = read(&format!("{good}\n\n{with}\n"), Some("e1")).unwrap();
        assert_eq!((found.len(), found[0].tenant.as_str(), found[1].vector.is_some()), (2, "default", true));
        for (line, encoder, want) in [
            (with.clone(), Some("e2"), "2: `vector` was made by `e1`"),
            (with.replace(r#","encoder":"e1""#, ""), None, "2: `vector` needs `encoder`"),
            (with.replace(&vector, "AAAA"), None, "384 bytes"),
            (with.replace(&vector, "?"), None, "not base64"),
            ("{".to_owned(), None, "2: "),
            (good.replace("tags", "tag"), None, "unknown field `tag`"),
            (good.replace("Address 9.", " "), None, "must say something"),
            (good.replace(r#""tags""#, r#""user":"ann","tags""#), None, "go together"),
        ] {
            let told = read(&format!("{good}\n{line}"), encoder).unwrap_err();
            assert!(told.contains(want), "{told}");
        }
    }
}
