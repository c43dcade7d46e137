//! Builds answers from the state.

use std::collections::BTreeSet;
use std::net::IpAddr;

use hickory_proto::ProtoError;
use hickory_proto::op::{Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, HINFO, NS, SOA, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use meridian_domain::routing::{Client, gateways, order};
use meridian_domain::{Agent, RegionName, RoutingPolicy, Service, State, name_servers};

use crate::answers::{Answer, Audience};
use crate::delegation::TTL_SECONDS as NAME_SERVER_TTL;
use crate::dependency::Dependency;
use crate::encode::{Sections, encode};
use crate::hosts::Hosts;
use crate::name::Target;
use crate::zone::Zone;

/// Maximum number of addresses of one family and region in a response, the first by the name of their
/// agent: with a name of usual length, 16 of IPv6 fit into 512 bytes, which every client accepts.
const ADDRESSES_PER_REGION: usize = 16;
/// Maximum number of regions in an SRV response: more than a client tries.
const SRV_REGIONS: usize = 16;
/// Minimum time to live of addresses in seconds: with 0, every query would reach this server.
const MIN_TTL: u32 = 1;

/// Timers of secondary servers, of which there are none: those recommended by RIPE-203.
const REFRESH: i32 = 86_400;
const RETRY: i32 = 7_200;
const EXPIRE: i32 = 3_600_000;

/// Sources of an answer.
pub(crate) struct Builder<'a> {
    pub(crate) state: &'a State,
    pub(crate) zone: &'a Zone,
    pub(crate) hosts: &'a Hosts,
    pub(crate) client: Client,
    /// Dependencies of the answer so far.
    pub(crate) dependencies: Vec<Dependency>,
    audience: Audience,
}

/// Content of an answer about a name that exists.
enum Content {
    Records {
        answers: Vec<Record>,
        additionals: Vec<Record>,
    },
    /// The name has no record of the type.
    NoData,
}

impl Content {
    fn of(answers: Vec<Record>) -> Self {
        if answers.is_empty() {
            return Self::NoData;
        }
        Self::Records { answers, additionals: Vec::new() }
    }
}

/// Returns true if the name exists: its service with its location, or its agent.
pub(crate) fn exists(state: &State, target: &Target) -> bool {
    match target {
        Target::Apex | Target::Regional | Target::NameServers => true,
        Target::Service(service)
        | Target::Transport(service)
        | Target::Http(service)
        | Target::RegionalService(service) => state.services.contains_key(service),
        Target::Region(service, region) => {
            let service = state.services.get(service);
            service.is_some_and(|service| service.locations.contains_key(region))
        }
        Target::NameServer(agent) => state.agents.contains_key(agent),
    }
}

impl<'a> Builder<'a> {
    pub(crate) fn new(state: &'a State, zone: &'a Zone, hosts: &'a Hosts, client: Client) -> Self {
        let (dependencies, audience) = (Vec::new(), Audience::Everyone);
        Self { state, zone, hosts, client, dependencies, audience }
    }

    /// Builds the answer to a query for a name that exists. The name must be in lowercase.
    ///
    /// # Errors
    /// If it does not fit into a message.
    pub(crate) fn build(mut self, query: &Query, target: &Target) -> Result<Answer, ProtoError> {
        let mut sections = Sections::default();
        let mut has_soa = query.query_type() == RecordType::SOA && *target == Target::Apex;
        match self.content(query, target)? {
            Content::Records { answers, additionals } => {
                sections = Sections { answers, additionals, ..sections };
            }
            Content::NoData => {
                sections.authorities.push(self.soa()?);
                has_soa = true;
            }
        }
        let body = encode(query, ResponseCode::NoError, sections, has_soa)?;
        Ok(Answer { body, audience: self.audience, dependencies: self.dependencies })
    }

    /// Builds the answer to queries for names that do not exist and have this length below the zone.
    ///
    /// # Errors
    /// If it does not fit into a message.
    pub(crate) fn build_name_error(self, length: usize) -> Result<Answer, ProtoError> {
        let query = Query::query(self.zone.placeholder(length)?, RecordType::A);
        let sections = Sections { authorities: vec![self.soa()?], ..Sections::default() };
        let body = encode(&query, ResponseCode::NXDomain, sections, true)?;
        Ok(Answer { body, audience: self.audience, dependencies: self.dependencies })
    }

    fn content(&mut self, query: &Query, target: &Target) -> Result<Content, ProtoError> {
        let (name, record_type) = (query.name(), query.query_type());
        let service = target.service().and_then(|name| self.state.services.get(name));
        let is_address = matches!(record_type, RecordType::A | RecordType::AAAA);
        Ok(match (target, service, record_type) {
            (Target::Service(_), Some(service), _) if is_address => {
                self.routed(name, record_type, service)
            }
            (Target::Region(_, region), Some(service), _) if is_address => {
                Content::of(self.addresses(service, region).records(name, record_type))
            }
            (Target::NameServer(agent), _, _) if is_address => {
                let agent = self.state.agents.get(agent);
                Content::of(agent.map_or_else(Vec::new, |it| self.glue(name, record_type, it)))
            }
            (Target::Http(_), Some(service), RecordType::SRV) => self.srv(name, service)?,
            (Target::Apex, _, RecordType::SOA) => Content::of(vec![self.soa()?]),
            (Target::Apex, _, RecordType::NS) => self.name_servers()?,
            (_, _, RecordType::ANY) if target.has_records() => any(name, self.zone),
            _ => Content::NoData,
        })
    }

