//! The logs of units, which are bounded: `u7.log`, and `u7.log.1` with older lines.
//!
//! A unit appends to its log and never reopens it. So a log is copied and then truncated: with
//! `O_APPEND`, the next line goes to the beginning of the file (open(2)). Lines that are written
//! between both are lost.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use meridian_domain::Incarnation;
use meridian_durable::private_file;

use super::RunDirectory;
use crate::driver::output_tail;

/// Size above which a log is rotated, in bytes.
pub(in crate::driver) const MAX_LOG_BYTES: u64 = 8 << 20;
/// Number of bytes at the end of a log that are searched for its last line.
const LOG_TAIL_BYTES: u64 = 4096;

impl RunDirectory {
    /// Opens the file for the unit's standard output and error.
    pub(in crate::driver) fn log(&self, incarnation: Incarnation) -> io::Result<File> {
        let path = self.file(incarnation, "log");
        meridian_durable::open(&path, private_file().create(true).append(true))
    }

    /// Returns the last line of the unit's log.
    pub(in crate::driver) fn output_tail(&self, incarnation: Incarnation) -> Option<String> {
        let newest_first = ["log", "log.1"].map(|kind| self.file(incarnation, kind));
        newest_first.iter().find_map(|path| output_tail::last_line(&tail(path).ok()?))
    }

    /// Rotates every log above [`MAX_LOG_BYTES`].
    pub(in crate::driver) fn rotate_logs(&self) -> io::Result<()> {
        for incarnation in self.incarnations()? {
            if let Err(error) = self.rotate_log(incarnation) {
                tracing::warn!(%incarnation, %error, "cannot rotate the log of a unit");
            }
        }
        Ok(())
    }

    fn rotate_log(&self, incarnation: Incarnation) -> io::Result<()> {
        let log = self.file(incarnation, "log");
        let length = match fs::metadata(&log) {
            Ok(log) => log.len(),
            // A container has its log elsewhere.
            Err(error) if error.kind() == ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        if length <= MAX_LOG_BYTES {
            return Ok(());
        }
        let older = self.file(incarnation, "log.1");
        if let Err(error) = fs::copy(&log, &older) {
            // On a full disk, half a copy would take the space that the log needs.
            drop(fs::remove_file(&older));
            if !matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) {
                return Err(error);
            }
            tracing::warn!(%incarnation, %error, "the log of a unit is truncated without a copy");
        }
        OpenOptions::new().write(true).open(&log)?.set_len(0)
    }
}

/// Returns the end of a file.
fn tail(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)))?;
    let mut tail = Vec::new();
    file.take(LOG_TAIL_BYTES).read_to_end(&mut tail)?;
    Ok(String::from_utf8_lossy(&tail).into_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn the_output_tail_is_the_last_non_empty_line_of_the_log() {
        let root = tempfile::tempdir().unwrap();
        let run = RunDirectory::open(root.path()).unwrap();
        assert_eq!(run.output_tail(Incarnation(7)), None);
        fs::write(root.path().join("u7.log"), "x\n".repeat(9_000) + "Error: not\t found\n\n")
            .unwrap();
        assert_eq!(run.output_tail(Incarnation(7)).unwrap(), "Error: not found");
    }

    #[test]
    fn a_log_above_the_limit_is_copied_and_truncated_under_its_writer() {
        let root = tempfile::tempdir().unwrap();
        let run = RunDirectory::open(root.path()).unwrap();
        let mut writer = run.log(Incarnation(7)).unwrap();
        let log = || fs::read_to_string(root.path().join("u7.log")).unwrap();
        let older = || fs::read_to_string(root.path().join("u7.log.1")).unwrap();
        for round in 1..=2 {
            let line = format!("{round} {}\n", "x".repeat(1 << 20));
            writer.write_all(line.repeat(7).as_bytes()).unwrap();
            run.rotate_logs().unwrap();
            assert_eq!(log().lines().count(), 7, "a log below the limit was rotated");
            writer.write_all(line.as_bytes()).unwrap();
            run.rotate_logs().unwrap();
            assert_eq!(log(), "");
            assert_eq!(older(), line.repeat(8));
        }
        assert!(run.output_tail(Incarnation(7)).unwrap().starts_with("xxx"));
        writer.write_all(b"after\n").unwrap();
        assert_eq!(log(), "after\n");
        assert_eq!(run.output_tail(Incarnation(7)).unwrap(), "after");
    }

    #[test]
    fn the_older_log_is_kept_and_deleted_together_with_the_log() {
        let root = tempfile::tempdir().unwrap();
        let run = RunDirectory::open(root.path()).unwrap();
        for name in ["u7.json", "u7.log", "u7.log.1"] {
            File::create(root.path().join(name)).unwrap();
        }
        assert_eq!(run.incarnations().unwrap().len(), 1);
        run.clear(Incarnation(7), false).unwrap();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 2);
        run.clear(Incarnation(7), true).unwrap();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
