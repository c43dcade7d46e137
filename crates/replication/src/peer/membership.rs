//! What a leader knows of the members, on its way to who asked for it.

use std::collections::BTreeMap;
use std::time::Duration;

use meridian_domain::NodeId;
use meridian_ports::{LastContact, MemberChange, Pending, WaitsFor};
use meridian_proto::v1 as proto;
use meridian_proto::v1::pending_change::WaitsFor as WireWaitsFor;

use crate::membership::Known;

/// The answer of a node that knows this as leader, or that does not lead.
pub(super) fn membership_response(known: Option<Known>) -> proto::MembershipResponse {
    let leads = known.is_some();
    let Known { contacts, pending } = known.unwrap_or_default();
    let contacts = contacts.into_iter().map(|(node, contact)| proto::Contact {
        node: node.0,
        ms: milliseconds(contact.silence()),
        never: matches!(contact, LastContact::NotWithin(_)),
    });
    proto::MembershipResponse {
        contacts: contacts.collect(),
        leads,
        pending: pending.into_iter().map(|(node, pending)| change(node, pending)).collect(),
    }
}

/// What the node that was asked knows; none if it does not lead.
pub(crate) fn known(answer: proto::MembershipResponse) -> Option<Known> {
    let contact = |contact: proto::Contact| {
        let silence = Duration::from_millis(contact.ms);
        let known =
            if contact.never { LastContact::NotWithin(silence) } else { LastContact::Ago(silence) };
        (NodeId(contact.node), known)
    };
    let known = || Known {
        contacts: answer.contacts.into_iter().map(contact).collect(),
        pending: answer.pending.into_iter().filter_map(pending).collect::<BTreeMap<_, _>>(),
    };
    answer.leads.then(known)
}

/// Whole milliseconds.
pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn change(node: NodeId, pending: Pending) -> proto::PendingChange {
    let list = |nodes: Vec<NodeId>| nodes.into_iter().map(|node| node.0).collect();
    let change = match pending.change {
        MemberChange::GainVote => proto::MemberChange::GainVote,
        MemberChange::LoseVote => proto::MemberChange::LoseVote,
        MemberChange::Leave => proto::MemberChange::Leave,
    };
    let waits_for = pending.waits_for.map(|waits_for| match waits_for {
        WaitsFor::Response => WireWaitsFor::NoResponse(proto::NoResponse {}),
        WaitsFor::CatchUp { behind } => WireWaitsFor::CatchUp(proto::CatchUp { behind }),
        WaitsFor::Majority { voters, silent } => {
            let voters = u32::try_from(voters).unwrap_or(u32::MAX);
            WireWaitsFor::Majority(proto::MissingMajority { voters, silent: list(silent) })
        }
        WaitsFor::Replacement { by } => {
            WireWaitsFor::ReplacedBy(proto::NodeList { nodes: list(by) })
        }
        WaitsFor::TransferTarget { among } => {
            WireWaitsFor::TransferTargets(proto::NodeList { nodes: list(among) })
        }
    });
    proto::PendingChange { node: node.0, change: change.into(), waits_for }
}

/// None for a change that a newer node knows and this one does not.
fn pending(wire: proto::PendingChange) -> Option<(NodeId, Pending)> {
    let list = |nodes: Vec<u64>| nodes.into_iter().map(NodeId).collect();
    let change = match wire.change() {
        proto::MemberChange::GainVote => MemberChange::GainVote,
        proto::MemberChange::LoseVote => MemberChange::LoseVote,
        proto::MemberChange::Leave => MemberChange::Leave,
        proto::MemberChange::Unspecified => return None,
    };
    let waits_for = wire.waits_for.map(|waits_for| match waits_for {
        WireWaitsFor::NoResponse(proto::NoResponse {}) => WaitsFor::Response,
        WireWaitsFor::CatchUp(proto::CatchUp { behind }) => WaitsFor::CatchUp { behind },
        WireWaitsFor::Majority(missing) => WaitsFor::Majority {
            voters: usize::try_from(missing.voters).unwrap_or(usize::MAX),
            silent: list(missing.silent),
        },
        WireWaitsFor::ReplacedBy(by) => WaitsFor::Replacement { by: list(by.nodes) },
        WireWaitsFor::TransferTargets(among) => {
            WaitsFor::TransferTarget { among: list(among.nodes) }
        }
    });
    Some((NodeId(wire.node), Pending { change, waits_for }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_leader_knows_arrives_as_it_was_said() {
        let nodes = vec![NodeId(2), NodeId(u64::MAX)];
        let pending = [
            (MemberChange::GainVote, None),
            (MemberChange::GainVote, Some(WaitsFor::Response)),
            (MemberChange::GainVote, Some(WaitsFor::CatchUp { behind: None })),
            (MemberChange::GainVote, Some(WaitsFor::CatchUp { behind: Some(5_000) })),
            (MemberChange::LoseVote, Some(WaitsFor::Majority { voters: 2, silent: nodes.clone() })),
            (MemberChange::LoseVote, Some(WaitsFor::Replacement { by: nodes.clone() })),
            (MemberChange::Leave, Some(WaitsFor::TransferTarget { among: nodes })),
        ];
        let pending = (1..).map(NodeId).zip(pending);
        let pending =
            pending.map(|(node, (change, waits_for))| (node, Pending { change, waits_for }));
        let said = Known {
            contacts: BTreeMap::from([
                (NodeId(1), LastContact::Ago(Duration::from_millis(7))),
                (NodeId(2), LastContact::NotWithin(Duration::from_secs(60))),
            ]),
            pending: pending.collect(),
        };
        assert_eq!(known(membership_response(Some(said.clone()))), Some(said));
        assert_eq!(known(membership_response(None)), None);
    }
}
