//! Messages between agents. The first byte selects the message, the others are an envelope or the
//! body of one.

use meridian_ports::Proposal;
use meridian_proto::v1::{ProposeRequest, ProposeResponse, RaftMessage};
use meridian_replication::attempt::Attempt;
use meridian_replication::peer::message::{
    decode, encode, parse_propose_request, parse_propose_response, propose_request,
};
use meridian_replication::peer::wire::{Message, RaftSnapshotMeta};
use meridian_storage::codec::Stored;
use meridian_storage::raft::TypeConfig;
use openraft::raft::{
    AppendEntriesRequest, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use prost::Message as _;
use tokio::time::Instant;

use super::envelopes::{fix_envelope, seal};

/// Returns true if the bytes are a message of the selected kind.
pub fn accepts(data: &[u8]) -> bool {
    let Some((kind, bytes)) = data.split_first() else { return false };
    match kind % 10 {
        0 => raft::<AppendEntriesRequest<TypeConfig>>(bytes),
        1 => raft::<StreamAppendResult<TypeConfig>>(bytes),
        2 => raft::<VoteRequest<TypeConfig>>(bytes),
        3 => raft::<VoteResponse<TypeConfig>>(bytes),
        4 => raft::<TransferLeaderRequest<TypeConfig>>(bytes),
        5 => raft::<TransferLeaderResponse<TypeConfig>>(bytes),
        6 => raft::<SnapshotResponse<TypeConfig>>(bytes),
        7 => raft::<RaftSnapshotMeta>(bytes),
        8 => proposal(bytes),
        _ => response(bytes),
    }
}

fn raft<M: Message>(bytes: &[u8]) -> bool {
    let mut accepted = false;
    for body in [bytes.to_vec(), seal::<M::Wire>(bytes)] {
        let Ok(message) = decode::<M>(&RaftMessage { body: body.into() }) else { continue };
        let sent = encode(message);
        let again = decode::<M>(&sent).expect("a sent message is readable");
        assert_eq!(encode(again), sent, "{} does not survive a round trip", M::Wire::NAME);
        accepted = true;
    }
    accepted
}

fn proposal(bytes: &[u8]) -> bool {
    let Ok(mut request) = ProposeRequest::decode(bytes) else { return false };
    let mut accepted = false;
    for _ in 0..2 {
        if let Ok((command, requester)) = parse_propose_request(request.clone()) {
            let deadline = Instant::now();
            let sent = propose_request(&Proposal { command, requester, deadline });
            let (command, requester) =
                parse_propose_request(sent.clone()).expect("a sent proposal is readable");
            assert_eq!(propose_request(&Proposal { command, requester, deadline }), sent);
            accepted = true;
        }
        request.command = fixed(&request.command);
    }
    accepted
}

fn response(bytes: &[u8]) -> bool {
    use meridian_proto::v1::propose_response::Result as Content;
    let Ok(mut response) = ProposeResponse::decode(bytes) else { return false };
    let is_definite = |response: &ProposeResponse| {
        !matches!(parse_propose_response(response.clone()), Attempt::Unknown(_))
    };
    let unchanged = is_definite(&response);
    if let Some(Content::Receipt(bytes) | Content::Error(bytes)) = &mut response.result {
        *bytes = fixed(bytes);
    }
    is_definite(&response) || unchanged
}

fn fixed(bytes: &[u8]) -> bytes::Bytes {
    let mut bytes = bytes.to_vec();
    fix_envelope(&mut bytes);
    bytes.into()
}
