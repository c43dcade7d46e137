//! Files of an agent, and of the data directory of the Raft log.

use meridian_storage::disk::directory::StoredIdentity;
use meridian_storage::disk::mark::StoredMark;
use uuid::Uuid;

use super::{Seed, body, seed};

/// The maximum generation, which has no successor.
const LAST_GENERATION: &[u8] = br#"{"version":1,"generation":18446744073709551615}"#;

pub fn seeds() -> Vec<Seed> {
    let desired = concat!(
        r#"{"version":1,"revision":9,"removed":false,"units":[{"#,
        r#""unit":{"service":"contoso","region":"westeurope","slot":2},"#,
        r#""incarnation":7,"port":8080,"wanted":true}],"configurations":{"contoso":{"#,
        r#""revision":6,"enabled":false,"redirect":{"host":"eastus.contoso.regional.a","port":8080},"#,
        r#""apis":[{"name":"orders","path":"/orders","#,
        r#""backend":"http://a","timeouts":{"connect_ms":1,"response_ms":2,"idle_ms":3}}]}}}"#,
    );
    vec![
        seed("agent_files", "generation", 0, *br#"{"version":1,"generation":41}"#),
        seed("agent_files", "desired", 1, desired),
        seed("agent_files", "intent", 2, *b"00000000 {\"generation\":3}\n"),
        seed("agent_files", "finding-last-generation", 0, LAST_GENERATION),
        // No change in the first file: the offset is far beyond its end.
        seed("raft_files", "whole", 0, [0]),
        // An empty first chunk, and a mark with the maximum sequence number.
        seed("raft_files", "finding-empty-chunk", 2, [1]),
        seed("raft_files", "finding-last-mark", 1, [&[2], &*body(&last_mark())].concat()),
        seed("raft_files", "beyond-the-end", 1, [0, 0xff, 0xff, 1]),
    ]
}

fn last_mark() -> StoredMark {
    let owner = StoredIdentity { cluster: Uuid::from_u128(7).into_bytes(), node: 1 };
    StoredMark { sequence: u64::MAX, owner, vote: None, durable: None }
}
