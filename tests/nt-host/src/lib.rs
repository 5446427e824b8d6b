//! The test host's upper end: which device a driver is put on, what it has to do there, and what counts as passed.
//!
//! Below it lie the port driver (`host-storport`), the kernel (`host-ntos`) and the machine (`host-machine`). Nothing here
//! knows whose driver it runs: any StorPort miniport for a virtio disk can be given.

pub mod bad;
pub mod cdb;
pub mod commands;
pub mod coverage;
pub mod described;
pub mod ioctl;
pub mod judge;
pub mod matrix;
pub mod plan;
pub mod run;
pub mod scenario;
pub mod soak;
pub mod states;
pub mod statistics;
pub mod table;
pub mod traces;
pub mod transfers;
pub mod unusual;
pub mod verdict;
pub mod workload;
