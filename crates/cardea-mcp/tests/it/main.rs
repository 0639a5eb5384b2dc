//! Stories about servers and their callers, all through the whole chain.
#![cfg(test)]

mod ask;
mod audit;
mod conformance;
mod guards;
mod http;
mod layers;
mod sessions;
mod start;
