//! `meridian dev`: a whole cluster on this machine, each agent a process of its own.
//!
//! ```text
//! layout settled -> directory locked, addresses free -> agents started -> ready
//!   -> first service -> events followed ... told to stop -> agents, then units
//! ```
//!
//! It starts agents as anybody could, by the lines that it prints; it is in no call's way, and
//! restarts nothing. All that is left of a cluster is in its data directory.

mod cluster;
mod echo;
mod home;
mod layout;
mod process;
mod ready;
mod story;
mod units;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;

use meridian_domain::agent::Address;
use meridian_domain::{AgentName, NameError};
use meridian_storage::disk::directory::{DataDirectory, DirectoryError};
use meridian_transport::listen::{self, ListenError};

use crate::agent::shutdown::{self, Told};
use crate::cli::DevArgs;
use crate::exit;
use cluster::Cluster;
use home::{Home, HomeError, data_path, kept_layout};
use layout::{Layout, LayoutError, Plan};
use process::Program;

/// Why the cluster does not run.
#[derive(Debug, thiserror::Error)]
enum DevError {
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Home(#[from] HomeError),
    #[error("agents of this data directory run already: {}", list(agents))]
    AgentsRun { agents: Vec<(AgentName, Option<u32>)> },
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("the processes cannot be started")]
    Process(#[source] io::Error),
    #[error("every agent ended before the cluster was ready")]
    AllEnded,
    #[error("no agent is ready: {}", complaints(said))]
    NotReady { said: Vec<(AgentName, String)> },
}

fn list(agents: &[(AgentName, Option<u32>)]) -> String {
    let one = |(name, pid): &(AgentName, Option<u32>)| match pid {
        Some(pid) => format!("{name} (process {pid})"),
        None => name.to_string(),
    };
    agents.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn complaints(said: &[(AgentName, String)]) -> String {
    said.iter().map(|(name, word)| format!("{name}: {word}")).collect::<Vec<_>>().join("; ")
}

impl DevError {
    fn code(&self) -> u8 {
        match self {
            Self::Layout(_) | Self::Name(_) => exit::USAGE,
            _ => exit::REFUSED,
        }
    }

    fn next_step(&self) -> String {
        match self {
            Self::Layout(LayoutError::Differs { flag, .. }) => {
                format!("leave {flag} out, or give another --data-dir")
            }
            Self::Layout(_) | Self::Name(_) => "see `meridian dev --help`".to_owned(),
            Self::Home(HomeError::InUse { .. }) => {
                "stop it, or give this one another --data-dir and --address-base".to_owned()
            }
            Self::Home(_) => "see to the directory, or give another --data-dir".to_owned(),
            Self::AgentsRun { agents } => {
                let pids = agents.iter().filter_map(|(_, pid)| *pid).map(|pid| pid.to_string());
                format!("stop them: kill {}", pids.collect::<Vec<_>>().join(" "))
            }
            Self::Listen(_) => "stop the other process, or give another --address-base or port, \
                                with another --data-dir"
                .to_owned(),
            Self::Process(_) => "see to the limits of this process".to_owned(),
            Self::AllEnded | Self::NotReady { .. } => {
                "see the agents' logs: agent.log in the folder of each".to_owned()
            }
        }
    }
}

/// Runs the cluster until it is told to stop, and returns the code to exit with.
pub fn run(args: DevArgs) -> ExitCode {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let ran = runtime.map_err(DevError::Process).and_then(|runtime| {
        let ran = runtime.block_on(serve(args));
        runtime.shutdown_background();
        ran
    });
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            exit::report(&error.to_string(), &error.next_step());
            ExitCode::from(error.code())
        }
    }
}

