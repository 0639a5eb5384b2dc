//! Plans the next step, as a function of the transcript.

use cardea_core::{
    time::Timestamp,
    tool::{Effect, ToolCall, ToolSpec},
};

use super::{
    amount,
    caution::{self, Caution},
    choose::{self, Candidate, Fit, RELEVANT},
    fill::{Filled, fill, id_value},
    find::Finder,
    history::{Reader, Turn, WAITING, row_ids},
    left, limit,
    said::{Nouns, Said},
    schema::{Id, Property, Role, Want, looks, properties},
    talk::{DROPPED, abilities, ask, small_talk},
};

/// The next step.
pub(super) enum Plan {
    Call(ToolCall),
    /// Word the present results, after this text.
    Tell {
        first: Option<&'static str>,
        last: Option<String>,
    },
    /// Say this.
    Say(String),
    /// No tool fits; say this if there are no others.
    Nothing(String),
    /// Ask this; the second text marks what the answer is for.
    Ask {
        question: String,
        waiting: String,
    },
}

impl Plan {
    /// Builds a question for one argument of a tool.
    fn ask(question: String, tool: &ToolSpec, argument: &str) -> Self {
        Self::Ask { question, waiting: format!("{WAITING}{argument}` of `{}`", tool.name) }
    }
}

/// A message that answers a question of the model.
struct Completed {
    /// Index of the tool.
    tool: usize,
    /// The argument that was asked for, and its value in the message.
    given: Option<(String, serde_json::Value)>,
    /// The request and the answer together.
    whole: String,
    /// The request in the user's words, with the answer unless that is only to be written down.
    wish: Vec<String>,
}

/// Plans with these tools.
pub(super) struct Planner<'a> {
    pub(super) tools: &'a [ToolSpec],
    pub(super) properties: Vec<Vec<Property>>,
    pub(super) nouns: Nouns,
    finder: &'a Finder,
    now: Timestamp,
}

impl<'a> Planner<'a> {
    pub(super) fn new(tools: &'a [ToolSpec], finder: &'a Finder, now: Timestamp) -> Self {
        let properties: Vec<Vec<Property>> = tools.iter().map(properties).collect();
        let ids = properties.iter().flatten().filter_map(|property| match &property.want {
            Want::Id(id) => id.noun.clone(),
            _ => None,
        });
        let nouns = Nouns::new(ids);
        Self { tools, properties, nouns, finder, now }
    }

