//! A cgroup per compute: freezing, thawing and ending a whole process tree at once.
//!
//! Three ways, chosen once at start ([`Cgroups::detect`]):
//!
//! | way | freeze | enter |
//! |---|---|---|
//! | `cgroup2` | `cgroup.freeze` | by `clone3(CLONE_INTO_CGROUP)`, free of charge |
//! | `cgroup1` | `freezer.state` | by writing `cgroup.procs` after the first row |
//! | `signal` | SIGSTOP to every process | not needed |
//!
//! Entering by `cgroup.procs` takes a system-wide lock that waits for an RCU grace period (measured: 5–20 ms), which
//! would double the price of a wake. So on version 1 a compute enters its cgroup when its first client has been served.
//! A version-2 hierarchy without controllers, as hybrid systems mount it, is enough to freeze and to kill.

pub(crate) mod hierarchy;

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::process::Signal;

use super::process;
pub(crate) use hierarchy::{PREFIX, SERVER, remove_tree, v1_base, v2_places};
use hierarchy::{group_dir, groups_of};

/// How long killed processes may take to be gone: one that waits for a slow disk ends later.
const KILL_WITHIN: Duration = Duration::from_secs(10);

/// How often processes are looked for that were born while others were moved.
pub(crate) const MOVES: usize = 20;

/// How long a freeze may take before it is given up and taken back.
const FREEZE_WITHIN: Duration = Duration::from_millis(500);

/// Which way to take; `Auto` takes the first that works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Choice {
    /// Version 2, else version 1, else signals.
    #[default]
    Auto,
    /// Version 2 or fail.
    V2,
    /// Version 1 freezer or fail.
    V1,
    /// Signals only.
    Off,
}

/// The way that was chosen, and where its groups are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cgroups {
    /// Unified hierarchy.
    V2(PathBuf),
    /// The freezer controller of version 1.
    V1(PathBuf),
    /// No cgroups.
    Signals,
}

impl Cgroups {
    /// Finds a hierarchy in which this process may make groups. `instance` keeps two servers apart.
    ///
    /// # Errors
    /// When the wanted version cannot be used.
    pub fn detect(choice: Choice, instance: &str) -> io::Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let own = fs::read_to_string("/proc/self/cgroup")?;
        let usable = |base: Option<PathBuf>| -> Option<PathBuf> {
            let group = base?.join(format!("{PREFIX}{instance}"));
            fs::create_dir_all(&group).ok()?;
            fs::OpenOptions::new().write(true).open(group.join("cgroup.procs")).ok()?;
            Some(group)
        };
        let v2 = || v2_places(&mounts, &own).into_iter().find_map(|place| usable(Some(place))).map(Self::V2);
        let v1 = || usable(v1_base(&mounts, &own, "freezer")).map(Self::V1);
        let missing =
            |what: &str| io::Error::new(io::ErrorKind::Unsupported, format!("{what} cannot be used here"));
        match choice {
            Choice::Auto => Ok(v2().or_else(v1).unwrap_or(Self::Signals)),
            Choice::V2 => v2().ok_or_else(|| missing("cgroup version 2")),
            Choice::V1 => v1().ok_or_else(|| missing("the cgroup version 1 freezer")),
            Choice::Off => Ok(Self::Signals),
        }
    }

    /// The name used in events and by `doctor`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::V2(_) => "cgroup2",
            Self::V1(_) => "cgroup1",
            Self::Signals => "signal",
        }
    }

    /// Removes this server's own group at its end. It stays while computes are left running in it.
    pub fn remove(&self) {
        if let Self::V2(base) | Self::V1(base) = self {
            remove_tree(base);
        }
    }

    /// The group of one endpoint, made if it is not there.
    ///
    /// # Errors
    /// When the group cannot be made.
    pub fn group(&self, endpoint: &str, data: &Path) -> io::Result<Group> {
        let dir = match self {
            Self::V2(base) | Self::V1(base) => Some(base.join(endpoint)),
            Self::Signals => None,
        };
        if let Some(dir) = &dir {
            // The parent may be gone: somebody tidied up while all endpoints were asleep.
            fs::create_dir_all(dir)?;
        }
        let group = Group { way: self.clone(), dir, data: data.to_owned() };
        // Left so by who was frozen in it and killed: what is born into it would stand still for ever.
        if group.dir.is_some() && group.is_empty() && group.is_frozen(0) {
            group.thaw()?;
        }
        Ok(group)
    }
}

/// The group of one compute.
#[derive(Debug, Clone)]
pub struct Group {
    way: Cgroups,
    dir: Option<PathBuf>,
    data: PathBuf,
}

