//! The command line against agents that answer, refuse, hang and vanish: what reaches them, what is
//! printed, and the exit code. The binary is the real one; the agents are played.

mod fake;
mod run;

mod apis;
mod events;
mod failover;
mod outcome;
