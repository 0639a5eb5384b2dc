//! Stories about servers and their callers, all through the whole chain.
#![cfg(test)]

mod ask;
mod audit;
mod command;
mod conformance;
mod dpop;
mod ends;
mod guards;
mod http;
mod layers;
mod lists;
mod pages;
mod results;
mod sessions;
mod slow;
mod start;
mod streams;
