//! Numbers that identify things, each a type of its own so that none is taken for another.

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroU8;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::limits;
use crate::name::{RegionName, ServiceName};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// The number that follows this one.
            ///
            /// # Panics
            /// If the numbers are used up, which takes longer than any cluster lives.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.checked_add(1).expect("numbers do not run out"))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number!(
    /// The number of an event in the one log: the first is 1, none is ever reused or renumbered.
    /// 0 is the empty log.
    Revision(u64)
);
number!(
    /// Raised by an agent each time it starts; what an agent says under an older one is ignored.
    Generation(u64)
);
number!(
    /// Orders the reports of one generation of an agent.
    Sequence(u64)
);
number!(
    /// One assignment of a unit to an agent: the revision of the event that made it, so it is unique
    /// for ever, also when the same location is removed and added again.
    Incarnation(u64)
);
number!(
    /// The version of the stored data's meaning. Raised by an event once all agents support it.
    DataVersion(u32)
);
number!(
    /// Milliseconds since 1970-01-01 UTC, as the leader's clock had it. Informs people; no rule reads
    /// it.
    Timestamp(u64)
);

impl DataVersion {
    /// The newest version that this software understands.
    pub const SUPPORTED: Self = Self(1);
}

/// A Raft member: random, drawn once for each new data directory and never used again.
/// For people it is written as 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

impl Serialize for NodeId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for NodeId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            text.parse().map_err(serde::de::Error::custom)
        } else {
            u64::deserialize(deserializer).map(Self)
        }
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl From<u64> for NodeId {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl FromStr for NodeId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Self)
    }
}

/// A cluster: random, drawn once when it is founded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClusterId(pub Uuid);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Identifies one request of an operator through all its repetitions: a UUID version 7
/// (RFC 9562, section 5.7), whose leading bits are its time of birth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Uuid", into = "Uuid")]
pub struct RequestId(Uuid);

/// The text or number is not a UUID version 7.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a request id is a UUID version 7, such as 01932f5e-8b1a-7c3d-9e4f-0123456789ab")]
pub struct NotARequestId;

impl RequestId {
    /// The UUID itself.
    #[must_use]
    pub fn uuid(self) -> Uuid {
        self.0
    }
}

impl TryFrom<Uuid> for RequestId {
    type Error = NotARequestId;

    fn try_from(uuid: Uuid) -> Result<Self, NotARequestId> {
        if uuid.get_version_num() == 7 { Ok(Self(uuid)) } else { Err(NotARequestId) }
    }
}

impl From<RequestId> for Uuid {
    fn from(id: RequestId) -> Uuid {
        id.0
    }
}

impl FromStr for RequestId {
    type Err = NotARequestId;

    fn from_str(text: &str) -> Result<Self, NotARequestId> {
        Uuid::try_parse(text).map_err(|_| NotARequestId)?.try_into()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// SHA-256 of something.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A unit's place in its location. `slot` counts from 1; a freed slot is used again, and told apart
/// by its [`Incarnation`]. Written `contoso/westeurope/1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UnitId {
    /// The service whose calls the unit answers.
    pub service: ServiceName,
    /// The region that it serves.
    pub region: RegionName,
    /// Its number within the location, from 1.
    pub slot: u16,
}

impl fmt::Display for UnitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.service, self.region, self.slot)
    }
}

/// An availability zone within a region: 1 to 9.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Zone(NonZeroU8);

/// The number is not that of a zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a zone is a number from 1 to {}, not {given}", limits::HIGHEST_ZONE)]
pub struct NotAZone {
    /// The number given.
    pub given: u32,
}

impl TryFrom<u8> for Zone {
    type Error = NotAZone;

    fn try_from(number: u8) -> Result<Self, NotAZone> {
        NonZeroU8::new(number)
            .filter(|n| n.get() <= limits::HIGHEST_ZONE)
            .map(Self)
            .ok_or(NotAZone { given: number.into() })
    }
}

impl From<Zone> for u8 {
    fn from(zone: Zone) -> u8 {
        zone.0.get()
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The zones of a location; empty where the location is not spread over zones.
pub type Zones = BTreeSet<Zone>;
