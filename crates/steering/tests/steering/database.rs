//! Location databases in the format of MaxMind (<https://maxmind.github.io/MaxMind-DB/>): IPv4, with
//! records of 24 bits.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use meridian_domain::Digest;
use meridian_ports::{LocationSource, NameServer as _};
use sha2::Digest as _;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::cluster::Cluster;
use crate::server::{TestServer, eventually};

/// Latitude and longitude.
type Coordinates = Option<(f64, f64)>;

pub struct TestDatabase {
    directory: TempDir,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Record {
    Nothing,
    Node(usize),
    Data(usize),
}

impl TestDatabase {
    pub fn new(networks: &[(&str, Coordinates)]) -> Self {
        let database = Self { directory: tempfile::tempdir().unwrap(), bytes: encode(networks) };
        std::fs::write(database.path(), &database.bytes).unwrap();
        database
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("city.mmdb")
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the digest as a name server publishes it.
    pub fn digest(&self) -> String {
        let digest = Digest(sha2::Sha256::digest(&self.bytes).into());
        digest.to_string()[..32].to_owned()
    }
}

fn encode(networks: &[(&str, Coordinates)]) -> Vec<u8> {
    let mut nodes = vec![[Record::Nothing; 2]];
    let mut data = Vec::new();
    for (network, coordinates) in networks {
        insert(&mut nodes, network, data.len());
        data.extend(location(*coordinates));
    }
    let mut bytes = Vec::new();
    for record in nodes.iter().flatten() {
        let value = match record {
            Record::Nothing => nodes.len(),
            Record::Node(node) => *node,
            Record::Data(offset) => nodes.len() + 16 + offset,
        };
        bytes.extend(&(value as u32).to_be_bytes()[1..]);
    }
    bytes.extend([0; 16]);
    bytes.extend(data);
    bytes.extend(b"\xab\xcd\xefMaxMind.com");
    bytes.extend(metadata(nodes.len()));
    bytes
}

fn insert(nodes: &mut Vec<[Record; 2]>, network: &str, offset: usize) {
    let (address, length) = network.split_once('/').unwrap();
    let address: Ipv4Addr = address.parse().unwrap();
    let length: u32 = length.parse().unwrap();
    let mut node = 0;
    for position in 0..length {
        let bit = (address.to_bits() >> (31 - position) & 1) as usize;
        if position + 1 == length {
            nodes[node][bit] = Record::Data(offset);
            return;
        }
        node = match nodes[node][bit] {
            Record::Node(next) => next,
            Record::Nothing => {
                nodes.push([Record::Nothing; 2]);
                nodes[node][bit] = Record::Node(nodes.len() - 1);
                nodes.len() - 1
            }
            Record::Data(_) => panic!("networks do not overlap"),
        };
    }
}

fn location(coordinates: Coordinates) -> Vec<u8> {
    let Some((latitude, longitude)) = coordinates else {
        return map(&[("country", map(&[("iso_code", text("NL"))]))]);
    };
    let coordinates = map(&[("latitude", double(latitude)), ("longitude", double(longitude))]);
    map(&[("location", coordinates)])
}

fn metadata(nodes: usize) -> Vec<u8> {
    map(&[
        ("binary_format_major_version", vec![0xa1, 2]),
        ("binary_format_minor_version", vec![0xa0]),
        ("build_epoch", vec![0x04, 2, 1, 2, 3, 4]),
        ("database_type", text("Test-City")),
        ("description", map(&[("en", text("test"))])),
        ("ip_version", vec![0xa1, 4]),
        ("languages", vec![0x00, 4]),
        ("node_count", [vec![0xc4], (nodes as u32).to_be_bytes().to_vec()].concat()),
        ("record_size", vec![0xa1, 24]),
    ])
}

fn map(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = vec![0xe0 | entries.len() as u8];
    for (key, value) in entries {
        bytes.extend(text(key));
        bytes.extend(value);
    }
    bytes
}

fn text(text: &str) -> Vec<u8> {
    assert!(text.len() < 29);
    [vec![0x40 | text.len() as u8], text.as_bytes().to_vec()].concat()
}

fn double(number: f64) -> Vec<u8> {
    [vec![0x68], number.to_be_bytes().to_vec()].concat()
}

#[tokio::test(start_paused = true)]
async fn a_replaced_database_is_used_and_a_damaged_one_is_not() {
    let first = TestDatabase::new(&[("198.51.100.0/24", Some((40.7, -74.0)))]);
    let second = TestDatabase::new(&[("203.0.113.0/24", Some((40.7, -74.0)))]);
    let cluster = Cluster::empty();
    let server = TestServer::start_with(cluster.clone(), |config| {
        config.location_database = Some(first.path());
    })
    .await;
    let is = |database: &TestDatabase| cluster.location_database() == database.digest();
    eventually(async || is(&first)).await;
    std::fs::write(first.path(), &second.bytes()[..100]).unwrap();
    sleep(Duration::from_secs(600)).await;
    assert!(is(&first), "the previous one remains in use");
    std::fs::write(first.path(), second.bytes()).unwrap();
    sleep(Duration::from_secs(120)).await;
    eventually(async || is(&second)).await;
    let located = server.handle.locate("203.0.113.1".parse().unwrap());
    assert_eq!(located.source, LocationSource::Database);
    std::fs::remove_file(first.path()).unwrap();
    sleep(Duration::from_secs(600)).await;
    assert!(is(&second));
}
