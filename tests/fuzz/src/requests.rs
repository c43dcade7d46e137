//! Requests of operators and agents. The first byte selects the request, the others are its
//! protobuf message.

use meridian_proto::convert::agent::Registration;
use meridian_proto::convert::{ChangeRequest, CheckedChange, Checks, api};
use meridian_proto::v1;
use meridian_storage::codec;
use prost::Message;

/// Returns true if the bytes are a valid request.
pub fn accepts(data: &[u8]) -> bool {
    let Some((kind, bytes)) = data.split_first() else { return false };
    match kind % 11 {
        0 => change::<v1::CreateServiceRequest>(bytes),
        1 => change::<v1::ChangeServiceRequest>(bytes),
        2 => change::<v1::DeleteServiceRequest>(bytes),
        3 => change::<v1::RollUnitsRequest>(bytes),
        4 => change::<v1::DrainAgentRequest>(bytes),
        5 => change::<v1::RemoveAgentRequest>(bytes),
        6 => change::<v1::SetLimitsRequest>(bytes),
        7 => change::<v1::DefineRegionRequest>(bytes),
        8 => change::<v1::TrimHistoryRequest>(bytes),
        9 => registration(bytes),
        _ => published(bytes),
    }
}

fn change<M: Message + Default + ChangeRequest>(bytes: &[u8]) -> bool {
    let Ok(request) = M::decode(bytes) else { return false };
    match request.checked() {
        Ok(CheckedChange { command, .. }) => {
            // A valid command must be storable in the log.
            let written = codec::encode(&command);
            assert_eq!(codec::decode(&written).as_ref(), Ok(&command));
            true
        }
        Err(violations) => {
            assert!(violations.iter().count() > 0, "a rejection has no violations");
            assert!(violations.to_string().len() < 64 << 10, "a rejection is too long");
            false
        }
    }
}

fn registration(bytes: &[u8]) -> bool {
    let Ok(request) = v1::RegisterAgentRequest::decode(bytes) else { return false };
    let Ok(registration) = Registration::try_from(&request) else { return false };
    let written = codec::encode(&registration.description);
    assert_eq!(codec::decode(&written).as_ref(), Ok(&registration.description));
    true
}

fn published(bytes: &[u8]) -> bool {
    let parse = |message: &v1::Api| {
        let mut checks = Checks::default();
        let api = api::api(&mut checks, "api", message);
        checks.finish(api)
    };
    let Ok(message) = v1::Api::decode(bytes) else { return false };
    let Ok(api) = parse(&message) else { return false };
    assert_eq!(parse(&v1::Api::from(&api)).as_ref(), Ok(&api));
    true
}
