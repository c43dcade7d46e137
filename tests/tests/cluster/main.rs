//! Clusters in one process: real nodes, disks and sockets, but no agents and no units.

mod backups;
mod changes;
mod clocks;
mod disk_space;
mod duplicates;
mod hanging_disk;
mod membership;
mod moving;
mod reachability;
mod reads;
mod recovery;
mod snapshots;
mod support;
