//! TCP and HTTP/2 below gRPC: listening, accepting, dialing, and the settings both ends share.
//!
//! | to learn | read |
//! | --- | --- |
//! | how a port is opened, and who holds one that is taken | [`listen`], [`port_holder`] |
//! | what a connection must do before gRPC sees it, and how many there may be | [`accept`] |
//! | how a connection is opened, and how a simulation replaces TCP | [`connect`](mod@connect), [`dialer`] |
//! | how a host name is resolved without delaying a connection | [`resolver`] |
//! | keepalive and flow control of each port | [`settings`] |
//!
//! Every gRPC connection of Meridian passes through this crate, in either direction. The gateway uses
//! only its [`resolver`], for connections to backends. It must not know what is served: no service, no
//! message, no cluster.

pub mod accept;
pub mod connect;
pub mod dialer;
pub mod listen;
pub mod metrics;
pub mod port_holder;
pub mod resolver;
pub mod settings;

pub use connect::{ConnectError, connect, root_cause};
pub use dialer::{Dialer, Stream};
pub use port_holder::PortHolder;
pub use resolver::Resolver;
pub use settings::Settings;
