//! Identifiers and counters, each with its own type.

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroU8;
use std::str::FromStr;
use std::time::Duration;

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
            /// Returns the next number.
            ///
            /// # Panics
            /// On overflow, which no cluster lives long enough to reach.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.checked_add(1).expect("the counter does not overflow"))
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
    /// Number of an event in the log. The first is 1; none is ever reused or renumbered. 0 means
    /// the empty log.
    Revision(u64)
);
number!(
    /// Start counter of an agent. Reports of an older generation are ignored.
    Generation(u64)
);
number!(
    /// Number of a report within one generation of an agent.
    Sequence(u64)
);
number!(
    /// Number of an assignment of a unit to an agent: the revision of its event. So it is never
    /// reused, even if the location is removed and added again.
    Incarnation(u64)
);
number!(
    /// Number of recoveries of a cluster from the loss of a majority of its disks: 0 until the
    /// first one. Members of different epochs do not communicate.
    Epoch(u64)
);
number!(
    /// Version of the stored data. Raised by an event once all agents support it.
    DataVersion(u32)
);
number!(
    /// Milliseconds since 1970-01-01 UTC by the clock of the cluster. For display; only the
    /// recorded outcomes of requests depend on it (see [`outcome`](crate::outcome)).
    Timestamp(u64)
);

impl Timestamp {
    /// Returns the time by which `self` is too far ahead of `clock` to be right; `None` if it is
    /// within [`limits::MAX_CLOCK_ERROR`].
    #[must_use]
    pub fn ahead_of(self, clock: Self) -> Option<Duration> {
        let ahead = Duration::from_millis(self.0.saturating_sub(clock.0));
        (ahead > limits::MAX_CLOCK_ERROR).then_some(ahead)
    }
}

impl DataVersion {
    /// Newest version that this software supports.
    pub const SUPPORTED: Self = Self(1);
}

/// Id of a Raft node: random, generated once per data directory and never reused. Displayed as 16
/// hexadecimal digits.
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

/// Id of a cluster: random, generated at bootstrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClusterId(pub Uuid);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Id of an operator request, the same in all retries: a UUID version 7 (RFC 9562, section 5.7),
/// whose leading bits are its creation time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Uuid", into = "Uuid")]
pub struct RequestId(Uuid);

/// The text or number is not a UUID version 7.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid request id: use a UUID version 7, such as 01932f5e-8b1a-7c3d-9e4f-0123456789ab")]
pub struct InvalidRequestId;

impl RequestId {
    /// Returns the UUID.
    #[must_use]
    pub fn uuid(self) -> Uuid {
        self.0
    }

    /// Returns the creation time by the clock of the client: the leading 48 bits.
    #[must_use]
    pub fn time(self) -> Timestamp {
        Timestamp((self.0.as_u128() >> 80) as u64)
    }

    /// Returns the greatest id with that creation time.
    #[must_use]
    pub fn last_at(time: Timestamp) -> Self {
        let time = u128::from(time.0) << 80;
        Self(Uuid::from_u128(time | 0x7fff_bfff_ffff_ffff_ffff))
    }
}

impl TryFrom<Uuid> for RequestId {
    type Error = InvalidRequestId;

    fn try_from(uuid: Uuid) -> Result<Self, InvalidRequestId> {
        if uuid.get_version_num() == 7 { Ok(Self(uuid)) } else { Err(InvalidRequestId) }
    }
}

impl From<RequestId> for Uuid {
    fn from(id: RequestId) -> Uuid {
        id.0
    }
}

impl FromStr for RequestId {
    type Err = InvalidRequestId;

    fn from_str(text: &str) -> Result<Self, InvalidRequestId> {
        Uuid::try_parse(text).map_err(|_| InvalidRequestId)?.try_into()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// SHA-256 digest.
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

/// Slot of a unit in its location, displayed as `contoso/westeurope/1`. Slots are reused; the
/// [`Incarnation`] distinguishes the assignments of a slot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UnitId {
    /// Service of the unit.
    pub service: ServiceName,
    /// Region of the unit.
    pub region: RegionName,
    /// Number within the location, from 1.
    pub slot: u16,
}

impl fmt::Display for UnitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.service, self.region, self.slot)
    }
}

/// Availability zone within a region: 1 to 9.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Zone(NonZeroU8);

/// The number is not a valid zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("zone must be between 1 and {}, got {number}", limits::MAX_ZONE)]
pub struct InvalidZone {
    /// Rejected number.
    pub number: u32,
}

impl TryFrom<u8> for Zone {
    type Error = InvalidZone;

    fn try_from(number: u8) -> Result<Self, InvalidZone> {
        NonZeroU8::new(number)
            .filter(|n| n.get() <= limits::MAX_ZONE)
            .map(Self)
            .ok_or(InvalidZone { number: number.into() })
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

/// Zones of a location; empty if it is not spread over zones.
pub type Zones = BTreeSet<Zone>;
