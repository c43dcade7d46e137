//! What every client command needs: the flags, the endpoints, and where output goes.

use meridian_proto::v1;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::cli::{DEFAULT_ENDPOINTS, ENDPOINTS_VARIABLE, GlobalArgs};

use super::actor::actor;
use super::call::{Caller, Kind};
use super::command_line::CommandLine;
use super::explain::{Asked, explain};
use super::failure::Failure;
use super::output::Output;

/// One run of one client command.
#[derive(Debug)]
pub struct Session {
    /// The flags around the command.
    pub global: GlobalArgs,
    /// The way to the agents.
    pub caller: Caller,
    /// The way to standard output.
    pub output: Output,
    /// What was typed.
    pub command_line: CommandLine,
}

impl Session {
    /// Prepares a command; asks nobody yet.
    ///
    /// # Errors
    /// If an endpoint is malformed.
    pub fn new(global: GlobalArgs) -> Result<Self, Failure> {
        let variable = std::env::var(ENDPOINTS_VARIABLE).ok();
        let given = given_endpoints(&global.endpoints, variable.as_deref());
        let endpoints = given.map(str::parse).collect::<Result<Vec<_>, _>>()?;
        if endpoints.is_empty() {
            return Err(Failure::Usage {
                cause: "no endpoint is given".to_owned(),
                next: "name one with --endpoint HOST:PORT or in MERIDIAN_ENDPOINTS".to_owned(),
            });
        }
        Ok(Self {
            caller: Caller::new(endpoints, global.timeout),
            output: Output::new(global.output),
            command_line: CommandLine::of_this_process(),
            global,
        })
    }

    /// How fresh reads have to be.
    pub fn consistency(&self) -> v1::Consistency {
        if self.global.stale { v1::Consistency::Stale } else { v1::Consistency::Linearizable }
    }

    /// What a change carries, with a new request id unless one was given. A dry run has none.
    pub fn context(&self) -> v1::ChangeContext {
        let request_id = match (self.global.dry_run, self.global.request_id) {
            (true, _) => String::new(),
            (false, Some(id)) => id.to_string(),
            (false, None) => Uuid::now_v7().to_string(),
        };
        v1::ChangeContext {
            request_id,
            actor: actor(),
            reason: self.global.reason.clone().unwrap_or_default(),
            dry_run: self.global.dry_run,
        }
    }

    /// Asks for something that changes nothing.
    ///
    /// # Errors
    /// The agent's refusal, or that nobody answered.
    pub async fn read<M: Clone, R>(
        &self,
        message: M,
        rpc: impl AsyncFn(Channel, Request<M>) -> Result<Response<R>, Status>,
    ) -> Result<R, Failure> {
        let asked = Asked { kind: Kind::Read, request_id: None, command_line: &self.command_line };
        let answer = self.caller.call(Kind::Read, message, rpc).await;
        answer.map_err(|error| explain(error, &asked))
    }

    /// Asks for something that has no request id, once.
    ///
    /// # Errors
    /// The agent's refusal, that nobody answered, or that the outcome is unknown.
    pub async fn once<M: Clone, R>(
        &self,
        message: M,
        rpc: impl AsyncFn(Channel, Request<M>) -> Result<Response<R>, Status>,
    ) -> Result<R, Failure> {
        let asked = Asked { kind: Kind::Once, request_id: None, command_line: &self.command_line };
        let answer = self.caller.call(Kind::Once, message, rpc).await;
        answer.map_err(|error| explain(error, &asked))
    }
}

/// The endpoints that were given, or the default ones where the environment variable is set to nothing:
/// that is how it is unset for one command. A flag without a value is a mistake.
fn given_endpoints<'a>(
    given: &'a [String],
    variable: Option<&str>,
) -> impl Iterator<Item = &'a str> + use<'a> {
    let is_blank = |text: &str| text.trim().is_empty();
    let all_blank = given.iter().all(|text| is_blank(text));
    let defaults: &[&str] = match all_blank && variable.is_some_and(is_blank) {
        true => &DEFAULT_ENDPOINTS,
        false => &[],
    };
    let named = given.iter().map(String::as_str).filter(move |text| !is_blank(text));
    named.chain(defaults.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_counts_as_unset() {
        let endpoints = |given: &[&str], variable| {
            let given: Vec<String> = given.iter().map(ToString::to_string).collect();
            let endpoints: Vec<_> = given_endpoints(&given, variable).map(str::to_owned).collect();
            endpoints
        };
        assert_eq!(endpoints(&[""], Some("")), DEFAULT_ENDPOINTS);
        assert_eq!(endpoints(&[], Some(" ")), DEFAULT_ENDPOINTS);
        assert_eq!(endpoints(&["a:1", ""], Some("")), ["a:1"]);
        assert!(endpoints(&[""], None).is_empty());
        assert!(endpoints(&[""], Some("a:1")).is_empty());
    }
}
