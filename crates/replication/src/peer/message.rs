//! Conversion of messages between agents to and from protobuf.

use std::io;

use bytes::Bytes;
use meridian_domain::{Actor, Command, NodeId, Reason, RequestId};
use meridian_ports::{Proposal, ProposeError, Requester};
use meridian_proto::v1 as proto;
use meridian_proto::v1::propose_request::Requester as WireRequester;
use meridian_proto::v1::propose_response::Result as WireResult;
use meridian_storage::codec;
use tonic::Status;

use super::wire::Message;
use crate::attempt::Attempt;

/// Encodes a message of openraft.
#[must_use]
pub fn encode<M: Message>(message: M) -> proto::RaftMessage {
    proto::RaftMessage { body: Bytes::from(codec::encode(&message.into_wire())) }
}

/// Decodes a message of openraft.
///
/// # Errors
/// If the bytes are not a valid message of this type.
pub fn decode<M: Message>(message: &proto::RaftMessage) -> Result<M, Status> {
    let wire = codec::decode(&message.body).map_err(io::Error::from);
    wire.and_then(M::from_wire).map_err(|error| Status::invalid_argument(error.to_string()))
}

/// Returns the request for a proposal. Its number is set by the stream that sends it.
pub fn propose_request(proposal: &Proposal) -> proto::ProposeRequest {
    let requester = match &proposal.requester {
        Requester::Operator { request, actor, reason } => {
            WireRequester::Operator(proto::OperatorRequester {
                request_id: request.to_string(),
                actor: actor.to_string(),
                reason: reason.as_ref().map(ToString::to_string).unwrap_or_default(),
            })
        }
        Requester::Agent => WireRequester::Agent(proto::AgentRequester {}),
        Requester::System => WireRequester::System(proto::SystemRequester {}),
    };
    let command = Bytes::from(codec::encode(&proposal.command));
    proto::ProposeRequest { command, requester: Some(requester), number: 0 }
}

/// Returns the command and the requester in a request.
///
/// # Errors
/// If either is invalid.
pub fn parse_propose_request(
    request: proto::ProposeRequest,
) -> Result<(Command, Requester), Status> {
    let invalid = |field: &str, error: &dyn std::fmt::Display| {
        Status::invalid_argument(format!("{field}: {error}"))
    };
    let command = codec::decode(&request.command).map_err(|error| invalid("command", &error))?;
    let requester = match request.requester {
        Some(WireRequester::Operator(operator)) => Requester::Operator {
            request: operator
                .request_id
                .parse::<RequestId>()
                .map_err(|error| invalid("request_id", &error))?,
            actor: Actor::new(operator.actor).map_err(|error| invalid("actor", &error))?,
            reason: match operator.reason {
                reason if reason.is_empty() => None,
                reason => Some(Reason::new(reason).map_err(|error| invalid("reason", &error))?),
            },
        },
        Some(WireRequester::Agent(_)) => Requester::Agent,
        Some(WireRequester::System(_)) => Requester::System,
        None => return Err(Status::invalid_argument("requester: missing")),
    };
    Ok((command, requester))
}

/// Returns the response for the attempt with request number `number`.
pub fn propose_response(
    number: u64,
    attempt: Attempt,
    leader: Option<NodeId>,
) -> proto::ProposeResponse {
    let result = match attempt {
        Attempt::Done(Ok(receipt)) => WireResult::Receipt(codec::encode(&receipt).into()),
        Attempt::Done(Err(error)) => WireResult::Error(codec::encode(&error).into()),
        Attempt::NotSubmitted => {
            WireResult::NotLeader(proto::NotLeader { leader: leader.map(|node| node.0) })
        }
        Attempt::Unknown(cause) => {
            WireResult::Error(codec::encode(&ProposeError::Unknown { cause }).into())
        }
    };
    proto::ProposeResponse { result: Some(result), number }
}

/// Returns the outcome of an attempt from its response.
#[must_use]
pub fn parse_propose_response(response: proto::ProposeResponse) -> Attempt {
    let undecodable = |error: codec::DecodeError| Attempt::Unknown(error.to_string());
    match response.result {
        Some(WireResult::Receipt(bytes)) => {
            codec::decode(&bytes).map_or_else(undecodable, |receipt| Attempt::Done(Ok(receipt)))
        }
        Some(WireResult::Error(bytes)) => match codec::decode(&bytes) {
            Ok(ProposeError::Unknown { cause }) => Attempt::Unknown(cause),
            Ok(error) => Attempt::Done(Err(error)),
            Err(error) => undecodable(error),
        },
        Some(WireResult::NotLeader(_)) => Attempt::NotSubmitted,
        None => Attempt::Unknown("the response of the leader is empty".to_owned()),
    }
}
