//! Malformed messages: no panic, no loop, no large response.

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use meridian_steering::Config;
use meridian_steering::detached::DetachedServer;
use tokio::net::UdpSocket;

use crate::client::{Ask, udp};
use crate::cluster::{Cluster, region};
use crate::server::TestServer;

fn valid() -> Vec<u8> {
    Ask::new("contoso", "A").subnet("192.0.2.0/24").bytes()
}

/// Sends messages, and checks the size of all responses.
async fn send_all(server: &TestServer, messages: impl Iterator<Item = Vec<u8>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(server.address).await.unwrap();
    let mut response = vec![0; 65_535];
    for (index, message) in messages.enumerate() {
        socket.send(&message).await.unwrap();
        if index % 32 == 0 {
            // Not faster than the server takes them.
            let response = Ask::new("contoso", "A").udp(server).await;
            assert_eq!(response.answers().len(), 2, "the server still responds");
        }
        while let Ok(length) = socket.try_recv(&mut response) {
            assert!(length <= 1_232 && response[2] & 0x80 != 0);
        }
    }
    let response = Ask::new("contoso", "A").udp(server).await;
    assert_eq!(response.answers().len(), 2, "the server still responds");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_prefix_and_mutation_of_a_query_leaves_the_server_alive() {
    let server = TestServer::start(Cluster::contoso()).await;
    let valid = valid();
    send_all(&server, (0..valid.len()).map(|length| valid[..length].to_vec())).await;
    let mutations = (0..valid.len()).flat_map(|position| {
        let valid = valid.clone();
        (0..=255).map(move |byte| {
            let mut mutation = valid.clone();
            mutation[position] = byte;
            mutation
        })
    });
    send_all(&server, mutations).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_a_query_has_no_response() {
    let server = TestServer::start(Cluster::contoso()).await;
    let mut response = valid();
    response[2] |= 0x80;
    let short = valid()[..11].to_vec();
    for message in [vec![], vec![0], short, response] {
        assert_eq!(udp(server.address, &message).await, None, "{message:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_and_unsupported_queries_have_an_error_code() {
    let server = TestServer::start(Cluster::contoso()).await;
    let edit = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut message = Ask::new("contoso", "A").edns(1_232).bytes();
        change(&mut message);
        message
    };
    let question = 12;
    let table: [(&str, Vec<u8>, ResponseCode); 11] = [
        ("trailing byte", edit(&|it| it.push(0)), ResponseCode::FormErr),
        ("no question", edit(&|it| it[5] = 0), ResponseCode::FormErr),
        ("two questions", edit(&|it| it[5] = 2), ResponseCode::FormErr),
        ("an answer", edit(&|it| it[7] = 1), ResponseCode::FormErr),
        ("an authority", edit(&|it| it[9] = 1), ResponseCode::FormErr),
        ("too few records", edit(&|it| it[11] = 2), ResponseCode::FormErr),
        ("pointer", edit(&|it| it[question] = 0xc0), ResponseCode::FormErr),
        ("label type", edit(&|it| it[question] = 0x40), ResponseCode::FormErr),
        (
            "EDNS version",
            edit(&|it| {
                let at = it.len() - 5;
                it[at] = 1;
            }),
            ResponseCode::BADVERS,
        ),
        ("update", edit(&|it| it[2] = 5 << 3), ResponseCode::NotImp),
        ("status", edit(&|it| it[2] = 2 << 3), ResponseCode::NotImp),
    ];
    for (what, message, code) in table {
        let response = udp(server.address, &message).await.expect(what);
        let response = Message::from_vec(&response).expect(what);
        // Code 16 has two names.
        assert_eq!(u16::from(response.metadata.response_code), u16::from(code), "{what}");
        assert_eq!(response.metadata.message_type, MessageType::Response);
        assert!(response.answers.is_empty());
        if code == ResponseCode::NotImp {
            assert_ne!(response.metadata.op_code, OpCode::Query, "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_sockets_responds_like_one_with_sockets() {
    let server = TestServer::start(Cluster::contoso()).await;
    let config = Config::new(vec![], region("westeurope"));
    let detached = DetachedServer::new(&config, server.cluster.clone(), server.cluster.clone());
    let client = "127.0.0.1:5353".parse().unwrap();
    let mut response = valid();
    response[2] |= 0x80;
    for message in [valid(), valid()[..20].to_vec(), response, vec![]] {
        let expected = udp(server.address, &message).await;
        assert_eq!(detached.datagram(&message, client), expected, "{message:?}");
        let mut framed = (message.len() as u16).to_be_bytes().to_vec();
        framed.extend(&message);
        let mut sent = Vec::new();
        let stream = tokio::io::join(&framed[..], &mut sent);
        let _ = detached.connection(stream, client.ip()).await;
        assert_eq!(sent.get(2..).map(<[u8]>::to_vec), expected, "{message:?}");
    }
}