async fn serve(args: DevArgs) -> Result<(), DevError> {
    // What was asked for is looked at before anything is created.
    let layout = Layout::settle(kept_layout(&args.data_dir)?, &args.layout)?;
    let home = Home::open(&args.data_dir)?;
    let plans = layout.plans(home.path())?;
    refuse_running_agents(&plans)?;
    refuse_taken_addresses(&layout, &plans).await?;
    let echo = listen::bind("echo_port", layout.echo_address().into()).await?;
    home.keep(&layout, &plans)?;

    let told = shutdown::listen().map_err(DevError::Process)?;
    let program = Program::of_this_process().map_err(DevError::Process)?;
    let mut cluster = Cluster::new(program.clone(), plans.clone(), layout.client_port);
    let ran = match cluster.start().map_err(DevError::Process) {
        Ok(()) => tokio::select! {
            ran = accompany(&mut cluster, &program, &layout, &plans, &told) => ran,
            Err(error) = echo::serve(echo) => Err(DevError::Process(error)),
        },
        Err(error) => Err(error),
    };
    anstream::eprintln!("\nstopping the agents and their units");
    for failure in cluster.stop(&told.twice).await {
        anstream::eprintln!("{failure}");
    }
    ran
}

/// Waits until the cluster is ready, tells about it, and follows it until told to stop.
async fn accompany(
    cluster: &mut Cluster,
    program: &Program,
    layout: &Layout,
    plans: &[Plan],
    told: &Told,
) -> Result<(), DevError> {
    let count =
        if plans.len() == 1 { "one agent".to_owned() } else { format!("{} agents", plans.len()) };
    anstream::eprintln!("starting {count}");
    let agents: Vec<_> = plans
        .iter()
        .filter_map(|plan| {
            let address = Address::new(format!("{}:{}", plan.address, layout.client_port)).ok()?;
            Some((plan.name.clone(), address))
        })
        .collect();
    let ended = cluster.ended();
    let ready = tokio::select! {
        ready = ready::wait(&agents, &ended) => ready.map_err(|said| DevError::NotReady { said })?,
        () = cluster.watch() => return Err(DevError::AllEnded),
        () = told.once.cancelled() => return Ok(()),
    };
    for name in ready.missing.iter().filter(|name| !ended.has(name)) {
        anstream::eprintln!("agent {name} is not ready yet; its log says why");
    }
    anstream::println!("{}", story::table(cluster, layout));
    anstream::println!("{}", story::suggestions(program, layout, plans));
    let is_new = ready.contents.services == 0;
    let following = async {
        if let Some(primary) = layout.regions.first().filter(|_| is_new)
            && let Err(cause) =
                ready::begin(&agents, primary, &format!("http://{}", layout.echo_address())).await
        {
            anstream::eprintln!("the first service could not be created: {cause}");
        }
        let from = if is_new { 1 } else { ready.contents.revision + 1 };
        if let Err(failure) = story::follow(layout, plans, from).await {
            failure.into_exit_code();
        }
        std::future::pending::<()>().await;
    };
    let watching = async {
        cluster.watch().await;
        anstream::eprintln!(
            "every agent started here has ended; Ctrl-C stops those that were started by hand, and \
             what is left of all units"
        );
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = told.once.cancelled() => {}
        () = following => {}
        () = watching => {}
    }
    Ok(())
}

/// An agent that was started by hand, or outlived an earlier `meridian dev`, is not this process's to
/// stop.
fn refuse_running_agents(plans: &[Plan]) -> Result<(), DevError> {
    let mut agents = Vec::new();
    for plan in plans.iter().filter(|plan| data_path(plan).exists()) {
        // What else may be wrong, the agent itself will say, in its log.
        if let Err(DirectoryError::InUse { holder, .. }) = DataDirectory::open(data_path(plan)) {
            agents.push((plan.name.clone(), holder));
        }
    }
    if agents.is_empty() { Ok(()) } else { Err(DevError::AgentsRun { agents }) }
}

/// A port held by a stranger is known before any agent is started.
async fn refuse_taken_addresses(layout: &Layout, plans: &[Plan]) -> Result<(), DevError> {
    for plan in plans {
        for (key, port) in [
            ("client_listen", layout.client_port),
            ("peer_listen", layout.peer_port),
            ("http_listen", layout.http_port),
        ] {
            listen::bind(key, SocketAddr::new(IpAddr::V4(plan.address), port)).await?;
        }
    }
    Ok(())
}
