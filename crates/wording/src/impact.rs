//! Sentences about the consequences of a change.

use meridian_domain::status::impact::Impact;
use meridian_domain::{ServiceName, State};

use super::Statement;
use super::member::pending_wait;

/// Describes a consequence of a change.
#[must_use]
pub fn impact(state: &State, impact: &Impact) -> Statement {
    match impact {
        Impact::MemberPending(pending) => pending_wait(state, pending),
        Impact::UnitsWithoutAgent { region } => Statement {
            message: format!("no agent in {region} takes units: they start once one does"),
            next_step: format!("join an agent in {region}, or add the units in another region"),
            reason: "NO_AGENT",
            subject: format!("regions/{region}"),
        },
        Impact::CapacityLost { region, services } => {
            let names: Vec<_> = services.iter().map(ServiceName::as_str).collect();
            let names = names.join(", ");
            Statement {
                message: format!(
                    "no agent in {region} takes units anymore: no capacity is left there for \
                     {names}, and no other region replaces it"
                ),
                next_step: format!(
                    "add units elsewhere with `meridian region scale`, or join an agent in {region}"
                ),
                reason: "CAPACITY_LOST",
                subject: format!("regions/{region}"),
            }
        }
    }
}
