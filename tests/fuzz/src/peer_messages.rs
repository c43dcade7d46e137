//! What agents say to each other: the first byte chooses the message, the others are its bytes, in
//! an envelope or the body of one.

use meridian_ports::Proposal;
use meridian_proto::v1::{ProposeRequest, ProposeResponse, RaftMessage};
use meridian_replication::attempt::Attempt;
use meridian_replication::peer::message::{attempt_of, propose_request, proposed, unwrap, wrap};
use meridian_replication::peer::wire::{Message, SnapshotPlace};
use meridian_storage::codec::Stored;
use meridian_storage::raft::TypeConfig;
use openraft::raft::{
    AppendEntriesRequest, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use prost::Message as _;
use tokio::time::Instant;

use super::sealed::{mend, seal};

/// Whether the bytes are a message of the chosen kind.
pub fn understands(data: &[u8]) -> bool {
    let Some((kind, bytes)) = data.split_first() else { return false };
    match kind % 10 {
        0 => raft::<AppendEntriesRequest<TypeConfig>>(bytes),
        1 => raft::<StreamAppendResult<TypeConfig>>(bytes),
        2 => raft::<VoteRequest<TypeConfig>>(bytes),
        3 => raft::<VoteResponse<TypeConfig>>(bytes),
        4 => raft::<TransferLeaderRequest<TypeConfig>>(bytes),
        5 => raft::<TransferLeaderResponse<TypeConfig>>(bytes),
        6 => raft::<SnapshotResponse<TypeConfig>>(bytes),
        7 => raft::<SnapshotPlace>(bytes),
        8 => proposal(bytes),
        _ => answer(bytes),
    }
}

fn raft<M: Message>(bytes: &[u8]) -> bool {
    let mut understood = false;
    for body in [bytes.to_vec(), seal::<M::Wire>(bytes)] {
        let Ok(message) = unwrap::<M>(&RaftMessage { body: body.into() }) else { continue };
        let sent = wrap(message);
        let again = unwrap::<M>(&sent).expect("what was sent can be read");
        assert_eq!(wrap(again), sent, "{} does not come back as it went", M::Wire::NAME);
        understood = true;
    }
    understood
}

fn proposal(bytes: &[u8]) -> bool {
    let Ok(mut request) = ProposeRequest::decode(bytes) else { return false };
    let mut understood = false;
    for _ in 0..2 {
        if let Ok((command, requester)) = proposed(request.clone()) {
            let deadline = Instant::now();
            let sent = propose_request(&Proposal { command, requester, deadline });
            let (command, requester) = proposed(sent.clone()).expect("what was sent can be read");
            assert_eq!(propose_request(&Proposal { command, requester, deadline }), sent);
            understood = true;
        }
        request.command = mended(&request.command);
    }
    understood
}

fn answer(bytes: &[u8]) -> bool {
    use meridian_proto::v1::propose_response::Result as Answer;
    let Ok(mut response) = ProposeResponse::decode(bytes) else { return false };
    let is_answer =
        |response: &ProposeResponse| !matches!(attempt_of(response.clone()), Attempt::Unknown(_));
    let as_it_is = is_answer(&response);
    if let Some(Answer::Receipt(bytes) | Answer::Error(bytes)) = &mut response.result {
        *bytes = mended(bytes);
    }
    is_answer(&response) || as_it_is
}

fn mended(bytes: &[u8]) -> bytes::Bytes {
    let mut bytes = bytes.to_vec();
    mend(&mut bytes);
    bytes.into()
}
