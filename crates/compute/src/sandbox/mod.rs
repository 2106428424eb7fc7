//! What the operating system does for a compute: a user of its own, a cage around files, a cgroup,
//! and ways to find and end exactly its processes.
//!
//! * [`identity`]: which user it runs as.
//! * [`landlock`]: which files it can reach, whatever the user could.
//! * [`cgroup`]: freezing and ending the whole process tree at once.
//! * [`process`]: process IDs that cannot be mistaken for another process's.
//! * [`spawn`]: clone, drop everything, exec: the place with `unsafe` ([`descriptor`] has one line more).
//! * [`priority`]: ahead of the queue until the first row, then back.
//! * [`shm`]: shared memory that a killed PostgreSQL leaves behind.

pub mod cgroup;
pub mod descriptor;
pub mod identity;
pub mod landlock;
pub mod priority;
pub mod process;
pub mod shm;
pub mod spawn;