impl Group {
    /// The open directory to clone into (version 2 only).
    #[must_use]
    pub fn clone_target(&self) -> Option<OwnedFd> {
        let (Cgroups::V2(_), Some(dir)) = (&self.way, &self.dir) else { return None };
        rustix::fs::openat(CWD, dir, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()
    }

    /// Its directory below a hierarchy of version 2.
    pub(crate) fn v2_dir(&self) -> Option<&Path> {
        matches!(self.way, Cgroups::V2(_)).then_some(self.dir.as_deref())?
    }

    /// Moves the compute in, where that could not happen at its birth (version 1). Slow; see above.
    pub fn enter_late(&self) {
        let (Cgroups::V1(_), Some(dir)) = (&self.way, &self.dir) else { return };
        // A fork during the move may leave a newborn outside: look again until all are in.
        for _ in 0..MOVES {
            let inside = self.members_of_group();
            let outside: Vec<u32> =
                process::of_cluster(&self.data).into_iter().filter(|pid| !inside.contains(pid)).collect();
            if outside.is_empty() {
                return;
            }
            for pid in outside {
                // It may have ended in the meantime.
                let _ended = fs::write(dir.join("cgroup.procs"), pid.to_string());
            }
        }
    }

    fn members_of_group(&self) -> Vec<u32> {
        let Some(dir) = &self.dir else { return Vec::new() };
        let list = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
        list.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// All processes of the compute.
    #[must_use]
    pub fn members(&self) -> Vec<u32> {
        match &self.way {
            Cgroups::V2(_) => self.members_of_group(),
            // Until it has entered late, the group of version 1 is empty; from then on it also has
            // those who went to another directory.
            Cgroups::V1(_) | Cgroups::Signals => {
                let mut all = process::of_cluster(&self.data);
                all.extend(self.members_of_group());
                all.sort_unstable();
                all.dedup();
                all
            }
        }
    }

    /// Whether this group can freeze a process that an earlier server started: it is in it, or (where
    /// being outside is usual) in no other server's group.
    #[must_use]
    pub fn holds(&self, pid: u32) -> bool {
        if self.members_of_group().contains(&pid) {
            return true;
        }
        match &self.way {
            Cgroups::V2(_) => false,
            Cgroups::V1(_) | Cgroups::Signals => groups_of(pid).is_empty(),
        }
    }

    /// Moves a compute in from the group of an earlier server that stood elsewhere: in another unit of systemd, or
    /// another session. What stands still stays so. Tells whether all of it came. Blocks.
    #[must_use]
    pub fn take_in(&self, postmaster: u32) -> bool {
        let Some(dir) = self.dir.as_ref().filter(|_| !self.holds(postmaster)) else { return false };
        let is_v2 = matches!(self.way, Cgroups::V2(_));
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let same = groups_of(postmaster).into_iter().find(|(of_v2, _)| *of_v2 == is_v2);
        let Some(old) = same.and_then(|(_, path)| group_dir(&mounts, is_v2, &path)) else { return false };
        // The last two parts name the endpoint, and the server by its data directory.
        let names = |dir: &Path| Some((dir.file_name()?.to_owned(), dir.parent()?.file_name()?.to_owned()));
        if names(&old) != names(dir) {
            return false;
        }
        let from = Self { way: self.way.clone(), dir: Some(old.clone()), data: self.data.clone() };
        let moved = fs::create_dir_all(dir).and_then(|()| self.move_from(&from, postmaster));
        if let Err(error) = &moved {
            tracing::warn!(from = %old.display(), to = %dir.display(), %error, "a compute cannot change its cgroup");
        }
        for left in [Some(old.as_path()), old.parent()].into_iter().flatten() {
            let _in_use = fs::remove_dir(left);
        }
        moved.is_ok() && self.holds(postmaster)
    }

    fn move_from(&self, from: &Self, postmaster: u32) -> io::Result<()> {
        let Some(dir) = &self.dir else { return Ok(()) };
        // Who comes into a group is treated as the group is, so that nothing runs for a moment that is frozen.
        let frozen = from.is_frozen(postmaster);
        match self.way {
            Cgroups::V2(_) => fs::write(dir.join("cgroup.freeze"), if frozen { "1" } else { "0" })?,
            _ => fs::write(dir.join("freezer.state"), if frozen { "FROZEN" } else { "THAWED" })?,
        }
        let mut refused = None;
        // A fork during the move may leave a newborn behind: look again until nobody is.
        for _ in 0..MOVES {
            let left = from.members_of_group();
            if left.is_empty() {
                return Ok(());
            }
            for pid in left {
                refused = move_to(dir, pid).err().or(refused);
            }
        }
        Err(refused.unwrap_or_else(|| io::Error::other("it makes new processes all the time")))
    }

    /// Whether the group has no process. Without cgroups nothing is known, which counts as empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members_of_group().is_empty()
    }

    /// Freezes all processes; all of them stand still when this returns `Ok`. Blocks up to half a second.
    ///
    /// # Errors
    /// When they did not all stop in time; they run again then.
    pub fn freeze(&self) -> io::Result<()> {
        let done = match (&self.way, &self.dir) {
            (Cgroups::V2(_), Some(dir)) => {
                fs::write(dir.join("cgroup.freeze"), "1")?;
                wait_until(FREEZE_WITHIN, || {
                    fs::read_to_string(dir.join("cgroup.events")).is_ok_and(|e| e.contains("frozen 1"))
                })
            }
            (Cgroups::V1(_), Some(dir)) => {
                self.enter_late();
                fs::write(dir.join("freezer.state"), "FROZEN")?;
                wait_until(FREEZE_WITHIN, || {
                    fs::read_to_string(dir.join("freezer.state")).is_ok_and(|s| s.trim() == "FROZEN")
                })
            }
            _ => self.stop_by_signal(),
        };
        if done {
            return Ok(());
        }
        self.thaw()?;
        Err(io::Error::new(io::ErrorKind::TimedOut, "the processes did not stand still in time"))
    }

    fn stop_by_signal(&self) -> bool {
        // The postmaster could fork while its children are being stopped: go on until nobody new is found.
        let mut stopped: Vec<u32> = Vec::new();
        wait_until(FREEZE_WITHIN, || {
            let new: Vec<u32> = self.members().into_iter().filter(|pid| !stopped.contains(pid)).collect();
            for pid in &new {
                process::signal(*pid, Signal::STOP);
            }
            stopped.extend(&new);
            new.is_empty()
        })
    }

    /// Lets all processes run again.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn thaw(&self) -> io::Result<()> {
        match (&self.way, &self.dir) {
            (Cgroups::V2(_), Some(dir)) => fs::write(dir.join("cgroup.freeze"), "0"),
            (Cgroups::V1(_), Some(dir)) => fs::write(dir.join("freezer.state"), "THAWED"),
            _ => {
                self.members().into_iter().for_each(|pid| process::signal(pid, Signal::CONT));
                Ok(())
            }
        }
    }

