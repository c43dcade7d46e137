//! TLS backends: which are trusted, and which protocol they choose.

use std::convert::Infallible;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener as StdTcpListener};
use std::path::PathBuf;
use std::process::Child;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::UPGRADE;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use meridian_proto::v1::GatewayApi;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::control;
use crate::support::{
    Client, ClientResponse, api, configuration, eventually, listener, run_directory, spawn_trusting,
};

/// File name of the root certificates that a unit trusts, in its run directory.
const ROOTS: &str = "trusted.pem";

/// A certificate authority.
struct Authority {
    certificate: Certificate,
    key: KeyPair,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        Self { certificate: params.self_signed(&key).unwrap(), key }
    }

    /// Starts a backend on 127.0.0.1 that offers `protocols` and responds with the one that was
    /// used. `change` may make its certificate invalid.
    async fn backend(
        &self,
        name: &str,
        protocols: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> SocketAddr {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.certificate, &self.key).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    let (io, service) = (TokioIo::new(stream), service_fn(echo_protocol));
                    if is_http2 {
                        let builder = http2::Builder::new(TokioExecutor::new());
                        builder.serve_connection(io, service).await.ok();
                    } else {
                        http1::Builder::new().serve_connection(io, service).await.ok();
                    }
                });
            }
        });
        address
    }
}

/// Responds with the protocol of the request and its Upgrade header.
async fn echo_protocol(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let upgrade = request.headers().get(UPGRADE).map_or("", |upgrade| upgrade.to_str().unwrap());
    let text = format!("{} by {:?}{upgrade}", request.uri().path(), request.version());
    Ok(Response::new(Full::from(text)))
}

/// A unit in its own process, because the environment selects the root certificates that it trusts.
struct Trusting {
    directory: tempfile::TempDir,
    address: SocketAddr,
    process: Child,
}

impl Trusting {
    fn start(authority: &Authority, apis: Vec<GatewayApi>) -> Self {
        let unit = Self::without_roots(apis);
        unit.trust(authority);
        unit
    }

    /// Starts a unit whose root certificates cannot be read yet.
    fn without_roots(apis: Vec<GatewayApi>) -> Self {
        let directory = run_directory();
        let trusted = directory.path().join(ROOTS);
        let log = File::create(directory.path().join("log")).unwrap();
        let listener = listener();
        let process = spawn_trusting(directory.path(), &listener, &trusted, log.into());
        let unit = Self { directory, address: listener.local_addr().unwrap(), process };
        let socket = unit.directory.path().join("u7.sock");
        eventually("the control socket is open", || {
            std::os::unix::net::UnixStream::connect(&socket).is_ok()
        });
        control::configure(unit.directory.path(), configuration(1, apis));
        unit
    }

    fn trust(&self, authority: &Authority) {
        std::fs::write(self.directory.path().join(ROOTS), authority.certificate.pem()).unwrap();
    }

    fn get(&self, path: &str) -> ClientResponse {
        Client::connect(self.address).unwrap().request("GET", path).unwrap()
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }
}

impl Drop for Trusting {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Starts a backend that does not support TLS and responds to every connection with an HTTP error.
fn plain() -> SocketAddr {
    let listener = StdTcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").ok();
            std::thread::spawn(move || stream.read_to_end(&mut Vec::new()));
        }
    });
    address
}

fn patient(path: &str, address: SocketAddr) -> GatewayApi {
    let mut api = api(path, format!("https://localhost:{}", address.port()));
    (api.connect_timeout_ms, api.response_timeout_ms) = (10_000, 10_000);
    api
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tls_backend_chooses_the_protocol() {
    let authority = Authority::new("known");
    let backend = async |protocols| authority.backend("localhost", protocols, |_| ()).await;
    let apis = vec![
        patient("/both", backend(&["h2", "http/1.1"]).await),
        patient("/one", backend(&["http/1.1"]).await),
        patient("/silent", backend(&[]).await),
    ];
    let unit = Trusting::start(&authority, apis);
    for (path, version) in [("/both", "HTTP/2.0"), ("/one", "HTTP/1.1"), ("/silent", "HTTP/1.1")] {
        for _ in 0..3 {
            let response = unit.get(path);
            assert_eq!(response.status(), 200, "{path}: {response:?}");
            assert_eq!(response.body, format!("/ by {version}"), "{path}");
        }
    }
    let mut client = Client::connect(unit.address).unwrap();
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    client.send(&format!("GET /both HTTP/1.1\r\nHost: a\r\n{upgrade}\r\n")).unwrap();
    assert_eq!(client.receive().unwrap().body, "/ by HTTP/1.1websocket");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_untrusted_backend_is_a_bad_gateway_and_the_log_contains_the_reason() {
    let (authority, unknown) = (Authority::new("known"), Authority::new("unknown"));
    let both = &["h2", "http/1.1"];
    let expire = |params: &mut CertificateParams| {
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
    };
    let apis = vec![
        patient("/name", authority.backend("other.example", both, |_| ()).await),
        patient("/issuer", unknown.backend("localhost", both, |_| ()).await),
        patient("/expired", authority.backend("localhost", both, expire).await),
        patient("/plain", plain()),
        patient("/good", authority.backend("localhost", both, |_| ()).await),
    ];
    let unit = Trusting::start(&authority, apis);
    for (path, reason) in [
        ("/name", "certificate not valid for name \"localhost\""),
        ("/issuer", "UnknownIssuer"),
        ("/expired", "certificate expired"),
        ("/plain", "InvalidContentType"),
    ] {
        let response = unit.get(path);
        let (status, detail) = response.problem();
        assert_eq!(status, 502, "{path}: {response:?}");
        assert_eq!(detail, "the backend of this API is unreachable or closed the connection");
        assert_eq!(unit.get("/good").body, "/ by HTTP/2.0");
        let is_logged =
            |line: &str| line.contains(&format!("api=\"{path}\"")) && line.contains(reason);
        let log = || std::fs::read_to_string(unit.log()).unwrap();
        eventually(&format!("the log contains the reason: {path}"), || {
            log().lines().any(is_logged)
        });
    }
    // A repeated error is not logged again.
    let lines = || std::fs::read_to_string(unit.log()).unwrap().lines().count();
    let before = lines();
    for _ in 0..20 {
        assert_eq!(unit.get("/issuer").status(), 502);
    }
    assert_eq!(lines(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn roots_that_could_not_be_read_are_read_by_a_later_request() {
    let authority = Authority::new("known");
    let backend = authority.backend("localhost", &["h2"], |_| ()).await;
    let unit = Trusting::without_roots(vec![patient("/", backend)]);
    assert_eq!(unit.get("/").problem().0, 502);
    unit.trust(&authority);
    assert_eq!(unit.get("/").status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_does_not_finish_its_handshake_is_a_gateway_timeout() {
    let silent = StdTcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let authority = Authority::new("known");
    let unit = Trusting::start(&authority, vec![api("/", format!("https://{address}"))]);
    let (mut first, _kept) = (Client::connect(unit.address).unwrap(), silent);
    first.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(first.receive().unwrap().problem().0, 504);
}
