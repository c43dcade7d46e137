//! Clusters in one process: real nodes, disks and sockets, no agents and no units.

mod changes;
mod membership;
mod reads;
mod restored;
mod room;
mod snapshots;
mod support;
