//! Regions that a wait is about.

use std::collections::BTreeSet;

use meridian_proto::v1::edit::Edit as EditKind;

use crate::client::lookup;
use crate::client::view::LocationView;

/// Regions of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Regions {
    /// All of them.
    All,
    /// Those with these names, as they were typed.
    Named(BTreeSet<String>),
}

impl Regions {
    /// The regions that edits touch. Edits of the service as a whole touch all of them, and a new
    /// tier, policy or preference touches none.
    pub fn touched(edits: &[EditKind]) -> Self {
        let mut named = BTreeSet::new();
        for edit in edits {
            match edit {
                EditKind::Add(add) => named.insert(add.region.clone()),
                EditKind::Scale(scale) => named.insert(scale.region.clone()),
                EditKind::Set(set) => named.insert(set.region.clone()),
                EditKind::Remove(region)
                | EditKind::Promote(region)
                | EditKind::Enable(region)
                | EditKind::Disable(region) => named.insert(region.clone()),
                EditKind::Tier(_) | EditKind::Routing(_) | EditKind::Prefer(_) => false,
                EditKind::Port(_)
                | EditKind::WhenDisabled(_)
                | EditKind::PublishApi(_)
                | EditKind::RemoveApi(_) => return Self::All,
            };
        }
        Self::Named(named)
    }

    pub(super) fn contain(&self, location: &LocationView) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.iter().any(|name| lookup::is_in(location, name)),
        }
    }
}
