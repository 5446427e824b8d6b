//! Puts driver packages into Windows images on Linux.
