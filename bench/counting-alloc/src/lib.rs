//! The system's allocator, counted: a test that must not allocate asks before and after.
//!
//! The only crate with unsafe code: `GlobalAlloc` is an unsafe trait. It is a dev-dependency and in no product.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

static COUNT: AtomicU64 = AtomicU64::new(0);
static HELD: AtomicU64 = AtomicU64::new(0);

/// To be set as `#[global_allocator]` by a test binary.
#[derive(Debug, Default)]
pub struct Counting;

/// How often memory was asked for so far (a reallocation asks too), by all threads of the process.
pub fn allocations() -> u64 {
    COUNT.load(Ordering::Relaxed)
}

/// Bytes that are held now, as they were asked for, by all threads of the process.
pub fn held() -> u64 {
    HELD.load(Ordering::Relaxed)
}

fn took(size: usize) {
    COUNT.fetch_add(1, Ordering::Relaxed);
    HELD.fetch_add(size as u64, Ordering::Relaxed);
}

fn gave(size: usize) {
    HELD.fetch_sub(size as u64, Ordering::Relaxed);
}

#[expect(unsafe_code, reason = "the trait is unsafe; every call goes to the system's allocator as it came")]
// SAFETY: System keeps the trait's contract, and counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        gave(layout.size());
        // SAFETY: the caller keeps the contract of `dealloc`; the pointer came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        took(size);
        gave(layout.size());
        // SAFETY: the caller keeps the contract of `realloc`; the pointer came from `System`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
