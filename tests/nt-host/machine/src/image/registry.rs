//! The images of this thread, to tell whose an address is.

use std::cell::RefCell;
use std::rc::Rc;

use super::guard::Targets;

/// What must be known of an image by address.
pub struct Entry {
    pub base: usize,
    pub size: usize,
    pub name: String,
    /// Its call targets, if it has control flow guard.
    pub targets: Option<Box<Targets>>,
    /// Offsets of its hints that it waits for another processor, in order.
    pub hints: Vec<usize>,
}

thread_local! {
    static IMAGES: RefCell<Vec<Rc<Entry>>> = const { RefCell::new(Vec::new()) };
}

pub fn add(entry: Rc<Entry>) {
    IMAGES.with_borrow_mut(|images| images.push(entry));
}

pub fn remove(entry: &Rc<Entry>) {
    let _ = IMAGES.try_with(|images| {
        images
            .borrow_mut()
            .retain(|other| !Rc::ptr_eq(other, entry))
    });
}

impl Entry {
    fn contains(&self, address: usize) -> bool {
        address.wrapping_sub(self.base) < self.size
    }
}

/// Whether some image has a function there that may be called. An image without a table allows all of itself.
pub fn is_call_target(address: usize) -> bool {
    IMAGES.with_borrow(|images| {
        images.iter().any(|image| match &image.targets {
            Some(targets) => targets.contain(address),
            None => image.contains(address),
        })
    })
}

/// Whether some image has a hint there that it waits for another processor.
pub fn is_hint(address: usize) -> bool {
    IMAGES.with_borrow(|images| {
        images.iter().any(|image| {
            let offset = address.wrapping_sub(image.base);
            image.hints.binary_search(&offset).is_ok()
        })
    })
}

/// The address as image+offset if it lies in an image of this thread, else as a number.
pub fn describe(address: usize) -> String {
    IMAGES.with_borrow(
        |images| match images.iter().find(|image| image.contains(address)) {
            Some(image) => format!("{}+{:#x}", image.name, address - image.base),
            None => format!("{address:#x}"),
        },
    )
}
