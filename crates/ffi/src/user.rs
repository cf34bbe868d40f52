//! What a program keeps with a handle: a `void *`, and the function that destroys it, which is called exactly once.

use std::ffi::c_void;
use std::fmt;

/// Destroys what a program has given as its `user` pointer. Called exactly once, when the library has no use for the
/// pointer any more, on any thread. It may call any function of this header; one that it finds in use by the very call that
/// destroys is RADDLE_ERR_BUSY. NULL where nothing is to be destroyed.
pub type Destroy = Option<unsafe extern "C-unwind" fn(user: *mut c_void)>;

/// A program's pointer. Dropped, it is destroyed.
pub(crate) struct User {
    data: *mut c_void,
    destroy: Destroy,
}

// SAFETY: the library only hands the pointer on; the header says that callbacks and destructors run on any thread.
unsafe impl Send for User {}
// SAFETY: as above: nothing is reached through it here.
unsafe impl Sync for User {}

impl User {
    /// Takes a program's pointer. To be made when nothing can fail any more: a call that fails leaves it to the program.
    pub(crate) fn new(data: *mut c_void, destroy: Destroy) -> Self {
        Self { data, destroy }
    }

    pub(crate) fn data(&self) -> *mut c_void {
        self.data
    }
}

impl Drop for User {
    fn drop(&mut self) {
        if let Some(destroy) = self.destroy {
            // SAFETY: the program has given the function for this pointer, and it is called once.
            unsafe { destroy(self.data) };
        }
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").finish_non_exhaustive()
    }
}
