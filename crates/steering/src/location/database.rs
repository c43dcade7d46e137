//! Location database: a file in the format of MaxMind, such as GeoLite2 City.
//!
//! The file is read when the server starts, and again when it was replaced. A file that is missing or
//! damaged is a warning: the server continues with the previous one, or without.

use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use error_reporter::Report;
use maxminddb::{MaxMindDbError, Reader, geoip2};
use meridian_domain::Digest;
use meridian_ports::{SharedSetting, SharedSettings};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::location::Locator;

/// Interval between two checks of the modification time: files are replaced weekly.
const CHECK_INTERVAL: Duration = Duration::from_secs(60);
/// Maximum size of a file, which is held in memory: several times that of the largest database.
const MAX_BYTES: u64 = 1 << 30;

/// A record of one file: the modification time tells files apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RecordId {
    file: FileVersion,
    offset: usize,
}

/// Version of a file, which a replacement changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct FileVersion {
    modified: Option<SystemTime>,
    bytes: u64,
}

impl FileVersion {
    fn of(metadata: &Metadata) -> Self {
        Self { modified: metadata.modified().ok(), bytes: metadata.len() }
    }
}

/// A database in memory.
pub(crate) struct Database {
    reader: Reader<Vec<u8>>,
    digest: Digest,
    file: FileVersion,
}

/// Result of a search.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Record of the address, if the database has one.
    pub(crate) record: Option<RecordId>,
    /// Length of the prefix that shares the result.
    pub(crate) prefix: u8,
}

/// A file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DatabaseError {
    #[error("cannot read it")]
    Read(#[from] io::Error),
    #[error("it has more than {MAX_BYTES} bytes")]
    TooLarge,
    #[error("it is damaged or has another format")]
    Damaged(#[from] MaxMindDbError),
}

impl Database {
    /// Reads a file. Takes up to a second.
    pub(crate) fn open(path: &Path) -> Result<Self, DatabaseError> {
        let mut file = File::open(path)?;
        let version = FileVersion::of(&file.metadata()?);
        if version.bytes > MAX_BYTES {
            return Err(DatabaseError::TooLarge);
        }
        let mut contents = Vec::new();
        file.by_ref().take(MAX_BYTES).read_to_end(&mut contents)?;
        let digest = Digest(Sha256::digest(&contents).into());
        let reader = Reader::from_source(contents)?;
        reader.verify()?;
        Ok(Self { reader, digest, file: version })
    }

    /// Finds the record of a canonical address.
    pub(crate) fn find(&self, address: IpAddr) -> Found {
        // An IPv4-only database has no IPv6 addresses.
        let Ok(result) = self.reader.lookup(address) else {
            return Found { record: None, prefix: 0 };
        };
        let network = result.network().ok();
        // The node may be above all IPv4 addresses.
        let network = network.filter(|network| network.is_ipv4() == address.is_ipv4());
        let record = result.offset().map(|offset| RecordId { file: self.file, offset });
        Found { record, prefix: network.map_or(0, |network| network.prefix()) }
    }

    /// Returns the latitude and longitude of an address in degrees. A database of countries has none.
    pub(crate) fn coordinates(&self, address: IpAddr) -> Option<(f64, f64)> {
        let record = self.reader.lookup(address).ok()?.decode::<geoip2::City<'_>>().ok()??;
        let coordinates = (record.location.latitude?, record.location.longitude?);
        (coordinates.0.is_finite() && coordinates.1.is_finite()).then_some(coordinates)
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("digest", &self.digest).finish_non_exhaustive()
    }
}

/// Publishes the database in use: the first half of the SHA-256 digest of its file in hexadecimal, or
/// `none`. Name servers with different databases contradict each other.
pub(crate) fn publish(settings: &watch::Sender<SharedSettings>, database: Option<&Database>) {
    let value = database.map_or_else(
        || "none".to_owned(),
        |database| format!("{:.32}", database.digest.to_string()),
    );
    settings.send_modify(|settings| {
        settings.insert(SharedSetting::LocationDatabase, value);
    });
}

/// Keeps the database of a locator up to date with its file.
pub(crate) struct Watcher {
    path: PathBuf,
    settings: watch::Sender<SharedSettings>,
    /// Version of the file that was read last, whether it could be used or not.
    seen: Option<FileVersion>,
    /// Set while the file is missing, which is logged once.
    is_missing: bool,
}

impl Watcher {
    pub(crate) fn new(path: PathBuf, settings: watch::Sender<SharedSettings>) -> Self {
        Self { path, settings, seen: None, is_missing: false }
    }

    /// Checks the file forever.
    pub(crate) async fn run(mut self, locator: Arc<Locator>) {
        loop {
            sleep(CHECK_INTERVAL).await;
            self.check(&locator).await;
        }
    }

    /// Reads the file if it was replaced since the last check.
    pub(crate) async fn check(&mut self, locator: &Locator) {
        let (path, seen) = (self.path.clone(), self.seen);
        let checked = spawn_blocking(move || {
            let version = FileVersion::of(&fs::metadata(&path)?);
            let opened = (seen != Some(version)).then(|| Database::open(&path));
            io::Result::Ok((version, opened))
        });
        // The task does not panic, and is canceled only at shutdown.
        let Ok(checked) = checked.await else { return };
        match checked {
            Ok((version, opened)) => {
                (self.seen, self.is_missing) = (Some(version), false);
                match opened {
                    Some(Ok(database)) => self.replace(locator, database),
                    Some(Err(error)) => self.warn(&error),
                    None => {}
                }
            }
            Err(error) => {
                self.seen = None;
                if !std::mem::replace(&mut self.is_missing, true) {
                    self.warn(&DatabaseError::Read(error));
                }
            }
        }
    }

    fn replace(&self, locator: &Locator, database: Database) {
        let (path, digest) = (self.path.display(), database.digest);
        tracing::info!(%path, %digest, "location database read");
        publish(&self.settings, Some(&database));
        locator.database.store(Some(Arc::new(database)));
    }

    fn warn(&self, error: &DatabaseError) {
        let (path, error) = (self.path.display(), Report::new(error));
        tracing::warn!(
            %path, %error,
            "cannot use the location database; the previous one remains in use, if there was one"
        );
    }
}
