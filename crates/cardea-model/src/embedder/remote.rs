//! A remote encoder with OpenAI's `/embeddings` interface.

use std::time::Duration;

use cardea_core::{
    Code, Error, Result,
    secret::{ExposeSecret, SecretString},
    size::Bytes,
    units::SecretText,
};
use cardea_embed::{DIMS, Vector};
use cardea_net::{Egress, Net, Request};
use futures::{FutureExt, future::BoxFuture};
use http::{HeaderValue, header};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::timeout;

use super::{Embedder, Embedding, EncoderId, NotNow, lru::Lru};

/// A remote encoder. It must return 384 numbers, or support `dimensions`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoteConfig {
    /// Base URL, up to and including the version, for example `https://api.openai.com/v1`.
    pub base_url: String,
    /// API key, if needed.
    #[serde(default)]
    #[schemars(with = "Option<SecretText>")]
    pub api_key: Option<SecretString>,
    /// Name of the model at the server. It is part of every vector's encoder id.
    pub model: String,
    /// Whether to request 384 numbers. For models that can be shortened; others ignore the request.
    #[serde(default)]
    pub dimensions: bool,
    /// Memory limit of the cache of encoded texts. Default: `"16MiB"`.
    #[serde(default = "remember")]
    pub remember: Bytes,
}

const fn remember() -> Bytes {
    Bytes::mib(16)
}

/// Limit of texts in one request.
const MOST: usize = 256;

/// A remote encoder.
pub struct RemoteEmbedder {
    net: Net,
    config: RemoteConfig,
    egress: Egress,
    id: EncoderId,
    memory: Mutex<Lru>,
}

impl RemoteEmbedder {
    /// Creates an encoder at this address.
    ///
    /// # Errors
    /// [`Code::Misconfigured`] if the address is invalid.
    pub fn new(config: RemoteConfig, net: Net) -> Result<Self> {
        let bad =
            |why: &str| Error::new(Code::Misconfigured).detail(format!("`embedder.remote.base_url` {why}."));
        let uri: http::Uri = config.base_url.parse().map_err(|_| bad("is not an address"))?;
        let host = uri.host().ok_or_else(|| bad("has no host"))?.to_owned();
        // The address is part of the id: two servers may use one name for different weights.
        let id =
            EncoderId::new(&format!("remote:{}:{}", config.base_url.trim_end_matches('/'), config.model));
        let memory = Mutex::new(Lru::new(config.remember.len()));
        Ok(Self { net, egress: Egress::hosts([host]), id, memory, config })
    }

    async fn fetch(&self, texts: Vec<String>, within: Duration) -> Result<Vec<Embedding>, NotNow> {
        let known: Vec<Option<Embedding>> = {
            let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            texts.iter().map(|text| memory.get(text)).collect()
        };
        let open: Vec<&str> = texts
            .iter()
            .zip(&known)
            .filter(|(_, known)| known.is_none())
            .map(|(text, _)| text.as_str())
            .collect();
        if open.is_empty() {
            return Ok(known.into_iter().flatten().collect());
        }
        if open.len() > MOST {
            return Err(NotNow::Busy);
        }
        let fresh = timeout(within, self.ask(&open, within)).await.map_err(|_| NotNow::Late)??;
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        for (text, embedding) in open.iter().zip(&fresh) {
            memory.put(text, embedding.clone());
        }
        let mut fresh = fresh.into_iter();
        Ok(known.into_iter().filter_map(|known| known.or_else(|| fresh.next())).collect())
    }

