//! Conversion of the leader's view of the members to and from messages.

use std::collections::BTreeMap;
use std::time::Duration;

use meridian_domain::NodeId;
use meridian_ports::{LastContact, MemberChange, Pending, WaitsFor};
use meridian_proto::v1 as proto;
use meridian_proto::v1::pending_change::WaitsFor as WireWaitsFor;

use crate::membership::MembershipView;

/// Returns the response of a leader with this view, or of a node that does not lead.
pub(super) fn membership_response(view: Option<MembershipView>) -> proto::MembershipResponse {
    let leads = view.is_some();
    let MembershipView { contacts, lag, pending } = view.unwrap_or_default();
    let contacts = contacts.into_iter().map(|(node, contact)| proto::Contact {
        node: node.0,
        ms: milliseconds(contact.silence()),
        never: matches!(contact, LastContact::NotWithin(_)),
        behind: lag.get(&node).copied(),
    });
    proto::MembershipResponse {
        contacts: contacts.collect(),
        leads,
        pending: pending.into_iter().map(|(node, pending)| pending_change(node, pending)).collect(),
    }
}

/// Returns the view in a response; `None` if the sender does not lead.
pub(crate) fn parse_membership_response(
    response: proto::MembershipResponse,
) -> Option<MembershipView> {
    let contact = |contact: &proto::Contact| {
        let silence = Duration::from_millis(contact.ms);
        let last_contact =
            if contact.never { LastContact::NotWithin(silence) } else { LastContact::Ago(silence) };
        (NodeId(contact.node), last_contact)
    };
    let lag = |contact: &proto::Contact| Some((NodeId(contact.node), contact.behind?));
    let view = || MembershipView {
        contacts: response.contacts.iter().map(contact).collect(),
        lag: response.contacts.iter().filter_map(lag).collect(),
        pending: response.pending.into_iter().filter_map(parse_pending).collect::<BTreeMap<_, _>>(),
    };
    response.leads.then(view)
}

/// Returns the duration in whole milliseconds.
pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn pending_change(node: NodeId, pending: Pending) -> proto::PendingChange {
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

/// Returns `None` for a kind of change that this version does not know.
fn parse_pending(wire: proto::PendingChange) -> Option<(NodeId, Pending)> {
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
    fn the_view_of_a_leader_is_the_same_after_conversion_in_both_directions() {
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
        let view = MembershipView {
            contacts: BTreeMap::from([
                (NodeId(1), LastContact::Ago(Duration::from_millis(7))),
                (NodeId(2), LastContact::NotWithin(Duration::from_secs(60))),
            ]),
            lag: BTreeMap::from([(NodeId(1), 3)]),
            pending: pending.collect(),
        };
        let response = membership_response(Some(view.clone()));
        assert_eq!(parse_membership_response(response), Some(view));
        assert_eq!(parse_membership_response(membership_response(None)), None);
    }
}
