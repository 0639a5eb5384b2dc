//! Keeps the policies in step with their files and with the tools of upstreams.

use cardea_core::{Code, Error, Result};

use super::told::{Told, reason};
use crate::{
    app::App,
    control::{LeftOut, Watch},
};

/// What the log was last told about the policies.
#[derive(Debug, Clone, Default)]
pub(super) struct Looks {
    fits: Told,
    recorded: Told,
}

/// Fits the policies to the present tools. False if they do not fit.
pub(super) async fn fit(app: &App, looks: &mut Looks) -> bool {
    let own = app.clone();
    // WHY: compiling thousands of policies takes longer than a request may wait for its thread.
    let fitting = tokio::task::spawn_blocking(move || own.control.fit(|| own.action.catalog().specs()));
    let fitted = fitting.await.unwrap_or_else(|error| Err(Error::new(Code::Internal).because(error)));
    looked(app, &fitted, looks).await.is_empty()
}

/// Loads changes from the policies' folder, for as long as this runs.
pub(super) async fn follow(app: App) {
    let (mut looks, mut watch) = (Looks::default(), Watch::default());
    loop {
        tokio::time::sleep(app.config.policies.reload.duration()).await;
        let own = app.clone();
        // WHY: reading thousands of policies takes longer than a request may wait for its thread.
        let look = tokio::task::spawn_blocking(move || {
            let followed = own.control.follow(&mut watch, || own.action.catalog().specs());
            (watch, followed)
        });
        let followed;
        (watch, followed) = look
            .await
            .unwrap_or_else(|error| (Watch::default(), Err(Error::new(Code::Internal).because(error))));
        app.observe.policies_stale(!looked(&app, &followed, &mut looks).await.is_empty());
    }
}

/// Records which policies are in force, and logs what does not fit. Returns that trouble, empty if all policies fit.
async fn looked(app: &App, fitted: &Result<Option<LeftOut>>, looks: &mut Looks) -> String {
    let trouble = match fitted {
        Ok(None) => String::new(),
        Ok(Some(LeftOut { server, trouble })) => {
            format!("nobody may call the tools of `{server}`, which the policies do not fit: {trouble}")
        }
        Err(error) => format!("the old policies stay: {}", reason(error)),
    };
    if looks.fits.is_new(&trouble) {
        tracing::error!(error.code = Code::Misconfigured.name(), "{trouble}");
    }
    let recorded = app.control.record().await; // tried again in the next round
    looks.recorded.tell("what policies are in force is not written down", &recorded);
    app.control.tell_warnings();
    trouble
}
