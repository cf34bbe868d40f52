//! Of which version the library is, and whether that fits the header.

use std::ffi::{CStr, c_char};

use crate::guard::guard;
use crate::status::{Failure, Status};

/// The version of this header, as a number: 1,000,000 for each major, 1,000 for each minor version, and the patch.
pub const RADDLE_VERSION: u32 = 1_000;
/// The number of the ABI that this header declares. It is raised by each change that old programs would not survive.
pub const RADDLE_ABI_VERSION: u32 = 0;

/// Says of which version the library is, as RADDLE_VERSION does of the header.
///
/// Returns the number. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_version() -> u32 {
    RADDLE_VERSION
}

/// Says of which version the library is, as "0.1.0".
///
/// Returns a text that is never freed. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_version_string() -> *const c_char {
    VERSION.as_ptr()
}

/// Tells whether the library that was loaded can serve a program that was compiled with this header.
///
/// - `version`: RADDLE_VERSION
/// - `abi_version`: RADDLE_ABI_VERSION
///
/// Returns RADDLE_OK, or RADDLE_ERR_VERSION where the ABI is another one, or the header is newer than the library: it may
/// declare what the library does not have. To be called before anything else; from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_check_version(version: u32, abi_version: u32) -> Status {
    guard(|| {
        if abi_version != RADDLE_ABI_VERSION || version > RADDLE_VERSION {
            let text = format!(
                "the library is {} with ABI {RADDLE_ABI_VERSION}, the header {}.{}.{} with ABI {abi_version}",
                env!("CARGO_PKG_VERSION"),
                version / 1_000_000,
                version / 1_000 % 1_000,
                version % 1_000
            );
            return Err(Failure::new(Status::RADDLE_ERR_VERSION, text));
        }
        Ok(())
    })
}

const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(text) => text,
    Err(_) => panic!("a version has no NUL"),
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_that_of_the_package() {
        let parts: Vec<u32> =
            env!("CARGO_PKG_VERSION").split('.').map(|part| part.parse().expect("a number")).collect();
        assert_eq!(RADDLE_VERSION, parts[0] * 1_000_000 + parts[1] * 1_000 + parts[2]);
        assert_eq!(VERSION.to_str(), Ok(env!("CARGO_PKG_VERSION")));
    }

    #[test]
    fn a_header_of_another_abi_or_of_a_later_version_is_refused() {
        assert_eq!(raddle_check_version(RADDLE_VERSION, RADDLE_ABI_VERSION), Status::RADDLE_OK);
        assert_eq!(raddle_check_version(RADDLE_VERSION - 1, RADDLE_ABI_VERSION), Status::RADDLE_OK);
        assert_eq!(raddle_check_version(RADDLE_VERSION + 1, RADDLE_ABI_VERSION), Status::RADDLE_ERR_VERSION);
        assert_eq!(raddle_check_version(RADDLE_VERSION, RADDLE_ABI_VERSION + 1), Status::RADDLE_ERR_VERSION);
    }
}
