//! Peer addresses that an operator gave to the members of a cluster whose addresses have all
//! changed: the file `addresses` of a data directory, replaced atomically.
//!
//! Without them no member could reach another one, so no leader could record the new addresses in
//! the log. Each address replaces the one that the log had at the time: as soon as the log has
//! another one, the log is right. The agent removes the file once no address in it is in effect.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use meridian_domain::{Address, NodeId};
use meridian_durable::{self as durable, naming};
use serde::{Deserialize, Serialize};

use super::directory::{self, DataDirectory, DirectoryError};
use crate::codec;
use crate::stored;

stored! {
    AddressOverrides = 25, version 1, "addresses";
}

/// Peer addresses that override those in the log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressOverrides {
    /// Overrides by node.
    pub by_node: BTreeMap<NodeId, AddressOverride>,
}

/// Peer address of one member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressOverride {
    /// Address in the log that is replaced.
    pub replaces: Address,
    /// Address in use instead.
    pub address: Address,
}

impl AddressOverrides {
    /// Returns the addresses that are in effect while the log has the addresses `in_log`.
    #[must_use]
    pub fn in_effect(&self, in_log: &BTreeMap<NodeId, Address>) -> BTreeMap<NodeId, Address> {
        let by_node = self.by_node.iter();
        let in_effect = by_node.filter(|(node, given)| in_log.get(node) == Some(&given.replaces));
        in_effect.map(|(node, given)| (*node, given.address.clone())).collect()
    }
}

impl DataDirectory {
    /// Returns the overrides; empty if there are none.
    ///
    /// # Errors
    /// If the file is damaged or cannot be read.
    pub fn address_overrides(&self) -> Result<AddressOverrides, DirectoryError> {
        match directory::read(&self.addresses_path()) {
            Err(DirectoryError::Damaged { path, cause }) => {
                Err(DirectoryError::Addresses { path, cause })
            }
            read => Ok(read?.unwrap_or_default()),
        }
    }

    /// Stores the overrides, durably. Removes the file if there are none.
    ///
    /// # Errors
    /// If the file cannot be written or removed durably.
    pub fn store_address_overrides(&self, given: &AddressOverrides) -> Result<(), DirectoryError> {
        let path = self.addresses_path();
        if !given.by_node.is_empty() {
            return Ok(durable::replace_file(&path, &codec::encode(given))?);
        }
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => {
                removed.map_err(naming("remove", &path))?;
                Ok(durable::sync_directory(self.path())?)
            }
        }
    }

    fn addresses_path(&self) -> PathBuf {
        self.path().join("addresses")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::new(text).expect("is an address")
    }

    fn overrides() -> AddressOverrides {
        let given =
            |replaces, to| AddressOverride { replaces: address(replaces), address: address(to) };
        let by_node = [(NodeId(1), given("a:1", "b:1")), (NodeId(2), given("a:2", "b:2"))];
        AddressOverrides { by_node: by_node.into() }
    }

    #[test]
    fn an_address_is_overridden_until_the_log_changes() {
        let in_effect = |one: &str, two: &str| {
            let in_log = BTreeMap::from([(NodeId(1), address(one)), (NodeId(2), address(two))]);
            overrides().in_effect(&in_log).into_iter().collect::<Vec<_>>()
        };
        let (first, second) = ((NodeId(1), address("b:1")), (NodeId(2), address("b:2")));
        assert_eq!(in_effect("a:1", "a:2"), [first, second.clone()]);
        assert_eq!(in_effect("b:1", "a:2"), [second]);
        assert_eq!(in_effect("c:1", "b:2"), []);
        assert!(overrides().in_effect(&BTreeMap::new()).is_empty(), "removed members");
    }

    #[test]
    fn overrides_are_kept_until_they_are_removed() {
        let parent = tempfile::tempdir().expect("can create a directory");
        let directory = DataDirectory::open(parent.path()).expect("is new");
        directory.store_address_overrides(&overrides()).expect("can be written");
        assert_eq!(directory.address_overrides().expect("can be read"), overrides());
        for _ in 0..2 {
            let none = AddressOverrides::default();
            directory.store_address_overrides(&none).expect("can be removed");
            assert_eq!(directory.address_overrides().expect("can be read"), none);
        }
        std::fs::write(directory.addresses_path(), "damaged").expect("can be written");
        let error = directory.address_overrides().expect_err("is damaged").to_string();
        assert!(error.contains("remove that file") && !error.contains("wipe"), "{error}");
    }
}
