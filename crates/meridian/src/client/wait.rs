//! Waiting for the effect of a change.

mod regions;

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::elapsed::elapsed;
use super::failure::Failure;
use super::lookup;
use super::progress::Progress;
use super::session::Session;
use super::view::{LocationView, MemberView, StatusWord, UnitView, WaitView};
use crate::exit;

pub use regions::Regions;

/// Delay between the first two checks; it grows by half with each check.
const INITIAL_DELAY: Duration = Duration::from_millis(50);
/// Maximum delay between two checks: short enough that a user does not notice.
const MAX_DELAY: Duration = Duration::from_millis(500);

/// State of a unit that serves requests, as the contract names it.
const READY: &str = "ready";

/// Goal of a wait.
#[derive(Debug)]
pub enum Goal {
    /// The units of a service are ready and serve its current configuration.
    Converged {
        /// The service.
        service: String,
        /// The regions of the service to wait for.
        regions: Regions,
    },
    /// A service has no units left.
    ServiceGone(String),
    /// An agent has no units left, and no vote.
    AgentDrained(String),
    /// An agent is not a member.
    AgentGone {
        /// Its name.
        agent: String,
        /// Its member id. If it was removed before its id could be read, no member may be without
        /// an agent.
        id: Option<String>,
    },
    /// An agent is a member.
    AgentJoined(String),
    /// An agent is a member, the leader has no pending change for it (it has its vote, if it is to
    /// have one), and its units are ready.
    AgentSettled(String),
}

/// The missing part of a goal.
#[derive(Debug, Default)]
struct Missing {
    /// For the progress line: `eastus 1/2 ready`.
    progress: String,
    /// For the final error.
    cause: String,
    /// Next step, if waiting alone may not help.
    next: Option<String>,
}

/// Result of one check of a goal.
#[derive(Debug, Default)]
struct Progressed {
    /// The missing part; `None` if the goal is reached.
    missing: Option<Missing>,
    /// Cause and next step for each part that cannot converge by itself.
    blocked: Vec<(String, String)>,
}

impl From<Option<Missing>> for Progressed {
    fn from(missing: Option<Missing>) -> Self {
        Self { missing, blocked: Vec::new() }
    }
}

impl From<String> for Missing {
    fn from(cause: String) -> Self {
        Self { progress: cause.clone(), cause, ..Self::default() }
    }
}

impl From<WaitView> for Missing {
    fn from(wait: WaitView) -> Self {
        Self { next: Some(wait.next_step), ..Self::from(wait.cause) }
    }
}

/// Waits for a goal, with progress on a terminal. Agents that do not respond for a while do not end
/// the wait. A part that cannot converge by itself is reported immediately, unless `known` contains
/// anything: then it was reported with the change.
///
/// # Errors
/// If the goal is not reached within `--wait-timeout`, or cannot be reached anymore.
pub async fn until(
    session: &Session,
    goal: &Goal,
    request_id: Option<&str>,
    known: &[WaitView],
) -> Result<(), Failure> {
    let limit = session.options.wait_timeout;
    let mut progress = Progress::start();
    let mut missing = Missing::from(String::from("no agent has responded yet"));
    let polling = poll(session, goal, &mut missing, &mut progress, known.is_empty());
    let cause = tokio::select! {
        polled = timeout_at(Instant::now() + limit, polling) => match polled {
            Ok(Ok(())) => None,
            Ok(Err(failure)) => Some(format!("its effect cannot be observed: {failure}")),
            Err(_) => Some(format!("not converged after {}: {}", elapsed(limit), missing.cause)),
        },
        _ = tokio::signal::ctrl_c() => Some(format!("interrupted while waiting: {}", missing.cause)),
    };
    progress.clear();
    let Some(cause) = cause else {
        if !session.output.is_json() {
            exit::message(format_args!("converged in {}", progress.elapsed()));
        }
        return Ok(());
    };
    let again = match request_id {
        Some(id) => session.command_line.with_request_id(id),
        None => session.command_line.again(),
    };
    Err(Failure::NotConverged {
        cause: format!("the change was accepted; {cause}"),
        next: match missing.next {
            Some(next) => format!("{next}; continue to wait: {again}"),
            None => format!("continue to wait: {again}"),
        },
    })
}

