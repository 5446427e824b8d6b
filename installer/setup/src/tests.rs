//! The decisions and the commands, on a Windows made of maps.

mod args;
mod bcd;
mod commands;
mod devices;
mod fake;
mod faults;
mod policy;
mod record;
mod reuse;
