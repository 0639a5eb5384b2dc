//! Keeps answers.

use cardea_core::{
    cache::{Audience, Finished, never},
    id::TenantId,
};
use cardea_embed::Vector;
use cardea_store::shared::cache::{LONGEST, Place, Record, Tag};

use super::{
    Cache, NewAnswer, Query,
    entry::Entry,
    query::Address,
    tags::{short, tag, tenant_tag},
};

impl Cache {
    /// Keeps an answer, if it may be cached at all and was looked up before it was generated. Best effort.
    pub async fn keep(&self, query: &Query, answer: NewAnswer<'_>, finished: Finished, tags: Vec<String>) {
        let (Some(home), Some(asked_at)) = (&query.home, query.asked_at.get()) else { return };
        if query.repeated {
            return;
        }
        let personal = finished.personal || query.audience == Audience::Shared && query.talked;
        if never(Finished { personal, ..finished }, query.audience).is_some() {
            return;
        }
        // WHY: earlier messages have influenced the answer, so only a question with the same messages may find it.
        let vector = match query.semantic.filter(|_| !query.talked) {
            Some(_) => self.vector(query).await.map(|vector| Vector::clone(&vector)),
            None => None,
        };
        let good_for = answer.good_for.map_or(query.ttl, |most| most.min(query.ttl));
        let own = tags.iter().map(|text| tag(&query.tenant, text));
        let group = std::iter::once(self.group(&home.at.place, answer.text));
        let record = Record {
            asked_at: *asked_at,
            until: self.0.clock.now().plus(good_for.min(LONGEST)),
            tags: own
                .chain(self.common_tags(&query.tenant, home.user_tags))
                .chain(group)
                .chain(query.talk)
                .collect(),
            vector,
            body: Vec::new().into(),
        };
        let kept = Entry::Answer {
            question: query.text.clone(),
            text: answer.text.to_string(),
            finish: answer.finish,
            tokens: answer.usage.total(),
            micros: answer.micros,
            taint: Some(answer.taint.clone()),
        };
        self.put(&query.tenant, home.at, record, &kept).await;
        self.0.flights.kept(&home.at.key.to_string());
    }

    pub(super) async fn put(&self, tenant: &TenantId, at: Address, record: Record, kept: &Entry) {
        if !self.0.settings.enabled {
            return;
        }
        if let (Some(persist), Some(marks)) = (&self.0.persist, &self.0.marks) {
            let asked_at = record.asked_at.saturating_sub(marks.ahead().await);
            persist.note(tenant, at, Record { asked_at, ..record.clone() }, kept);
        }
        if let Some(vector) = &record.vector {
            self.0.surroundings.met(&at.place, &at.key, vector);
        }
        if let Some(closed) = self.0.seal.close(&at.place, &at.key, record, kept) {
            // Best effort: without the store it is not kept.
            drop(self.0.store.put(&at.place, &at.key, closed).await);
        }
    }

    /// Returns the tag of all entries of a place with this answer: if one is wrong, so are the others.
    pub(super) fn group(&self, place: &Place, text: &str) -> Tag {
        short("answer", [place.0.as_slice(), text.as_bytes()])
    }

    pub(super) fn common_tags(&self, tenant: &TenantId, [name, owner]: [Tag; 2]) -> [Tag; 3] {
        [name, owner, tenant_tag(tenant)]
    }
}
