//! Conflicts: the details that an agent attaches when a service is not at the expected revision.

use meridian_proto::v1;
use prost::Message;
use tonic::Status;

use super::failure::Failure;
use super::output::{self, Output};
use super::view::EventView;
use crate::exit;

const TYPE: &str = "type.googleapis.com/meridian.v1.Conflict";

/// The conflict in the details of `status`, if there is one.
pub fn attached(status: &Status) -> Option<v1::Conflict> {
    let details = tonic_types::pb::Status::decode(status.details()).ok()?.details;
    let conflict = details.into_iter().find(|detail| detail.type_url == TYPE)?;
    v1::Conflict::decode(conflict.value.as_slice()).ok()
}

/// Prints the events since the expected revision. They are data, so they go to standard output.
///
/// # Errors
/// If standard output cannot be written.
pub fn print(output: Output, conflict: &v1::Conflict) -> Result<(), Failure> {
    if conflict.more {
        exit::message(format_args!(
            "only the newest changes follow; `meridian events --from {}` shows all of them",
            conflict.expected_revision.saturating_add(1)
        ));
    }
    let events: Vec<EventView> = conflict.events.iter().cloned().map(EventView::from).collect();
    match output.is_json() {
        true => output.list(&events),
        false => output::write(&events.iter().map(EventView::line).collect::<String>()),
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn a_conflict_is_found_in_the_details() {
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
