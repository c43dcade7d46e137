//! All stored types of the domain and of the derived store. The first byte selects the type, the
//! others are an envelope or the body of one.

use meridian_domain::outcome::Outcome;
use meridian_domain::state::Header;
use meridian_domain::{
    Agent, AgentDescription, Command, Entry, EventRecord, Region, Service, Unit,
};
use meridian_ports::{ProposeError, Receipt};
use meridian_storage::codec::Stored;
use meridian_storage::disk::addresses::AddressOverrides;
use meridian_storage::disk::directory::{Identity, StoredIdentity};
use meridian_storage::disk::epoch::LocalEpoch;
use meridian_storage::disk::mark::StoredMark;
use meridian_storage::raft::TypeConfig;
use meridian_storage::rows::position::{Format, Members, Position, SegmentEnd};
use meridian_storage::rows::{Forgotten, StoredApi, StoredLosses, StoredNetwork, StoredRoundTrip};
use openraft::alias::StoredMembershipOf;

use super::envelopes::check;

type Check = fn(&[u8]) -> bool;

/// All types by number.
pub const TYPES: &[(u16, Check)] = &[
    (Entry::TYPE, |bytes| check::<Entry>(bytes, drop)),
    (EventRecord::TYPE, |bytes| check::<EventRecord>(bytes, drop)),
    (Command::TYPE, |bytes| check::<Command>(bytes, drop)),
    (Header::TYPE, |bytes| check::<Header>(bytes, drop)),
    (Service::TYPE, |bytes| check::<Service>(bytes, drop)),
    (Unit::TYPE, |bytes| check::<Unit>(bytes, drop)),
    (Agent::TYPE, |bytes| check::<Agent>(bytes, drop)),
    (Region::TYPE, |bytes| check::<Region>(bytes, drop)),
    (Outcome::TYPE, |bytes| check::<Outcome>(bytes, drop)),
    (AgentDescription::TYPE, |bytes| check::<AgentDescription>(bytes, drop)),
    (StoredMark::TYPE, |bytes| check::<StoredMark>(bytes, drop)),
    (StoredIdentity::TYPE, |bytes| check(bytes, identity_round_trip)),
    (LocalEpoch::TYPE, |bytes| check::<LocalEpoch>(bytes, drop)),
    (AddressOverrides::TYPE, |bytes| check::<AddressOverrides>(bytes, drop)),
    (Format::TYPE, |bytes| check::<Format>(bytes, drop)),
    (Position::TYPE, |bytes| check::<Position>(bytes, drop)),
    (Members::TYPE, |bytes| check(bytes, members_round_trip)),
    (SegmentEnd::TYPE, |bytes| check::<SegmentEnd>(bytes, drop)),
    (Forgotten::TYPE, |bytes| check::<Forgotten>(bytes, drop)),
    (StoredApi::TYPE, |bytes| check::<StoredApi>(bytes, drop)),
    (StoredLosses::TYPE, |bytes| check::<StoredLosses>(bytes, drop)),
    (StoredNetwork::TYPE, |bytes| check::<StoredNetwork>(bytes, drop)),
    (StoredRoundTrip::TYPE, |bytes| check::<StoredRoundTrip>(bytes, drop)),
    (Receipt::TYPE, |bytes| check::<Receipt>(bytes, drop)),
    (ProposeError::TYPE, |bytes| check::<ProposeError>(bytes, drop)),
];

/// Returns true if the bytes are a stored value of the selected type.
pub fn accepts(data: &[u8]) -> bool {
    let Some((number, bytes)) = data.split_first() else { return false };
    let chosen = TYPES.iter().find(|(known, _)| *known == u16::from(*number));
    chosen.is_some_and(|(_, check)| check(bytes))
}

fn identity_round_trip(stored: StoredIdentity) {
    assert_eq!(StoredIdentity::from(Identity::from(stored.clone())), stored);
}

fn members_round_trip(members: Members) {
    let Ok(membership) = StoredMembershipOf::<TypeConfig>::try_from(members) else { return };
    let back = StoredMembershipOf::<TypeConfig>::try_from(Members::from(&membership));
    assert_eq!(back.ok(), Some(membership));
}
