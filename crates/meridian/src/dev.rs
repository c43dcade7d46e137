//! `meridian dev`: a cluster on this machine, with one process per agent.
//!
//! ```text
//! layout -> directory locked, addresses free -> agents started -> ready
//!   -> first service -> events followed ... shutdown -> agents, then units
//! ```
//!
//! It starts agents with the same command lines that it prints. It is not on the path of any
//! request, and restarts nothing. All state of a cluster is in its data directory.

mod attach;
mod cluster;
mod directory;
mod echo;
mod error;
mod first_service;
mod guide;
mod layout;
mod process;
mod ready;
mod screen;
mod units;

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;

use error_reporter::Report;
use meridian_domain::AgentName;
use meridian_domain::agent::Address;
use meridian_storage::disk::directory::{DataDirectory, DirectoryError};

use crate::cli::{DevArgs, DevCommand};
use crate::client::Failure;
use crate::daemon::shutdown::{self, Hangup, Shutdown};
use crate::exit;
use cluster::Cluster;
use directory::{DevDirectory, data_path, stored_layout};
use error::DevError;
use guide::Guide;
use layout::{Layout, Plan};
use meridian_transport::listen;
use process::Program;
use ready::Ready;
use screen::Header;

/// Note for a closed standard output, which ends the cluster.
const READER_GONE: &str = "\nstandard output was closed";

/// Runs the cluster until it is signaled to stop, and returns the exit code.
pub fn run(args: DevArgs) -> ExitCode {
    meridian_process::restrict_new_files();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let result = runtime.map_err(DevError::Process).and_then(|runtime| {
        let result = runtime.block_on(async {
            match args.command {
                None => serve(args).await,
                Some(DevCommand::Attach(args)) => attach::serve(args).await,
            }
        });
        runtime.shutdown_background();
        result
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            exit::report(&Report::new(&error).to_string(), &error.next_step());
            ExitCode::from(error.code())
        }
    }
}

async fn serve(args: DevArgs) -> Result<(), DevError> {
    // The request is checked before anything is created.
    let layout = Layout::resolve(stored_layout(&args.data_dir)?, &args.layout)?;
    let directory = DevDirectory::open(&args.data_dir)?;
    let plans = layout.plans(directory.path())?;
    check_no_running_agents(&plans)?;
    check_free_addresses(&layout, &plans).await?;
    let echo = listen::bind("echo_port", layout.echo_address().into()).await?;
    directory.store(&layout, &plans)?;

    let shutdown = shutdown::listen(Hangup::ShutsDown).map_err(DevError::Process)?;
    let program = Program::of_this_process().map_err(DevError::Process)?;
    let mut cluster = Cluster::new(program.clone(), plans.clone(), layout.client_port);
    let development = Development { program, layout, plans };
    let result = match cluster.start().map_err(DevError::Process) {
        Ok(()) => tokio::select! {
            result = development.run(&mut cluster, directory.path(), &shutdown) => result,
            Err(error) = echo::serve(echo) => Err(DevError::Process(error)),
            () = directory.removed() => {
                screen::note("\nthe data directory was removed or moved");
                Err(DevError::Removed { path: directory.path().to_owned() })
            }
            () = screen::reader_closed() => {
                screen::note(READER_GONE);
                Ok(())
            }
        },
        Err(error) => Err(error),
    };
    screen::note("\nstopping the agents and their units");
    let failures = cluster.stop(&shutdown.forced).await;
    units::stop_orphans(&directory.run_paths(&development.plans), &shutdown.forced).await;
    // Without its data directory, an agent's units can only be stopped as orphans.
    if !matches!(result, Err(DevError::Removed { .. })) {
        failures.iter().for_each(|failure| screen::note(failure));
    }
    result
}

/// A started cluster.
struct Development {
    program: Program,
    layout: Layout,
    plans: Vec<Plan>,
}

