//! The content of a directory, as a value.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::path::{Path, PathBuf};

/// What has a name in a directory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Node {
    /// A directory; what is in it has names of its own.
    Directory,
    /// A file with its bytes.
    File(Vec<u8>),
}

/// All that is in a directory, by path from there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Tree(BTreeMap<PathBuf, Node>);

impl Tree {
    /// What is in the directory at `path`. Sockets and the like are left out.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut tree = Self::default();
        tree.read_below(path, Path::new(""))?;
        Ok(tree)
    }

    fn read_below(&mut self, root: &Path, below: &Path) -> io::Result<()> {
        for entry in fs::read_dir(root.join(below))? {
            let entry = entry?;
            let path = below.join(entry.file_name());
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.insert(path.clone(), Node::Directory);
                self.read_below(root, &path)?;
            } else if kind.is_file() {
                self.insert(path, Node::File(fs::read(entry.path())?));
            }
        }
        Ok(())
    }

    /// Makes the directory at `path`, which must be empty, have this.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        for (name, node) in &self.0 {
            let path = path.join(name);
            match node {
                Node::Directory => fs::create_dir(path)?,
                Node::File(bytes) => fs::write(path, bytes)?,
            }
        }
        Ok(())
    }

    /// Adds or replaces a name.
    pub fn insert(&mut self, path: PathBuf, node: Node) {
        self.0.insert(path, node);
    }

    /// Takes a name away, with what is below it.
    pub fn remove(&mut self, path: &Path) {
        self.0.retain(|name, _| !name.starts_with(path));
    }

    /// What has that name.
    #[must_use]
    pub fn get(&self, path: &Path) -> Option<&Node> {
        self.0.get(path)
    }

    /// All names, a directory before what is in it.
    pub fn iter(&self) -> impl Iterator<Item = (&PathBuf, &Node)> {
        self.0.iter()
    }

    /// All files with their bytes.
    pub fn files(&self) -> impl Iterator<Item = (&PathBuf, &Vec<u8>)> {
        self.0.iter().filter_map(|(path, node)| match node {
            Node::Directory => None,
            Node::File(bytes) => Some((path, bytes)),
        })
    }

    /// A number by which equal trees are found.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}
