//! Waiting for the agents of a new or restarted cluster, and giving it its first service.

use std::collections::BTreeSet;
use std::time::Duration;

use meridian_domain::agent::Address;
use meridian_domain::{AgentName, RegionName};
use meridian_proto::v1::services_client::ServicesClient;
use meridian_proto::v1::{
    Api, ChangeContext, ChangeServiceRequest, CreateServiceRequest, Edit, ListServicesRequest, edit,
};
use meridian_transport::{ConnectError, Dialer, settings};
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use uuid::Uuid;

use super::cluster::Ended;
use super::echo;
use crate::client::actor;

/// The first service of a new cluster.
const SERVICE: &str = "contoso";
/// Its tier: the one that may have several regions.
const TIER: &str = "premium";
/// For one question to one agent.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two rounds.
const PAUSE: Duration = Duration::from_millis(100);
/// For the first agent to be ready: elections and the replay of a long log are in it.
const FIRST: Duration = Duration::from_secs(60);
/// For the others, once one is: whoever is not ready by then has a problem of its own.
const OTHERS: Duration = Duration::from_secs(15);

/// What a cluster holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Contents {
    /// Its newest revision.
    pub revision: u64,
    /// How many services it has.
    pub services: usize,
}

/// A cluster that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// What it held when it became ready.
    pub contents: Contents,
    /// The agents that are not ready yet.
    pub missing: Vec<AgentName>,
}

/// Returns once all agents answer with what is acknowledged, or as many as will; nobody waits for one
/// that has ended. Cancel-safe.
///
/// # Errors
/// What each said last, if none does in time.
pub async fn wait(
    agents: &[(AgentName, Address)],
    ended: &Ended,
) -> Result<Ready, Vec<(AgentName, String)>> {
    let mut deadline = Instant::now() + FIRST;
    let mut waiting: BTreeSet<_> = agents.iter().map(|(name, _)| name.clone()).collect();
    let mut first = None;
    loop {
        let mut words = Vec::new();
        for (name, address) in agents.iter().filter(|(name, _)| waiting.contains(name)) {
            words.push(match ask(address).await {
                Ok(contents) => (name.clone(), Ok(contents)),
                Err(word) => (name.clone(), Err(word)),
            });
        }
        let mut complaints = Vec::new();
        for (name, word) in words {
            match word {
                Ok(contents) => {
                    waiting.remove(&name);
                    if first.is_none() {
                        first = Some(contents);
                        deadline = Instant::now() + OTHERS;
                    }
                }
                Err(word) => complaints.push((name, word)),
            }
        }
        match first {
            Some(contents)
                if waiting.iter().all(|name| ended.has(name)) || Instant::now() >= deadline =>
            {
                return Ok(Ready { contents, missing: waiting.into_iter().collect() });
            }
            None if Instant::now() >= deadline => return Err(complaints),
            Some(_) | None => sleep(PAUSE).await,
        }
    }
}

/// What an agent answers to a question that needs a majority.
async fn ask(address: &Address) -> Result<Contents, String> {
    let asked = async {
        let mut client = connect(address).await.map_err(|error| error.to_string())?;
        let mut request = Request::new(ListServicesRequest::default());
        request.set_timeout(PATIENCE);
        let answer = client.list_services(request).await;
        let answer = answer.map_err(|status| status.message().to_owned())?.into_inner();
        match answer.read_point.map_or(0, |point| point.revision) {
            0 => Err("its cluster is not founded yet".to_owned()),
            revision => Ok(Contents { revision, services: answer.services.len() }),
        }
    };
    timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err("it does not answer".to_owned()))
}

/// Creates the first service and publishes its first API, like any client: at one agent after another,
/// each under one request id.
///
/// # Errors
/// What the last agent said.
pub async fn begin(
    agents: &[(AgentName, Address)],
    primary: &RegionName,
    backend: &str,
) -> Result<(), String> {
    let create = CreateServiceRequest {
        context: Some(context()),
        service: SERVICE.to_owned(),
        tier: TIER.to_owned(),
        primary: primary.to_string(),
        port: None,
    };
    first_answer(agents, async |mut client: ServicesClient<Channel>| {
        client.create_service(within_patience(create.clone())).await.map(|_| ())
    })
    .await?;
    let echo = Api {
        name: echo::API.to_owned(),
        path: echo::PATH.to_owned(),
        backend: backend.to_owned(),
        ..Api::default()
    };
    let publish = ChangeServiceRequest {
        context: Some(context()),
        service: SERVICE.to_owned(),
        expected_revision: None,
        edits: vec![Edit { edit: Some(edit::Edit::PublishApi(echo)) }],
    };
    first_answer(agents, async |mut client: ServicesClient<Channel>| {
        client.change_service(within_patience(publish.clone())).await.map(|_| ())
    })
    .await
}

fn context() -> ChangeContext {
    ChangeContext {
        request_id: Uuid::now_v7().to_string(),
        actor: actor(),
        reason: String::new(),
        dry_run: false,
    }
}

fn within_patience<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(PATIENCE);
    request
}

/// Asks one agent after another until one does it.
async fn first_answer(
    agents: &[(AgentName, Address)],
    ask: impl AsyncFn(ServicesClient<Channel>) -> Result<(), Status>,
) -> Result<(), String> {
    let mut said = String::new();
    for (name, address) in agents {
        let asked = async {
            let client = connect(address).await.map_err(|error| error.to_string())?;
            match ask(client).await {
                Err(status) if status.code() != Code::AlreadyExists => {
                    Err(status.message().to_owned())
                }
                Ok(()) | Err(_) => Ok(()),
            }
        };
        match asked.await {
            Ok(()) => return Ok(()),
            Err(word) => said = format!("{name}: {word}"),
        }
    }
    Err(said)
}

async fn connect(address: &Address) -> Result<ServicesClient<Channel>, ConnectError> {
    meridian_transport::connect(&Dialer::default(), address, &settings::CLIENT, PATIENCE)
        .await
        .map(ServicesClient::new)
}
