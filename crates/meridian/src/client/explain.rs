//! Turns what a call ended with into a cause, a next step and an exit code.

use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::call::{CallError, Kind, Tried};
use super::command_line::CommandLine;
use super::conflict;
use super::failure::Failure;
use super::refusal;

/// What was asked for, as far as an explanation needs it.
#[derive(Debug)]
pub struct Asked<'a> {
    /// What may be done about a lost answer.
    pub kind: Kind,
    /// The id of the request, where it has one.
    pub request_id: Option<&'a str>,
    /// What was typed.
    pub command_line: &'a CommandLine,
}

/// The failure that a call ended with.
pub fn explain(error: CallError, asked: &Asked<'_>) -> Failure {
    match error {
        CallError::Refused(status) if is_forgotten(&status) => {
            Failure::Unknown { cause: rejections(&status), next: next_step(&status) }
        }
        CallError::Refused(status) => explain_refusal(&status),
        CallError::Unavailable { tried } => unavailable(&tried, asked.kind),
        CallError::Unknown { tried } => unknown(&tried.to_string(), asked),
    }
}

/// The failure of a call of which nobody can tell whether it happened.
pub fn unknown(cause: &str, asked: &Asked<'_>) -> Failure {
    match asked.request_id {
        Some(id) => Failure::Unknown {
            cause: format!("the outcome of request {id} is unknown: {cause}"),
            next: format!("ask again, it happens once: {}", asked.command_line.with_request_id(id)),
        },
        None => Failure::Unknown {
            cause: format!("the outcome is unknown: {cause}"),
            next: format!(
                "look at `meridian cluster members`, then ask again if it is still wanted: {}",
                asked.command_line.again()
            ),
        },
    }
}

/// The failure of a call that nobody took.
pub fn unavailable(tried: &Tried, kind: Kind) -> Failure {
    let (cause, nothing) = match kind {
        Kind::Read => ("no agent can answer", ""),
        Kind::Change | Kind::Once => ("no agent can take the change", "nothing was proposed; "),
    };
    let next = match (tried.somebody_there, kind) {
        (true, Kind::Read) => {
            "see `meridian status` and start the agents that are missing; with --stale, a read shows \
             what the asked agent has"
        }
        (true, Kind::Change | Kind::Once) => {
            "see `meridian status`, start the agents that are missing, and run the command again"
        }
        (false, _) if tried.lacked_time() => "give it longer with --timeout, and run it again",
        (false, _) => {
            "check that an agent runs there, or name others with --endpoint or MERIDIAN_ENDPOINTS"
        }
    };
    Failure::Unavailable { cause: format!("{cause}: {tried}"), next: format!("{nothing}{next}") }
}

/// The failure that an agent's refusal is.
pub fn explain_refusal(status: &Status) -> Failure {
    let cause = rejections(status);
    match status.code() {
        Code::InvalidArgument => Failure::Usage { cause, next: MEND.to_owned() },
        Code::Aborted => {
            let current = conflict::attached(status).map(|conflict| conflict.current_revision);
            let revision = current.map_or_else(|| "N".to_owned(), |current| current.to_string());
            let next = format!(
                "look at what changed since, and if the change is still right, run it again with \
                 --expect-revision {revision}"
            );
            Failure::Conflict { cause, next }
        }
        Code::OutOfRange => {
            let next = match refusal::metadata(status, "oldest") {
                Some(oldest) => format!("begin with --from {oldest}"),
                None => MEND.to_owned(),
            };
            Failure::Refused { cause, next }
        }
        _ => Failure::Refused { cause, next: next_step(status) },
    }
}

/// Whether an agent says that it no longer knows what became of the request: it may have happened.
fn is_forgotten(status: &Status) -> bool {
    refusal::reason(status).is_some_and(|reason| reason == "REQUEST_EXPIRED")
}

const MEND: &str = "mend the command and run it again; nothing was changed";

/// Every rejection that an agent found; its message where it lists none.
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
        (true, "") => format!("refused: {}", status.code().description()),
        (true, message) => message.to_owned(),
    }
}

/// What people call the field of a path such as `edits[0].add.units`: `units`.
fn field_name(path: &str) -> String {
    let last = path.rsplit('.').next().unwrap_or_default();
    let name = last.split('[').next().unwrap_or_default();
    name.replace('_', " ")
}

