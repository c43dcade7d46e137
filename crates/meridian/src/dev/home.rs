//! The data directory of a development cluster.
//!
//! ```text
//! .meridian/
//!   dev.lock                 held by the `meridian dev` that runs here; its pid
//!   dev.toml                 the layout
//!   westeurope/agent.toml    an agent's configuration: written once, yours to edit
//!   westeurope/agent.log     its log
//!   westeurope/data/         its data directory
//! ```

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::layout::{Layout, Plan};
use crate::config::key::find;
use crate::config::render;
use crate::config::values::{Origin, Values};

/// The file that keeps the layout.
const LAYOUT: &str = "dev.toml";

/// Why the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Another `meridian dev` runs there.
    #[error("another `meridian dev` runs in {}{}", path.display(), by(*holder))]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The process, where it said.
        holder: Option<u32>,
    },
    /// The layout cannot be understood.
    #[error("{} cannot be understood: {cause}", path.display())]
    Layout {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The operating system refuses.
    #[error("{} cannot be used: {source}", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

fn by(holder: Option<u32>) -> String {
    holder.map_or_else(String::new, |pid| format!(" as process {pid}"))
}

/// The layout that is kept in a data directory, if one is.
///
/// # Errors
/// If it cannot be read.
pub fn kept_layout(directory: &Path) -> Result<Option<Layout>, HomeError> {
    let path = directory.join(LAYOUT);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(HomeError::File { path, source }),
    };
    let layout = toml::from_str(&text)
        .map_err(|error| HomeError::Layout { path, cause: error.message().replace('\n', ", ") })?;
    Ok(Some(layout))
}

/// A data directory that this process holds alone, until it ends in any way.
#[derive(Debug)]
pub struct Home {
    path: PathBuf,
    _lock: File,
}

impl Home {
    /// Takes the directory; creates it where it is missing.
    ///
    /// # Errors
    /// If another `meridian dev` has it, or the operating system refuses.
    pub fn open(path: &Path) -> Result<Self, HomeError> {
        let path = std::path::absolute(path).map_err(naming(path))?;
        std::fs::create_dir_all(&path).map_err(naming(&path))?;
        let lock = lock(&path)?;
        Ok(Self { path, _lock: lock })
    }

    /// The directory, from the root of the file system.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps the layout, and writes the configuration of each agent that has none.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub fn keep(&self, layout: &Layout, plans: &[Plan]) -> Result<(), HomeError> {
        for plan in plans {
            let path = config_path(plan);
            std::fs::create_dir_all(&plan.directory).map_err(naming(&plan.directory))?;
            if !path.exists() {
                let text = render::file(HEAD, &values(layout, plans, plan));
                std::fs::write(&path, text).map_err(naming(&path))?;
            }
        }
        let path = self.path.join(LAYOUT);
        let text = toml::to_string(layout)
            .map_err(|error| HomeError::Layout { path: path.clone(), cause: error.to_string() })?;
        std::fs::write(&path, text).map_err(naming(&path))
    }
}

const HEAD: &str = "\
The configuration of an agent of a development cluster, written by `meridian dev` when it was first \
started. It is yours to edit: it is not written again while it is here.";

/// Where an agent's configuration is.
#[must_use]
pub fn config_path(plan: &Plan) -> PathBuf {
    plan.directory.join("agent.toml")
}

/// Where an agent's log is.
#[must_use]
pub fn log_path(plan: &Plan) -> PathBuf {
    plan.directory.join("agent.log")
}

/// Where an agent's data are.
#[must_use]
pub fn data_path(plan: &Plan) -> PathBuf {
    plan.directory.join("data")
}

