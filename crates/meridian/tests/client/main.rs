//! The command line against agents that respond, reject, hang and fail: the requests that they
//! receive, the output, and the exit code. The binary is the real one; the agents are fakes.

mod fake;
mod run;

mod apis;
mod change;
mod events;
mod failover;
mod golden;
mod outcome;
mod recover;
mod terminal;
mod units;
mod usage;
mod wait;
