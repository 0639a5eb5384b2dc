//! The policies that decide, and how others take their place: one at a time.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use cardea_core::{
    Result,
    policy::{Snapshot, Source},
    tool::ToolSpec,
};

/// A set, and what it was made of.
#[derive(Clone)]
struct Made {
    snapshot: Arc<Snapshot>,
    sources: Arc<[Source]>,
    /// The catalogue; the first set was made for none.
    tools: Option<Arc<[ToolSpec]>>,
}

/// The policies in force.
pub(in crate::control) struct InForce {
    now: RwLock<Made>,
    /// INVARIANT: whoever puts other policies in force holds it from the look at those of now until then.
    changing: Mutex<()>,
}

impl InForce {
    pub(in crate::control) fn new(snapshot: Snapshot) -> Self {
        let now = Made { snapshot: Arc::new(snapshot), sources: [].into(), tools: None };
        Self { now: RwLock::new(now), changing: Mutex::default() }
    }

    fn now(&self) -> Made {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(in crate::control) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner).snapshot)
    }

    /// The texts, and what was made of just these.
    pub(super) fn texts(&self) -> (Arc<[Source]>, Arc<Snapshot>) {
        let Made { snapshot, sources, .. } = self.now();
        (sources, snapshot)
    }

    /// Waits until nobody else changes them, and keeps others from it: thousands of policies take seconds to make, and who
    /// began with older texts would put those back in force. No place for a thread that serves requests.
    pub(super) fn change(&self) -> Change<'_> {
        Change { all: self, _alone: self.changing.lock().unwrap_or_else(PoisonError::into_inner) }
    }
}

/// The right to put other policies in force.
pub(super) struct Change<'a> {
    all: &'a InForce,
    _alone: MutexGuard<'a, ()>,
}

impl Change<'_> {
    /// The texts in force; nobody changes them meanwhile.
    pub(super) fn sources(&self) -> Arc<[Source]> {
        self.all.now().sources
    }

    /// Puts what `make` makes of these texts and this catalogue in force, unless that is what is.
    pub(super) fn take(
        self,
        sources: Arc<[Source]>,
        tools: &[ToolSpec],
        make: impl FnOnce(&[Source], &[ToolSpec]) -> Result<Snapshot>,
    ) -> Result<()> {
        let before = self.all.now();
        if before.sources == sources && before.tools.as_deref() == Some(tools) {
            return Ok(());
        }
        let snapshot = make(&sources, tools)?;
        let same = before.snapshot.version() == snapshot.version();
        let snapshot = if same { before.snapshot } else { told(&before.snapshot, snapshot) };
        let made = Made { snapshot, sources, tools: Some(tools.into()) };
        *self.all.now.write().unwrap_or_else(PoisonError::into_inner) = made;
        Ok(())
    }
}

/// The new set, after the log was told what is new.
fn told(before: &Snapshot, snapshot: Snapshot) -> Arc<Snapshot> {
    let names: BTreeSet<&str> = snapshot.names().collect();
    let gone: Vec<&str> = before.names().filter(|name| !names.contains(name)).collect();
    if !gone.is_empty() {
        tracing::warn!(policy.gone = ?gone, "policies that were in force are no longer there");
    }
    tracing::info!(policy.version = %snapshot.version(), policy.count = snapshot.len(), "policies adopted");
    Arc::new(snapshot)
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, sync::mpsc, thread, time::Duration};

    use cardea_core::policy::APPROVER;

    use super::*;

    fn texts(id: &str) -> Arc<[Source]> {
        let text = format!("@id(\"{id}\")\nforbid (principal, action, resource);\n");
        [Source::built_in(APPROVER), Source::new("own.cedar".to_owned(), text)].into()
    }

    fn make(sources: &[Source], tools: &[ToolSpec]) -> Result<Snapshot> {
        Ok(Snapshot::compile(sources, tools).unwrap())
    }

    fn tool() -> ToolSpec {
        let look = serde_json::json!({ "name": "ops__look", "description": "", "input_schema": { "type": "object" } });
        serde_json::from_value(look).unwrap()
    }

    #[test]
    fn nothing_is_made_again_of_the_same_texts_for_the_same_tools() {
        let (all, made) = (InForce::new(make(&[], &[]).unwrap()), Cell::new(0));
        let counted = |sources: &[Source], tools: &[ToolSpec]| {
            made.set(made.get() + 1);
            make(sources, tools)
        };
        all.change().take(texts("old"), &[], counted).unwrap();
        for _ in 0..3 {
            let change = all.change();
            let sources = change.sources();
            change.take(sources, &[], counted).unwrap(); // a silent upstream was asked again
        }
        assert_eq!(made.get(), 1);
        all.change().take(texts("new"), &[], counted).unwrap();
        all.change().take(texts("new"), &[tool()], counted).unwrap();
        assert_eq!(made.get(), 3);
    }

    #[test]
    fn a_tool_that_begins_to_send_data_outside_is_judged_as_such_from_then_on() {
        let all = InForce::new(make(&[], &[]).unwrap());
        all.change().take(texts("own"), &[tool()], make).unwrap();
        let before = all.snapshot();
        all.change()
            .take(texts("own"), &[ToolSpec { sends_outside: !tool().sends_outside, ..tool() }], make)
            .unwrap();
        assert!(!Arc::ptr_eq(&before, &all.snapshot()));
    }

    #[test]
    fn older_texts_never_come_back_in_force_however_long_they_are_in_the_making() {
        let all = InForce::new(make(&[], &[]).unwrap());
        all.change().take(texts("old"), &[], make).unwrap();
        let (begin, begun) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let shared = &all;
        thread::scope(|scope| {
            scope.spawn(move || {
                let slow = |sources: &[Source], tools: &[ToolSpec]| {
                    begin.send(()).unwrap();
                    ended.recv().unwrap();
                    make(sources, tools)
                };
                let change = shared.change();
                let sources = change.sources();
                change.take(sources, &[tool()], slow).unwrap();
            });
            begun.recv().unwrap();
            scope.spawn(|| shared.change().take(texts("new"), &[], make).unwrap());
            // The second would be done by then if it did not wait.
            let (_never, nothing) = mpsc::channel::<()>();
            assert!(nothing.recv_timeout(Duration::from_millis(300)).is_err());
            end.send(()).unwrap();
        });
        let names: Vec<String> = all.snapshot().names().map(str::to_owned).collect();
        assert!(names.iter().any(|name| name == "new"), "{names:?}");
    }
}
