//! The `google.rpc` details of a status, within the size limits of clients.
//!
//! A status is sent in the trailers of a response, encoded in base64. gRPC's C core (Python, Ruby,
//! C++) starts to reject metadata above 8 KiB, Java rejects it, and hyper rejects it above 16 KiB.
//! An error can have 32 rejections, so lists are truncated to fit.

use std::time::Duration;

use meridian_domain::Rejection;
use meridian_proto::convert::{Violations, time};
use meridian_proto::v1;
use prost::Message;
use tonic::{Code, Status};
use tonic_types::pb;
use tonic_types::pb::bad_request::FieldViolation;
use tonic_types::pb::precondition_failure::Violation as PreconditionViolation;

use super::rejection;

/// Maximum bytes of all details together, before base64 encodes 3 as 4.
const DETAILS_BYTES: usize = 4_800;
/// Bytes reserved for the events of a conflict among other rejections.
const CONFLICT_BYTES: usize = 3_600;
/// Bytes reserved for the number of missing entries.
const MORE_BYTES: usize = 128;
/// Bytes of the tag and the length of each message.
const FRAME_BYTES: usize = 8;
/// Maximum characters of a message.
const MESSAGE_CHARS: usize = 600;
/// Domain of the error details.
const DOMAIN: &str = "meridian";

/// Builder of a status.
pub(super) struct Details {
    code: Code,
    message: String,
    details: Vec<prost_types::Any>,
    capacity: usize,
}

impl Details {
    pub(super) fn new(code: Code, message: String) -> Self {
        let message = match message.char_indices().nth(MESSAGE_CHARS) {
            Some((end, _)) => format!("{} ...", &message[..end]),
            None => message,
        };
        Self { code, message, details: Vec::new(), capacity: DETAILS_BYTES }
    }

    pub(super) fn info(&mut self, reason: &str, metadata: Vec<(&'static str, String)>) {
        let metadata = metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let info = pb::ErrorInfo { reason: reason.to_owned(), domain: DOMAIN.to_owned(), metadata };
        self.attach("google.rpc.ErrorInfo", &info);
    }

    pub(super) fn retry(&mut self, after: Duration) {
        let retry = pb::RetryInfo { retry_delay: Some(time::duration(after)) };
        self.attach("google.rpc.RetryInfo", &retry);
    }

    pub(super) fn fields(&mut self, violations: &Violations) {
        let each = violations.iter().map(|violation| FieldViolation {
            field: violation.field.clone(),
            description: violation.problem.clone(),
            ..FieldViolation::default()
        });
        let capacity = self.capacity.saturating_sub(MORE_BYTES);
        let (mut field_violations, cut) = fitting(each, capacity);
        if cut {
            let count = violations.iter().count() - field_violations.len();
            field_violations.push(FieldViolation {
                description: format!("and {count} more"),
                ..FieldViolation::default()
            });
        }
        self.attach("google.rpc.BadRequest", &pb::BadRequest { field_violations });
    }

    pub(super) fn rejections(&mut self, rejections: &[Rejection]) {
        let conflict =
            rejections.iter().any(|rejection| matches!(rejection, Rejection::Conflict { .. }));
        let reserved = if conflict { CONFLICT_BYTES } else { 0 } + MORE_BYTES;
        let each = rejections.iter().map(|rejection| PreconditionViolation {
            r#type: rejection.type_name().to_owned(),
            subject: rejection::subject(rejection),
            description: rejection.to_string(),
        });
        let (mut violations, cut) = fitting(each, self.capacity.saturating_sub(reserved));
        if cut {
            let missing = rejection::count(rejections) - violations.len();
            self.message.push_str(&format!(" ({missing} missing in the details)"));
            let more = Rejection::AndMore { count: u32::try_from(missing).unwrap_or(u32::MAX) };
            violations.push(PreconditionViolation {
                r#type: more.type_name().to_owned(),
                subject: String::new(),
                description: more.to_string(),
            });
        }
        self.attach("google.rpc.PreconditionFailure", &pb::PreconditionFailure { violations });
    }

    pub(super) fn conflict(&mut self, conflict: &v1::Conflict) {
        let newest_first = conflict.events.iter().rev().cloned();
        let head = v1::Conflict { events: Vec::new(), more: true, ..conflict.clone() };
        let capacity = self.capacity.saturating_sub(head.encoded_len() + FRAME_BYTES);
        let (mut events, cut) = fitting(newest_first, capacity);
        events.reverse();
        let conflict = v1::Conflict { events, more: cut || conflict.more, ..head };
        self.attach("meridian.v1.Conflict", &conflict);
    }

    fn attach(&mut self, name: &str, detail: &impl Message) {
        let value = detail.encode_to_vec();
        let type_url = format!("type.googleapis.com/{name}");
        self.capacity = self.capacity.saturating_sub(value.len() + type_url.len() + FRAME_BYTES);
        self.details.push(prost_types::Any { type_url, value });
    }

    pub(super) fn into_status(self) -> Status {
        let status = pb::Status {
            code: self.code.into(),
            message: self.message.clone(),
            details: self.details,
        };
        Status::with_details(self.code, self.message, status.encode_to_vec().into())
    }
}

/// Returns the leading messages that fit into `capacity` bytes, and true if any was left out.
fn fitting<M: Message>(messages: impl Iterator<Item = M>, capacity: usize) -> (Vec<M>, bool) {
    let mut capacity = capacity;
    let mut fit = Vec::new();
    for message in messages {
        let bytes = message.encoded_len() + FRAME_BYTES;
        if bytes > capacity {
            return (fit, true);
        }
        capacity -= bytes;
        fit.push(message);
    }
    (fit, false)
}

#[cfg(test)]
mod tests {
    use meridian_domain::{RegionName, limits};
    use tonic_types::StatusExt;

    use super::*;
    use crate::error::Error;

    fn unknown_region(number: usize) -> Rejection {
        Rejection::RegionUnknown {
            region: RegionName::new(format!("a{number:0>38}")).expect("is a name"),
            nearest: vec!["westeurope".to_owned(), "westus".to_owned(), "westus2".to_owned()],
        }
    }

    #[test]
    fn the_maximum_number_of_rejections_fits_into_the_metadata_of_a_response() {
        let mut rejections: Vec<Rejection> = (1..limits::REJECTIONS).map(unknown_region).collect();
        rejections.push(Rejection::AndMore { count: 97 });
        let status = Status::from(Error::rejected(rejections));
        assert!(status.details().len() < 6_000, "{} bytes", status.details().len());
        assert_eq!(status.code(), Code::NotFound);
        assert!(status.message().starts_with("128 rules reject the change: "));
        let failure = status.get_details_precondition_failure().expect("has the rejections");
        let missing = 128 - (failure.violations.len() - 1);
        let last = failure.violations.last().expect("is not empty");
        assert!(last.description.contains(&missing.to_string()), "{last:?}");
        assert!(status.message().contains(&format!("{missing} missing")), "{}", status.message());
    }
}