    /// Whether the compute is frozen now (asked when a server adopts what another one left).
    #[must_use]
    pub fn is_frozen(&self, postmaster: u32) -> bool {
        match (&self.way, &self.dir) {
            (Cgroups::V2(_), Some(dir)) => {
                fs::read_to_string(dir.join("cgroup.freeze")).is_ok_and(|s| s.trim() == "1")
            }
            (Cgroups::V1(_), Some(dir)) => {
                fs::read_to_string(dir.join("freezer.state")).is_ok_and(|s| s.trim() != "THAWED")
            }
            _ => fs::read_to_string(format!("/proc/{postmaster}/stat")).is_ok_and(|stat| {
                stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim().starts_with('T'))
            }),
        }
    }

    /// Kills every process of the compute; tells whether all are gone. The group is new then: kernels (6.18) also
    /// kill what is *born into* a group that was ever killed: `CLONE_INTO_CGROUP` compares the wrong group's counter.
    #[must_use]
    pub fn kill(&self) -> bool {
        if let (Cgroups::V2(_), Some(dir)) = (&self.way, &self.dir)
            && !self.is_empty()
        {
            // Kernels before 5.14 have no cgroup.kill; the loop below does it then.
            let _old_kernel = fs::write(dir.join("cgroup.kill"), "1");
        }
        let _thawed = self.thaw();
        let gone = wait_until(KILL_WITHIN, || {
            let mut left = self.members_of_group();
            left.extend(process::of_cluster(&self.data));
            left.iter().for_each(|pid| process::signal(*pid, Signal::KILL));
            left.is_empty()
        });
        self.remove();
        if let Some(dir) = &self.dir
            && let Err(error) = fs::create_dir(dir)
        {
            tracing::warn!(group = %dir.display(), %error, "cannot make the cgroup anew");
        }
        gone
    }

    /// Removes the group; a group that is still in use stays.
    pub fn remove(&self) {
        if let Some(dir) = &self.dir
            && !wait_until(FREEZE_WITHIN, || matches!(fs::remove_dir(dir), Ok(()) | Err(_) if !dir.exists()))
        {
            tracing::warn!(group = %dir.display(), "cannot remove the cgroup");
        }
    }
}

/// Moves a process into a group. That it has just ended is no failure.
///
/// # Errors
/// When the kernel refuses.
pub(crate) fn move_to(group: &Path, pid: u32) -> io::Result<()> {
    match fs::write(group.join("cgroup.procs"), pid.to_string()) {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        outcome => outcome,
    }
}

/// Lets a compute run again whichever server froze it, and however. Best effort: it is ended next.
pub fn thaw_wherever(pid: u32) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    for (is_v2, path) in groups_of(pid) {
        let (file, text) = if is_v2 { ("cgroup.freeze", "0") } else { ("freezer.state", "THAWED") };
        if let Some(dir) = group_dir(&mounts, is_v2, &path) {
            let _gone = fs::write(dir.join(file), text);
        }
    }
    process::signal(pid, Signal::CONT);
}

/// Polls every millisecond: the kernel has no event for most of what is waited for here.
pub(crate) fn wait_until(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let start = dormouse_base::clock::Mono::now();
    loop {
        if done() {
            return true;
        }
        if start.elapsed() > limit {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
