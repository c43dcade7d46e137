//! Turns the error of a request into a cause, a next step and an exit code.

use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::command_line::CommandLine;
use super::conflict;
use super::failover::{Attempts, RequestError, RequestKind};
use super::failure::Failure;
use super::grpc_status;
use super::rule::{FIX_AND_RETRY, Rule};

/// Reason of an agent that is not a member of a cluster yet.
const NOT_A_MEMBER: &str = "NOT_A_MEMBER";
/// Reason of a leader whose disk is below its minimum of free space.
const LOW_DISK: &str = "LOW_DISK";

/// Properties of a request that explain its error.
#[derive(Debug)]
pub struct RequestInfo<'a> {
    /// Its kind, which determines how it may be retried.
    pub kind: RequestKind,
    /// Its id, if it has one.
    pub request_id: Option<&'a str>,
    /// The command as it was typed.
    pub command_line: &'a CommandLine,
    /// True if it was sent to the default endpoints.
    pub default_endpoints: bool,
}

/// The failure of a request.
pub fn explain(error: RequestError, request: &RequestInfo<'_>) -> Failure {
    match error {
        RequestError::Rejected(status) if is_forgotten(&status) => {
            Failure::Unknown { cause: rejections(&status), next: next_step(&status) }
        }
        RequestError::Rejected(status) => explain_rejection(&status),
        RequestError::Unavailable { attempts } => unavailable(&attempts, request),
        RequestError::Unknown { attempts } => unknown(&attempts.to_string(), request),
    }
}

/// The failure of a request with an unknown outcome.
pub fn unknown(cause: &str, request: &RequestInfo<'_>) -> Failure {
    match request.request_id {
        Some(id) => Failure::Unknown {
            cause: format!("the outcome of request {id} is unknown: {cause}"),
            next: format!(
                "retry, the change happens at most once: {}",
                request.command_line.with_request_id(id)
            ),
        },
        None => Failure::Unknown {
            cause: format!("the outcome is unknown: {cause}"),
            next: format!(
                "check `meridian cluster members`, then retry if still necessary: {}",
                request.command_line.again()
            ),
        },
    }
}

/// The failure of a request that no agent accepted.
pub fn unavailable(attempts: &Attempts, request: &RequestInfo<'_>) -> Failure {
    let is_change = match request.kind {
        RequestKind::Read => false,
        RequestKind::Change | RequestKind::Once => true,
    };
    let cause = match (attempts.refusals.is_empty(), is_change) {
        (true, _) if attempts.timed_out() => "request timed out",
        (true, _) => "no agent reachable",
        (false, false) => "no agent can serve the request",
        (false, true) => "no agent can accept the change",
    };
    let outcome = if is_change { "; the change was not submitted" } else { "" };
    let reached_no_member = attempts.refusals.iter().all(|reason| reason == NOT_A_MEMBER);
    let next = match (attempts.refusals.is_empty(), is_change) {
        (true, _) if attempts.timed_out() => "retry with a longer --timeout",
        (true, _) if request.default_endpoints => {
            "start a cluster on this machine with `meridian dev`, or name an agent with --endpoint \
             HOST:PORT or MERIDIAN_ENDPOINTS"
        }
        (true, _) => {
            "check that an agent runs there, or name another one with --endpoint or \
             MERIDIAN_ENDPOINTS"
        }
        (false, _) if reached_no_member => {
            "see the log of that agent, or name a member of the cluster with --endpoint or \
             MERIDIAN_ENDPOINTS"
        }
        (false, true) if attempts.refusals.contains(LOW_DISK) => {
            "check `meridian status` for low disks and free space on them, then retry; `meridian \
             cluster trim-history`, `meridian service delete` and `meridian cluster remove` also \
             work while they are low"
        }
        (false, false) => {
            "check `meridian status` and start the missing agents; commands that list also accept \
             --stale, which reads from one agent"
        }
        (false, true) => "check `meridian status`, start the missing agents, and retry",
    };
    Failure::Unavailable { cause: format!("{cause}: {attempts}{outcome}"), next: next.to_owned() }
}

/// The failure of a request that an agent rejected.
pub fn explain_rejection(status: &Status) -> Failure {
    let cause = rejections(status);
    match status.code() {
        Code::InvalidArgument => Failure::Usage { cause, next: FIX_AND_RETRY.to_owned() },
        Code::Aborted => {
            let conflict = conflict::attached(status);
            let current = conflict.as_ref().map(|conflict| conflict.current_revision);
            let revision = current.map_or_else(|| "N".to_owned(), |current| current.to_string());
            let next = format!(
                "review the changes since then; if yours is still right, retry with \
                 --expect-revision {revision}"
            );
            Failure::Conflict { cause, next, conflict: conflict.map(Box::new) }
        }
        Code::OutOfRange => {
            let next = match grpc_status::metadata(status, "oldest") {
                Some(oldest) => format!("start with --from {oldest}"),
                None => FIX_AND_RETRY.to_owned(),
            };
            Failure::Refused { cause, next }
        }
        _ => Failure::Refused { cause, next: next_step(status) },
    }
}

/// True if the agent no longer remembers the request: the change may have happened.
fn is_forgotten(status: &Status) -> bool {
    Rule::of(status) == Some(Rule::RequestExpired)
}

