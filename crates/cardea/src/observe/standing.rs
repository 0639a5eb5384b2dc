//! The heads of all chains at the time of an export: the last line of the export, signed like checkpoints.
//!
//! It tells an export from before the newest checkpoint from one whose end was cut off: everything that a checkpoint
//! had recorded by the time of this line must be in the export. WHY one line for all chains: a chain that is left out
//! entirely must be noticed as well.

use std::{collections::BTreeMap, fmt::Write as _};

use cardea_core::{
    canonical::hex,
    log::{Broken, Head},
    time::{Millis, Timestamp},
};
use serde::{Deserialize, Serialize};

use super::{
    checkpoint::{CheckpointKey, Checkpoints, is_signed_with},
    unproved::Unproved,
};

/// The heads of the exported chains.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Entries in all of them.
    pub entries: u64,
    /// The last entry of each.
    pub chains: BTreeMap<String, Head>,
    /// When the newest of them was written; `None` if there is none.
    pub newest: Option<Timestamp>,
}

/// Largest difference between the clocks of two nodes: a checkpoint and the line may come from different ones.
const CLOCKS: Millis = Millis(1_000);

/// The same as a line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    chains: BTreeMap<String, Stood>,
    at: Timestamp,
    signature: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stood {
    sequence: u64,
    link: String,
}

impl Line {
    fn signed_bytes(&self) -> Vec<u8> {
        // INVARIANT: no node name contains a line break, so no two of these lines have the same bytes.
        let mut bytes = format!("cardea export 1\n{}", self.at.0);
        for (node, Stood { sequence, link }) in &self.chains {
            let _infallible = write!(bytes, "\n{node}\n{sequence}\n{link}");
        }
        bytes.into_bytes()
    }
}

impl Standing {
    /// Returns the line that states that this was everything at a time. `None` if a checkpoint has recorded more: an
    /// export that may have been cut gets no such line.
    #[must_use]
    pub fn line(&self, at: Timestamp, key: &CheckpointKey, seen: &Checkpoints) -> Option<String> {
        if self.first_behind(seen).is_some() {
            return None;
        }
        let stood = |head: &Head| Stood { sequence: head.sequence, link: hex(&head.link) };
        let chains = self.chains.iter().map(|(node, head)| (node.clone(), stood(head))).collect();
        let mut line = Line { chains, at, signature: String::new() };
        line.signature = key.sign_bytes(&line.signed_bytes());
        serde_json::to_string(&line).ok()
    }

    /// Returns the first chain of which a checkpoint has recorded more: its node, its last entry here, and the
    /// recorded one.
    pub(super) fn first_behind(&self, seen: &Checkpoints) -> Option<(String, u64, u64)> {
        seen.nodes().find_map(|node| {
            let (ends, newest) = (self.ends(node), seen.newest(node)?.sequence);
            (newest > ends).then(|| (node.to_owned(), ends, newest))
        })
    }

    /// Checks that everything a checkpoint had recorded by then is here.
    pub(super) fn holds_what_was_seen(&self, seen: &Checkpoints, by: Timestamp) -> Result<(), Unproved> {
        let until = by.minus(CLOCKS);
        for node in seen.nodes() {
            let (found, expected) = (self.ends(node), seen.newest_until(node, until).unwrap_or(0));
            if expected > found {
                let broken = Broken::Truncated { expected, found };
                return Err(Unproved::Broken { node: node.to_owned(), broken });
            }
        }
        Ok(())
    }

    fn ends(&self, node: &str) -> u64 {
        self.chains.get(node).map_or(0, |head| head.sequence)
    }

    /// Compares the heads with the last line of their export, and returns when that was written. `None` if it is not
    /// such a line, or was not signed with this key.
    pub(super) fn told(&self, line: &str, signer: Option<&str>) -> Option<Result<Timestamp, Unproved>> {
        let line: Line = serde_json::from_str(line).ok()?;
        let is_ours = |signer| is_signed_with(signer, &line.signed_bytes(), &line.signature);
        if !signer.is_none_or(is_ours) {
            return None;
        }
        let stood = |node: &str| line.chains.get(node).map(|stood| (stood.sequence, stood.link.clone()));
        let is = |node: &str| self.chains.get(node).map(|head| (head.sequence, hex(&head.link)));
        let differs = |node: &&String| stood(node) != is(node);
        Some(match line.chains.keys().chain(self.chains.keys()).find(differs) {
            None => Ok(line.at),
            Some(node) => Err(Unproved::Stood {
                node: node.clone(),
                stood: stood(node).map_or(0, |(sequence, _)| sequence),
                entry: self.ends(node),
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_that_is_left_out_or_cut_is_not_what_the_last_line_says() {
        let key = CheckpointKey::from_seed(&[7; 32]).unwrap();
        let head = |sequence| Head { sequence, link: [3; 32] };
        let of = |chains: &[(&str, u64)]| Standing {
            entries: chains.iter().map(|(_, ends)| ends).sum(),
            chains: chains.iter().map(|(node, ends)| ((*node).to_owned(), head(*ends))).collect(),
            newest: None,
        };
        let none = Checkpoints::default();
        let line = of(&[("a", 3), ("b", 2)]).line(Timestamp(9), &key, &none).unwrap();
        let signer = key.public();
        let told = |chains: &[(&str, u64)]| of(chains).told(&line, Some(&signer)).unwrap();
        assert_eq!(told(&[("a", 3), ("b", 2)]).unwrap(), Timestamp(9));
        for other in
            [&[("a", 3)][..], &[("a", 2), ("b", 2)], &[("a", 3), ("b", 3)], &[("a", 3), ("b", 2), ("c", 1)]]
        {
            assert!(matches!(told(other), Err(Unproved::Stood { .. })), "{other:?}");
        }
        let stranger = CheckpointKey::from_seed(&[8; 32]).unwrap().public();
        assert!(of(&[("a", 3), ("b", 2)]).told(&line, Some(&stranger)).is_none());
    }
}