impl Development {
    /// Waits until the cluster is ready, prints how to use it, and follows it until shutdown.
    async fn run(
        &self,
        cluster: &mut Cluster,
        directory: &Path,
        shutdown: &Shutdown,
    ) -> Result<(), DevError> {
        screen::note(&match self.plans.len() {
            1 => "starting one agent".to_owned(),
            count => format!("starting {count} agents"),
        });
        let (agents, exited) = (self.agents(), cluster.exited());
        let ready = tokio::select! {
            ready = ready::wait(&agents, &exited) => {
                ready.map_err(|errors| DevError::NotReady { errors })?
            }
            () = cluster.supervise(|_| {}) => return Err(DevError::AllExited),
            () = shutdown.graceful.cancelled() => return Ok(()),
        };
        let Self { program, layout, plans } = self;
        let served = &ready.contents.regions;
        let guide = Guide { layout, plans, directory, program, served };
        let header = Header::show(guide.header(cluster.pids()));
        for name in ready.missing.iter().filter(|name| !exited.contains(name)) {
            screen::note(&format!("agent {name} is not ready yet; see its log"));
        }
        let supervising = async {
            cluster.supervise(|pids| header.update(guide.header(pids))).await;
            screen::note(
                "every agent started here has exited; Ctrl-C stops agents that were started by \
                 hand, and all remaining units",
            );
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = shutdown.graceful.cancelled() => {}
            () = self.follow(&agents, &ready) => screen::note(READER_GONE),
            () = supervising => {}
            () = header.follow_resizes() => {}
        }
        Ok(())
    }

    /// Creates the first service of a new cluster, then prints events. Returns when the reader of
    /// standard output is gone.
    async fn follow(&self, agents: &[(AgentName, Address)], ready: &Ready) {
        let is_new = ready.contents.services == 0;
        if let Some(primary) = self.layout.regions.first().filter(|_| is_new) {
            let backend = format!("http://{}", self.layout.echo_address());
            if let Err(error) = first_service::create(agents, primary, &backend).await {
                screen::note(&DevError::FirstService(error).to_string());
            }
        }
        let from = ready.contents.revision + 1;
        match guide::follow(&self.layout, &self.plans, from).await {
            Err(Failure::PipeClosed) => return,
            Err(failure) => drop(failure.into_exit_code()),
            Ok(()) => {}
        }
        std::future::pending().await
    }

    /// Returns the client address of each agent.
    fn agents(&self) -> Vec<(AgentName, Address)> {
        let port = self.layout.client_port;
        let agent = |plan: &Plan| {
            let address = Address::new(format!("{}:{port}", plan.address)).ok()?;
            Some((plan.name.clone(), address))
        };
        self.plans.iter().filter_map(agent).collect()
    }
}

/// Refuses to run while agents of the same data directory are running, which were started by hand
/// or have outlived an earlier `meridian dev`: this process could not stop them with the others.
fn check_no_running_agents(plans: &[Plan]) -> Result<(), DevError> {
    let mut agents = Vec::new();
    for plan in plans.iter().filter(|plan| data_path(plan).exists()) {
        // The agent itself logs any other error.
        if let Err(DirectoryError::InUse { holder, .. }) = DataDirectory::open(data_path(plan)) {
            agents.push((plan.name.clone(), holder));
        }
    }
    if agents.is_empty() { Ok(()) } else { Err(DevError::AgentsRun { agents }) }
}

/// Checks that no other process listens on the agents' ports, before any agent is started.
async fn check_free_addresses(layout: &Layout, plans: &[Plan]) -> Result<(), DevError> {
    for plan in plans {
        for (key, port) in [
            ("client_listen", layout.client_port),
            ("peer_listen", layout.peer_port),
            ("http_listen", layout.http_port),
            ("dns_listen", layout.dns_port),
        ] {
            listen::bind(key, SocketAddr::new(IpAddr::V4(plan.address), port)).await?;
        }
    }
    Ok(())
}
