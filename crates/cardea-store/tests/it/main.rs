//! The store's contracts, run against both engines.
#![cfg(test)]

mod caches;
mod contract;
mod crash;
mod engines;
#[expect(unreachable_pub, reason = "the testkit's own file")]
#[path = "../../../cardea-testkit/src/postgres.rs"]
mod own_server;
#[expect(unreachable_pub, reason = "the testkit's own file")]
#[path = "../../../cardea-testkit/src/port.rs"]
mod port;
mod postgres;
mod protected;
mod tables;
