//! File systems that exist for one test. They require root privileges; without these, tests print
//! that they are skipped.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A mounted file system.
pub struct Mounted {
    point: PathBuf,
    /// Arguments of `mount` before the mount point; the image is last, if there is one.
    arguments: Vec<String>,
    _home: TempDir,
}

/// Runs a command; the error contains its standard error.
pub fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    let line = || format!("{program} {}: {}", arguments.join(" "), stderr.trim());
    output.status.success().then_some(()).ok_or_else(line)
}

impl Mounted {
    /// Mounts a file system in memory with the given size.
    pub fn memory(bytes: u64) -> Result<Self, String> {
        let size = format!("size={bytes}");
        Self::new(tempfile::tempdir(), |_| Ok(words(&["-t", "tmpfs", "-o", &size, "tmpfs"])))
    }

    /// Mounts a file system of the given type, such as `ext4`, in an image file. The loop device is
    /// removed with the mount.
    pub fn image(kind: &str) -> Result<Self, String> {
        Self::new(tempfile::tempdir(), |home| {
            let image = home.join("image");
            let file = std::fs::File::create(&image).map_err(|error| error.to_string())?;
            // The minimum size for mkfs.xfs; the file is sparse.
            file.set_len(320 << 20).map_err(|error| error.to_string())?;
            let image = image.to_string_lossy().into_owned();
            run(&format!("mkfs.{kind}"), &["-q", &image])?;
            // A copy of an image has the same UUID, which XFS rejects while both are mounted.
            let options = if kind == "xfs" { "loop,nouuid" } else { "loop" };
            Ok(words(&["-t", kind, "-o", options, &image]))
        })
    }

    fn new(
        home: std::io::Result<TempDir>,
        make: impl FnOnce(&Path) -> Result<Vec<String>, String>,
    ) -> Result<Self, String> {
        let home = home.expect("a temporary directory");
        let point = home.path().join("mounted");
        std::fs::create_dir(&point).expect("the directory is created");
        let arguments = make(home.path())?;
        let mounted = Self { point, arguments, _home: home };
        mounted.mount().map(|()| mounted)
    }

    fn mount(&self) -> Result<(), String> {
        let point = self.point.to_string_lossy().into_owned();
        let mut arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        arguments.push(&point);
        run("mount", &arguments)
    }

    /// Returns the mount point.
    pub fn path(&self) -> &Path {
        &self.point
    }

    /// Unmounts the file system, and mounts the contents of its image as after a restart of the
    /// machine.
    ///
    /// A copy of the image is mounted, because a mount namespace created by another process may
    /// keep the original file system alive in its shut down state.
    pub fn restart(&mut self) -> Result<(), String> {
        run("umount", &[&self.point.to_string_lossy()])?;
        let before = self.arguments.pop().expect("the file system has an image");
        let image = format!("{before}-restarted");
        run("cp", &["--sparse=always", &before, &image])?;
        run("rm", &[&before])?;
        self.arguments.push(image);
        self.mount()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Processes with open files keep the file system until they exit; the mount point is free
        // immediately.
        if let Err(error) = run("umount", &["--lazy", &self.point.to_string_lossy()]) {
            eprintln!("{error}");
        }
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
