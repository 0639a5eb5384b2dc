//! Tool names that every provider accepts.
//!
//! Providers accept letters, digits, `_` and `-`, at most 64 of them, with a letter or `_` first. Other names are
//! replaced in the request and restored in the answer.

use std::collections::BTreeMap;

use cardea_core::message::{Message, Prompt};

const LONGEST: usize = 64;

/// The names of one request, in both directions.
#[derive(Debug, Default)]
pub(crate) struct ToolNames {
    wire: BTreeMap<String, String>,
    real: BTreeMap<String, String>,
}

impl ToolNames {
    /// Collects the names of the tools and of the earlier calls of a prompt.
    pub(crate) fn of(prompt: &Prompt) -> Self {
        let called = prompt.messages.iter().flat_map(|message| match message {
            Message::Assistant { calls, .. } => calls.as_slice(),
            _ => &[],
        });
        let offered = prompt.tools.iter().map(|tool| tool.name.as_str());
        let mut names = Self::default();
        let all: Vec<&str> = offered.chain(called.map(|call| call.name.as_str())).collect();
        // Valid names come first, so that no generated name takes one of theirs.
        for name in all.iter().filter(|name| fits(name)) {
            names.put(name, (*name).to_owned());
        }
        for name in all.iter().filter(|name| !fits(name)) {
            if !names.wire.contains_key(*name) {
                let made = names.make(name);
                names.put(name, made);
            }
        }
        names
    }

    fn put(&mut self, real: &str, wire: String) {
        self.real.insert(wire.clone(), real.to_owned());
        self.wire.insert(real.to_owned(), wire);
    }

    fn make(&self, name: &str) -> String {
        let allowed = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' };
        let stem: String = "t_".chars().chain(name.chars().map(allowed)).take(LONGEST - 8).collect();
        let mut number = 0_u32;
        loop {
            let made = if number == 0 { stem.clone() } else { format!("{stem}_{number}") };
            if !self.real.contains_key(&made) {
                return made;
            }
            number = number.saturating_add(1);
        }
    }

    /// Returns the name to send.
    pub(crate) fn wire<'a>(&'a self, real: &'a str) -> &'a str {
        self.wire.get(real).map_or(real, String::as_str)
    }

    /// Returns the original name. A name that was never offered stays as it is; looking it up fails later.
    pub(crate) fn real<'a>(&'a self, wire: &'a str) -> &'a str {
        self.real.get(wire).map_or(wire, String::as_str)
    }
}

fn fits(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    first
        && name.len() <= LONGEST
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use cardea_core::{id::ToolName, tool::ToolSpec};
    use proptest::prelude::*;

    use super::*;

    fn prompt(names: &[String]) -> Prompt {
        let tool = |name: &String| ToolSpec {
            name: ToolName::new(name.as_str()),
            description: String::new(),
            input_schema: serde_json::json!({}),
            effect: Default::default(),
            idempotent: false,
            sends_outside: false,
            examples: Vec::new(),
            cache: None,
            clears: Vec::new(),
        };
        Prompt {
            model: "m".into(),
            messages: Vec::new(),
            tools: names.iter().map(tool).collect(),
            sampling: Default::default(),
            demands: Default::default(),
            room: None,
        }
    }

    proptest! {
        #[test]
        fn every_name_is_accepted_and_comes_back_as_itself(names in prop::collection::vec("[a-c._ä1 -]{0,3}|[a.]{70}", 0..12)) {
            let table = ToolNames::of(&prompt(&names));
            for name in &names {
                prop_assert!(fits(table.wire(name)), "`{}` was sent", table.wire(name));
                prop_assert_eq!(table.real(table.wire(name)), name);
            }
        }
    }
}
