//! What is printed, and for programs an interface: the keys and the meaning of these objects are
//! stable, keys are lowerCamelCase, and every key is always there, `null` where there is nothing to
//! say. New keys may be added.
//!
//! | command | object |
//! | --- | --- |
//! | `service list`, `service show` | [`ServiceView`], [`ServiceDetailView`] |
//! | `region list`, `region catalogue` | [`LocationView`], [`RegionView`] |
//! | `api list`, `api show` | [`ApiView`] |
//! | `unit list` | [`UnitView`] |
//! | `events` | [`EventView`], one a line |
//! | every change | [`ChangeView`] |
//! | a conflict | [`EventView`], the events since the expected revision |
//! | `status` | [`StatusView`] |
//! | `cluster members`, `cluster join` | [`MemberView`] |
//! | `cluster limits`, `transfer-leader`, `snapshot` | [`LimitsView`], [`LeaderView`], [`SnapshotView`] |

mod api;
mod cluster;
mod event;
#[cfg(test)]
pub mod samples;
mod service;
#[cfg(test)]
mod tests;

pub use api::ApiView;
pub use cluster::{LeaderView, LimitsView, MemberView, SnapshotView, StatusView};
pub use event::{ChangeView, EventView, WaitView};
pub use service::{LocationView, RegionView, ServiceDetailView, ServiceView, StatusWord, UnitView};

/// None for the empty text, which is how the contract says that there is nothing.
fn text(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// None for the revision 0, which is how the contract says that nothing is served.
fn served(configuration: u64) -> Option<u64> {
    (configuration > 0).then_some(configuration)
}

/// Whole milliseconds; none for what is not a length of time.
fn millis(length: Option<prost_types::Duration>) -> Option<u64> {
    let length = std::time::Duration::try_from(length?).ok()?;
    u64::try_from(length.as_millis()).ok()
}