/// What to do about the first rule that refuses.
fn next_step(status: &Status) -> String {
    let violations = status.get_details_precondition_failure().map(|details| details.violations);
    let rule = violations.into_iter().flatten().map(|violation| violation.r#type).next();
    let rule = rule.or_else(|| refusal::reason(status)).unwrap_or_default();
    let next = match rule.as_str() {
        "REGION_UNKNOWN" => "`meridian region catalogue` lists the regions",
        "REGION_EXISTS" => "use `meridian region scale` to change its units",
        "REGION_ABSENT" => "`meridian region list` shows the service's regions",
        "PRIMARY_REMOVED" => "use `meridian region promote` on another region first",
        "SEVERAL_REGIONS" => "use `meridian service update NAME --tier premium` first",
        "TOO_MANY_UNITS" => "ask for fewer units; `meridian cluster limits show` has the limits",
        "SERVICE_UNKNOWN" => "`meridian service list` lists the services",
        "SERVICE_EXISTS" => "choose another name, or use `meridian service update`",
        "API_UNKNOWN" => "`meridian api list` lists the service's APIs",
        "PATH_TAKEN" => "choose another --path, or publish under the name of the API that has it",
        "BACKEND_IS_GATEWAY" => "name what is to answer the calls with --backend",
        "TOO_MANY_APIS" => "use `meridian api remove` on APIs that are not used any more",
        "AGENT_FULL" => "join more agents in that region, or ask for fewer units",
        "ZONE_WITHOUT_AGENT" => {
            "name zones that have agents, leave --zones out, or join agents with `zone` set first"
        }
        "AGENT_UNKNOWN" => "`meridian status` lists the agents",
        "NO_HEIR" | "NOT_A_VOTER" | "PEER_REFUSED" => {
            "`meridian cluster members` says who votes and answers"
        }
        "NOT_INVITED" => {
            "check the address (port 7401 by default), and that a new agent runs there and waits"
        }
        "PORT_TAKEN" | "PORT_RESERVED" => "choose another --port, or leave it out",
        "REQUEST_REUSED" => "leave --request-id out to make a new change",
        "REQUEST_EXPIRED" => {
            "look for its effect in `meridian events`; leave --request-id out to make a new change"
        }
        _ => MEND,
    };
    next.to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic_types::{ErrorDetails, PreconditionViolation};

    use super::*;

    fn refused(violations: &[(&str, &str)]) -> Failure {
        let mut details = ErrorDetails::with_error_info("REFUSED", "meridian", HashMap::new());
        let listed = violations.iter();
        details.set_precondition_failure(
            listed
                .map(|(rule, text)| PreconditionViolation::new(*rule, "", *text))
                .collect::<Vec<_>>(),
        );
        explain_refusal(&Status::with_error_details(
            Code::FailedPrecondition,
            "2 rejections",
            details,
        ))
    }

    #[test]
    fn a_refusal_names_every_fault_and_helps_with_the_first() {
        let Failure::Refused { cause, next } = refused(&[
            ("REGION_UNKNOWN", "region wsteurope not found; did you mean westeurope?"),
            ("TOO_MANY_UNITS", "region eastus: 13 units exceed the premium tier's limit of 12"),
        ]) else {
            panic!("is not a refusal");
        };
        assert_eq!(
            cause,
            "region wsteurope not found; did you mean westeurope?; \
             region eastus: 13 units exceed the premium tier's limit of 12"
        );
        assert_eq!(next, "`meridian region catalogue` lists the regions");
    }

    #[test]
    fn statuses_have_their_exit_codes() {
        for (code, exit) in [
            (Code::InvalidArgument, 2),
            (Code::FailedPrecondition, 1),
            (Code::NotFound, 1),
            (Code::AlreadyExists, 1),
            (Code::Aborted, 3),
            (Code::OutOfRange, 1),
        ] {
            assert_eq!(explain_refusal(&Status::new(code, "no")).code(), exit, "{code:?}");
        }
    }

    #[test]
    fn a_malformed_field_is_named_as_people_name_it() {
        for (path, name) in [
            ("service", "service"),
            ("edits[0].add.units", "units"),
            ("edits[1].add.zones[2]", "zones"),
            ("limits.premium_units", "premium units"),
        ] {
            let details = ErrorDetails::with_bad_request_violation(path, "must not be so");
            let status = Status::with_error_details(Code::InvalidArgument, "1 field", details);
            assert_eq!(explain_refusal(&status).to_string(), format!("{name}: must not be so"));
        }
    }

    #[test]
    fn trimmed_events_come_with_the_revision_to_begin_with() {
        let metadata = HashMap::from([("oldest".to_owned(), "4097".to_owned())]);
        let details = ErrorDetails::with_error_info("TRIMMED", "meridian", metadata);
        let status = Status::with_error_details(Code::OutOfRange, "trimmed", details);
        let Failure::Refused { next, .. } = explain_refusal(&status) else {
            panic!("is not a refusal");
        };
        assert_eq!(next, "begin with --from 4097");
    }
}
