//! Conversions of statuses and sentences to messages.

use meridian_domain::State;
use meridian_domain::status::{
    Health, MemberChange, Next, Observations, Pending, Severity, Silence, Source,
};
use meridian_proto::convert::time;
use meridian_proto::v1;
use meridian_wording::{Statement, Warning, name_of};

/// Converts a condition of the cluster.
pub(crate) fn warning(warning: Warning) -> v1::Warning {
    let Warning { severity, statement } = warning;
    let Statement { reason, subject, message, next_step } = statement;
    let severity = match severity {
        Severity::Notice => v1::Severity::Notice,
        Severity::Degraded => v1::Severity::Degraded,
        Severity::ServiceUnavailable => v1::Severity::ServiceUnavailable,
        Severity::ChangesRefused => v1::Severity::ChangesRefused,
    };
    v1::Warning {
        reason: reason.to_owned(),
        severity: severity.into(),
        message,
        next_step,
        subject,
    }
}

/// Converts what a change waits for.
pub(crate) fn wait(statement: Statement) -> v1::Wait {
    let Statement { reason, subject, message, next_step } = statement;
    v1::Wait { cause: message, next_step, reason: reason.to_owned(), subject }
}

/// Converts the health of the cluster.
pub(crate) fn health(health: Health) -> v1::Health {
    match health {
        Health::Healthy => v1::Health::Healthy,
        Health::Degraded => v1::Health::Degraded,
        Health::ServiceUnavailable => v1::Health::ServiceUnavailable,
        Health::ChangesRefused => v1::Health::ChangesRefused,
    }
}

/// Converts the silence of an agent.
pub(crate) fn silence(silence: Silence) -> v1::Silence {
    let (duration, at_least) = match silence {
        Silence::Exactly(duration) => (Some(duration), false),
        Silence::AtLeast(duration) => (Some(duration), true),
        Silence::Unmeasured => (None, false),
    };
    v1::Silence { duration: duration.map(time::duration), at_least }
}

/// Converts the observer.
pub(crate) fn observer(state: &State, observations: &Observations) -> Option<v1::Observer> {
    Some(v1::Observer {
        agent: name_of(state, observations.observer()),
        leader: match observations.source() {
            Source::Leader => true,
            Source::Contacted => false,
        },
    })
}

/// Returns the word for a member's next change; empty if it is not known.
pub(crate) fn next(next: Option<&Next>) -> &'static str {
    match next {
        None => "",
        Some(Next::Stay) => "stay",
        Some(Next::Change(Pending { change, waits_for: _ })) => match change {
            MemberChange::GainVote => "gainVote",
            MemberChange::LoseVote => "loseVote",
            MemberChange::Leave => "leave",
        },
    }
}
