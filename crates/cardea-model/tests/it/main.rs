//! Models against a provider that misbehaves.
#![cfg(test)]

#[expect(
    unreachable_pub,
    dead_code,
    reason = "the testkit's own file, of which this crate's tests use a part"
)]
#[path = "../../../cardea-testkit/src/model.rs"]
mod fake;
mod matrix;
mod routing;
mod world;
