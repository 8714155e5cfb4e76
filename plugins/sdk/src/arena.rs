//! A bump allocator in a static arena, with the system allocator behind it.
//!
//! An instance lives for one call, so nothing needs to be given back. Growing the linear memory costs
//! the host two `mprotect` calls an evaluation, which serialise on the process's memory map and keep
//! two cores from scaling; an arena that is part of the initial memory never grows.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};

const ARENA_BYTES: usize = 64 * 1024;

#[repr(align(16))]
struct Storage(UnsafeCell<[u8; ARENA_BYTES]>);

/// The global allocator of every plugin that links this crate.
struct Arena {
    storage: Storage,
    used: Cell<usize>,
}

#[expect(unsafe_code, reason = "`wasm32-unknown-unknown` has no threads: there is one user of the arena")]
unsafe impl Sync for Arena {}

#[global_allocator]
static ARENA: Arena = Arena { storage: Storage(UnsafeCell::new([0; ARENA_BYTES])), used: Cell::new(0) };

impl Arena {
    fn start(&self) -> *mut u8 {
        self.storage.0.get().cast()
    }

    /// The offset of `pointer` in the arena, if it lies there.
    fn offset_of(&self, pointer: *mut u8) -> Option<usize> {
        let offset = (pointer as usize).wrapping_sub(self.start() as usize);
        (offset < ARENA_BYTES).then_some(offset)
    }

    /// Takes `bytes` at `offset` if the arena has room for them.
    fn take(&self, offset: usize, bytes: usize) -> bool {
        let fits = offset.checked_add(bytes).is_some_and(|end| end <= ARENA_BYTES);
        if fits {
            self.used.set(offset + bytes);
        }
        fits
    }
}

#[expect(unsafe_code, reason = "the allocator interface is unsafe")]
// SAFETY: ranges handed out from the arena never overlap, because `used` only moves past them, and are
// aligned; everything else is the system allocator's, told apart by address.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let address = self.start() as usize + self.used.get();
        let offset = address.next_multiple_of(layout.align()) - self.start() as usize;
        if self.take(offset, layout.size()) {
            self.start().wrapping_add(offset)
        } else {
            unsafe { System.alloc(layout) }
        }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        match self.offset_of(pointer) {
            Some(offset) if offset + layout.size() == self.used.get() => self.used.set(offset),
            Some(_) => {}
            None => unsafe { System.dealloc(pointer, layout) },
        }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let Some(offset) = self.offset_of(pointer) else {
            return unsafe { System.realloc(pointer, layout, new_size) };
        };
        let is_last = offset + layout.size() == self.used.get();
        if new_size <= layout.size() || (is_last && self.take(offset, new_size)) {
            return pointer;
        }
        unsafe {
            let moved = self.alloc(Layout::from_size_align_unchecked(new_size, layout.align()));
            if !moved.is_null() {
                std::ptr::copy_nonoverlapping(pointer, moved, layout.size());
            }
            moved
        }
    }
}
