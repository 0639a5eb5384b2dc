//! The policies in force, and their replacement, one at a time.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use cardea_core::{
    Code, Error, Result,
    policy::{Snapshot, Source},
    tool::ToolSpec,
};

/// A compiled set and what it was made of.
#[derive(Clone)]
struct Made {
    snapshot: Arc<Snapshot>,
    sources: Arc<[Source]>,
    /// The whole catalogue; the first set was made for none.
    tools: Option<Arc<[ToolSpec]>>,
    left_out: Option<LeftOut>,
}

/// A server whose tools cannot be called, because the policies do not compile with them. One server must not disable
/// the tools of all others; tools that no policy knows are neither listed nor called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Name of the server in the configuration.
    pub server: String,
    /// Every problem, with file, line and column.
    pub trouble: String,
}

/// Texts that fit no part of a catalogue, with the reason. They are remembered so that they are not compiled again at
/// each look.
struct Unfit {
    sources: Arc<[Source]>,
    tools: Vec<ToolSpec>,
    trouble: String,
}

/// The policies in force.
pub(in crate::control) struct InForce {
    now: RwLock<Made>,
    unfit: Mutex<Option<Unfit>>,
    /// INVARIANT: held while policies are replaced, from reading the present ones until the new ones are in force.
    changing: Mutex<()>,
}

impl InForce {
    pub(in crate::control) fn new(snapshot: Snapshot) -> Self {
        let now = Made { snapshot: Arc::new(snapshot), sources: [].into(), tools: None, left_out: None };
        Self { now: RwLock::new(now), unfit: Mutex::default(), changing: Mutex::default() }
    }

    fn now(&self) -> Made {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(in crate::control) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner).snapshot)
    }

    /// Returns the texts and the set compiled from exactly these.
    pub(super) fn texts(&self) -> (Arc<[Source]>, Arc<Snapshot>) {
        let Made { snapshot, sources, .. } = self.now();
        (sources, snapshot)
    }

    /// Waits until no one else changes the policies, and excludes others. Compiling thousands of policies takes
    /// seconds, and a change that began with older texts would bring those back. Must not be called on a thread that
    /// serves requests.
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
    /// Returns the texts in force; they cannot change meanwhile.
    pub(super) fn sources(&self) -> Arc<[Source]> {
        self.all.now().sources
    }

    /// Compiles these texts for this catalogue with `make` and puts the result in force, unless it is in force
    /// already. The catalogue must have been read after [`InForce::change`], since an older one would bring back its
    /// old tools.
    ///
    /// If texts that are in force do not fit the whole catalogue, one server is left out. New texts may leave out only
    /// a server that is left out already: their author can correct them, and the old texts stay.
    ///
    /// # Errors
    /// `misconfigured`, with every problem; what was in force stays.
    pub(super) fn take(
        self,
        sources: Arc<[Source]>,
        tools: Vec<ToolSpec>,
        make: impl Fn(&[Source], &[ToolSpec]) -> Result<Snapshot, String>,
    ) -> Result<Option<LeftOut>> {
        let before = self.all.now();
        let same_texts = before.sources == sources;
        if same_texts && before.tools.as_deref() == Some(&*tools) {
            return Ok(before.left_out);
        }
        let mut unfit = self.all.unfit.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = unfit.as_ref().filter(|known| known.sources == sources && known.tools == tools) {
            return Err(unusable(&known.trouble));
        }
        let (snapshot, left_out) = match make(&sources, &tools) {
            Ok(snapshot) => (snapshot, None),
            Err(trouble) => {
                let servers = if same_texts {
                    servers(&tools)
                } else {
                    before.left_out.iter().map(|out| &*out.server).collect()
                };
                let without = |server: &str| {
                    let rest: Vec<ToolSpec> =
                        tools.iter().filter(|tool| tool.name.server() != Some(server)).cloned().collect();
                    make(&sources, &rest).ok().map(|snapshot| (snapshot, server.to_owned()))
                };
                let Some((snapshot, server)) = servers.into_iter().find_map(without) else {
                    let error = unusable(&trouble);
                    *unfit = Some(Unfit { sources, tools, trouble });
                    return Err(error);
                };
                (snapshot, Some(LeftOut { server, trouble }))
            }
        };
        *unfit = None;
        let same = before.snapshot.version() == snapshot.version();
        let snapshot = if same { before.snapshot } else { told(&before.snapshot, snapshot) };
        let made = Made { snapshot, sources, tools: Some(tools.into()), left_out: left_out.clone() };
        *self.all.now.write().unwrap_or_else(PoisonError::into_inner) = made;
        Ok(left_out)
    }
}

