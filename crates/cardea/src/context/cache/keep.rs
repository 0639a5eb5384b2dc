//! Keeping an answer for those who ask the same later.

use cardea_core::{
    cache::{Audience, Finished, never},
    id::TenantId,
};
use cardea_embed::Vector;
use cardea_store::shared::cache::{Key, LONGEST, Place, Record, Tag};

use super::{
    Answered, Asked, Cache,
    kept::Kept,
    tags::{short, tag, tenant_tag},
};

impl Cache {
    /// Keeps an answer, if it may be given again at all and was looked for before it was made. Best effort.
    pub async fn keep(&self, asked: &Asked, answer: Answered<'_>, finished: Finished, tags: Vec<String>) {
        let (Some(at), Some(asked_at)) = (&asked.place, asked.asked_at.get()) else { return };
        if asked.repeated {
            return;
        }
        let personal = finished.personal || asked.audience == Audience::Shared && asked.talked;
        if never(Finished { personal, ..finished }, asked.audience).is_some() {
            return;
        }
        // WHY: what was said before had a say in the answer, so it is found by nobody who was told something else.
        let vector = match asked.semantic.filter(|_| !asked.talked) {
            Some(_) => self.vector(asked).await.map(|vector| Vector::clone(&vector)),
            None => None,
        };
        let good_for = answer.good_for.map_or(asked.ttl, |most| most.min(asked.ttl));
        let own = tags.iter().map(|text| tag(&asked.tenant, text));
        let group = std::iter::once(self.group(&at.place, answer.text));
        let record = Record {
            asked_at: *asked_at,
            until: self.0.clock.now().plus(good_for.min(LONGEST)),
            tags: own
                .chain(self.common_tags(&asked.tenant, at.user_tag))
                .chain(group)
                .chain(asked.talk)
                .collect(),
            vector,
            body: Vec::new().into(),
        };
        let kept = Kept::Answer {
            question: asked.text.clone(),
            text: answer.text.to_owned(),
            finish: answer.finish,
            tokens: answer.usage.total(),
            micros: answer.micros,
            taint: Some(answer.taint.clone()),
        };
        self.put(&asked.tenant, (&at.place, &at.key), record, &kept).await;
        self.0.flights.kept(&at.key.to_string());
    }

    pub(super) async fn put(
        &self,
        tenant: &TenantId,
        (place, key): (&Place, &Key),
        record: Record,
        kept: &Kept,
    ) {
        if !self.0.settings.enabled {
            return;
        }
        if let (Some(persist), Some(marks)) = (&self.0.persist, &self.0.marks) {
            persist.note(tenant, (place, key), (&record, marks.ahead().await), kept);
        }
        if let Some(vector) = &record.vector {
            self.0.surroundings.met(place, key, vector);
        }
        if let Some(closed) = self.0.seal.close(place, key, record, kept) {
            // Best effort: without the store it is not kept.
            drop(self.0.store.put(place, key, closed).await);
        }
    }

    /// The tag of all entries of a place with this answer: what is wrong of one is wrong of its siblings.
    pub(super) fn group(&self, place: &Place, text: &str) -> Tag {
        short("answer", [place.0.as_slice(), text.as_bytes()])
    }

    pub(super) fn common_tags(&self, tenant: &TenantId, user: Tag) -> [Tag; 2] {
        [user, tenant_tag(tenant)]
    }
}
