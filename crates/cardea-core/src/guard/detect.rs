//! All detectors that do not depend on a profile, compiled once for the whole process.

use std::sync::{Arc, Mutex, PoisonError};

use super::{
    broken,
    catalogue::{Catalogue, KindId},
    columns::{Columns, arrays, columns},
    compiled::{Leaks, Piece, WRITTEN},
    decode::{children, rejoined, smuggled},
    emphasis,
    given::Given,
    headers::Headers,
    injection::{Injection, SecondReader, Turn},
    linked::Linked,
    normalize::{View, fold},
    seen::{Pace, Seen},
    shown::{self, Shown, shown},
    table::Pattern,
    value::Parts,
    verdict::{Family, Surface},
};
use crate::Result;

/// Compiled tables. Immutable, so that any number of profiles can share them.
pub(super) struct Detectors {
    pub(super) catalogue: Catalogue,
    leaks: Leaks,
    linked: Linked,
    given: Given,
    headers: Headers,
    injection: Injection,
}

impl Detectors {
    /// The one compiled set. It depends on nothing but the program's own text, so sharing it shares no state.
    pub(super) fn shared() -> Result<Arc<Self>> {
        // WHY: a lock, so that whoever comes second waits for the first instead of doing the same work.
        static SHARED: Mutex<Option<Arc<Detectors>>> = Mutex::new(None);
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ready) = &*shared {
            return Ok(ready.clone());
        }
        let built = Arc::new(Self::build()?);
        Ok(shared.insert(built).clone())
    }

    /// The rows of the pattern table.
    pub(super) fn patterns(&self) -> &[Pattern] {
        self.leaks.patterns()
    }

    /// The classifier, for its tests.
    #[cfg(test)]
    pub(super) fn injection(&self) -> &Injection {
        &self.injection
    }

    fn build() -> Result<Self> {
        let mut catalogue = Catalogue::default();
        let leaks = Leaks::build(&mut catalogue)?;
        let linked = Linked::build(&mut catalogue);
        let given = Given::build(&mut catalogue);
        let headers = Headers::build()?;
        let injection = Injection::build(&mut catalogue)?;
        catalogue.add("deny", Family::Content, "DENIED");
        catalogue.add("topic", Family::Content, "REMOVED");
        Ok(Self { catalogue, leaks, linked, given, headers, injection })
    }

    /// Findings that depend only on text near them: the same in a stream as in the whole.
    pub(super) fn near<'t>(&self, text: &'t str, surface: Surface, pace: Pace<'_>) -> NearBy<'t> {
        let view = fold(text);
        let untrusted = surface.is_untrusted();
        let mut seen = Vec::new();
        let mut find = |view: &View<'_>| {
            let piece = Piece { view, pace, detector: WRITTEN, untrusted, only: &[] };
            let read = self.leaks.find(&piece, &mut seen)?;
            let open =
                if read.open < view.text.len() { view.back(read.open, read.open).0 } else { text.len() };
            Some((open, read.turns))
        };
        let read = find(&view);
        let mut late = read.is_none();
        let (mut open, turns) = read.unwrap_or((text.len(), Vec::new()));
        let mut beside: Vec<_> = Injection::apart(&view).into_iter().collect();
        for Shown { view, until } in shown(&view, pace.more) {
            open = open.min(until);
            beside.push(view);
        }
        let bare = emphasis::without(&view);
        for view in beside.iter().chain(&bare) {
            match find(view) {
                Some((place, _)) => open = open.min(place),
                None => late = true,
            }
        }
        let mut children = children(&view);
        children.extend(smuggled(text));
        let pace = Pace { more: false, ..pace };
        for child in &children {
            let piece = Piece { view: child, pace, detector: "decoded", untrusted, only: &[] };
            late = late || (pace.late)() || self.leaks.find(&piece, &mut seen).is_none();
        }
        NearBy { seen, open, turns, late, view, beside, bare, children }
    }

    /// Findings that depend on the whole text: orders to the model. False if a second look was wanted in vain, and
    /// nothing if it was told that it is late, and gave up.
    pub(super) fn whole(
        &self,
        near: &NearBy<'_>,
        surface: Surface,
        asked: &Asked<'_>,
        seen: &mut Vec<Seen>,
    ) -> Option<bool> {
        if matches!(surface, Surface::Output | Surface::ToolArguments) {
            return Some(true);
        }
        let pace = Pace { more: false, late: asked.late };
        let others = self.others(near, surface, pace, seen)?;
        seen.extend(self.injection.tail(&near.view, surface));
        seen.extend(self.injection.hidden(&near.view, surface));
        self.given.find(&near.view, seen);
        self.linked.find(&near.view, &self.catalogue, asked.late, seen)?;
        if (asked.late)() {
            return None;
        }
        let views = near.views(&others);
        let judged = self.injection.judge(&views, surface, &self.fired(seen), asked.reader);
        seen.extend(judged.seen);
        Some(!judged.unanswered)
    }

    /// Cells of tables in a text, which may be longer than what is examined together, or in a value. Nothing if it is late.
    pub(super) fn tables(
        &self,
        sheet: Sheet<'_>,
        surface: Surface,
        late: &dyn Fn() -> bool,
        seen: &mut Vec<Seen>,
    ) -> Option<()> {
        if matches!(surface, Surface::Output | Surface::ToolArguments) {
            return Some(());
        }
        let (pace, untrusted) = (Pace { more: false, late }, surface.is_untrusted());
        let headers = &self.headers;
        let reads = &mut |table: &Columns| {
            let only: &[Family] =
                if table.secrets { &[Family::Personal, Family::Credential] } else { &[Family::Personal] };
            let piece = Piece { view: &table.view, pace, detector: "decoded", untrusted, only };
            self.leaks.find(&piece, seen).map(drop)
        };
        match sheet.value {
            Some(parts) => arrays(parts, sheet.view, headers, late, reads),
            None => {
                columns(sheet.view, headers, late, reads)?;
                shown::tables(sheet.view).map_or(Some(()), |read| columns(&read, headers, late, reads))
            }
        }
    }

    /// Other readings of the text; what the rules see in them goes to `seen`: of a text that is turned or moved only
    /// orders, of one that was put together from pieces and lines everything. Nothing if it is late.
    fn others(
        &self,
        near: &NearBy<'_>,
        surface: Surface,
        pace: Pace<'_>,
        seen: &mut Vec<Seen>,
    ) -> Option<Vec<View<'static>>> {
        let mut others = self.injection.readings(&near.view, &near.turns);
        let turned = others.len();
        others.extend(Injection::told(&near.view, &near.turns));
        others.extend(Injection::pieces(&near.view));
        others.extend(rejoined(&near.view));
        others.extend(broken::of(&near.view));
        if near.turns.contains(&Turn::Backwards) {
            others.extend(broken::backwards(&near.view));
        }
        for (number, view) in others.iter().enumerate() {
            let only: &[Family] = if number < turned { &[Family::Injection] } else { &[] };
            let untrusted = surface.is_untrusted();
            let piece = Piece { view, pace, detector: "decoded", untrusted, only };
            // WHY: there may be many, each too short to ask by itself.
            if (pace.late)() {
                return None;
            }
            self.leaks.find(&piece, seen)?;
        }
        Some(others)
    }

    /// Kinds and confidences of the structural rules among these.
    fn fired(&self, seen: &[Seen]) -> Vec<(KindId, f32)> {
        let is_rule =
            |one: &&Seen| self.catalogue.facts(one.kind).is_some_and(|kind| kind.family == Family::Injection);
        seen.iter().filter(is_rule).map(|one| (one.kind, one.confidence)).collect()
    }

    /// What the classifier would read of a text, and the rules that fired: for its training.
    pub(super) fn clues(&self, text: &str, surface: Surface) -> Clues {
        let mut near = self.near(text, surface, Pace::patient(false));
        let mut seen = std::mem::take(&mut near.seen);
        let others = self.others(&near, surface, Pace::patient(false), &mut seen).unwrap_or_default();
        seen.extend(self.injection.tail(&near.view, surface));
        seen.extend(self.injection.hidden(&near.view, surface));
        let views = near.views(&others).into_iter().map(|view| view.text.to_string()).collect();
        let name = |kind| self.catalogue.facts(kind).map_or_else(String::new, |facts| facts.name.to_string());
        let fired = self.fired(&seen);
        Clues { views, rules: fired.into_iter().map(|(kind, sure)| (name(kind), sure)).collect() }
    }
}

