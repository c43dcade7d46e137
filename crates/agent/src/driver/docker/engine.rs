//! The engine: the few things that are asked of it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use bollard::errors::Error;
use bollard::models::{
    ContainerCreateBody, ContainerSummary, ContainerSummaryStateEnum as State,
    ContainerWaitResponse,
};
use bollard::query_parameters::{
    CreateContainerOptions, InspectContainerOptions, KillContainerOptions, ListContainersOptions,
    LogsOptions, RemoveContainerOptions, WaitContainerOptions,
};
use bollard::{API_DEFAULT_VERSION, Docker};
use futures::{StreamExt as _, TryStreamExt as _};
use meridian_domain::Incarnation;
use tokio::sync::OnceCell;

use super::ImageName;
use crate::driver::{StartError, Unreachable};

/// Seconds for an answer. A busy machine takes some for a container.
const ANSWER_SECONDS: u64 = 60;
/// Lines among which the last one with something in it is looked for.
const LAST_LINES: &str = "20";

/// Why an engine did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// It does not answer.
    #[error(
        "no Docker engine answers at {socket}: start it, let the agent's user use that socket, or \
         say by docker_socket where it is"
    )]
    Unreachable {
        /// Its socket.
        socket: PathBuf,
        /// Why.
        #[source]
        source: Error,
    },
    /// It has no such image.
    #[error("the Docker engine at {socket} has no image {image}: build it there, or pull it")]
    NoImage {
        /// Its socket.
        socket: PathBuf,
        /// The image.
        image: String,
    },
    /// It refuses.
    #[error("the Docker engine at {socket} refuses: {message}")]
    Refused {
        /// Its socket.
        socket: PathBuf,
        /// What it says.
        message: String,
    },
    /// A unit runs, and it has no container of it.
    #[error(
        "incarnation {incarnation} runs, and the Docker engine at {socket} has no container of it: \
         is docker_socket another engine's?"
    )]
    NoContainer {
        /// Its socket.
        socket: PathBuf,
        /// The unit's assignment.
        incarnation: Incarnation,
    },
    /// It takes paths that are text alone.
    #[error("{directory} cannot be mounted: a Docker engine takes only paths in UTF-8")]
    NotText {
        /// The directory of a unit.
        directory: PathBuf,
    },
}

impl From<EngineError> for Unreachable {
    fn from(error: EngineError) -> Self {
        Self(Box::new(error))
    }
}

impl From<EngineError> for StartError {
    fn from(error: EngineError) -> Self {
        Self::Engine(Box::new(error))
    }
}

/// A container, as a list has it.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) id: String,
    pub(super) labels: HashMap<String, String>,
    /// From where, and to where.
    pub(super) mounts: Vec<(PathBuf, String)>,
    pub(super) runs: bool,
}

/// How a container ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    pub(super) code: i64,
    pub(super) out_of_memory: bool,
}

/// An engine.
#[derive(Debug)]
pub(super) struct Engine {
    socket: PathBuf,
    client: OnceCell<Docker>,
}