/// All rejections in a status; its message if it lists none.
fn rejections(status: &Status) -> String {
    let fields = status.get_details_bad_request().map(|details| details.field_violations);
    let fields = fields.into_iter().flatten().map(|v| match field_name(&v.field) {
        name if name.is_empty() => v.description,
        name => format!("{name}: {}", v.description),
    });
    let rules = status.get_details_precondition_failure().map(|details| details.violations);
    let rules = rules.into_iter().flatten().map(|violation| violation.description);
    let listed: Vec<String> = fields.chain(rules).filter(|text| !text.is_empty()).collect();
    match (listed.is_empty(), status.message()) {
        (false, _) => listed.join("; "),
        (true, "") => format!("rejected: {}", status.code().description()),
        (true, message) => message.to_owned(),
    }
}

/// Name of a field for people: `units` for the path `edits[0].add.units`.
fn field_name(path: &str) -> String {
    let last = path.rsplit('.').next().unwrap_or_default();
    let name = last.split('[').next().unwrap_or_default();
    name.replace('_', " ")
}

/// Next step for the first rule that a status names.
fn next_step(status: &Status) -> String {
    Rule::of(status).map_or(FIX_AND_RETRY, Rule::next_step).to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic_types::{ErrorDetails, PreconditionViolation};

    use super::*;

    fn rejected(violations: &[(&str, &str)]) -> Failure {
        let mut details = ErrorDetails::with_error_info("REFUSED", "meridian", HashMap::new());
        let listed = violations.iter();
        details.set_precondition_failure(
            listed
                .map(|(rule, text)| PreconditionViolation::new(*rule, "", *text))
                .collect::<Vec<_>>(),
        );
        explain_rejection(&Status::with_error_details(
            Code::FailedPrecondition,
            "2 rejections",
            details,
        ))
    }

    #[test]
    fn a_rejection_lists_every_violation_and_the_next_step_for_the_first() {
        let Failure::Refused { cause, next } = rejected(&[
            ("REGION_UNKNOWN", "region wsteurope not found; did you mean westeurope?"),
            ("TOO_MANY_UNITS", "region eastus: 13 units exceed the premium tier's limit of 12"),
        ]) else {
            panic!("is not a rejection");
        };
        assert_eq!(
            cause,
            "region wsteurope not found; did you mean westeurope?; \
             region eastus: 13 units exceed the premium tier's limit of 12"
        );
        assert_eq!(next, "`meridian region catalog` lists the regions");
    }

    #[test]
    fn the_next_step_after_a_low_disk_is_to_free_space_not_to_start_agents() {
        let mut attempts = Attempts::default();
        attempts.refusals.insert(LOW_DISK.to_owned());
        let command_line = CommandLine::of_this_process();
        let kind = RequestKind::Change;
        let default_endpoints = false;
        let request =
            RequestInfo { kind, request_id: None, command_line: &command_line, default_endpoints };
        let Failure::Unavailable { next, .. } = unavailable(&attempts, &request) else {
            panic!("is not unavailable");
        };
        assert!(next.contains("free space") && !next.contains("start"), "{next}");
    }

    #[test]
    fn without_a_local_cluster_the_next_step_names_the_command_that_starts_one() {
        let mut attempts = Attempts::default();
        let endpoint = "127.0.1.1:7400".parse().expect("is an endpoint");
        attempts.record(&endpoint, "connection refused".to_owned());
        let command_line = CommandLine::of_this_process();
        let request = |default_endpoints| RequestInfo {
            kind: RequestKind::Change,
            request_id: None,
            command_line: &command_line,
            default_endpoints,
        };
        let Failure::Unavailable { cause, next } = unavailable(&attempts, &request(true)) else {
            panic!("is not unavailable");
        };
        assert_eq!(
            cause,
            "no agent reachable: 127.0.1.1:7400: connection refused; the change was not submitted"
        );
        assert!(next.contains("`meridian dev`") && next.contains("--endpoint"), "{next}");
        let Failure::Unavailable { next, .. } = unavailable(&attempts, &request(false)) else {
            panic!("is not unavailable");
        };
        assert!(!next.contains("meridian dev"), "{next}");
    }

    #[test]
    fn status_codes_map_to_exit_codes() {
        for (code, exit) in [
            (Code::InvalidArgument, 2),
            (Code::FailedPrecondition, 1),
            (Code::NotFound, 1),
            (Code::AlreadyExists, 1),
            (Code::Aborted, 3),
            (Code::OutOfRange, 1),
        ] {
            assert_eq!(explain_rejection(&Status::new(code, "no")).code(), exit, "{code:?}");
        }
    }

    #[test]
    fn an_invalid_field_is_named_without_its_path() {
        for (path, name) in [
            ("service", "service"),
            ("edits[0].add.units", "units"),
            ("edits[1].add.zones[2]", "zones"),
            ("limits.premium_units", "premium units"),
        ] {
            let details = ErrorDetails::with_bad_request_violation(path, "is too long");
            let status = Status::with_error_details(Code::InvalidArgument, "1 field", details);
            assert_eq!(explain_rejection(&status).to_string(), format!("{name}: is too long"));
        }
    }

    #[test]
    fn trimmed_events_are_reported_with_the_oldest_revision() {
        let metadata = HashMap::from([("oldest".to_owned(), "4097".to_owned())]);
        let details = ErrorDetails::with_error_info("TRIMMED", "meridian", metadata);
        let status = Status::with_error_details(Code::OutOfRange, "trimmed", details);
        let Failure::Refused { next, .. } = explain_rejection(&status) else {
            panic!("is not a rejection");
        };
        assert_eq!(next, "start with --from 4097");
    }
}