/// Checks the goal until it is reached.
async fn poll(
    session: &Session,
    goal: &Goal,
    missing: &mut Missing,
    progress: &mut Progress,
    report_blocked: bool,
) -> Result<(), Failure> {
    let mut delay = INITIAL_DELAY;
    let mut reported = BTreeSet::new();
    loop {
        session.client.restart_timeout();
        let checked = match check(session, goal).await {
            Err(Failure::Unavailable { cause, .. }) => Progressed::from(Some(cause.into())),
            result => result?,
        };
        for (cause, next) in checked.blocked.iter().filter(|_| report_blocked) {
            if reported.insert(cause.clone()) {
                progress.note(cause, next);
            }
        }
        match checked.missing {
            None => return Ok(()),
            Some(found) => *missing = found,
        }
        progress.draw(&missing.progress);
        sleep(delay).await;
        delay = (delay + delay / 2).min(MAX_DELAY);
    }
}

/// Checks the goal once.
async fn check(session: &Session, goal: &Goal) -> Result<Progressed, Failure> {
    let missing = match goal {
        Goal::Converged { service, regions } => {
            let locations = lookup::locations(session, service).await?;
            return Ok(unconverged(service, regions, &locations));
        }
        Goal::ServiceGone(service) => units_left(session, service, |_| true).await?,
        Goal::AgentDrained(agent) => {
            let units = units_left(session, "", |unit| unit.agent == *agent).await?;
            let member = lookup::member(session, agent).await?;
            return Ok(units.map(Missing::from).or(member.and_then(vote_left)).into());
        }
        Goal::AgentGone { agent, id } => {
            let members = lookup::members(session).await?;
            let mut members = members.into_iter();
            return Ok(members.find_map(|member| membership_left(member, agent, id)).into());
        }
        Goal::AgentJoined(agent) => {
            let member = lookup::member(session, agent).await?;
            member.is_none().then(|| format!("{agent} is not a member"))
        }
        Goal::AgentSettled(agent) => {
            let member = lookup::member(session, agent).await?;
            let starting = |unit: &UnitView| unit.agent == *agent && unit.state != READY;
            let units = units_left(session, "", starting).await?;
            return Ok(unsettled(agent, member).or(units.map(Missing::from)).into());
        }
    };
    Ok(missing.map(Missing::from).into())
}

/// Checks the regions of a service. A change of the service as a whole does not wait for regions
/// without an agent, unless all are: they have no units that the change could reach.
fn unconverged(service: &str, regions: &Regions, locations: &[LocationView]) -> Progressed {
    let touched = locations.iter().filter(|location| regions.contain(location));
    let open: Vec<&LocationView> = touched.filter(|location| !is_converged(location)).collect();
    let blocked = open.iter().filter_map(|location| blocked(location)).collect();
    let has_agent = |location: &LocationView| location.status != StatusWord::NoAgent;
    let skips = *regions == Regions::All && locations.iter().any(has_agent);
    let open: Vec<_> = open.into_iter().filter(|open| !skips || has_agent(open)).collect();
    let texts = |text: fn(&LocationView) -> String, separator: &str| {
        open.iter().map(|location| text(location)).collect::<Vec<_>>().join(separator)
    };
    let missing = (!open.is_empty()).then(|| Missing {
        progress: texts(progress_of, ", "),
        cause: texts(cause_of, "; "),
        next: Some(format!("check `meridian unit list --service {service}`")),
    });
    Progressed { missing, blocked }
}

fn is_converged(location: &LocationView) -> bool {
    match location.status {
        StatusWord::Ready => true,
        // A disabled region has this status whether its units have converged or not.
        StatusWord::Disabled => location.converged,
        StatusWord::Converging
        | StatusWord::Degraded
        | StatusWord::DrainingClients
        | StatusWord::NoAgent
        | StatusWord::Offline
        | StatusWord::Unmanaged
        | StatusWord::AgentUnreachable
        | StatusWord::Removing
        | StatusWord::Unknown => false,
    }
}

/// `eastus 1/2 ready`.
fn progress_of(location: &LocationView) -> String {
    let (region, ready, units) = (&location.region, location.ready_units, location.units);
    match location.status {
        StatusWord::Removing => format!("{region} draining"),
        StatusWord::DrainingClients => format!("{region} clients are moving"),
        StatusWord::NoAgent => format!("{region} no agent"),
        StatusWord::Offline => format!("{region} offline"),
        StatusWord::AgentUnreachable | StatusWord::Unmanaged => {
            format!("{region} agent unreachable")
        }
        StatusWord::Ready
        | StatusWord::Converging
        | StatusWord::Degraded
        | StatusWord::Disabled
        | StatusWord::Unknown => format!("{region} {ready}/{units} ready"),
    }
}

