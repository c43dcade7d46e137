//! A small disk for one directory: an ext4 file system in a file, through a loop device. Its syncs are
//! real ones, and it can be full. Needs root, `mkfs.ext4`, `mount` and `fallocate`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

/// What an hour of changes takes, many times over. The file is sparse: it only takes what is written.
const BYTES: u64 = 2 << 30;
/// What fills it.
const FILLER: &str = "filler";
/// How often it is filled: whoever writes to it may remove files meanwhile.
const FILLINGS: u32 = 10;

/// A mounted disk. Unmounted when it is dropped; nothing may work on it by then.
#[derive(Debug)]
pub struct Disk {
    place: PathBuf,
}

impl Disk {
    /// Mounts an empty one at a directory, created for that. Its image lies beside.
    ///
    /// # Errors
    /// What `mkfs.ext4` or `mount` says; most often that it is not root who asks.
    pub fn create(place: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(place)?;
        let image = place.with_extension("image");
        File::create(&image)?.set_len(BYTES)?;
        let (image, at) = (image.to_string_lossy(), place.to_string_lossy());
        // Nothing kept back for root, and no tables written in the background later. The last block of
        // a file still takes something on a full disk: less, the smaller it is.
        let lazy = "lazy_itable_init=1,nodiscard";
        run("mkfs.ext4", &["-q", "-F", "-m", "0", "-b", "1024", "-E", lazy, &image])?;
        run("mount", &["-o", "loop,noinit_itable", &image, &at])?;
        let disk = Self { place: place.to_owned() };
        // It begins as empty as any other directory.
        fs::remove_dir(disk.place.join("lost+found")).context("the new file system")?;
        Ok(disk)
    }

    /// The directory that it is mounted at.
    #[must_use]
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// Fills it to its last byte.
    ///
    /// # Errors
    /// If there is still room.
    pub fn fill(&self) -> anyhow::Result<()> {
        let filler = self.filler();
        let length = BYTES.to_string();
        for _ in 0..FILLINGS {
            // It takes all that there is, and then says that this is not enough.
            let filled = run("fallocate", &["--length", &length, &filler.to_string_lossy()]);
            ensure!(filled.is_err(), "{} takes more than it has", self.place.display());
            if self.free_bytes()? == 0 {
                return Ok(());
            }
        }
        bail!("{} bytes are left of {}", self.free_bytes()?, self.place.display())
    }

    /// Gives back what [`Disk::fill`] took, if it did.
    ///
    /// # Errors
    /// If it cannot be given back.
    pub fn free(&self) -> anyhow::Result<()> {
        match fs::remove_file(self.filler()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).context("the disk cannot be freed")
            }
            _ => Ok(()),
        }
    }

    fn filler(&self) -> PathBuf {
        self.place.join(FILLER)
    }

    fn free_bytes(&self) -> anyhow::Result<u64> {
        let status = rustix::fs::statvfs(&self.place).context("the file system's room")?;
        Ok(status.f_bavail.saturating_mul(status.f_frsize))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Err(error) = run("umount", &[&self.place.to_string_lossy()]) {
            eprintln!("a disk is left behind: {error:#}");
        }
    }
}

fn run(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(program).args(arguments).output();
    let output = output.with_context(|| format!("{program} cannot be run; is it installed?"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {}: {}", arguments.join(" "), said.trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    #[test]
    fn it_is_full_until_it_is_freed() {
        let place = tempfile::tempdir().expect("a directory");
        let disk = match Disk::create(&place.path().join("disk")) {
            Ok(disk) => disk,
            Err(error) => return eprintln!("skipped: {error:#}"),
        };
        let file = disk.place().join("file");
        fs::write(&file, "there is room").expect("is written");
        disk.fill().expect("is full");
        let written = fs::write(&file, vec![7; 1 << 20]);
        assert_eq!(written.expect_err("there is none").kind(), ErrorKind::StorageFull);
        disk.free().expect("is freed");
        disk.free().expect("is free");
        fs::write(&file, "there is room again").expect("is written");
    }
}
