//! State of one client command: options, agents and output.

use meridian_proto::v1;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::cli::{DEFAULT_ENDPOINTS, ENDPOINTS_VARIABLE, Options};

use super::actor::actor;
use super::command_line::CommandLine;
use super::explain::{RequestInfo, explain};
use super::failover::{FailoverClient, RequestKind};
use super::failure::Failure;
use super::output::Output;

/// One run of one client command.
#[derive(Debug)]
pub struct Session {
    /// Options of the command.
    pub options: Options,
    /// Client for the agents.
    pub client: FailoverClient,
    /// Standard output.
    pub output: Output,
    /// The command as it was typed.
    pub command_line: CommandLine,
}

impl Session {
    /// Prepares a command; sends nothing yet.
    ///
    /// # Errors
    /// If an endpoint is invalid, or none is given.
    pub fn new(options: Options) -> Result<Self, Failure> {
        let variable = std::env::var(ENDPOINTS_VARIABLE).ok();
        let given = given_endpoints(&options.endpoints, variable.as_deref());
        let endpoints = given.map(str::parse).collect::<Result<Vec<_>, _>>()?;
        if endpoints.is_empty() {
            return Err(Failure::Usage {
                cause: "no endpoint is given".to_owned(),
                next: "name an agent with --endpoint HOST:PORT or MERIDIAN_ENDPOINTS".to_owned(),
            });
        }
        Ok(Self {
            client: FailoverClient::new(endpoints, options.timeout),
            output: Output::new(options.output),
            command_line: CommandLine::of_this_process(),
            options,
        })
    }

    /// Consistency of the reads of this command.
    pub fn consistency(&self) -> v1::Consistency {
        if self.options.stale { v1::Consistency::Stale } else { v1::Consistency::Linearizable }
    }

    /// Context of a change, with a new request id unless one was given. A dry run has none.
    pub fn context(&self) -> v1::ChangeContext {
        let request_id = match (self.options.dry_run, self.options.request_id) {
            (true, _) => String::new(),
            (false, Some(id)) => id.to_string(),
            (false, None) => Uuid::now_v7().to_string(),
        };
        v1::ChangeContext {
            request_id,
            actor: actor(),
            reason: self.options.reason.clone().unwrap_or_default(),
            dry_run: self.options.dry_run,
        }
    }

    /// Sends a request that changes nothing.
    ///
    /// # Errors
    /// The rejection, or that no agent responded.
    pub async fn read<M: Clone, R>(
        &self,
        message: M,
        rpc: impl AsyncFn(Channel, Request<M>) -> Result<Response<R>, Status>,
    ) -> Result<R, Failure> {
        self.send(RequestKind::Read, message, rpc).await
    }

    /// Sends a request without a request id, once.
    ///
    /// # Errors
    /// The rejection, that no agent responded, or that the outcome is unknown.
    pub async fn once<M: Clone, R>(
        &self,
        message: M,
        rpc: impl AsyncFn(Channel, Request<M>) -> Result<Response<R>, Status>,
    ) -> Result<R, Failure> {
        self.send(RequestKind::Once, message, rpc).await
    }

    async fn send<M: Clone, R>(
        &self,
        kind: RequestKind,
        message: M,
        rpc: impl AsyncFn(Channel, Request<M>) -> Result<Response<R>, Status>,
    ) -> Result<R, Failure> {
        let response = self.client.send(kind, message, rpc).await;
        response.map_err(|error| explain(error, &self.request_info(kind, None)))
    }

    /// Describes a request for messages about its failure.
    pub fn request_info<'a>(
        &'a self,
        kind: RequestKind,
        request_id: Option<&'a str>,
    ) -> RequestInfo<'a> {
        RequestInfo {
            kind,
            request_id,
            command_line: &self.command_line,
            default_endpoints: self.client.has_endpoints(&DEFAULT_ENDPOINTS),
        }
    }
}

/// The given endpoints, or the default ones if the environment variable is empty: that is how a
/// user unsets it for one command. An option with an empty value is an error.
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
    fn the_default_endpoints_are_recognized() {
        let is_default = |endpoints: &[&str]| {
            let endpoints = endpoints.iter().map(|text| text.parse().expect("is an endpoint"));
            let client = FailoverClient::new(endpoints.collect(), std::time::Duration::ZERO);
            client.has_endpoints(&DEFAULT_ENDPOINTS)
        };
        assert!(is_default(&DEFAULT_ENDPOINTS));
        assert!(!is_default(&["127.0.0.1:7400"]) && !is_default(&DEFAULT_ENDPOINTS[1..]));
    }

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
