//! Change requests.

use meridian_domain::limits::{self, Limits};
use meridian_domain::{Actor, Command, Reason, Region, RequestId};

use super::edit::{edits, optional};
use super::{Checks, Violations, field};
use crate::v1;

/// Change request whose fields are all valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedChange {
    /// The command.
    pub command: Command,
    /// Requester given by the client, unverified.
    pub actor: Actor,
    /// Reason given by the client.
    pub reason: Option<Reason>,
    /// Apply the change, or only forecast it.
    pub mode: Mode,
}

/// Mode of a change request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Apply the change, once however often it is sent under this id.
    Apply {
        /// The request id.
        request: RequestId,
    },
    /// Return the events that would happen, and change nothing.
    DryRun,
}

/// Request message for a change.
pub trait ChangeRequest {
    /// Returns the metadata of the change.
    fn context(&self) -> Option<&v1::ChangeContext>;

    /// Returns the command if all its fields are valid; records violations in `checks`.
    fn command(&self, checks: &mut Checks) -> Option<Command>;

    /// Validates the whole request.
    ///
    /// # Errors
    /// All violations.
    fn checked(&self) -> Result<CheckedChange, Violations> {
        let mut checks = Checks::default();
        let context = context(&mut checks, self.context());
        let command = self.command(&mut checks);
        let change = context.zip(command).map(|(context, command)| {
            let (actor, reason, mode) = context;
            CheckedChange { command, actor, reason, mode }
        });
        checks.finish(change)
    }
}

type Context = (Actor, Option<Reason>, Mode);

fn context(checks: &mut Checks, given: Option<&v1::ChangeContext>) -> Option<Context> {
    let Some(given) = given else {
        checks.refuse("context", "is required: it has the request id and the actor");
        return None;
    };
    let actor = checks.take("context.actor", Actor::new(given.actor.as_str()));
    let reason = Some(given.reason.as_str()).filter(|reason| !reason.is_empty());
    let reason = reason.map(|reason| checks.take("context.reason", Reason::new(reason)));
    let mode = if given.dry_run {
        Some(Mode::DryRun)
    } else {
        let request = field::request_id(checks, "context.request_id", &given.request_id);
        request.map(|request| Mode::Apply { request })
    };
    Some((actor?, optional(reason)?, mode?))
}

impl ChangeRequest for v1::CreateServiceRequest {
    fn context(&self) -> Option<&v1::ChangeContext> {
        self.context.as_ref()
    }

    fn command(&self, checks: &mut Checks) -> Option<Command> {
        let service = field::service(checks, "service", &self.service);
        let tier = field::tier(checks, "tier", &self.tier);
        let primary = field::region(checks, "primary", &self.primary);
        let port = optional(self.port.map(|port| field::port(checks, "port", port)));
        let when_disabled = self.when_disabled.as_ref();
        let when_disabled =
            optional(when_disabled.map(|text| field::when_disabled(checks, "when_disabled", text)));
        Some(Command::CreateService {
            service: service?,
            tier: tier?,
            primary: primary?,
            port: port?,
            when_disabled: when_disabled?.unwrap_or_default(),
        })
    }
}

impl ChangeRequest for v1::ChangeServiceRequest {
    fn context(&self) -> Option<&v1::ChangeContext> {
        self.context.as_ref()
    }

    fn command(&self, checks: &mut Checks) -> Option<Command> {
        let service = field::service(checks, "service", &self.service);
        let expected = self.expected_revision;
        let expected =
            expected.map(|expected| field::revision(checks, "expected_revision", expected));
        let edits = edits(checks, "edits", &self.edits);
        let expected = optional(expected)?;
        Some(Command::ChangeService { service: service?, expected, edits: edits? })
    }
}

impl ChangeRequest for v1::DeleteServiceRequest {
    fn context(&self) -> Option<&v1::ChangeContext> {
        self.context.as_ref()
    }

