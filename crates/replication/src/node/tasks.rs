//! The background tasks of a node.

use tokio::task::JoinSet;

use super::Node;
use crate::announcement::Announcement;
use crate::disk_space;
use crate::disk_watch::DiskWatch;
use crate::duplicate::{DuplicateCheck, DuplicateWatch};
use crate::heartbeats;
use crate::leader_tasks::LeaderTasks;
use crate::member_watch::MemberWatch;
use crate::reachability::LossTask;
use crate::transitions::Transitions;

impl Node {
    /// Spawns the tasks that run as long as the node.
    pub(super) fn background_tasks(&self) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let timing = self.config.network.timing();
        let leader_tasks = LeaderTasks {
            cluster: self.config.cluster,
            epoch: self.config.epoch.clone(),
            raft: self.raft.clone(),
            store: self.store.clone(),
            proposer: self.proposer.clone(),
            links: self.members.links.clone(),
            membership: self.members.membership.clone(),
            fuse: self.fuse.clone(),
            space: self.space.clone(),
            suspension: self.suspension.clone(),
        };
        tasks.spawn(leader_tasks.run());
        tasks.spawn(self.loss_task().run());
        let disk_watch = DiskWatch {
            raft: self.raft.clone(),
            log: self.log.clone(),
            membership: self.members.membership.clone(),
            timing,
            suspension: self.suspension.clone(),
        };
        tasks.spawn(disk_watch.run());
        tasks.spawn(self.clocks.clone().run());
        if let Some(directory) = self.config.data_directory.clone() {
            tasks.spawn(disk_space::watch(directory, self.space.clone()));
        }
        let announcement = Announcement {
            description: self.config.description.clone(),
            reader: self.reader.clone(),
            proposer: self.proposer.clone(),
            fuse: self.fuse.clone(),
        };
        tasks.spawn(announcement.run());
        let (raft, interval) = (self.raft.clone(), timing.heartbeat);
        tasks.spawn(heartbeats::run(raft, self.suspension.clone(), interval));
        let member_watch = MemberWatch {
            node: self.config.description.node,
            raft: self.raft.clone(),
            store: self.store.clone(),
            links: self.members.links.clone(),
            introductions: self.peer.introductions.clone(),
            timing,
            medians: self.round_trips.clone(),
        };
        tasks.spawn(member_watch.run());
        tasks.spawn(crate::metrics::run(self.raft.clone(), self.members.contact.clone()));
        let duplicate_watch = DuplicateWatch {
            check: DuplicateCheck {
                cluster: self.config.cluster,
                node: self.config.description.node,
                process_run: self.config.process_run,
                dialer: self.config.environment.dialer.clone(),
                timeout: timing.connect,
            },
            reported: self.members.links.older_process(),
            found: self.duplicate.clone(),
            fuse: self.fuse.clone(),
        };
        tasks.spawn(duplicate_watch.run());
        let transitions = Transitions {
            store: self.store.clone(),
            contact: self.members.contact.clone(),
            leadership: self.leadership.subscribe(),
            silence: timing.silence,
        };
        tasks.spawn(transitions.run());
        tasks
    }

    fn loss_task(&self) -> LossTask {
        LossTask {
            raft: self.raft.clone(),
            store: self.store.clone(),
            sequencer: self.proposer.sequencer.clone(),
            clocks: self.clocks.clone(),
            reports: self.votes.reports.clone(),
            suspension: self.suspension.clone(),
            fuse: self.fuse.clone(),
            window: self.config.network.timing().probe_window,
        }
    }
}
