//! How much room the file system has left.

use std::io;
use std::path::Path;

use crate::disk::durable::naming;

/// Bytes that this process may still write to the file system that holds `path`: what is reserved
/// for the superuser is not counted.
///
/// # Errors
/// If the file system does not say.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let status = rustix::fs::statvfs(path)
        .map_err(|errno| naming("find the free space of", path)(errno.into()))?;
    Ok(status.f_bavail.saturating_mul(status.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_says_how_much_room_it_has() {
        assert!(free_bytes(Path::new("/")).expect("there is a root") > 0);
        let error = free_bytes(Path::new("/no/such/place")).expect_err("there is no such place");
        assert!(error.to_string().contains("/no/such/place"), "{error}");
    }
}
