//! Commands forwarded to one node, multiplexed on one stream, so that concurrent commands share
//! network packets and none needs a separate gRPC call.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use meridian_proto::v1 as proto;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::error::{RequestError, describe};
use super::pool::Client;

/// Maximum number of commands of one stream that the receiver processes concurrently. Further ones
/// wait.
pub const MAX_IN_FLIGHT: usize = 4_096;
/// Maximum number of commands queued for the network. Above it, senders wait for capacity.
const QUEUE: usize = 256;

type Waiter = oneshot::Sender<Result<proto::ProposeResponse, RequestError>>;

/// Stream of commands to one node. Cheap to clone. Closes when the last clone is dropped or the
/// connection fails.
#[derive(Clone)]
pub struct ProposalStream {
    requests: mpsc::Sender<proto::ProposeRequest>,
    in_flight: Arc<Mutex<InFlight>>,
}

/// Requests without a response.
#[derive(Default)]
struct InFlight {
    waiters: BTreeMap<u64, Waiter>,
    last_number: u64,
    /// Cause, once the stream is closed.
    closed: Option<String>,
}

impl ProposalStream {
    /// Opens a stream.
    ///
    /// # Errors
    /// If the receiver rejects the stream; no command was sent.
    pub async fn open(mut client: Client) -> Result<Self, Status> {
        let (requests, queue) = mpsc::channel(QUEUE);
        let responses = client.propose(ReceiverStream::new(queue)).await?.into_inner();
        let in_flight = Arc::default();
        tokio::spawn(dispatch_responses(Arc::clone(&in_flight), responses));
        Ok(Self { requests, in_flight })
    }

    /// True if the stream is closed.
    pub fn is_closed(&self) -> bool {
        lock(&self.in_flight).closed.is_some()
    }

    /// Sends a request and returns its response. Dropping the future leaves the outcome unknown.
    ///
    /// # Errors
    /// A [`RequestError`].
    pub async fn request(
        &self,
        mut request: proto::ProposeRequest,
    ) -> Result<proto::ProposeResponse, RequestError> {
        let (waiter, received) = oneshot::channel();
        let number = lock(&self.in_flight).add(waiter)?;
        let _removed_on_drop = InFlightGuard { in_flight: &self.in_flight, number };
        request.number = number;
        // If sending fails, the stream is closed and the waiter receives the cause.
        let _ = self.requests.send(request).await;
        let lost = |_| Err(RequestError::OutcomeUnknown("the response task has exited".to_owned()));
        received.await.unwrap_or_else(lost)
    }
}

impl InFlight {
    fn add(&mut self, waiter: Waiter) -> Result<u64, RequestError> {
        if let Some(cause) = &self.closed {
            return Err(RequestError::NotSent(cause.clone()));
        }
        self.last_number += 1;
        self.waiters.insert(self.last_number, waiter);
        Ok(self.last_number)
    }
}

/// Removes the waiter of a request when dropped.
struct InFlightGuard<'a> {
    in_flight: &'a Mutex<InFlight>,
    number: u64,
}

impl Drop for InFlightGuard<'_> {
    fn drop(&mut self) {
        lock(self.in_flight).waiters.remove(&self.number);
    }
}

/// Passes each response to its waiter until the stream ends.
async fn dispatch_responses(
    in_flight: Arc<Mutex<InFlight>>,
    mut responses: Streaming<proto::ProposeResponse>,
) {
    let cause = loop {
        match responses.message().await {
            Ok(Some(response)) => {
                let waiter = lock(&in_flight).waiters.remove(&response.number);
                // A waiter that is gone retries with the same request id, if it needs the outcome.
                let _ = waiter.map(|waiter| waiter.send(Ok(response)));
            }
            Ok(None) => break "the receiver closed the proposal stream".to_owned(),
            Err(status) => break describe(&status),
        }
    };
    let waiters = {
        let mut in_flight = lock(&in_flight);
        in_flight.closed = Some(cause.clone());
        std::mem::take(&mut in_flight.waiters)
    };
    for waiter in waiters.into_values() {
        let _ = waiter.send(Err(RequestError::OutcomeUnknown(cause.clone())));
    }
}

fn lock(in_flight: &Mutex<InFlight>) -> MutexGuard<'_, InFlight> {
    in_flight.lock().expect("no holder of this lock panics")
}
