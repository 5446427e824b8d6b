//! Which callback and which import of the driver is running, innermost last.
//!
//! Interrupts and DPCs nest on whatever thread runs, so the frames belong to the thread; the scheduler changes them with it.

use std::cell::RefCell;

/// One level of nesting between host and driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// The host called the driver.
    Callback {
        /// The callback type.
        name: &'static str,
        /// Bytes of driver stack that were left then.
        stack_left: usize,
    },
    /// The driver called an import.
    Import {
        /// The function.
        name: &'static str,
        /// Where it returns to.
        return_address: usize,
    },
}

thread_local! {
    static FRAMES: RefCell<Vec<Frame>> = const { RefCell::new(Vec::new()) };
}

pub(crate) fn push(frame: Frame) {
    FRAMES.with_borrow_mut(|frames| frames.push(frame));
}

pub(crate) fn pop() {
    FRAMES.with_borrow_mut(|frames| frames.pop());
}

/// Puts `frames` in force and gives back those that were.
pub(crate) fn swap(frames: Vec<Frame>) -> Vec<Frame> {
    FRAMES.replace(frames)
}

/// The innermost frame.
pub(crate) fn top() -> Option<Frame> {
    FRAMES.with_borrow(|frames| frames.last().copied())
}

/// The innermost callback: its name and the stack that was left when it began.
pub(crate) fn callback() -> Option<(&'static str, usize)> {
    FRAMES.with_borrow(|frames| {
        frames.iter().rev().find_map(|frame| match *frame {
            Frame::Callback { name, stack_left } => Some((name, stack_left)),
            Frame::Import { .. } => None,
        })
    })
}

/// The innermost callback of another type than this.
pub(crate) fn callback_but(through: &str) -> Option<&'static str> {
    FRAMES.with_borrow(|frames| {
        frames.iter().rev().find_map(|frame| match *frame {
            Frame::Callback { name, .. } if name != through => Some(name),
            _ => None,
        })
    })
}

/// The address in the driver that the innermost import returns to, if an import of the innermost callback runs.
pub(crate) fn caller() -> Option<usize> {
    match top()? {
        Frame::Import { return_address, .. } => Some(return_address),
        Frame::Callback { .. } => None,
    }
}
