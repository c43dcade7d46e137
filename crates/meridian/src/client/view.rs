//! Objects that are printed, as tables for people and as JSON for programs.
//!
//! The JSON is an interface: the keys and their meaning are stable, keys are lowerCamelCase, and
//! every key is always present, `null` without a value. New keys may be added. A default table fits
//! 80 columns and has relative times; `-o wide` has all columns and exact times.
//!
//! | command | object |
//! | --- | --- |
//! | `service list`, `service show` | [`ServiceView`], [`ServiceDetailView`] |
//! | `region list`, `region catalog` | [`LocationView`], [`RegionView`] |
//! | `api list`, `api show` | [`ApiView`] |
//! | `unit list` | [`UnitView`] |
//! | `events` | [`EventView`], one per line |
//! | every change | [`ChangeView`] |
//! | a conflict | [`EventView`], the events since the expected revision |
//! | `status` | [`StatusView`] |
//! | `cluster members`, `cluster join` | [`MemberView`] |
//! | `cluster limits`, `cluster snapshot` | [`LimitsView`], [`SnapshotView`] |
//! | `route`, `route --without` | [`RouteView`], [`ForecastView`] |
//! | `dns show`, `network list` | [`DnsView`], [`NetworkView`] |
//! | `cluster transfer-leader`, `cluster readdress` | [`LeaderView`], [`ReaddressedView`] |

mod api;
mod change;
mod cluster;
mod event;
mod location;
mod member;
mod observer;
mod routing;
#[cfg(test)]
pub mod samples;
mod service;
mod status;
#[cfg(test)]
mod tests;
mod time;
mod unit;

pub use api::ApiView;
pub use change::{ChangeView, WaitView};
pub use cluster::{LeaderView, LimitsView, ReaddressedView, SnapshotView};
pub use event::EventView;
pub use location::{LocationView, StatusWord};
pub use member::MemberView;
pub use observer::{ObserverView, SilenceView};
pub use routing::{DnsView, ForecastView, NetworkView, RouteView};
pub use service::{RegionView, ServiceDetailView, ServiceView};
#[cfg(test)]
pub use status::AgentView;
pub use status::{HealthWord, StatusView, WarningView};
pub use time::{clock, rfc3339};
pub use unit::UnitView;

/// Returns `None` for the empty text, which means no value in the contract.
fn text(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// Returns `None` for the revision 0, which means no configuration in the contract.
fn served(configuration: u64) -> Option<u64> {
    (configuration > 0).then_some(configuration)
}

/// Converts a time to RFC 3339; `None` for an invalid one.
fn since(time: Option<prost_types::Timestamp>) -> Option<String> {
    time?.try_into().ok().map(rfc3339)
}

/// Converts to whole milliseconds; `None` for an invalid duration.
fn millis(length: Option<prost_types::Duration>) -> Option<u64> {
    let length = std::time::Duration::try_from(length?).ok()?;
    u64::try_from(length.as_millis()).ok()
}
