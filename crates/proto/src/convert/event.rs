//! Events of the log.

use meridian_domain::{Event, EventRecord, Origin};
use prost_types::Struct;

use super::{json, time};
use crate::v1;

/// Actor of events of the cluster itself.
const SYSTEM: &str = "meridian";

impl From<&EventRecord> for v1::Event {
    fn from(record: &EventRecord) -> Self {
        let (actor, reason, request_id) = requester(&record.origin);
        Self {
            revision: record.revision.0,
            time: Some(time::timestamp(record.time)),
            actor,
            actor_verified: false,
            reason,
            request_id,
            change_id: record.change.0,
            r#type: record.event.type_name().to_owned(),
            data: Some(data(&record.event)),
        }
    }
}

fn requester(origin: &Origin) -> (String, String, String) {
    match origin {
        Origin::Operator { request, actor, reason, .. } => {
            let reason = reason.as_ref().map(ToString::to_string).unwrap_or_default();
            (actor.to_string(), reason, request.to_string())
        }
        Origin::Report { agent, .. } => (format!("agent {agent}"), String::new(), String::new()),
        Origin::System => (SYSTEM.to_owned(), String::new(), String::new()),
    }
}

/// Returns the event's own fields: serde's human-readable form without the name of the variant,
/// which is the event's type.
#[must_use]
pub fn data(event: &Event) -> Struct {
    let Ok(serde_json::Value::Object(tagged)) = serde_json::to_value(event) else {
        return Struct::default();
    };
    match tagged.into_iter().next() {
        Some((_, serde_json::Value::Object(fields))) => json::to_struct(fields),
        _ => Struct::default(),
    }
}

/// The event of a message. `None` if its type is unknown here, as that of a newer agent may be, or
/// if its fields are not those of the type.
#[must_use]
pub fn decode(event: &v1::Event) -> Option<Event> {
    let fields = json::from_struct(event.data.clone().unwrap_or_default());
    let serde_json::Value::Object(fields) = fields else {
        return None;
    };
    // The event's own fields have keys in camel case in the domain, too; those within them have not.
    let fields = fields.into_iter().map(|(key, value)| (key, json::with_domain_keys(value)));
    let fields = serde_json::Value::Object(fields.collect());
    serde_json::from_value(serde_json::json!({ &event.r#type: fields })).ok()
}

#[cfg(test)]
mod tests {
    use meridian_domain::{
        Actor, Incarnation, Reason, RegionName, Revision, ServiceName, Timestamp, UnitId,
    };
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn service() -> ServiceName {
        ServiceName::new("contoso").expect("is a name")
    }

    fn region() -> RegionName {
        RegionName::new("westeurope").expect("is a name")
    }

    #[test]
    fn an_event_has_its_requester_and_its_data() {
        let request = Uuid::from_u128(0x0193_2f5e_8b1a_7c3d_9e4f_0123_4567_89ab);
        let record = EventRecord {
            revision: Revision(7),
            change: Revision(6),
            change_end: Revision(7),
            time: Timestamp(1500),
            origin: Origin::Operator {
                request: request.try_into().expect("is version 7"),
                digest: meridian_domain::Digest([0; 32]),
                actor: Actor::new("ada@workstation").expect("is an actor"),
                reason: Some(Reason::new("more load").expect("is a reason")),
            },
            event: Event::UnitsScaled { service: service(), region: region(), units: 3 },
        };
        let event = v1::Event::from(&record);
        assert_eq!((event.revision, event.change_id), (7, 6));
        assert_eq!((event.actor.as_str(), event.actor_verified), ("ada@workstation", false));
        assert_eq!((event.reason.as_str(), event.r#type.as_str()), ("more load", "UnitsScaled"));
        assert_eq!(event.request_id, request.to_string());
        let data = json::from_struct(event.data.expect("has data"));
        assert_eq!(data, json!({"service": "contoso", "region": "westeurope", "units": 3}));
    }

    #[test]
    fn a_message_decodes_to_its_event() {
        let event = Event::UnitsScaled { service: service(), region: region(), units: 3 };
        let mut message = v1::Event {
            r#type: event.type_name().to_owned(),
            data: Some(data(&event)),
            ..v1::Event::default()
        };
        assert_eq!(decode(&message), Some(event));
        message.r#type = "UnitsTeleported".to_owned();
        assert_eq!(decode(&message), None);
    }

    #[test]
    fn the_data_of_an_event_has_camel_case_keys_at_every_depth() {
        let unit = UnitId { service: service(), region: region(), slot: 1 };
        let event = Event::UnitFailed {
            unit,
            incarnation: Incarnation(4),
            restarts: 2,
            next_try: Timestamp(9),
            cause: "exit code 1".to_owned(),
        };
        let unit = json!({"service": "contoso", "region": "westeurope", "slot": 1});
        let expected = json!({
            "unit": unit, "incarnation": 4, "restarts": 2, "nextTry": 9, "cause": "exit code 1",
        });
        assert_eq!(json::from_struct(data(&event)), expected);
    }
}
