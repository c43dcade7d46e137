//! File systems for one test, gone with it. Only root can have them: without, the test says that it
//! skips.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A mounted file system.
pub struct Mounted {
    point: PathBuf,
    /// What is mounted, as `mount` is told: the image last, where there is one.
    what: Vec<String>,
    _home: TempDir,
}

/// Runs a command, and says what it said if it fails.
pub fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    let words = String::from_utf8_lossy(&output.stderr);
    let line = || format!("{program} {}: {}", arguments.join(" "), words.trim());
    output.status.success().then_some(()).ok_or_else(line)
}

impl Mounted {
    /// One in memory with so much room.
    pub fn memory(bytes: u64) -> Result<Self, String> {
        let size = format!("size={bytes}");
        Self::new(tempfile::tempdir(), |_| Ok(words(&["-t", "tmpfs", "-o", &size, "tmpfs"])))
    }

    /// One of that kind, such as `ext4`, in an image of its own: the loop device goes with the mount.
    pub fn image(kind: &str) -> Result<Self, String> {
        Self::new(tempfile::tempdir(), |home| {
            let image = home.join("image");
            let file = std::fs::File::create(&image).map_err(|error| error.to_string())?;
            // The least that mkfs.xfs takes; only what is written takes room.
            file.set_len(320 << 20).map_err(|error| error.to_string())?;
            let image = image.to_string_lossy().into_owned();
            run(&format!("mkfs.{kind}"), &["-q", &image])?;
            // A copy of an image has the same identity, which XFS refuses while it sees both.
            let options = if kind == "xfs" { "loop,nouuid" } else { "loop" };
            Ok(words(&["-t", kind, "-o", options, &image]))
        })
    }

    fn new(
        home: std::io::Result<TempDir>,
        make: impl FnOnce(&Path) -> Result<Vec<String>, String>,
    ) -> Result<Self, String> {
        let home = home.expect("there is a place for temporary files");
        let point = home.path().join("mounted");
        std::fs::create_dir(&point).expect("it can be created");
        let what = make(home.path())?;
        let mounted = Self { point, what, _home: home };
        mounted.mount().map(|()| mounted)
    }

    fn mount(&self) -> Result<(), String> {
        let point = self.point.to_string_lossy().into_owned();
        let mut arguments: Vec<&str> = self.what.iter().map(String::as_str).collect();
        arguments.push(&point);
        run("mount", &arguments)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.point
    }

    /// Takes it off, and mounts what its image holds, as after a restart of the machine.
    ///
    /// A copy of the image is mounted: a namespace that another process made meanwhile may keep the
    /// file system of the image itself as it is, shut down.
    pub fn restart(&mut self) -> Result<(), String> {
        run("umount", &[&self.point.to_string_lossy()])?;
        let before = self.what.pop().expect("it has an image");
        let image = format!("{before}-restarted");
        run("cp", &["--sparse=always", &before, &image])?;
        run("rm", &[&before])?;
        self.what.push(image);
        self.mount()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Whatever still has a file there keeps it until it ends; the name is free at once.
        if let Err(error) = run("umount", &["--lazy", &self.point.to_string_lossy()]) {
            eprintln!("{error}");
        }
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
