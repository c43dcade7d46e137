//! `meridian dev attach`: serves the echo backend and creates the first service of a new cluster, for
//! agents that were started by something else, such as docker-compose.yml.

use crate::cli::AttachArgs;
use crate::config::region;
use crate::daemon::shutdown::{self, Hangup};
use meridian_transport::listen;

use super::cluster::Exited;
use super::error::DevError;
use super::layout::LayoutError;
use super::{echo, first_service, ready, screen};

/// Serves the echo backend until it is signaled to stop.
///
/// # Errors
/// If the agents are not ready in time, or the first service cannot be created.
pub async fn serve(args: AttachArgs) -> Result<(), DevError> {
    let shutdown = shutdown::listen(Hangup::ShutsDown).map_err(DevError::Process)?;
    let primary = region::parse(&args.primary)
        .map_err(|cause| LayoutError::Region { given: args.primary.clone(), cause })?;
    let agents: Vec<_> = args.agents.into_iter().map(|agent| (agent.name, agent.address)).collect();
    let echo = listen::bind("echo", args.echo_listen).await?;
    let create = async {
        let ready = ready::wait(&agents, &Exited::default()).await;
        let ready = ready.map_err(|errors| DevError::NotReady { errors })?;
        if ready.contents.services == 0 {
            let created = first_service::create(&agents, &primary, &args.echo_url).await;
            created.map_err(DevError::FirstService)?;
            screen::note("created the service contoso with the API echo");
        }
        Ok(())
    };
    let serving = async {
        tokio::select! {
            Err(error) = create => Err(error),
            Err(error) = echo::serve(echo) => Err(DevError::Process(error)),
            else => Ok(()),
        }
    };
    tokio::select! {
        result = serving => result,
        () = shutdown.graceful.cancelled() => Ok(()),
    }
}
