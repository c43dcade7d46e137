//! Power cuts at every step, disks that lie, and directories that are not whole: in each case all
//! that was acknowledged is there, or the stores refuse by name.
//!
//! `MERIDIAN_POWER_SEEDS` is the number of images at each place of a journal (default 1).

mod agents;
mod cuts;
mod damage;
mod faults;
mod filesystems;
mod mounted;
mod room;
mod support;
