//! Keeps the lists of upstreams' tools current.

use std::{collections::BTreeSet, time::Duration};

use futures::{StreamExt as _, stream::FuturesUnordered};

use super::policies::{Looks, fit};
use crate::app::App;

/// After how many rounds all upstreams are asked for their tools again: one minute.
const LISTS: u32 = 60;

/// How often this looks whether upstreams must be asked again. A silent one is asked each time, one that refuses at
/// growing intervals.
const LISTS_SOON: Duration = Duration::from_secs(1);

/// Reads all upstreams and fits the policies to their tools. False if something could not be read or does not fit.
pub(super) async fn refresh(app: &App, looks: &mut Looks) -> bool {
    let listed = app.action.refresh().await;
    fit(app, looks).await && listed.is_ok()
}

/// Asks upstreams again after a while, or as soon as one of them reports changed tools or a person has accepted a
/// change. A silent upstream does not delay the others. `good`: nothing was wrong the last time.
pub(super) async fn follow(app: App, mut good: bool, mut looks: Looks) {
    let (mut rounds, mut accepted) = (0, app.action.accepted().await.ok());
    let (mut wanted, mut asked) = (BTreeSet::new(), BTreeSet::new());
    let mut answers = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(name) = answers.next() => {
                asked.remove(name);
                good = fit(&app, &mut looks).await;
                continue;
            }
            () = tokio::time::sleep(LISTS_SOON) => {}
        }
        rounds += 1;
        let now = app.action.accepted().await.ok().or(accepted);
        wanted.extend(app.action.upstreams().filter(|name| app.action.was_told_of_changes(name)));
        if rounds >= LISTS || now != accepted {
            // Those being asked now are asked once more: they may have started before the change.
            wanted.extend(app.action.upstreams());
            (rounds, accepted) = (0, now);
        }
        let is_next =
            |name: &&str| !asked.contains(name) && (wanted.contains(name) || app.action.is_due(name));
        for name in app.action.upstreams().filter(is_next).collect::<Vec<_>>() {
            wanted.remove(name);
            asked.insert(name);
            let list = app.action.list(name);
            answers.push(async move {
                drop(list.await); // already logged there
                name
            });
        }
        if !good {
            good = fit(&app, &mut looks).await;
        }
    }
}