    async fn ask(&self, texts: &[&str], within: Duration) -> Result<Vec<Embedding>, NotNow> {
        let away = |why: String| NotNow::Away(why);
        let mut body = json!({ "model": self.config.model, "input": texts, "encoding_format": "float" });
        if let (true, Some(body)) = (self.config.dimensions, body.as_object_mut()) {
            body.insert("dimensions".into(), DIMS.into());
        }
        let url = format!("{}/embeddings", self.config.base_url.trim_end_matches('/'));
        let mut request = Request::post_json(&url, self.egress.clone(), &body)
            .map_err(|error| away(error.to_string()))?
            .own_timeout(within.max(Duration::from_millis(1)))
            .max_body(32 * 1024 * 1024);
        if let Some(key) = &self.config.api_key {
            let value = HeaderValue::try_from(format!("Bearer {}", key.expose_secret()));
            let mut value = value.map_err(|_| away("the key cannot be sent".into()))?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        let answer = self
            .net
            .send(request)
            .await
            .map_err(|error| if error.is_timeout() { NotNow::Late } else { away(error.to_string()) })?;
        if !answer.status.is_success() {
            return Err(away(format!("status {}", answer.status.as_u16())));
        }
        let document: Value = answer.json().map_err(|_| away("the answer is not JSON".into()))?;
        read(&document, texts.len(), &self.id).ok_or_else(|| {
            away(format!("the answer does not hold {} vectors of {DIMS} numbers", texts.len()))
        })
    }
}

/// Returns the vectors of an answer, in the order of their indices; `None` unless there is exactly one per text.
fn read(document: &Value, count: usize, id: &EncoderId) -> Option<Vec<Embedding>> {
    let data = document.get("data")?.as_array()?;
    let mut found: Vec<Option<Embedding>> = vec![None; count];
    for (order, one) in data.iter().enumerate() {
        let place = one
            .get("index")
            .and_then(Value::as_u64)
            .and_then(|index| usize::try_from(index).ok())
            .unwrap_or(order);
        let numbers = one.get("embedding")?.as_array()?;
        let mut floats = [0.0_f32; DIMS];
        if numbers.len() != DIMS {
            return None;
        }
        for (float, number) in floats.iter_mut().zip(numbers) {
            #[expect(clippy::cast_possible_truncation, reason = "the encoder's own numbers are that small")]
            {
                *float = number.as_f64()? as f32;
            }
        }
        let vector = Arc::new(Vector::from_floats(&floats));
        let slot = found.get_mut(place)?;
        if slot.replace(Embedding { encoder: id.clone(), vector, truncated: false }).is_some() {
            return None;
        }
    }
    found.into_iter().collect()
}

impl Embedder for RemoteEmbedder {
    fn encoder(&self) -> &EncoderId {
        &self.id
    }

    fn embed(&self, texts: Vec<String>, within: Duration) -> BoxFuture<'_, Result<Vec<Embedding>, NotNow>> {
        self.fetch(texts, within).boxed()
    }
}

impl std::fmt::Debug for RemoteEmbedder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteEmbedder").field("encoder", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use cardea_core::time::SystemClock;

    use super::*;

    #[tokio::test]
    async fn an_encoder_that_is_slower_than_its_asker_waits_is_not_left_alone_by_everybody() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = silent.local_addr().unwrap();
        let config = serde_json::from_value(json!({ "allow": [target.to_string()], "breaker_failures": 2 }));
        let net = Net::new(config.unwrap(), Arc::new(SystemClock)).unwrap();
        let config = json!({ "base_url": format!("http://{target}/v1"), "model": "m" });
        let embedder = RemoteEmbedder::new(serde_json::from_value(config).unwrap(), net.clone()).unwrap();
        for _ in 0..4 {
            // The caller's own limit is not what is tested: it ends a moment after the request's.
            let late = embedder.ask(&["text"], Duration::from_millis(20)).await.unwrap_err();
            assert!(matches!(late, NotNow::Late), "{late:?}");
        }
        assert_eq!(net.left_alone(), 0);
    }

    fn one(index: u64, at: usize, length: usize) -> Value {
        let mut numbers = vec![0.0; length];
        numbers[at] = 0.5;
        json!({ "index": index, "embedding": numbers })
    }

    #[test]
    fn vectors_go_to_the_text_that_their_index_names() {
        let id = EncoderId::new("r");
        let answer = json!({ "data": [one(1, 7, DIMS), one(0, 3, DIMS)] });
        let found = read(&answer, 2, &id).unwrap();
        assert_eq!((found[0].vector.codes()[3], found[1].vector.codes()[7]), (127, 127));
        let other = Embedding { encoder: EncoderId::new("other"), ..found[0].clone() };
        assert_eq!(found[0].cosine(&other), None, "vectors of different encoders were compared");
    }

    #[test]
    fn an_answer_with_too_few_too_many_or_too_short_vectors_is_none() {
        let id = EncoderId::new("r");
        for data in [
            json!([]),
            json!([one(0, 0, DIMS)]),
            json!([one(0, 0, DIMS), one(0, 0, DIMS)]),
            json!([one(0, 0, 8), one(1, 0, 8)]),
            json!([one(0, 0, DIMS), one(9, 0, DIMS)]),
            json!("x"),
        ] {
            assert_eq!(read(&json!({ "data": data }), 2, &id), None, "{data}");
        }
    }
}
