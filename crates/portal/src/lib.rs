//! The web page of a cluster, served by every agent.
//!
//! A page is a function of the state, of observations and of its address: unsaved edits are a part of the
//! address (`draft`), so that every page works without JavaScript, and on any other agent. The script
//! only makes it pleasant: it replaces the content when an event concerns it (`live`).
//!
//! This crate knows the cluster through [`meridian_ports`] alone. It must not know how the log is
//! replicated, nor the gRPC API: the sentences that both show come from [`meridian_wording`].
//!
//! Start with [`router`], then `locations` for the main page and `save` for its one effect. `guard`
//! is the only place that knows other pages in the same browser, `client` the only one that knows the
//! person.

mod asset;
mod client;
mod draft;
mod form;
mod guard;
mod live;
mod locations;
mod page;
mod save;
mod services;
mod snapshot;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use meridian_domain::AgentName;
use meridian_ports::Ports;

use guard::Hosts;
use live::Live;

/// Configuration of the portal.
#[derive(Debug, Clone)]
pub struct Config {
    /// The agent that serves it.
    pub agent: AgentName,
    /// Names under which it is served, besides IP addresses and `localhost`.
    pub hosts: Vec<String>,
    /// Maximum number of pages with live updates.
    pub live_pages: usize,
}

/// The portal of an agent. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Portal {
    ports: Ports,
    agent: AgentName,
    live: Arc<Live>,
}

/// Returns the routes of the pages.
pub fn router(config: Config, ports: Ports) -> Router {
    let Config { agent, hosts, live_pages } = config;
    let live = Arc::new(Live::new(live_pages));
    let portal = Portal { ports, agent, live };
    Router::new()
        .route("/", get(services::page))
        .route("/services", post(services::create))
        .route("/services/{service}", get(locations::page))
        .route("/services/{service}/save", post(save::save))
        .route("/services/{service}/delete", post(services::delete))
        .route("/live", get(live::stream))
        .route("/assets/{name}", get(asset::get))
        .with_state(portal)
        .layer(from_fn_with_state(Arc::new(Hosts(hosts)), guard::check))
}
