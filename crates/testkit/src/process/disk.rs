//! A small disk for one directory: an ext4 file system in a file, through a loop device. Its syncs
//! are real, and it can be filled up. Needs root, `mkfs.ext4`, `mount` and `fallocate`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

/// Size of the disk: many times the data of an hour of changes. The image file is sparse.
const BYTES: u64 = 2 << 30;
/// Name of the file that fills the disk.
const FILLER: &str = "filler";
/// Maximum number of attempts to fill it: other processes may remove files meanwhile.
const FILLINGS: u32 = 10;

/// A mounted disk. Unmounted when dropped; no process may use it by then.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
}

impl Disk {
    /// Creates a directory and mounts an empty disk there. The image file is stored next to it.
    ///
    /// # Errors
    /// The error of `mkfs.ext4` or `mount`, usually for lack of root privileges.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(path)?;
        let image = path.with_extension("image");
        File::create(&image)?.set_len(BYTES)?;
        let (image, at) = (image.to_string_lossy(), path.to_string_lossy());
        // No blocks reserved for root, and no lazy initialization in the background. On a full disk
        // the last block of a file can still grow; small blocks keep that short.
        let lazy = "lazy_itable_init=1,nodiscard";
        run("mkfs.ext4", &["-q", "-F", "-m", "0", "-b", "1024", "-E", lazy, &image])?;
        run("mount", &["-o", "loop,noinit_itable", &image, &at])?;
        let disk = Self { path: path.to_owned() };
        // An empty directory, like any other data directory.
        fs::remove_dir(disk.path.join("lost+found")).context("removing lost+found")?;
        Ok(disk)
    }

    /// Returns the mount point.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Fills the disk to its last byte.
    ///
    /// # Errors
    /// If free space is left after several attempts.
    pub fn fill(&self) -> anyhow::Result<()> {
        let filler = self.filler();
        let length = BYTES.to_string();
        for _ in 0..FILLINGS {
            // `fallocate` takes all free space, and then fails.
            let filled = run("fallocate", &["--length", &length, &filler.to_string_lossy()]);
            ensure!(filled.is_err(), "{} accepted more data than its size", self.path.display());
            if self.free_bytes()? == 0 {
                return Ok(());
            }
        }
        bail!("{} bytes are still free on {}", self.free_bytes()?, self.path.display())
    }

    /// Releases the space taken by [`Disk::fill`], if any.
    ///
    /// # Errors
    /// If the filler file cannot be removed.
    pub fn free(&self) -> anyhow::Result<()> {
        match fs::remove_file(self.filler()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).context("cannot remove the filler file")
            }
            _ => Ok(()),
        }
    }

    fn filler(&self) -> PathBuf {
        self.path.join(FILLER)
    }

    fn free_bytes(&self) -> anyhow::Result<u64> {
        let status = rustix::fs::statvfs(&self.path).context("reading the free space")?;
        Ok(status.f_bavail.saturating_mul(status.f_frsize))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Err(error) = run("umount", &[&self.path.to_string_lossy()]) {
            eprintln!("cannot unmount a disk: {error:#}");
        }
    }
}

fn run(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(program).args(arguments).output();
    let output = output.with_context(|| format!("cannot run {program}; is it installed?"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {}: {}", arguments.join(" "), stderr.trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    #[test]
    fn a_disk_is_full_until_it_is_freed() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let disk = match Disk::create(&directory.path().join("disk")) {
            Ok(disk) => disk,
            Err(error) => return eprintln!("skipped: {error:#}"),
        };
        let file = disk.path().join("file");
        fs::write(&file, "space left").expect("the disk has space");
        disk.fill().expect("the disk can be filled");
        let written = fs::write(&file, vec![7; 1 << 20]);
        assert_eq!(written.expect_err("no space left").kind(), ErrorKind::StorageFull);
        disk.free().expect("the space can be freed");
        disk.free().expect("freeing again is a no-op");
        fs::write(&file, "space left again").expect("the disk has space again");
    }
}
