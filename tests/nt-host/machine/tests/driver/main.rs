//! The machine as a driver sees it: a small driver is built for Windows, loaded and called.

mod build;
mod calls;
mod faults;
mod fibers;
mod guard;
mod host;
mod loading;
mod mmio;
mod speed;
