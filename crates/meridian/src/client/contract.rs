//! The services of the contract at one agent, as every command asks for them.

use meridian_proto::v1::cluster_client::ClusterClient;
use meridian_proto::v1::events_client::EventsClient;
use meridian_proto::v1::services_client::ServicesClient;
use tonic::transport::Channel;

/// Answers larger than this are not read: a list of every unit of the largest cluster has its place,
/// and the events of the largest change.
const LARGEST_ANSWER_BYTES: usize = 64 << 20;

/// Services, their locations and units.
pub fn services(channel: Channel) -> ServicesClient<Channel> {
    ServicesClient::new(channel).max_decoding_message_size(LARGEST_ANSWER_BYTES)
}

/// The events.
pub fn events(channel: Channel) -> EventsClient<Channel> {
    EventsClient::new(channel).max_decoding_message_size(LARGEST_ANSWER_BYTES)
}

/// The members, and what holds for all of the cluster.
pub fn cluster(channel: Channel) -> ClusterClient<Channel> {
    ClusterClient::new(channel).max_decoding_message_size(LARGEST_ANSWER_BYTES)
}
