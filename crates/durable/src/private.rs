//! Directories and files that only their user can access.

use std::fs::{self, DirBuilder, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::{FileError, naming};

/// Mode of directories that this crate creates.
const DIRECTORY_MODE: u32 = 0o700;
/// Mode of files that this crate creates.
const FILE_MODE: u32 = 0o600;
/// Permissions that make a directory accessible to others. Search permission is not among them:
/// without read permission, it gives access to nothing that is private itself.
const OPEN_DIRECTORY: u32 = 0o066;
/// Permissions that make a file accessible to others.
const OPEN_FILE: u32 = 0o077;

/// Returns options that create files which only this user can access.
#[must_use]
pub fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(FILE_MODE);
    options
}

/// Returns a builder of directories that only this user can access.
pub(crate) fn private_directory() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.mode(DIRECTORY_MODE);
    builder
}

/// Checks that the directory at `path` belongs to this user, and makes it private. Returns true if
/// others had access to it.
///
/// # Errors
/// If it belongs to another user, who could read and replace everything in it, or the operating
/// system returns an error.
pub fn claim_directory(path: &Path) -> Result<bool, FileError> {
    let metadata = fs::metadata(path).map_err(naming("use", path))?;
    let (owner, user) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if owner != user {
        let cause = format!(
            "it belongs to user {owner}, and this process runs as user {user}: run it as that user, \
             or give it the directory with chown -R {user}"
        );
        let cause = io::Error::new(io::ErrorKind::PermissionDenied, cause);
        return Err(naming("use", path)(cause));
    }
    restrict(path, &metadata)
}

/// Makes everything in the directory at `path` private that belongs to this user, and returns the
/// number of files and directories to which others had access. Symbolic links are not followed.
///
/// # Errors
/// If the operating system returns an error.
pub fn claim_contents(path: &Path) -> Result<usize, FileError> {
    let user = rustix::process::geteuid().as_raw();
    let mut restricted = 0;
    for entry in fs::read_dir(path).map_err(naming("list", path))? {
        let entry = entry.map_err(naming("list", path))?.path();
        let metadata = match fs::symlink_metadata(&entry) {
            // Another process of this user removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            metadata => metadata.map_err(naming("use", &entry))?,
        };
        if metadata.uid() != user || metadata.is_symlink() {
            continue;
        }
        restricted += usize::from(restrict(&entry, &metadata)?);
        if metadata.is_dir() {
            restricted += claim_contents(&entry)?;
        }
    }
    Ok(restricted)
}

/// Removes the permissions of others. Returns true if there were any.
fn restrict(path: &Path, metadata: &Metadata) -> Result<bool, FileError> {
    let open = if metadata.is_dir() { OPEN_DIRECTORY } else { OPEN_FILE };
    let mode = metadata.mode();
    if mode & open == 0 {
        return Ok(false);
    }
    let permissions = Permissions::from_mode(mode & 0o700);
    match fs::set_permissions(path, permissions) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        changed => changed.map(|()| true).map_err(naming("restrict", path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("exists").mode() & 0o777
    }

    #[test]
    fn what_others_can_access_is_made_private_and_counted() {
        let parent = tempfile::tempdir().expect("a temporary directory");
        let root = parent.path().join("data");
        fs::create_dir(&root).expect("is new");
        fs::create_dir(root.join("raft-log")).expect("is new");
        fs::write(root.join("raft-log/chunk"), "").expect("is written");
        fs::write(root.join("lock"), "").expect("is written");
        let outside = parent.path().join("outside");
        fs::write(&outside, "").expect("is written");
        std::os::unix::fs::symlink(&outside, root.join("link")).expect("is new");
        for (path, mode) in [
            (root.clone(), 0o777),
            (root.join("raft-log"), 0o755),
            (root.join("raft-log/chunk"), 0o644),
            (root.join("lock"), 0o600),
            (outside.clone(), 0o644),
        ] {
            fs::set_permissions(path, Permissions::from_mode(mode)).expect("is own");
        }
        assert!(claim_directory(&root).expect("is own"));
        assert_eq!(claim_contents(&root).expect("is own"), 2);
        let directories = [&root, &root.join("raft-log")].map(|path| mode(path));
        assert_eq!(directories, [0o700, 0o700]);
        let files = [root.join("raft-log/chunk"), root.join("lock"), outside];
        assert_eq!(files.each_ref().map(|path| mode(path)), [0o600, 0o600, 0o644]);
        assert!(!claim_directory(&root).expect("is own"));
        assert_eq!(claim_contents(&root).expect("is own"), 0);
    }

    #[test]
    fn a_directory_of_another_user_is_refused_with_the_next_step() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root can give a directory to another user");
            return;
        }
        let root = tempfile::tempdir().expect("a temporary directory");
        std::os::unix::fs::chown(root.path(), Some(65_534), None).expect("may be given away");
        let error = claim_directory(root.path()).expect_err("belongs to another user");
        let cause = error.cause.to_string();
        assert!(cause.contains("belongs to user 65534"), "{cause}");
        assert!(cause.contains("run it as that user, or give it the directory"), "{cause}");
    }
}
