//! Lock of a data directory.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use super::DirectoryError;
use meridian_durable::{self as durable, naming};

/// Number and interval of retries while a process that is exiting holds the lock. A process that
/// was killed while it spawned another one leaves a copy of itself for a moment, which also holds
/// the lock.
const LOCK_RETRIES: u32 = 40;
pub(super) const LOCK_RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// Locks `directory`. Waits while a process that is exiting holds the lock.
///
/// # Errors
/// If another process holds the lock, or the operating system returns an error.
pub(super) fn lock(directory: &Path) -> Result<File, DirectoryError> {
    let path = directory.join("lock");
    let mut options = durable::private_file();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = durable::open(&path, &options).map_err(naming("open", &path))?;
    let mut retries = LOCK_RETRIES;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => break,
            Err(rustix::io::Errno::WOULDBLOCK) => {}
            Err(errno) => return Err(naming("lock", &path)(errno.into()).into()),
        }
        let recorded = recorded_holder(&mut file);
        if recorded.is_none_or(is_running) || retries == 0 {
            let holder = recorded.filter(|pid| holds_lock(*pid, &file));
            return Err(DirectoryError::InUse { path: directory.to_path_buf(), holder });
        }
        retries -= 1;
        std::thread::sleep(LOCK_RETRY_INTERVAL);
    }
    file.set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(naming("write", &path))?;
    Ok(file)
}

/// Returns true if the process is running. A process that is exiting has no command line anymore,
/// but still holds its locks for a moment.
fn is_running(pid: u32) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

/// Returns true if the process holds the lock on `file`, according to proc_locks(5). The process id
/// in the file is no proof: the process may be long gone, and its id that of another one.
///
/// The number of the inode identifies the file, because the device there is not always that of
/// stat(2).
fn holds_lock(pid: u32, file: &File) -> bool {
    let Ok(inode) = file.metadata().map(|metadata| metadata.ino()) else { return false };
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    locks.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (kind, holder) = (fields.next(), fields.nth(2));
        let of = fields.next().and_then(|id| id.rsplit(':').next());
        kind == Some("FLOCK")
            && holder.is_some_and(|holder| holder == pid.to_string())
            && of.is_some_and(|of| of == inode.to_string())
    })
}

/// Returns the process that last took the lock, if it wrote its process id. The id alone is used only
/// to decide whether waiting can help.
fn recorded_holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().and_then(|()| file.read_to_string(&mut text)).ok()?;
    text.trim().parse().ok()
}
