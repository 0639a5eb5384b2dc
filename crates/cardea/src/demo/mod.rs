//! `cardea demo`: plays a complete scenario on this machine, with real HTTP requests to the real API.
//!
//! It starts the customer-operations MCP server and Cardea itself on loopback ports, in a folder of its own, and
//! plays one scene after the other. A scene with an unexpected result ends the demo, which names that result. The demo
//! needs no key, no network and no other software.

mod client;
mod stage;
mod story;

use std::io::IsTerminal as _;

use crate::commands::{
    cli::Demo,
    out::{End, Out},
};
use stage::Stage;

/// Description of an unexpected result.
type Wrong = String;

/// Plays the demo. Keeps running afterwards if a user may want to continue by hand.
pub(crate) fn demo(demo: &Demo, out: &mut Out<'_>) -> End {
    if out.json {
        out.error("misused", "the demo prints text for people; run it without --json");
        return End::Misused;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            out.note(format!("cannot start: {error}"));
            return End::Unreachable;
        }
    };
    let stay = demo.stay || (!demo.no_stay && std::io::stdout().is_terminal());
    match runtime.block_on(play(demo, stay, out)) {
        Ok(()) => End::Good,
        Err(wrong) => {
            out.note(format!("\nThe demo failed: {wrong}"));
            End::Bad
        }
    }
}

async fn play(demo: &Demo, stay: bool, out: &mut Out<'_>) -> Result<(), Wrong> {
    let mut stage = Stage::set(demo.dir.as_deref()).await?;
    stage.tell(out);
    story::play(&mut stage, out).await?;
    out.line("");
    out.line("The story went as it should.");
    if stay {
        stage.invite(out).await?;
        drop(tokio::signal::ctrl_c().await);
    }
    stage.clear(demo.dir.is_none() && !stay).await;
    Ok(())
}
