//! Balancers in virtual time: servers that answer after a drawn time, proxies that share nothing.
//!
//! The figures are those of the published studies that led to the default, with fixed seeds.

mod faults;
mod judgement;
mod newcomers;
mod queueing;
mod spread;
mod world;