/// `eastus: 1 of 2 units ready`, with what keeps it from converging.
fn cause_of(location: &LocationView) -> String {
    let (region, ready, units) = (&location.region, location.ready_units, location.units);
    let ready = format!("{ready} of {units} units ready");
    let cause = match location.status {
        StatusWord::Removing => format!("{region}: units are draining"),
        StatusWord::DrainingClients => format!("{region}: clients are moving"),
        StatusWord::NoAgent => format!("{region}: no agent, {ready}"),
        StatusWord::Offline => format!("{region}: clients cannot reach it, {ready}"),
        StatusWord::AgentUnreachable | StatusWord::Unmanaged => {
            format!("{region}: agent unreachable, {ready}")
        }
        StatusWord::Ready
        | StatusWord::Converging
        | StatusWord::Degraded
        | StatusWord::Disabled
        | StatusWord::Unknown => match location.ready_units >= location.units {
            true => format!("{region}: units are being replaced or reconfigured"),
            false => format!("{region}: {ready}"),
        },
    };
    match &location.blocked_reason {
        Some(reason) => format!("{cause} ({reason})"),
        None => cause,
    }
}

/// Cause and next step for a location that cannot converge by itself.
fn blocked(location: &LocationView) -> Option<(String, String)> {
    let region = &location.region;
    match location.status {
        StatusWord::NoAgent => Some((
            format!("{region} cannot converge: no agent in the region can run units"),
            format!("join an agent in {region}, or use another region"),
        )),
        StatusWord::Degraded if !location.unreachable_agents.is_empty() => Some((
            format!("{region} cannot converge: one of its agents is unreachable"),
            "check `meridian status`, and start the agent".to_owned(),
        )),
        StatusWord::AgentUnreachable | StatusWord::Unmanaged => Some((
            format!("{region} cannot converge: its agent is unreachable"),
            "check `meridian status`, and start the agent".to_owned(),
        )),
        StatusWord::Offline => Some((
            format!("{region} cannot converge: clients cannot reach its gateways"),
            "check `meridian status`, and start its agents or fix its network".to_owned(),
        )),
        StatusWord::Ready
        | StatusWord::Converging
        | StatusWord::Degraded
        | StatusWord::Disabled
        | StatusWord::DrainingClients
        | StatusWord::Removing
        | StatusWord::Unknown => None,
    }
}

/// The vote that a drained agent still has.
fn vote_left(member: MemberView) -> Option<Missing> {
    let cause = || format!("{} still votes", member.agent.as_deref().unwrap_or(&member.id));
    member.voter.then(|| member.waits_for.map_or_else(|| cause().into(), Missing::from))
}

/// The membership that a removed agent still has.
fn membership_left(member: MemberView, agent: &str, id: &Option<String>) -> Option<Missing> {
    let is_it = match (id, &member.agent) {
        (Some(id), _) => member.id == *id,
        (None, Some(name)) => name == agent,
        (None, None) => true,
    };
    let cause = || format!("{agent} is still a {}", member.role);
    is_it.then(|| member.waits_for.map_or_else(|| cause().into(), Missing::from))
}

/// The pending membership change of an agent.
fn unsettled(agent: &str, member: Option<MemberView>) -> Option<Missing> {
    let Some(member) = member else {
        return Some(format!("{agent} is not a member").into());
    };
    let cause = || match &member.next {
        Some(next) => format!("{agent} is a {}, next step {next}", member.role),
        None => format!("{agent} is a {}, and no leader responds", member.role),
    };
    (!member.stays()).then(|| member.waits_for.map_or_else(|| cause().into(), Missing::from))
}

/// The units of a service, or of all services, that `counts` selects.
async fn units_left(
    session: &Session,
    service: &str,
    counts: impl Fn(&UnitView) -> bool,
) -> Result<Option<String>, Failure> {
    match lookup::units(session, service).await {
        Ok(units) => {
            let left = units.into_iter().filter(counts);
            let texts: Vec<String> = left
                .map(|unit| match unit.cause {
                    Some(cause) => format!("{} is {}: {cause}", unit.unit, unit.state),
                    None => format!("{} is {}", unit.unit, unit.state),
                })
                .collect();
            Ok((!texts.is_empty()).then(|| texts.join("; ")))
        }
        // A deleted service without units is unknown.
        Err(Failure::Refused { .. }) if !service.is_empty() => Ok(None),
        Err(failure) => Err(failure),
    }
}

#[cfg(test)]
mod tests;
