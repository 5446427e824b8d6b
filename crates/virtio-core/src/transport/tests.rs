//! Tests of the transport: set-up step by step against a device whose registers are written out from the specification,
//! capability lists of every kind, and devices that hang, lie or vanish.

mod capability;
mod config;
mod device;
mod mapping;
mod negotiate;
mod queues;
