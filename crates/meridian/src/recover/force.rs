//! `meridian recover --force-new-cluster`: this agent becomes the only voter.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::join_all;
use meridian_domain::{Actor, Address, NodeId, Reason};
use meridian_replication::peer::meeting::identify;
use meridian_storage::disk::epoch::{LocalEpoch, Recovery};
use meridian_storage::recovery::complete;
use meridian_transport::Dialer;

use crate::client::{Failure, actor, ask};
use crate::exit;

use super::offline::{Offline, refused_directory, unusable};

/// Timeout for the connection to a member, and for its response.
const IDENTIFY_TIMEOUT: Duration = Duration::from_secs(2);

/// Makes this node the only voter in a new epoch. `addresses` are new peer addresses of members.
///
/// # Errors
/// If another member responds, the operator does not confirm, or the stores fail.
pub async fn new_cluster(
    offline: &mut Offline,
    addresses: &BTreeMap<NodeId, Address>,
    reason: &Reason,
    yes: bool,
) -> Result<(), Failure> {
    check_possible(offline)?;
    check_unreachable(offline, addresses).await?;
    // A recovery that was interrupted started its epoch already.
    let epoch = match offline.epoch.is_pending() {
        true => offline.epoch.epoch,
        false => offline.highest_epoch().next(),
    };
    warn(offline);
    if !yes {
        let what = format!(
            "make {} the only voter of cluster {}, as epoch {epoch}",
            offline.name_of(offline.identity.node),
            offline.identity.cluster
        );
        ask(&what, "add --yes to skip confirmation")?;
    }
    let actor = Actor::new(actor()).map_err(unusable)?;
    let recovery = Recovery { actor, reason: reason.clone(), pending: true };
    let pending = LocalEpoch { epoch, recovery: Some(recovery) };
    offline.directory.store_epoch(&pending).map_err(refused_directory)?;
    let completed = complete(pending, &offline.stores, offline.identity.node).await;
    let completed = completed.map_err(unusable)?;
    offline.directory.store_epoch(&completed).map_err(refused_directory)?;
    exit::message(format_args!(
        "recovered as epoch {epoch}; start this agent, remove the lost ones with `meridian cluster \
         remove`, and join agents with empty data directories"
    ));
    offline.refresh().await
}

fn check_possible(offline: &Offline) -> Result<(), Failure> {
    let (node, contents) = (offline.identity.node, &offline.contents);
    if !contents.members.contains_key(&node) {
        return Err(Failure::Refused {
            cause: format!("{} is not a member of the cluster", offline.name_of(node)),
            next: "recover on the agent whose last log entry is the newest".to_owned(),
        });
    }
    if contents.is_sole_voter(node) && !offline.epoch.is_pending() {
        return Err(Failure::Refused {
            cause: format!("{} is the only voter already", offline.name_of(node)),
            next: "start this agent".to_owned(),
        });
    }
    Ok(())
}

/// Checks that no other member responds: a member that does may have changes that this one has not,
/// and would be excluded.
async fn check_unreachable(
    offline: &Offline,
    given: &BTreeMap<NodeId, Address>,
) -> Result<(), Failure> {
    let dialer = Dialer::default();
    let attempts = candidates(offline, given).into_iter().map(async |(node, address)| {
        let peer = identify(&dialer, &address, IDENTIFY_TIMEOUT).await.ok()?;
        let is_member =
            peer.description.node == node && peer.cluster == Some(offline.identity.cluster);
        is_member.then_some((peer.description.name, address))
    });
    match join_all(attempts).await.into_iter().flatten().next() {
        None => Ok(()),
        Some((name, address)) => Err(Failure::Refused {
            cause: format!("member {name} responds at {address}; nothing was changed"),
            next: format!(
                "start enough agents for a majority instead; if the disks of a majority are lost for \
                 good, stop agent {name} too: it has to join again with an empty data directory"
            ),
        }),
    }
}

/// Returns every peer address at which another member may be reachable.
fn candidates(offline: &Offline, given: &BTreeMap<NodeId, Address>) -> BTreeSet<(NodeId, Address)> {
    let registered = offline.state.agents.values().map(|agent| &agent.description);
    let registered = registered.map(|agent| (agent.node, agent.peer_address.clone()));
    let in_effect = offline.addresses_in_effect();
    let known = given.iter().chain(&in_effect).chain(&offline.contents.members);
    let known = known.map(|(node, address)| (*node, address.clone()));
    known.chain(registered).filter(|(node, _)| *node != offline.identity.node).collect()
}

/// Says what may be lost.
fn warn(offline: &Offline) {
    let own = offline.identity.node;
    let others = offline.contents.members.keys().filter(|node| **node != own);
    let others: Vec<_> = others.map(|node| offline.name_of(*node)).collect();
    let others = if others.is_empty() { "other members".to_owned() } else { others.join(", ") };
    let learner = if offline.contents.is_voter(own) {
        ""
    } else {
        " This agent is a learner, so it may lack many."
    };
    exit::message(format_args!(
        "Changes that were acknowledged but never reached this agent are lost.{learner}\n\
         Changes whose outcome was unknown may happen.\n\
         If {others} come back, they are refused: they have to join again with empty data \
         directories. Their units keep running until then."
    ));
}
