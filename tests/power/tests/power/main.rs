//! Power cuts at every step, lying disks, and incomplete directories: in each case all acknowledged
//! data is present, or the stores reject the directory with an error that names the path.
//!
//! `MERIDIAN_POWER_SEEDS` is the number of images per record of a journal (default 1).

mod agents;
mod cuts;
mod damage;
mod faults;
mod filesystems;
mod full_disk;
mod mounted;
mod support;
