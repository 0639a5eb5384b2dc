//! Resolves references such as `it`, `the order` or `and 113`.

use super::{
    fill::id_value,
    history::Turn,
    instruct::instruction,
    mention::Kind,
    plan::Planner,
    said::Said,
    schema::{Id, Property, Want},
};

impl Planner<'_> {
    /// Completes a short message: `and 113?` after `show order 112` becomes `show order 113`.
    pub(super) fn in_full(&self, turn: &Turn<'_>) -> Option<String> {
        let said = self.said(turn.text);
        let [new] = said.mentions.as_slice() else { return None };
        let asks_more = ["and ", "what about ", "how about "];
        let lower = turn.text.trim_start().to_lowercase();
        let rest: Vec<&str> = said
            .words
            .iter()
            .filter(|word| word.start < new.start || word.start >= new.end)
            .filter(|word| {
                !["and", "what", "how", "about", "now", "the"].contains(&word.text.to_lowercase().as_str())
            })
            .map(|word| word.stem.as_str())
            .collect();
        let nouns: Vec<Option<&str>> = rest.iter().map(|word| self.nouns.known(word)).collect();
        if !asks_more.iter().any(|start| lower.starts_with(start)) || nouns.len() > 1 {
            return None;
        }
        let noun = nouns.first().copied();
        let earlier = turn.earlier().into_iter().next().filter(|earlier| earlier.understood)?;
        let [before] = earlier.said.as_slice() else { return None };
        let before = self.said(before);
        let [old] = before.mentions.as_slice() else { return None };
        let of = before.noun_of(old, &self.nouns)?;
        if noun.is_some_and(|noun| noun != Some(of.as_str())) {
            return None;
        }
        let (head, tail) = (before.text.get(..old.start)?, before.text.get(old.end..)?);
        Some(format!("{head}{}{tail}", new.text))
    }

    /// Returns the id that `it` or `the order` means in a request to change something with this tool: that of the last
    /// topic, and only if it was a single thing about which a tool has answered. Otherwise the id is asked for.
    pub(super) fn meant(
        &self,
        place: usize,
        property: &Property,
        turn: &Turn<'_>,
        said: &Said<'_>,
    ) -> Option<serde_json::Value> {
        let (tool, properties) = (self.tools.get(place)?, self.properties.get(place)?);
        let Want::Id(id) = &property.want else { return None };
        let name = property.name.as_str();
        let noun = self.nouns.known(id.noun.as_deref()?)?;
        // A text that is only to be written down refers to nothing.
        let wish = instruction(said.text, tool, properties, &self.nouns);
        let wish = self.said(&wish);
        let by_noun = wish.words.windows(2).any(|pair| match pair {
            [before, word] => {
                let before = before.text.to_lowercase();
                self.nouns.known(&word.stem) == Some(noun)
                    && matches!(before.as_str(), "the" | "this" | "that" | "same")
            }
            _ => false,
        });
        if wish.points_at_several() || !(by_noun || wish.points_at_one()) {
            return None;
        }
        for earlier in turn.earlier() {
            if !earlier.understood {
                return None;
            }
            let text = earlier.said.join("\n");
            let before = self.said(&text);
            let of = |mention| Some((before.noun_of(mention, &self.nouns)?, mention.text.clone()));
            let mut spoken: Vec<(String, String)> = before.mentions.iter().filter_map(of).collect();
            spoken.dedup();
            let own: Vec<&String> =
                spoken.iter().filter(|(other, _)| other == noun).map(|(_, text)| text).collect();
            let found = match (own.as_slice(), spoken.len()) {
                ([one], count) if by_noun || count == 1 => Some((*one).clone()),
                ([], 0) => earlier.argument(name).or_else(|| earlier.field(name).filter(|_| by_noun)),
                ([], _) => earlier.field(name).filter(|_| by_noun),
                _ => None,
            };
            if found.is_some() || !spoken.is_empty() || !before.points_at_one() {
                return id_value(id, &found?);
            }
        }
        None
    }

    /// Returns what an unspecific request to see something means: the newest id of its kind.
    pub(super) fn carried(
        &self,
        name: &str,
        id: &Id,
        turn: &Turn<'_>,
        said: &Said<'_>,
    ) -> Option<serde_json::Value> {
        // A new id that belongs to something else does not make the old one meant.
        let fresh = said.mentions.iter().any(|mention| {
            said.noun_of(mention, &self.nouns).is_none()
                && id_value(id, &mention.text).is_some()
                && matches!(mention.kind, Kind::Code)
        });
        if fresh && !said.points_back() {
            return None;
        }
        let text = turn.carried(name, id.noun.as_deref(), &self.reader())?;
        id_value(id, &text)
    }
}
