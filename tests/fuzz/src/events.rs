//! Events. The first byte selects between a stored record, which is sent to watchers, and an event
//! received by a client.

use meridian_domain::{EventRecord, Revision};
use meridian_proto::convert::json;
use meridian_proto::v1;
use meridian_storage::event_log::{decode_record, stored};
use prost::Message;

use super::envelopes::{check, seal};

/// Returns true if the bytes are an event.
pub fn accepts(data: &[u8]) -> bool {
    let Some((kind, bytes)) = data.split_first() else { return false };
    if kind % 2 == 0 { accepts_stored(bytes) } else { accepts_received(bytes) }
}

fn accepts_stored(bytes: &[u8]) -> bool {
    for (revision, event) in stored::read(Revision(1), bytes.to_vec()).unwrap_or_default() {
        drop(event.decode(revision));
    }
    drop(decode_record(Revision(1), &seal::<EventRecord>(bytes)));
    check(bytes, |record: EventRecord| {
        let sent = v1::Event::from(&record).encode_to_vec();
        assert!(accepts_received(&sent), "a sent event is not readable");
    })
}

fn accepts_received(bytes: &[u8]) -> bool {
    let Ok(event) = v1::Event::decode(bytes) else { return false };
    event.data.map(json::from_struct).is_some_and(|data| data.is_object())
}