    pub(super) fn said<'t>(&self, text: &'t str) -> Said<'t> {
        Said::new(text, self.finder, self.now)
    }

    pub(super) fn reader(&self) -> Reader<'_> {
        Reader { finder: self.finder, nouns: &self.nouns, now: self.now }
    }

    /// Returns the numbers among which a message is scored.
    pub(super) fn among(&self) -> limit::Among {
        let arguments = self.properties.iter().map(|own| limit::arguments(own)).sum();
        limit::Among { tools: self.tools.len(), arguments }
    }

    /// Returns the text that is planned for: the message, or the request that it completes.
    pub(super) fn question(&self, turn: &Turn<'_>) -> String {
        match self.completes(turn) {
            Some(completed) => completed.whole,
            None => self.in_full(turn).unwrap_or_else(|| turn.text.to_owned()),
        }
    }

    /// If the message answers the model's question: returns the tool, the value for the argument, and the whole text.
    fn completes(&self, turn: &Turn<'_>) -> Option<Completed> {
        let (argument, tool, earlier) = turn.waits_for()?;
        let place = self.tools.iter().position(|other| other.name.as_str() == tool)?;
        let said = self.said(turn.text);
        let short = said.words.len() <= 14 && !turn.text.trim_end().ends_with('?');
        let whole = format!("{earlier}\n{}", turn.text);
        let wish = vec![earlier.clone(), turn.text.to_owned()];
        let Some(property) = self.properties.get(place)?.iter().find(|property| property.name == argument)
        else {
            return short.then_some(Completed { tool: place, given: None, whole, wish });
        };
        let needed = Property { required: true, ..property.clone() };
        let found = fill(std::slice::from_ref(&needed), &said, &self.nouns).arguments.remove(argument);
        // A requested text is the whole message.
        let words =
            matches!(&property.want, Want::Free(role) if *role != Role::Person || said.words.len() <= 3);
        let (value, wish) = match (&property.want, found) {
            (Want::Free(_), _) if words && short => (Some(turn.text.trim().into()), vec![earlier]),
            (_, found) => (found, wish),
        };
        let given = value.map(|value| (argument.to_owned(), value));
        (short || given.is_some()).then_some(Completed { tool: place, given, whole, wish })
    }

    pub(super) fn plan(&self, turn: &Turn<'_>, spoken: &str, cosine: Option<&[f64]>) -> Plan {
        let fresh = turn.done().next().is_none();
        if fresh && let Some(words) = small_talk(turn, &self.said(turn.text), self.tools) {
            return Plan::Say(words);
        }
        let completed = self.completes(turn);
        let unanswered = completed.as_ref().is_some_and(|completed| completed.given.is_none());
        if fresh && unanswered && caution::denies(turn.text) {
            return Plan::Say(DROPPED.into());
        }
        let (given, wish) = match completed {
            Some(completed) => (completed.given.map(|given| (completed.tool, given)), completed.wish),
            None => (None, vec![spoken.to_owned(), turn.text.to_owned()]),
        };
        let said = self.said(spoken);
        let mut filled: Vec<Filled> =
            (0..self.tools.len()).map(|place| self.fill(place, &said, turn)).collect();
        if let Some((place, (argument, value))) = given.clone()
            && let Some(filled) = filled.get_mut(place)
        {
            filled.missing.retain(|property| property.name != argument);
            filled.arguments.insert(argument, value);
        }
        let fits: Vec<Fit> =
            filled.iter().map(|filled| Fit { fit: filled.fit, missing: filled.missing.len() }).collect();
        let mut order = choose::order(self.tools, &said, &self.nouns, &fits, cosine);
        order.retain(|other| self.tools.get(other.place).is_some_and(|tool| self.dares(tool, spoken)));
        let best = match given {
            Some((place, _)) => Some(place),
            None if self.is_sum(&said) => None,
            None => order.first().filter(|best| good_enough(best)).map(|best| best.place),
        };
        let short = spoken != turn.text && given.is_none() && self.in_full(turn).is_some();
        let held = best.and_then(|place| self.caution(place, &wish, short));
        let asked = held == Some(Caution::Asked);
        let first = asked.then_some(caution::LOOKED);
        // A result that is not a search result ends the matter: it is reported, and no second action follows unasked.
        let searched =
            |name: &str| self.tools.iter().any(|tool| tool.name.as_str() == name && choose::searches(tool));
        if turn.done().next_back().is_some_and(|(call, _, _)| !searched(&call.name)) {
            return Plan::Tell { first, last: self.left_over(turn, &said) };
        }
        // Instead of performing an action that is only asked about, the present data is shown.
        let shown = order.iter().find(|other| other.named && self.only_reads(other.place));
        let chosen = if asked { shown.map(|other| other.place) } else { best };
        let chosen = chosen.filter(|_| held.is_none() || asked);
        let Some(place) = chosen else {
            return match held.zip(best.and_then(|place| self.tools.get(place))) {
                Some((held, tool)) => Plan::Say(held.says(tool)),
                None if fresh => Plan::Nothing(self.nothing_fits()),
                None => Plan::Tell { first, last: self.left_over(turn, &said) },
            };
        };
        let (Some(tool), Some(filled)) = (self.tools.get(place), filled.into_iter().nth(place)) else {
            return Plan::Nothing(self.nothing_fits());
        };
        if turn.done().any(|(call, _, _)| call.name == tool.name.as_str()) {
            return Plan::Tell { first, last: self.left_over(turn, &said) };
        }
        self.act(turn, &said, tool, filled)
    }

    /// Returns whether the tool does nothing irreversible, or the text names what it does.
    fn dares(&self, tool: &ToolSpec, text: &str) -> bool {
        tool.effect != Effect::Destructive || looks(tool) || caution::names(text, tool, &self.nouns)
    }

    /// Matches `17 times 23` without an order: an arithmetic question, and no number in it is an id.
    fn is_sum(&self, said: &Said<'_>) -> bool {
        let signs = ["times", "plus", "minus", "divided", "x", "*", "×", "+", "/", "-", "by"];
        let text = said.text.to_lowercase().replace(['?', '='], " ");
        let words: Vec<&str> = text.split_whitespace().collect();
        let number = |word: &str| word.starts_with(|c: char| c.is_ascii_digit());
        let sum = |three: &[&str]| match three {
            [a, sign, b] => number(a) && signs.contains(sign) && (number(b) || *b == "by"),
            _ => false,
        };
        words.windows(3).any(sum) && !said.words.iter().any(|word| self.nouns.known(&word.stem).is_some())
    }

    /// Returns what the message asked for beside what was done for it.
    fn left_over(&self, turn: &Turn<'_>, said: &Said<'_>) -> Option<String> {
        let (call, _, _) = turn.done().next_back()?;
        let place = self.tools.iter().position(|tool| tool.name.as_str() == call.name)?;
        let (tool, properties) = (self.tools.get(place)?, self.properties.get(place)?);
        left::over(said, &left::Made { tool, properties, call, nouns: &self.nouns })
    }

    /// Returns what speaks against calling this tool; nothing does if it only reads.
    fn caution(&self, place: usize, wish: &[String], short: bool) -> Option<Caution> {
        let (tool, properties) = (self.tools.get(place)?, self.properties.get(place)?);
        if looks(tool) {
            return None;
        }
        if short {
            return Some(Caution::Short);
        }
        wish.iter().find_map(|text| caution::of(text, tool, properties, &self.nouns))
    }

    fn only_reads(&self, place: usize) -> bool {
        self.tools.get(place).is_some_and(|tool| !tool.effect.changes_things())
    }

    /// Fills arguments from the message, and missing ones from earlier messages.
    fn fill(&self, place: usize, said: &Said<'_>, turn: &Turn<'_>) -> Filled {
        let properties = self.properties.get(place).map(Vec::as_slice).unwrap_or_default();
        let Some(tool) = self.tools.get(place) else { return Filled::default() };
        let mut filled = fill(properties, said, &self.nouns);
        let names_somebody = !said.proper_names(&self.nouns).is_empty()
            || said.mentions.iter().any(|mention| mention.kind == super::mention::Kind::Email);
        let open = std::mem::take(&mut filled.missing);
        for property in open {
            let carried = match &property.want {
                // A name in this message belongs to another person than the earlier id.
                Want::Id(id) if !(names_somebody && is_person(id)) => {
                    if looks(tool) {
                        self.carried(&property.name, id, turn, said)
                    } else {
                        self.meant(place, &property, turn, said)
                    }
                }
                _ => None,
            };
            match carried {
                Some(value) => {
                    filled.fit += if said.points_back() { 0.5 } else { 0.2 };
                    filled.arguments.insert(property.name.clone(), value);
                }
                None => filled.missing.push(property),
            }
        }
        filled
    }

    /// Calls the tool, or looks up what it lacks, or asks for it.
    fn act(&self, turn: &Turn<'_>, said: &Said<'_>, tool: &ToolSpec, mut filled: Filled) -> Plan {
        let mut still = Vec::new();
        for property in std::mem::take(&mut filled.missing) {
            match self.find_out(turn, said, &property) {
                Found::Value(value) => {
                    filled.arguments.insert(property.name.clone(), value);
                }
                Found::Call(call) => return Plan::Call(call),
                Found::Told => return Plan::Tell { first: None, last: None },
                Found::No => still.push(property),
            }
        }
        if let Some(property) = still.first() {
            let unclear = amount::unclear(said).filter(|_| matches!(property.want, Want::Amount { .. }));
            return Plan::ask(ask(property, unclear, still.len()), tool, &property.name);
        }
        let own = self
            .tools
            .iter()
            .position(|other| other.name == tool.name)
            .and_then(|place| self.properties.get(place));
        let changes = own.into_iter().flatten().filter(|property| !property.required).collect::<Vec<_>>();
        let updates = choose_verb(tool) && !changes.is_empty();
        if updates && !changes.iter().any(|property| filled.arguments.contains_key(&property.name)) {
            let names: Vec<String> = changes.iter().map(|property| property.words.join(" ")).collect();
            let question = format!("What should be changed, and to what? It can be: {}.", names.join(", "));
            let first = changes.first().map_or("", |property| property.name.as_str());
            return Plan::ask(question, tool, first);
        }
        Plan::Call(ToolCall {
            id: self.call_id(turn),
            name: tool.name.as_str().to_owned(),
            arguments: filled.arguments,
            written: None,
        })
    }

    fn call_id(&self, turn: &Turn<'_>) -> String {
        format!("call_{}", turn.call_count().saturating_add(1))
    }

    /// Looks up an id that was not given, with a search tool, from a name or an address in the message.
    fn find_out(&self, turn: &Turn<'_>, said: &Said<'_>, property: &Property) -> Found {
        let Want::Id(id) = &property.want else { return Found::No };
        let Some(noun) = id.noun.as_deref() else { return Found::No };
        let finder =
            self.tools.iter().zip(&self.properties).find(|(tool, _)| choose::finds(tool, noun, &self.nouns));
        let Some((tool, properties)) = finder else { return Found::No };
        if let Some((_, text, _)) = turn.done().find(|(call, _, _)| call.name == tool.name.as_str()) {
            let ids = row_ids(text, noun).unwrap_or_default();
            return match ids.as_slice() {
                [only] => id_value(id, only).map_or(Found::Told, Found::Value),
                // None, or several: the rows are shown, and the user chooses.
                _ => Found::Told,
            };
        }
        let somebody = !said.proper_names(&self.nouns).is_empty()
            || said.mentions.iter().any(|mention| {
                matches!(mention.kind, super::mention::Kind::Email | super::mention::Kind::Phone)
            });
        if !somebody {
            return Found::No;
        }
        let filled = fill(properties, said, &self.nouns);
        if !filled.missing.is_empty() || filled.arguments.is_empty() {
            return Found::No;
        }
        Found::Call(ToolCall {
            id: self.call_id(turn),
            name: tool.name.as_str().to_owned(),
            arguments: filled.arguments,
            written: None,
        })
    }

    fn nothing_fits(&self) -> String {
        if self.tools.is_empty() {
            return "I was given no tools, and without a language model I cannot answer in words of my own."
                .into();
        }
        format!("None of the tools that I was given fits that. {}", abilities(self.tools))
    }
}

enum Found {
    Value(serde_json::Value),
    Call(ToolCall),
    Told,
    No,
}

fn is_person(id: &Id) -> bool {
    id.noun.as_deref().is_some_and(|noun| {
        matches!(noun, "customer" | "client" | "user" | "account" | "contact" | "person" | "agent")
    })
}

fn good_enough(best: &Candidate) -> bool {
    // An id of the right form is enough: `show me ORD-204`.
    (best.relevance >= RELEVANT && best.score >= RELEVANT) || (best.named && best.score >= 0.2)
}

fn choose_verb(tool: &ToolSpec) -> bool {
    tool.effect.changes_things()
        && super::schema::tool_nouns(tool)
            .iter()
            .any(|word| matches!(word.as_str(), "updat" | "update" | "edit" | "chang" | "modify" | "set"))
}
