//! Client of the container engine, with the few operations that the driver needs.

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

/// Timeout of a request in seconds. A busy machine takes long to create a container.
const TIMEOUT_SECONDS: u64 = 60;
/// Number of lines at the end of the log that are searched for the last non-empty one.
const LOG_TAIL_LINES: &str = "20";

/// Error of a request to the engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The engine does not respond.
    #[error(
        "the Docker engine at {socket} is unreachable: start it, give the agent's user access to \
         the socket, or set docker_socket"
    )]
    Unreachable {
        /// Path of its socket.
        socket: PathBuf,
        /// Cause.
        #[source]
        source: Error,
    },
    /// The image does not exist on the engine.
    #[error("the Docker engine at {socket} has no image {image}: build or pull it there")]
    NoImage {
        /// Path of its socket.
        socket: PathBuf,
        /// Name of the image.
        image: String,
    },
    /// The engine refused the request.
    #[error("the Docker engine at {socket} refused the request: {message}")]
    Refused {
        /// Path of its socket.
        socket: PathBuf,
        /// Message of the engine.
        message: String,
    },
    /// A unit runs, but the engine has no container of it.
    #[error(
        "incarnation {incarnation} is running, but the Docker engine at {socket} has no container \
         of it: check that docker_socket names the engine that started it"
    )]
    NoContainer {
        /// Path of its socket.
        socket: PathBuf,
        /// Incarnation of the unit.
        incarnation: Incarnation,
    },
    /// The path is not UTF-8, which the engine requires.
    #[error("cannot mount {directory}: a Docker engine requires paths in UTF-8")]
    NotText {
        /// Path of the unit's directory.
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

/// A container in a list.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) id: String,
    pub(super) labels: HashMap<String, String>,
    /// Source and target of each mount.
    pub(super) mounts: Vec<(PathBuf, String)>,
    pub(super) runs: bool,
}

/// Exit of a container.
#[derive(Debug, Clone, Copy)]
pub(super) struct ContainerExit {
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
    /// Returns the engine that listens at `socket`, which may not exist yet.
    pub(super) fn at(socket: PathBuf) -> Self {
        Self { socket, client: OnceCell::new() }
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Returns the client. Connects and negotiates the version of the API at the first use.
    async fn client(&self) -> Result<&Docker, EngineError> {
        let connect = || async {
            let path = self.socket.to_string_lossy();
            let client = Docker::connect_with_unix(&path, TIMEOUT_SECONDS, API_DEFAULT_VERSION)?;
            client.negotiate_version().await
        };
        self.client.get_or_try_init(connect).await.map_err(|error| self.error(error))
    }

    /// Lists all containers with these labels, running or not.
    pub(super) async fn list(&self, labels: Vec<String>) -> Result<Vec<Listed>, EngineError> {
        let filters = Some(HashMap::from([("label".to_owned(), labels)]));
        let options = ListContainersOptions { all: true, filters, ..Default::default() };
        let listed = self.client().await?.list_containers(Some(options)).await;
        Ok(listed.map_err(|error| self.error(error))?.into_iter().filter_map(list_entry).collect())
    }

    /// Creates a container, and returns its id.
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

    /// Returns the log driver of containers that do not choose one.
    pub(super) async fn log_driver(&self) -> Result<Option<String>, EngineError> {
        let info = self.client().await?.info().await;
        Ok(info.map_err(|error| self.error(error))?.logging_driver)
    }

    pub(super) async fn start(&self, id: &str) -> Result<(), EngineError> {
        let started = self.client().await?.start_container(id, None).await;
        started.map_err(|error| self.error(error))
    }

    /// Waits until a container has exited. Returns `None` if it does not exist.
    pub(super) async fn wait(&self, id: &str) -> Result<Option<ContainerExit>, EngineError> {
        let client = self.client().await?;
        let options = WaitContainerOptions { condition: "not-running".to_owned() };
        let code = match client.wait_container(id, Some(options)).next().await {
            Some(Ok(ContainerWaitResponse { error: Some(error), .. })) => {
                return Err(self.refused(error.message.unwrap_or_default()));
            }
            Some(Ok(exited)) => exited.status_code,
            Some(Err(Error::DockerContainerWaitError { code, .. })) => code,
            Some(Err(error)) if is_missing(&error) => return Ok(None),
            Some(Err(error)) => return Err(self.error(error)),
            // The connection to the engine was lost before the container exited.
            None => return Err(self.error(Error::RequestTimeoutError)),
        };
        let inspected = client.inspect_container(id, None::<InspectContainerOptions>).await;
        let state = match inspected {
            Ok(inspected) => inspected.state.unwrap_or_default(),
            Err(error) if is_missing(&error) => {
                return Ok(Some(ContainerExit { code, out_of_memory: false }));
            }
            Err(error) => return Err(self.error(error)),
        };
        // A running unit must not be mistaken for an exited one: its container would be removed.
        if state.running == Some(true) {
            return Err(self.refused("the container is still running".to_owned()));
        }
        Ok(Some(ContainerExit { code, out_of_memory: state.oom_killed == Some(true) }))
    }

    /// Returns the last lines of a container's log.
    pub(super) async fn log_tail(&self, id: &str) -> Result<String, EngineError> {
        let tail = LOG_TAIL_LINES.to_owned();
        let options = LogsOptions { stdout: true, stderr: true, tail, ..Default::default() };
        let logs = self.client().await?.logs(id, Some(options));
        let parts: Vec<_> = logs.try_collect().await.map_err(|error| self.error(error))?;
        let bytes: Vec<u8> = parts.into_iter().flat_map(|part| part.into_bytes()).collect();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Kills a container if it is running.
    pub(super) async fn kill(&self, id: &str) -> Result<(), EngineError> {
        let options = KillContainerOptions { signal: "SIGKILL".to_owned() };
        let killed = self.client().await?.kill_container(id, Some(options)).await;
        self.ignore_gone(killed)
    }

    /// Removes a container, running or not.
    pub(super) async fn remove(&self, id: &str) -> Result<(), EngineError> {
        let options = RemoveContainerOptions { force: true, v: true, ..Default::default() };
        let removed = self.client().await?.remove_container(id, Some(options)).await;
        self.ignore_gone(removed)
    }

    /// Ignores that the container does not exist, is not running, or is already being removed.
    fn ignore_gone(&self, result: Result<(), Error>) -> Result<(), EngineError> {
        match result {
            Err(Error::DockerResponseServerError { status_code: 404 | 409, .. }) => Ok(()),
            result => result.map_err(|error| self.error(error)),
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

fn is_running(state: State) -> bool {
    match state {
        State::RUNNING | State::PAUSED => true,
        State::EMPTY
        | State::CREATED
        | State::RESTARTING
        | State::EXITED
        | State::REMOVING
        | State::DEAD
        | State::STOPPING => false,
    }
}

fn list_entry(container: ContainerSummary) -> Option<Listed> {
    let mounts = container.mounts.unwrap_or_default().into_iter();
    let mounts = mounts.filter_map(|mount| Some((mount.source?.into(), mount.destination?)));
    Some(Listed {
        id: container.id?,
        labels: container.labels.unwrap_or_default(),
        mounts: mounts.collect(),
        runs: container.state.is_some_and(is_running),
    })
}