impl Engine {
    /// The engine that listens at `socket`, which may not be there yet.
    pub(super) fn at(socket: PathBuf) -> Self {
        Self { socket, client: OnceCell::new() }
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// The client, in the version of the API that the engine has.
    async fn client(&self) -> Result<&Docker, EngineError> {
        let connect = || async {
            let path = self.socket.to_string_lossy();
            let client = Docker::connect_with_unix(&path, ANSWER_SECONDS, API_DEFAULT_VERSION)?;
            client.negotiate_version().await
        };
        self.client.get_or_try_init(connect).await.map_err(|error| self.error(error))
    }

    /// All containers with these labels, running or not.
    pub(super) async fn list(&self, labels: Vec<String>) -> Result<Vec<Listed>, EngineError> {
        let filters = Some(HashMap::from([("label".to_owned(), labels)]));
        let options = ListContainersOptions { all: true, filters, ..Default::default() };
        let listed = self.client().await?.list_containers(Some(options)).await;
        Ok(listed.map_err(|error| self.error(error))?.into_iter().filter_map(of_list).collect())
    }

    /// Creates a container. Its id.
    pub(super) async fn create(
        &self,
        name: &str,
        image: &ImageName,
        body: ContainerCreateBody,
    ) -> Result<String, EngineError> {
        let options = CreateContainerOptions { name: Some(name.to_owned()), ..Default::default() };
        match self.client().await?.create_container(Some(options), body).await {
            Ok(created) => Ok(created.id),
            Err(error) if is_missing(&error) => {
                Err(EngineError::NoImage { socket: self.socket.clone(), image: image.to_string() })
            }
            Err(error) => Err(self.error(error)),
        }
    }

    pub(super) async fn start(&self, id: &str) -> Result<(), EngineError> {
        let started = self.client().await?.start_container(id, None).await;
        started.map_err(|error| self.error(error))
    }

    /// Waits until a container has ended; `None` if there is none.
    pub(super) async fn ended(&self, id: &str) -> Result<Option<Ended>, EngineError> {
        let client = self.client().await?;
        let options = WaitContainerOptions { condition: "not-running".to_owned() };
        let code = match client.wait_container(id, Some(options)).next().await {
            Some(Ok(ContainerWaitResponse { error: Some(error), .. })) => {
                return Err(self.refused(error.message.unwrap_or_default()));
            }
            Some(Ok(ended)) => ended.status_code,
            Some(Err(Error::DockerContainerWaitError { code, .. })) => code,
            Some(Err(error)) if is_missing(&error) => return Ok(None),
            Some(Err(error)) => return Err(self.error(error)),
            // The engine went away before the container did.
            None => return Err(self.error(Error::RequestTimeoutError)),
        };
        let inspected = client.inspect_container(id, None::<InspectContainerOptions>).await;
        let state = match inspected {
            Ok(inspected) => inspected.state.unwrap_or_default(),
            Err(error) if is_missing(&error) => {
                return Ok(Some(Ended { code, out_of_memory: false }));
            }
            Err(error) => return Err(self.error(error)),
        };
        // A unit that runs must not be taken for one that ended: its container would be removed.
        if state.running == Some(true) {
            return Err(self.refused("to wait for a container that still runs".to_owned()));
        }
        Ok(Some(Ended { code, out_of_memory: state.oom_killed == Some(true) }))
    }

    /// What a container wrote last.
    pub(super) async fn last_lines(&self, id: &str) -> Result<String, EngineError> {
        let tail = LAST_LINES.to_owned();
        let options = LogsOptions { stdout: true, stderr: true, tail, ..Default::default() };
        let logs = self.client().await?.logs(id, Some(options));
        let parts: Vec<_> = logs.try_collect().await.map_err(|error| self.error(error))?;
        let bytes: Vec<u8> = parts.into_iter().flat_map(|part| part.into_bytes()).collect();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Kills a container, if it runs.
    pub(super) async fn kill(&self, id: &str) -> Result<(), EngineError> {
        let options = KillContainerOptions { signal: "SIGKILL".to_owned() };
        let killed = self.client().await?.kill_container(id, Some(options)).await;
        self.unless_gone(killed)
    }

    /// Removes a container, whether it runs or not.
    pub(super) async fn remove(&self, id: &str) -> Result<(), EngineError> {
        let options = RemoveContainerOptions { force: true, v: true, ..Default::default() };
        let removed = self.client().await?.remove_container(id, Some(options)).await;
        self.unless_gone(removed)
    }

    /// That there is nothing to be ended or removed, or somebody is at it already, is no error.
    fn unless_gone(&self, done: Result<(), Error>) -> Result<(), EngineError> {
        match done {
            Err(Error::DockerResponseServerError { status_code: 404 | 409, .. }) => Ok(()),
            done => done.map_err(|error| self.error(error)),
        }
    }

    fn error(&self, error: Error) -> EngineError {
        match error {
            Error::DockerResponseServerError { message, .. } => self.refused(message),
            source => EngineError::Unreachable { socket: self.socket.clone(), source },
        }
    }

    fn refused(&self, message: String) -> EngineError {
        EngineError::Refused { socket: self.socket.clone(), message }
    }
}

fn is_missing(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code: 404, .. })
}

fn of_list(container: ContainerSummary) -> Option<Listed> {
    let mounts = container.mounts.unwrap_or_default().into_iter();
    let mounts = mounts.filter_map(|mount| Some((mount.source?.into(), mount.destination?)));
    Some(Listed {
        id: container.id?,
        labels: container.labels.unwrap_or_default(),
        mounts: mounts.collect(),
        runs: matches!(container.state, Some(State::RUNNING | State::PAUSED)),
    })
}