/// Returns the error for policies that cannot be used; `trouble` is every problem, with file, line and column.
pub(super) fn unusable(trouble: &str) -> Error {
    Error::new(Code::Misconfigured).detail(format!("The policies cannot be used:\n{trouble}"))
}

/// Returns the servers that offer these tools.
fn servers(tools: &[ToolSpec]) -> BTreeSet<&str> {
    tools.iter().filter_map(|tool| tool.name.server()).collect()
}

/// Logs what is new in a set and returns it.
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

    fn make(sources: &[Source], tools: &[ToolSpec]) -> Result<Snapshot, String> {
        if tools.iter().any(|tool| tool.name.server() == Some("odd")) {
            return Err("own.cedar:1:1: no such attribute".to_owned());
        }
        Ok(Snapshot::compile(sources, tools).unwrap())
    }

    fn tool(name: &str) -> ToolSpec {
        let look =
            serde_json::json!({ "name": name, "description": "", "input_schema": { "type": "object" } });
        serde_json::from_value(look).unwrap()
    }

    fn new() -> InForce {
        InForce::new(make(&[], &[]).unwrap())
    }

    #[test]
    fn nothing_is_made_again_of_the_same_texts_for_the_same_tools() {
        let (all, made) = (new(), Cell::new(0));
        let counted = |sources: &[Source], tools: &[ToolSpec]| {
            made.set(made.get() + 1);
            make(sources, tools)
        };
        all.change().take(texts("old"), vec![], counted).unwrap();
        for _ in 0..3 {
            let change = all.change();
            let sources = change.sources();
            change.take(sources, vec![], counted).unwrap(); // a silent upstream was asked again
        }
        assert_eq!(made.get(), 1);
        all.change().take(texts("new"), vec![], counted).unwrap();
        all.change().take(texts("new"), vec![tool("ops__look")], counted).unwrap();
        assert_eq!(made.get(), 3);
    }

    #[test]
    fn a_server_that_the_policies_do_not_fit_is_left_out_and_new_rules_come_into_force_all_the_same() {
        let (all, made) = (new(), Cell::new(0));
        let counted = |sources: &[Source], tools: &[ToolSpec]| {
            made.set(made.get() + 1);
            make(sources, tools)
        };
        let both = || vec![tool("ops__look"), tool("odd__look")];
        // New texts leave no server out: their author is told, and the following looks find the same without work.
        for _ in 0..3 {
            let refused = all.change().take(texts("old"), both(), counted).unwrap_err().public();
            assert!(refused.contains("own.cedar:1:1: no such attribute"), "{refused}");
        }
        assert_eq!(made.get(), 1);

        all.change().take(texts("old"), vec![tool("ops__look")], counted).unwrap();
        for text in ["old", "old", "old", "new", "new"] {
            let left_out = all.change().take(texts(text), both(), counted).unwrap().unwrap();
            assert_eq!(left_out.server, "odd");
            assert!(all.snapshot().names().any(|name| name == text));
        }
        assert_eq!(made.get(), 6, "of the old texts and of the new ones: with all tools, and with the rest");
        assert_eq!(all.change().take(texts("new"), vec![tool("ops__look")], counted).unwrap(), None);
    }

    #[test]
    fn a_tool_that_begins_to_send_data_outside_is_judged_as_such_from_then_on() {
        let (all, look) = (new(), tool("ops__look"));
        all.change().take(texts("own"), vec![look.clone()], make).unwrap();
        let before = all.snapshot();
        let sends = ToolSpec { sends_outside: !look.sends_outside, ..look };
        all.change().take(texts("own"), vec![sends], make).unwrap();
        assert!(!Arc::ptr_eq(&before, &all.snapshot()));
    }

    #[test]
    fn older_texts_never_come_back_in_force_however_long_they_are_in_the_making() {
        let all = new();
        all.change().take(texts("old"), vec![], make).unwrap();
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
                change.take(sources, vec![tool("ops__look")], slow).unwrap();
            });
            begun.recv().unwrap();
            scope.spawn(|| shared.change().take(texts("new"), vec![], make).unwrap());
            // The second change would be done by then if it did not wait.
            let (_never, nothing) = mpsc::channel::<()>();
            assert!(nothing.recv_timeout(Duration::from_millis(300)).is_err());
            end.send(()).unwrap();
        });
        let names: Vec<String> = all.snapshot().names().map(str::to_owned).collect();
        assert!(names.iter().any(|name| name == "new"), "{names:?}");
    }
}
