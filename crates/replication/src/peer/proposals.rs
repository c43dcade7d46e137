//! Commands forwarded to one node, all on one stream: those that come together travel together, and
//! none pays for a call of its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use meridian_proto::v1 as proto;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::connection::{CallError, Client};

/// Proposals of one stream that the other side works on at once; further ones wait.
pub const OPEN_PROPOSALS: usize = 4_096;
/// Proposals that wait for their turn to be written; whoever brings a further one waits.
const QUEUE: usize = 256;

type Answer = oneshot::Sender<Result<proto::ProposeResponse, CallError>>;

/// The stream. Cheap to clone; it ends with its last clone, or with the connection.
#[derive(Clone)]
pub struct Proposals {
    requests: mpsc::Sender<proto::ProposeRequest>,
    open: Arc<Mutex<Open>>,
}

/// What is asked and not answered.
#[derive(Default)]
struct Open {
    answers: BTreeMap<u64, Answer>,
    last_number: u64,
    /// Why the stream has ended.
    ended: Option<String>,
}

impl Proposals {
    /// Opens the stream.
    ///
    /// # Errors
    /// If the other side refuses it: then nothing was said on it.
    pub async fn open(mut client: Client) -> Result<Self, Status> {
        let (requests, queue) = mpsc::channel(QUEUE);
        let answers = client.propose(ReceiverStream::new(queue)).await?.into_inner();
        let open = Arc::default();
        tokio::spawn(hand_out(Arc::clone(&open), answers));
        Ok(Self { requests, open })
    }

    /// Whether it is of no more use.
    pub fn has_ended(&self) -> bool {
        lock(&self.open).ended.is_some()
    }

    /// Asks, and returns the answer. Dropping the future leaves the outcome unknown.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn ask(
        &self,
        mut request: proto::ProposeRequest,
    ) -> Result<proto::ProposeResponse, CallError> {
        let (answer, answered) = oneshot::channel();
        let number = lock(&self.open).add(answer)?;
        let _forgotten_at_the_end = Question { open: &self.open, number };
        request.number = number;
        // Where that fails the stream has ended, and why comes as the answer.
        let _ = self.requests.send(request).await;
        let lost = |_| Err(CallError::Unanswered("the answers are read no more".to_owned()));
        answered.await.unwrap_or_else(lost)
    }
}

impl Open {
    fn add(&mut self, answer: Answer) -> Result<u64, CallError> {
        if let Some(cause) = &self.ended {
            return Err(CallError::NotSent(cause.clone()));
        }
        self.last_number += 1;
        self.answers.insert(self.last_number, answer);
        Ok(self.last_number)
    }
}

/// Someone who waits for an answer, or did.
struct Question<'a> {
    open: &'a Mutex<Open>,
    number: u64,
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        lock(self.open).answers.remove(&self.number);
    }
}

/// Gives each answer to who waits for it, until the stream ends.
async fn hand_out(open: Arc<Mutex<Open>>, mut answers: Streaming<proto::ProposeResponse>) {
    let cause = loop {
        match answers.message().await {
            Ok(Some(answer)) => {
                let waiting = lock(&open).answers.remove(&answer.number);
                // Whoever stopped waiting asks again with the same request id, if it matters to them.
                let _ = waiting.map(|waiting| waiting.send(Ok(answer)));
            }
            Ok(None) => break "the other side ended the stream of proposals".to_owned(),
            Err(status) => break format!("{:?}: {}", status.code(), status.message()),
        }
    };
    let unanswered = {
        let mut open = lock(&open);
        open.ended = Some(cause.clone());
        std::mem::take(&mut open.answers)
    };
    for waiting in unanswered.into_values() {
        let _ = waiting.send(Err(CallError::Unanswered(cause.clone())));
    }
}

fn lock(open: &Mutex<Open>) -> MutexGuard<'_, Open> {
    open.lock().expect("no holder of the open proposals panics")
}
