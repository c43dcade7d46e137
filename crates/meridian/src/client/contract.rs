//! Clients of the gRPC services of one agent.

use meridian_proto::v1::cluster_client::ClusterClient;
use meridian_proto::v1::events_client::EventsClient;
use meridian_proto::v1::routing_client::RoutingClient;
use meridian_proto::v1::services_client::ServicesClient;
use tonic::transport::Channel;

/// Maximum size of a response: enough for the list of all units of the largest cluster, and for the
/// events of the largest change.
const MAX_RESPONSE_BYTES: usize = 64 << 20;

/// Client for services, locations, APIs and units.
pub fn services(channel: Channel) -> ServicesClient<Channel> {
    ServicesClient::new(channel).max_decoding_message_size(MAX_RESPONSE_BYTES)
}

/// Client for events.
pub fn events(channel: Channel) -> EventsClient<Channel> {
    EventsClient::new(channel).max_decoding_message_size(MAX_RESPONSE_BYTES)
}

/// Client for members and cluster-wide settings.
pub fn cluster(channel: Channel) -> ClusterClient<Channel> {
    ClusterClient::new(channel).max_decoding_message_size(MAX_RESPONSE_BYTES)
}

/// Client for routing and the settings of the name servers.
pub fn routing(channel: Channel) -> RoutingClient<Channel> {
    RoutingClient::new(channel).max_decoding_message_size(MAX_RESPONSE_BYTES)
}
