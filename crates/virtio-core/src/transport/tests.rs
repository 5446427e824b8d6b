//! Tests of the walk along capability lists of every kind. Set-up, queues and devices that hang, lie or vanish are rows of
//! the hostile table (`tests/hostile`), which sees this crate from outside; QEMU's devices are driven in `tests/transport`.

mod capability;
