//! Units.

use meridian_proto::v1;
use serde::Serialize;

use crate::client::output::{NONE, Row, cell};

use super::{ObserverView, SilenceView, served, since, text};

/// A unit.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UnitView {
    /// Such as `contoso/westeurope/1`.
    pub unit: String,
    /// Its assignment.
    pub incarnation: u64,
    /// Its service.
    pub service: String,
    /// Its region.
    pub region: String,
    /// The agent that runs it.
    pub agent: String,
    /// `starting`, `ready`, `failed` or `draining`; `unknown` if its agent is unreachable; `lost` if it is
    /// ready and clients cannot reach it.
    pub state: String,
    /// The state that its agent reported last.
    pub reported_state: String,
    /// Time since its agent was last heard from; null unless the state is `unknown`.
    pub unknown_for: Option<SilenceView>,
    /// Time since which clients cannot reach it; null unless the state is `lost`.
    pub lost_since: Option<String>,
    /// Process id on the agent's machine; null while it does not run, and if its state is unknown.
    pub pid: Option<u32>,
    /// Address for clients, `host:port`; null if not known.
    pub address: Option<String>,
    /// Cause of the failure; null if it did not fail.
    pub cause: Option<String>,
    /// Consecutive failed starts.
    pub restarts: u32,
    /// Revision of the configuration that it serves; null unless it is ready.
    pub configuration: Option<u64>,
    /// Requests in flight; null if its agent did not report them.
    pub in_flight: Option<u32>,
    /// Requests in flight as a fraction of its maximum, 0 to 1, smoothed; null likewise.
    pub utilization: Option<f64>,
    /// The observer that decides which agents are reachable.
    pub observer: Option<ObserverView>,
}

impl UnitView {
    /// Converts a response.
    pub fn list(response: v1::ListUnitsResponse) -> Vec<Self> {
        let observer = response.observer.map(ObserverView::from);
        let units = response.units.into_iter();
        units.map(|unit| Self { observer: observer.clone(), ..Self::from(unit) }).collect()
    }

    fn state_cell(&self) -> String {
        let suffix = self.unknown_for.map(SilenceView::suffix).unwrap_or_default();
        match self.restarts {
            0 => format!("{}{suffix}", self.state),
            restarts => format!("{} {restarts}x{suffix}", self.state),
        }
    }

    fn load_cell(&self) -> String {
        let percent = self.utilization.map(|load| format!("{:.0} %", load * 100.0));
        percent.unwrap_or_else(|| NONE.to_owned())
    }
}

impl From<v1::Unit> for UnitView {
    fn from(unit: v1::Unit) -> Self {
        Self {
            unit: unit.unit,
            incarnation: unit.incarnation,
            service: unit.service,
            region: unit.region,
            agent: unit.agent,
            state: unit.state,
            reported_state: unit.reported_state,
            unknown_for: unit.unknown_for.map(SilenceView::from),
            lost_since: since(unit.lost_since),
            pid: unit.pid,
            address: text(unit.address),
            cause: text(unit.cause),
            restarts: unit.restarts,
            configuration: served(unit.configuration),
            in_flight: unit.in_flight,
            utilization: unit.utilization_permille.map(|load| f64::from(load) / 1_000.0),
            observer: None,
        }
    }
}

impl Row for UnitView {
    const HEADS: &'static [&'static str] = &["UNIT", "STATE", "LOAD", "AGENT"];
    const WIDE_HEADS: &'static [&'static str] = &[
        "UNIT",
        "INCARNATION",
        "AGENT",
        "STATE",
        "PID",
        "ADDRESS",
        "CONFIG",
        "LOAD",
        "RESTARTS",
        "UNKNOWN FOR",
        "REPORTED",
        "CAUSE",
    ];

    fn cells(&self) -> Vec<String> {
        vec![self.unit.clone(), self.state_cell(), self.load_cell(), self.agent.clone()]
    }

    fn wide_cells(&self) -> Vec<String> {
        let unknown_for = self.unknown_for.map(SilenceView::exact_suffix).unwrap_or_default();
        vec![
            self.unit.clone(),
            self.incarnation.to_string(),
            self.agent.clone(),
            match &self.lost_since {
                Some(since) => format!("{} since {since}", self.state),
                None => self.state.clone(),
            },
            cell(self.pid.as_ref()),
            cell(self.address.as_ref()),
            cell(self.configuration.as_ref()),
            self.load_cell(),
            self.restarts.to_string(),
            cell(text(unknown_for.trim().to_owned()).as_ref()),
            self.reported_state.clone(),
            cell(self.cause.as_ref()),
        ]
    }
}