/// Where tables are looked for: in a text, or in the arrays of the value that was written down in it.
#[derive(Clone, Copy)]
pub(super) struct Sheet<'v> {
    pub(super) view: &'v View<'v>,
    pub(super) value: Option<Parts<'v>>,
}

/// Whom a look at a whole text asks: an encoder, for what it is unsure of, and whether it is late.
pub(super) struct Asked<'a> {
    pub(super) reader: Option<&'a dyn SecondReader>,
    pub(super) late: &'a dyn Fn() -> bool,
}

/// A text as the injection classifier reads it.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Clues {
    /// The folded text, its decoded payloads, and other readings of it.
    pub views: Vec<String>,
    /// Kinds of the structural rules that fired, with their confidence.
    pub rules: Vec<(String, f32)>,
}

/// What was seen in a piece of text, and what is needed to go on.
pub(super) struct NearBy<'t> {
    pub(super) seen: Vec<Seen>,
    /// The first place that more text could still change.
    pub(super) open: usize,
    /// How it may have been turned.
    turns: Vec<Turn>,
    /// True if it was told that it is late, and gave up.
    pub(super) late: bool,
    pub(super) view: View<'t>,
    /// The text with spaces where signs stand that nobody sees, and as it is shown.
    beside: Vec<View<'static>>,
    /// It without emphasis.
    bare: Option<View<'static>>,
    pub(super) children: Vec<View<'static>>,
}

impl<'t> NearBy<'t> {
    /// The folded text, its decoded payloads, and other readings of it.
    fn views<'a>(&'a self, others: &'a [View<'static>]) -> Vec<&'a View<'t>> {
        std::iter::once(&self.view).chain(&self.children).chain(others).chain(&self.beside).collect()
    }

    /// The place from which on the text must be kept, for `before` folded bytes to stand before `place`.
    pub(super) fn context(&self, place: usize, before: usize) -> usize {
        let context = |view: &View<'_>| {
            let from = view.text.floor_char_boundary(view.forth(place).saturating_sub(before));
            view.back(from, from).0
        };
        self.beside.iter().chain(&self.bare).map(context).fold(context(&self.view), usize::min)
    }
}