    /// Addresses of the closest region that serves, and of the configured number of further ones.
    fn routed(&mut self, name: &Name, record_type: RecordType, service: &Service) -> Content {
        self.audience = audience(service);
        let order = order(self.state, service, &self.client);
        let regions = 1 + usize::from(self.state.header.dns.fallback_regions);
        let reachable = order.routed().map(|candidate| self.addresses(service, &candidate.region));
        // A region without known addresses is passed over.
        let reachable = reachable.filter(|addresses| !addresses.all.is_empty()).take(regions);
        let records = reachable.flat_map(|addresses| addresses.records(name, record_type));
        Content::of(records.collect())
    }

    /// Regions in their order, each with the ports of its gateways.
    fn srv(&mut self, name: &Name, service: &Service) -> Result<Content, ProtoError> {
        self.audience = audience(service);
        let order = order(self.state, service, &self.client);
        let mut answers = Vec::new();
        for (rank, candidate) in (0..).zip(order.routed().take(SRV_REGIONS)) {
            let target = self.zone.region(&service.name, &candidate.region)?;
            let gateways = gateways(self.state, service, &candidate.region);
            // More than one only while units move to another port.
            let ports: BTreeSet<u16> = gateways.iter().map(|gateway| gateway.port).collect();
            answers.extend(ports.into_iter().map(|port| {
                let srv = SRV::new(rank, 0, port, target.clone());
                Record::from_rdata(name.clone(), self.zone.ttl, RData::SRV(srv))
            }));
        }
        Ok(Content::of(answers))
    }

    /// Addresses of the gateways of a location.
    fn addresses(&mut self, service: &Service, region: &RegionName) -> Addresses {
        let mut addresses = Addresses { all: Vec::new(), ttl: self.zone.ttl };
        for gateway in gateways(self.state, service, region) {
            self.add_host(&mut addresses, &gateway.agent.description.gateway_host);
        }
        addresses
    }

    fn add_host(&mut self, addresses: &mut Addresses, host: &str) {
        let host = self.hosts.get(host);
        for address in &host.addresses {
            if !addresses.all.contains(address) {
                addresses.all.push(*address);
            }
        }
        addresses.ttl = addresses.ttl.min(host.ttl.unwrap_or(u32::MAX)).max(MIN_TTL);
        self.dependencies.push(host.dependency.clone());
    }

    /// Addresses of a name server. Their time to live is that of the list of name servers.
    fn glue(&mut self, name: &Name, record_type: RecordType, agent: &Agent) -> Vec<Record> {
        let mut addresses = Addresses { all: Vec::new(), ttl: NAME_SERVER_TTL };
        self.add_host(&mut addresses, &agent.description.gateway_host);
        addresses.ttl = NAME_SERVER_TTL;
        addresses.records(name, record_type)
    }

    fn name_servers(&mut self) -> Result<Content, ProtoError> {
        let (mut answers, mut additionals) = (Vec::new(), Vec::new());
        for agent in name_servers::name_servers(self.state) {
            let name = self.zone.name_server(&agent.description.name)?;
            let record = RData::NS(NS(name.clone()));
            answers.push(Record::from_rdata(self.zone.apex.clone(), NAME_SERVER_TTL, record));
            for family in [RecordType::A, RecordType::AAAA] {
                additionals.extend(self.glue(&name, family, agent));
            }
        }
        if answers.is_empty() {
            return Ok(Content::NoData);
        }
        Ok(Content::Records { answers, additionals })
    }

    fn soa(&self) -> Result<Record, ProtoError> {
        let primary = match name_servers::name_servers(self.state).first() {
            Some(agent) => self.zone.name_server(&agent.description.name)?,
            None => self.zone.apex.clone(),
        };
        let contact = self.zone.child(&[b"hostmaster"])?;
        // The serial is set when the response is sent.
        let (serial, ttl) = (0, self.zone.ttl);
        let soa = SOA::new(primary, contact, serial, REFRESH, RETRY, EXPIRE, ttl);
        Ok(Record::from_rdata(self.zone.apex.clone(), ttl, RData::SOA(soa)))
    }
}

fn audience(service: &Service) -> Audience {
    match service.routing {
        RoutingPolicy::Nearest | RoutingPolicy::Priority => Audience::Region,
        RoutingPolicy::Weighted => Audience::Network,
    }
}

/// Returns the minimal response to a query for any type (RFC 8482, section 4.2).
fn any(name: &Name, zone: &Zone) -> Content {
    let hinfo = RData::HINFO(HINFO::new("RFC8482".to_owned(), String::new()));
    Content::of(vec![Record::from_rdata(name.clone(), zone.ttl, hinfo)])
}

/// Addresses of one region.
struct Addresses {
    all: Vec<IpAddr>,
    ttl: u32,
}

impl Addresses {
    fn records(&self, name: &Name, record_type: RecordType) -> Vec<Record> {
        let data = |address: &IpAddr| match (address, record_type) {
            (IpAddr::V4(address), RecordType::A) => Some(RData::A(A(*address))),
            (IpAddr::V6(address), RecordType::AAAA) => Some(RData::AAAA(AAAA(*address))),
            _ => None,
        };
        let data = self.all.iter().filter_map(data).take(ADDRESSES_PER_REGION);
        data.map(|data| Record::from_rdata(name.clone(), self.ttl, data)).collect()
    }
}
