//! The store's contracts, run against both engines.
#![cfg(test)]

mod caches;
mod contract;
mod crash;
mod engines;
mod postgres;
mod protected;
mod tables;