fn values(layout: &Layout, plans: &[Plan], plan: &Plan) -> Values {
    let at = |port: u16| vec![format!("{}:{port}", plan.address)];
    let founders = plans.iter().map(|plan| format!("{}:{}", plan.address, layout.peer_port));
    let founds = plans.first().is_some_and(|first| first.name == plan.name);
    let one = |text: &dyn ToString| vec![text.to_string()];
    let mut values = Values::default();
    for (name, texts) in [
        ("name", one(&plan.name)),
        ("region", one(&plan.region)),
        ("witness", one(&plan.witness)),
        ("data_dir", one(&"data")),
        ("network", one(&"lan")),
        ("client_listen", at(layout.client_port)),
        ("peer_listen", at(layout.peer_port)),
        ("http_listen", at(layout.http_port)),
        ("gateway_listen", one(&plan.address)),
        ("founders", founders.collect()),
        ("init", one(&founds)),
    ] {
        let key = find(name).expect("these are keys");
        values.set(key, texts, Origin::Default);
    }
    values
}

fn lock(directory: &Path) -> Result<File, HomeError> {
    let path = directory.join("dev.lock");
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(&path).map_err(naming(&path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let mut text = String::new();
            // The number only informs people: the error is clear without it.
            let holder = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
            return Err(HomeError::InUse { path: directory.to_path_buf(), holder });
        }
        Err(errno) => return Err(HomeError::File { path, source: errno.into() }),
    }
    let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(naming(&path))?;
    Ok(file)
}

fn naming(path: &Path) -> impl FnOnce(io::Error) -> HomeError {
    let path = path.to_path_buf();
    move |source| HomeError::File { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::LayoutArgs;
    use crate::config::{AgentConfig, Start, layers};

    fn home() -> (tempfile::TempDir, Home) {
        let parent = tempfile::tempdir().expect("a directory");
        let home = Home::open(&parent.path().join("home")).expect("is new");
        (parent, home)
    }

    #[test]
    fn a_second_dev_in_the_same_directory_is_told_about_the_first() {
        let (_parent, home) = home();
        let error = Home::open(home.path()).expect_err("is held").to_string();
        let pid = format!("as process {}", std::process::id());
        assert!(
            error.contains("another `meridian dev` runs in") && error.ends_with(&pid),
            "{error}"
        );
    }

    #[test]
    fn what_is_kept_is_found_again_and_edits_survive() {
        let (_parent, home) = home();
        assert_eq!(kept_layout(home.path()).expect("can be read"), None);
        let layout = Layout::settle(None, &LayoutArgs::default()).expect("is possible");
        let plans = layout.plans(home.path()).expect("has names");
        home.keep(&layout, &plans).expect("can be written");
        assert_eq!(kept_layout(home.path()).expect("can be read"), Some(layout.clone()));
        std::fs::write(config_path(&plans[1]), "# mine").expect("can be written");
        home.keep(&layout, &plans).expect("can be written");
        let kept = std::fs::read_to_string(config_path(&plans[1])).expect("is there");
        assert_eq!(kept, "# mine");
    }

    #[test]
    fn the_configurations_are_understood_and_one_agent_founds() {
        let (_parent, home) = home();
        let layout = Layout::settle(None, &LayoutArgs::default()).expect("is possible");
        let plans = layout.plans(home.path()).expect("has names");
        home.keep(&layout, &plans).expect("can be written");
        let config = |plan: &Plan| {
            let values = layers(Values::default(), Some(&config_path(plan))).expect("is good");
            AgentConfig::resolve(&values).expect("is good")
        };
        let founders = |start: &Start| match start {
            Start::Found(founders) | Start::Wait(founders) => founders.len(),
            Start::Join(_) => 0,
        };
        let (first, second) = (config(&plans[0]), config(&plans[1]));
        assert!(matches!(first.start, Start::Found(_)) && matches!(second.start, Start::Wait(_)));
        assert_eq!((founders(&first.start), founders(&second.start)), (3, 3));
        assert_eq!(second.data_dir, data_path(&plans[1]));
        assert_eq!(second.client.listen, ([127, 0, 1, 2], 7400).into());
        assert_eq!(second.gateway_advertise, "127.0.1.2");
    }
}
