//! What an agent attaches to the refusal of an expected revision.

use meridian_proto::v1;
use prost::Message;
use tonic::Status;

const TYPE: &str = "type.googleapis.com/meridian.v1.Conflict";

/// The conflict among the details of `status`, if there is one.
pub fn attached(status: &Status) -> Option<v1::Conflict> {
    let details = tonic_types::pb::Status::decode(status.details()).ok()?.details;
    let conflict = details.into_iter().find(|detail| detail.type_url == TYPE)?;
    v1::Conflict::decode(conflict.value.as_slice()).ok()
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn a_conflict_is_found_among_the_details() {
        let conflict = v1::Conflict {
            service: "contoso".to_owned(),
            current_revision: 9,
            ..Default::default()
        };
        let details = tonic_types::pb::Status {
            code: Code::Aborted.into(),
            message: "changed".to_owned(),
            details: vec![prost_types::Any {
                type_url: TYPE.to_owned(),
                value: conflict.encode_to_vec(),
            }],
        };
        let bytes = details.encode_to_vec().into();
        let status = Status::with_details(Code::Aborted, "changed", bytes);
        assert_eq!(attached(&status), Some(conflict));
        assert_eq!(attached(&Status::aborted("changed")), None);
    }
}