    fn command(&self, checks: &mut Checks) -> Option<Command> {
        let service = field::service(checks, "service", &self.service);
        let expected = self.expected_revision;
        let expected =
            expected.map(|expected| field::revision(checks, "expected_revision", expected));
        let expected = optional(expected)?;
        Some(Command::DeleteService { service: service?, expected })
    }
}

impl ChangeRequest for v1::RollUnitsRequest {
    fn context(&self) -> Option<&v1::ChangeContext> {
        self.context.as_ref()
    }

    fn command(&self, checks: &mut Checks) -> Option<Command> {
        let service = field::service(checks, "service", &self.service);
        let given = Some(self.region.as_str()).filter(|region| !region.is_empty());
        let region = optional(given.map(|region| field::region(checks, "region", region)));
        Some(Command::RollUnits { service: service?, region: region? })
    }
}

impl ChangeRequest for v1::DrainAgentRequest {
    fn context(&self) -> Option<&v1::ChangeContext> {
        self.context.as_ref()
    }

    fn command(&self, checks: &mut Checks) -> Option<Command> {
        let agent = field::agent(checks, "agent", &self.agent)?;
        Some(if self.undo {
            Command::UndrainAgent { agent }
        } else {
            Command::DrainAgent { agent }
        })
    }
}

impl ChangeRequest for v1::RemoveAgentRequest {
    fn context(&self) -> Option<&v1::ChangeContext> {
        self.context.as_ref()
    }

    fn command(&self, checks: &mut Checks) -> Option<Command> {
        Some(Command::RemoveAgent { agent: field::agent(checks, "agent", &self.agent)? })
    }
}

impl ChangeRequest for v1::SetLimitsRequest {
    fn context(&self) -> Option<&v1::ChangeContext> {
        self.context.as_ref()
    }

    fn command(&self, checks: &mut Checks) -> Option<Command> {
        let Some(given) = &self.limits else {
            checks.refuse("limits", "is required, with all limits");
            return None;
        };
        let developer_units =
            field::unit_limit(checks, "limits.developer_units", given.developer_units);
        let basic_units = field::unit_limit(checks, "limits.basic_units", given.basic_units);
        let standard_units =
            field::unit_limit(checks, "limits.standard_units", given.standard_units);
        let premium_units = field::unit_limit(checks, "limits.premium_units", given.premium_units);
        let voters = u8::try_from(given.voters).ok();
        let voters =
            voters.filter(|voters| *voters <= limits::MAX_VOTERS && !voters.is_multiple_of(2));
        let problem = || format!("must be 1, 3 or 5, not {}", given.voters);
        let voters = checks.take("limits.voters", voters.ok_or_else(problem));
        let limits = Limits {
            developer_units: developer_units?,
            basic_units: basic_units?,
            standard_units: standard_units?,
            premium_units: premium_units?,
            voters: voters?,
        };
        Some(Command::SetLimits { limits })
    }
}

impl ChangeRequest for v1::DefineRegionRequest {
    fn context(&self) -> Option<&v1::ChangeContext> {
        self.context.as_ref()
    }

    fn command(&self, checks: &mut Checks) -> Option<Command> {
        let max = limits::DISPLAY_NAME_CHARS;
        let name = field::region(checks, "name", &self.name);
        let display_name = field::text(checks, "display_name", max, &self.display_name);
        let latitude = field::microdegrees(checks, "latitude", 90, self.latitude);
        let longitude = field::microdegrees(checks, "longitude", 180, self.longitude);
        let region = Region {
            name: name?,
            display_name: display_name?,
            latitude_microdegrees: latitude?,
            longitude_microdegrees: longitude?,
        };
        Some(Command::DefineRegion { region })
    }
}

impl ChangeRequest for v1::TrimHistoryRequest {
    fn context(&self) -> Option<&v1::ChangeContext> {
        self.context.as_ref()
    }

    fn command(&self, checks: &mut Checks) -> Option<Command> {
        Some(Command::TrimHistory { through: field::revision(checks, "through", self.through)? })
    }
}
