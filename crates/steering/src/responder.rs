//! One query to one response.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use hickory_proto::ProtoError;
use hickory_proto::op::{Query, ResponseCode};
use meridian_domain::State;
use meridian_domain::routing::{Client, client_network};
use meridian_ports::{Located, Read};

use crate::answers::{Answer, Audience, Key};
use crate::edns::Edns;
use crate::hosts::Hosts;
use crate::location::Locator;
use crate::metrics::{Metrics, Transport};
use crate::name::Target;
use crate::question::{self, Envelope, Question};
use crate::rate_limit::{Admission, RateLimiter};
use crate::records::{self, Builder};
use crate::response;
use crate::view::{Current, View};
use crate::zone::Zone;

/// Responds to queries. Shared by all sockets.
pub(crate) struct Responder {
    pub(crate) current: Arc<Current>,
    pub(crate) read: Arc<dyn Read>,
    pub(crate) hosts: Arc<Hosts>,
    pub(crate) locator: Arc<Locator>,
    pub(crate) limiter: RateLimiter,
    pub(crate) metrics: Metrics,
    pub(crate) started: Instant,
}

impl Responder {
    /// Appends the response to `out`. Returns false if there is none.
    pub(crate) fn respond(
        &self,
        message: &[u8],
        peer: IpAddr,
        transport: Transport,
        out: &mut Vec<u8>,
    ) -> bool {
        let Some((envelope, question)) = question::parse(message) else {
            self.metrics.ignored.increment(1);
            return false;
        };
        if transport == Transport::Udp {
            match self.limiter.admit(peer, self.started.elapsed().as_nanos() as u64) {
                Admission::Send => {}
                Admission::Truncate if question.is_ok() => {
                    self.metrics.limited_truncated.increment(1);
                    response::write_truncated(out, &envelope);
                    return true;
                }
                // Malformed queries are not worth a retry.
                Admission::Truncate | Admission::Drop => {
                    self.metrics.limited_dropped.increment(1);
                    return false;
                }
            }
        }
        let limit = match transport {
            Transport::Udp => response::udp_limit(&envelope),
            Transport::Tcp => response::TCP_BYTES,
        };
        let answered =
            question.and_then(|question| self.answer(&envelope, &question, peer, limit, out));
        let code = answered.unwrap_or_else(|code| {
            response::write_error(out, &envelope, code);
            code
        });
        self.metrics.count(transport, code);
        true
    }

    /// Writes the answer to a well-formed query, or returns the error code of the response.
    fn answer(
        &self,
        envelope: &Envelope<'_>,
        question: &Question,
        peer: IpAddr,
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<ResponseCode, ResponseCode> {
        let view = self.current.view();
        let zone = view.zone.as_ref().ok_or(ResponseCode::Refused)?;
        if !question.name.is_in(&zone.wire) {
            return Err(ResponseCode::Refused);
        }
        let address = client_address(envelope.edns.as_ref(), peer);
        let located = self.locator.locate_in(&view, address);
        let key = Key::new(&located.region, &question.name, question.record_type);
        let answer = match view.answers.get(&key) {
            Some(answer) => answer,
            None => self.build(&view, zone, question, (&located, address), &key)?,
        };
        let scope = scope(answer.audience, &located, address);
        let serial = self.current.serial();
        response::write_answer(out, envelope, &answer.body, (serial, scope), limit);
        Ok(answer.body.code)
    }

    /// Builds an answer, and keeps it unless it is for one network only.
    fn build(
        &self,
        view: &View,
        zone: &Zone,
        question: &Question,
        client: (&Located, IpAddr),
        key: &Key,
    ) -> Result<Arc<Answer>, ResponseCode> {
        let labels = question.name.below(&zone.wire).ok_or(ResponseCode::Refused)?;
        let target = Target::of(&labels);
        let agreed = self.read.state();
        let state = view.local.as_ref().unwrap_or(&agreed);
        let mut builder = self.builder(zone, state, client);
        let Some(target) = target.filter(|target| records::exists(state, target)) else {
            let length = question.name.as_bytes().len() - zone.wire.len();
            if let Some(answer) = view.name_errors.get(length) {
                return Ok(answer);
            }
            let answer = self.built(builder.build_name_error(length))?;
            view.name_errors.insert(length, &answer);
            return Ok(answer);
        };
        // Only now, because services that do not exist are innumerable.
        builder.dependencies.extend(target.service().map(|it| view.answers.dependency(it)));
        let answer = zone
            .child(&labels)
            .and_then(|name| builder.build(&Query::query(name, question.record_type), &target));
        let answer = self.built(answer)?;
        if answer.audience != Audience::Network {
            view.answers.insert(key, Arc::clone(&answer));
        }
        Ok(answer)
    }

    fn builder<'a>(
        &'a self,
        zone: &'a Zone,
        state: &'a State,
        (located, address): (&Located, IpAddr),
    ) -> Builder<'a> {
        let network = Some(client_network(address));
        let client = Client { region: located.region.clone(), network };
        Builder::new(state, zone, &self.hosts, client)
    }

    /// Counts an answer. One that cannot be encoded is a defect, because its size is bounded far below
    /// that of a message.
    fn built(&self, answer: Result<Answer, ProtoError>) -> Result<Arc<Answer>, ResponseCode> {
        self.metrics.built.increment(1);
        answer.map(Arc::new).map_err(|error| {
            tracing::error!(%error, "cannot encode a DNS response");
            ResponseCode::ServFail
        })
    }
}

/// Returns the address that stands for the client: that of its network, if the resolver sent it.
fn client_address(edns: Option<&Edns>, peer: IpAddr) -> IpAddr {
    let subnet = edns.and_then(|edns| edns.subnet);
    subnet.and_then(|subnet| subnet.address()).unwrap_or(peer)
}

/// Returns the length of the prefix whose clients receive the same answer.
fn scope(audience: Audience, located: &Located, address: IpAddr) -> u8 {
    match audience {
        Audience::Everyone => 0,
        Audience::Region => located.scope,
        Audience::Network => located.scope.max(client_network(address).prefix_length()),
    }
}
