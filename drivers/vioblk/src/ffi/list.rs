//! First-in first-out lists of requests that need no memory of their own.

use crate::ffi::extension::{RequestBox, Token};
use crate::request::Request;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use storport::Adapter;
use virtio_core::ring::Completion;

/// Requests in a row: each owns the next one.
#[derive(Debug)]
pub struct List {
    front: Option<RequestBox>,
    /// The last request, if there is a first one.
    back: NonNull<Request>,
}

// SAFETY: `back` is used by the list's owner only, to reach a request that the list owns.
unsafe impl Send for List {}

impl List {
    /// A list without requests.
    pub const EMPTY: Self = Self {
        front: None,
        back: NonNull::dangling(),
    };

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.front.is_none()
    }

    /// Puts a request last.
    #[inline(never)] // used twice or more
    pub fn push_back(&mut self, mut request: RequestBox) {
        request.next = MaybeUninit::new(None);
        let at = request.as_ptr();
        if self.front.is_none() {
            self.front = Some(request);
        } else {
            // SAFETY: there is a first request, so `back` is the last one, which the list owns: nobody else has a reference to it.
            let last = unsafe { self.back.as_mut() };
            last.next = MaybeUninit::new(Some(request));
        }
        self.back = at;
    }

    /// Puts a request first.
    pub fn push_front(&mut self, mut request: RequestBox) {
        if self.front.is_none() {
            self.back = request.as_ptr();
        }
        request.next = MaybeUninit::new(self.front.take());
        self.front = Some(request);
    }

    /// Takes the first request out.
    #[inline]
    pub fn pop_front(&mut self) -> Option<RequestBox> {
        let request = self.front.take()?;
        // SAFETY: set when the request was put into the list. It is not looked at again before that is done anew.
        self.front = unsafe { request.next.assume_init_read() };
        Some(request)
    }
}

/// A plain transfer that went well, to be completed once no lock is held.
pub struct Success(Token);

impl Success {
    /// A finished request, if it is one; gives it back otherwise.
    #[inline(always)] // part of a DPC
    pub fn of(completion: Completion<Token>) -> Result<Self, Completion<Token>> {
        if completion.token.has_succeeded(completion.written) {
            Ok(Self(completion.token))
        } else {
            Err(completion)
        }
    }

    /// Completes it. No lock is held.
    #[inline(always)] // as above
    pub fn complete(self, adapter: Adapter) {
        // SAFETY: `of` saw that it is plain.
        unsafe { self.0.succeed(adapter) };
    }
}

/// Where a list of [`Succeeded`] begins.
pub type Front = MaybeUninit<Option<Token>>;

/// Plain transfers that went well, in a row, to be completed together once no lock is held.
pub struct Succeeded<'a> {
    front: *mut Front,
    /// Where the next one is put: `front`, or the `next` of the last one. Not initialised before [`Self::complete`].
    end: *mut Front,
    _front: PhantomData<&'a mut Front>,
}

impl<'a> Succeeded<'a> {
    /// None.
    #[inline(always)] // part of a DPC
    pub const fn new(front: &'a mut Front) -> Self {
        let front = core::ptr::from_mut(front);
        Self {
            front,
            end: front,
            _front: PhantomData,
        }
    }

    /// Whether there is none.
    #[inline(always)] // as above
    pub fn is_empty(&self) -> bool {
        self.end == self.front
    }

    /// Takes a finished request in if it is a plain transfer that went well; gives it back otherwise.
    #[inline(always)] // as above
    pub fn take(&mut self, completion: Completion<Token>) -> Option<Completion<Token>> {
        let request = &completion.token;
        if !request.has_succeeded(completion.written) {
            return Some(completion);
        }
        // SAFETY: what has succeeded is plain.
        let next = unsafe { request.next() };
        // SAFETY: `front`, which is borrowed, or a member of a request that the list owns.
        unsafe { self.end.write(MaybeUninit::new(Some(completion.token))) };
        self.end = next;
        None
    }

    /// Completes them all. No lock is held.
    #[inline(always)] // as above
    pub fn complete(self, adapter: Adapter) {
        // SAFETY: as in `take`.
        unsafe { self.end.write(MaybeUninit::new(None)) };
        // SAFETY: borrowed, and nobody else has it.
        let front = unsafe { &*self.front };
        // SAFETY: initialised by `take` or just now.
        let mut next = unsafe { front.assume_init_read() };
        while let Some(request) = next {
            // SAFETY: `take` saw that it is plain.
            let after = unsafe { request.next() };
            // SAFETY: a member of a request that the list owns.
            let after = unsafe { &*after };
            // SAFETY: initialised by the next `take` or just now.
            next = unsafe { after.assume_init_read() };
            // SAFETY: `take` saw that it is plain, and the list has owned it since.
            unsafe { request.succeed(adapter) };
        }
    }
}

/// A list that knows its length.
#[derive(Debug)]
pub struct Counted {
    list: List,
    len: u32,
}

impl Counted {
    /// A list without requests.
    pub const EMPTY: Self = Self {
        list: List::EMPTY,
        len: 0,
    };

    /// Requests in the list.
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts a request last.
    #[inline(never)] // used twice or more
    pub fn push_back(&mut self, request: RequestBox) {
        self.list.push_back(request);
        self.len = self.len.wrapping_add(1);
    }

    /// Puts a request first.
    pub fn push_front(&mut self, request: RequestBox) {
        self.list.push_front(request);
        self.len = self.len.wrapping_add(1);
    }

    /// Takes the first request out.
    #[inline(never)] // as above
    pub fn pop_front(&mut self) -> Option<RequestBox> {
        let request = self.list.pop_front()?;
        self.len = self.len.wrapping_sub(1);
        Some(request)
    }
}
