//! Free space of a file system.

use std::io;
use std::path::Path;

use meridian_durable::naming;

/// Returns the number of bytes that this process may still write to the file system of `path`.
/// Space reserved for the superuser is not counted.
///
/// # Errors
/// If the file system cannot be queried.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let status = rustix::fs::statvfs(path)
        .map_err(|errno| naming("determine the free space of", path)(errno.into()))?;
    Ok(status.f_bavail.saturating_mul(status.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_free_space_of_a_file_system_is_returned() {
        assert!(free_bytes(Path::new("/")).expect("the root exists") > 0);
        let error = free_bytes(Path::new("/no/such/place")).expect_err("does not exist");
        assert!(error.to_string().contains("/no/such/place"), "{error}");
    }
}
