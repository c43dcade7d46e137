//! The contents of a directory as a value.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::path::{Path, PathBuf};

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Node {
    /// A directory; its contents are separate entries.
    Directory,
    /// A file with its contents.
    File(Vec<u8>),
}

/// All files and directories below a directory, by relative path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Tree(BTreeMap<PathBuf, Node>);

impl Tree {
    /// Reads the directory at `path`. Sockets and other special files are skipped.
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

    /// Writes the tree to the directory at `path`, which must be empty.
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

    /// Adds or replaces an entry.
    pub fn insert(&mut self, path: PathBuf, node: Node) {
        self.0.insert(path, node);
    }

    /// Removes an entry and everything below it.
    pub fn remove(&mut self, path: &Path) {
        self.0.retain(|name, _| !name.starts_with(path));
    }

    /// Returns the entry at a path.
    #[must_use]
    pub fn get(&self, path: &Path) -> Option<&Node> {
        self.0.get(path)
    }

    /// Iterates over all entries; a directory comes before its contents.
    pub fn iter(&self) -> impl Iterator<Item = (&PathBuf, &Node)> {
        self.0.iter()
    }

    /// Iterates over all files with their contents.
    pub fn files(&self) -> impl Iterator<Item = (&PathBuf, &Vec<u8>)> {
        self.0.iter().filter_map(|(path, node)| match node {
            Node::Directory => None,
            Node::File(bytes) => Some((path, bytes)),
        })
    }

    /// Returns a hash for detecting equal trees.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}
