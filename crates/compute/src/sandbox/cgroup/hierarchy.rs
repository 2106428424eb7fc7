//! Where groups are: which directory of the mounted hierarchies belongs to this process or to another one. All but
//! [`groups_of`] is pure, over the texts of `/proc/self/mounts` and `/proc/self/cgroup`; what is done in those
//! directories is in [`super`] (freezing) and in [`crate::limits`] (sizes).

use std::fs;
use std::path::{Path, PathBuf};

/// What the names of our groups begin with; the rest tells one server from another.
pub(crate) const PREFIX: &str = "dormouse-";

/// The name of a group for servers alone.
pub(crate) const SERVER: &str = "server";

/// Where groups may be made in the unified hierarchy, the best place first. A server that stands in a group for
/// servers alone (`…/server`: systemd's `DelegateSubgroup=`, or one that an earlier server went to) makes them beside
/// it, so that it finds those of the server before it.
pub(crate) fn v2_places(mounts: &str, own: &str) -> Vec<PathBuf> {
    let Some(own) = v2_base(mounts, own) else { return Vec::new() };
    let beside = own.parent().filter(|_| own.ends_with(SERVER)).map(|above| {
        let ours = above.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX));
        above.parent().filter(|_| ours).unwrap_or(above).to_owned()
    });
    beside.into_iter().chain([own]).collect()
}

/// Where this process is in the unified hierarchy.
pub(crate) fn v2_base(mounts: &str, own: &str) -> Option<PathBuf> {
    let mount = mounts.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(' ').collect();
        (fields.get(2) == Some(&"cgroup2")).then(|| fields[1].to_owned())
    })?;
    let place = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(Path::new(&mount).join(place.trim_start_matches('/')))
}

/// Where this process is in the version-1 hierarchy of a controller.
pub(crate) fn v1_base(mounts: &str, own: &str, controller: &str) -> Option<PathBuf> {
    let mount = mounts.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(' ').collect();
        let wanted = fields.get(3)?.split(',').any(|option| option == controller);
        (fields.get(2) == Some(&"cgroup") && wanted).then(|| fields[1].to_owned())
    })?;
    let place = own.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let controllers = fields.nth(1)?;
        controllers.split(',').any(|c| c == controller).then(|| fields.next().unwrap_or("/"))
    })?;
    Some(Path::new(&mount).join(place.trim_start_matches('/')))
}

/// Removes a server's group and the endpoints' groups in it; those with processes stay, and then it stays as well. An
/// endpoint that was killed together with an earlier server has left its group, if it was not woken again since.
pub(crate) fn remove_tree(base: &Path) {
    let groups = fs::read_dir(base).into_iter().flatten().flatten();
    for group in groups.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        let _in_use = fs::remove_dir(group.path());
    }
    let _in_use = fs::remove_dir(base);
}

/// The directory of a group that the kernel names by its path below the mount.
pub(super) fn group_dir(mounts: &str, is_v2: bool, path: &str) -> Option<PathBuf> {
    if is_v2 {
        v2_base(mounts, &format!("0::{path}"))
    } else {
        v1_base(mounts, &format!("1:freezer:{path}"), "freezer")
    }
}

/// The groups of a Dormouse server that a process is in: (whether version 2, path below the mount).
pub(super) fn groups_of(pid: u32) -> Vec<(bool, String)> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let ours = |path: &&str| path.split('/').any(|part| part.starts_with(PREFIX));
    let found = text.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let wanted = controllers.is_empty() || controllers.split(',').any(|c| c == "freezer");
        (wanted && ours(&path)).then(|| (controllers.is_empty(), path.to_owned()))
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::super::Cgroups;
    use super::*;

    #[test]
    fn hierarchies_are_found_where_they_are_mounted() {
        let mounts = "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                      cgroup /sys/fs/cgroup/freezer cgroup rw,relatime,freezer 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let own = "8:freezer:/box\n1:cpu:/\n0::/user.slice/a\n";
        assert_eq!(v2_base(mounts, own), Some("/sys/fs/cgroup/unified/user.slice/a".into()));
        assert_eq!(v1_base(mounts, own, "freezer"), Some("/sys/fs/cgroup/freezer/box".into()));
        assert_eq!(v1_base(mounts, own, "cpu"), Some("/sys/fs/cgroup/cpu/".into()));
        assert_eq!(v2_base("proc /proc proc rw 0 0\n", own), None);
    }

    #[test]
    fn a_group_for_servers_alone_is_not_where_groups_are_made() {
        let mounts = "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n";
        let first = |own: &str| v2_places(mounts, &format!("0::{own}\n")).first().cloned();
        let at = |path: &str| Some(PathBuf::from("/sys/fs/cgroup").join(path));
        assert_eq!(first("/a.scope"), at("a.scope"));
        assert_eq!(first("/a.service/server"), at("a.service"), "by DelegateSubgroup=");
        assert_eq!(
            first("/a.scope/dormouse-00c0ffee/server"),
            at("a.scope"),
            "started by a server that went aside"
        );
        assert_eq!(v2_places(mounts, "0::/x/server\n").len(), 2, "its own is the second best");
        assert_eq!(first("/"), at(""));
    }

    /// A compute that was killed while it was frozen leaves its group frozen, and the next one is born into it.
    #[test]
    fn an_empty_group_does_not_stay_frozen() {
        let dir = tempfile::tempdir().unwrap();
        let groups = Cgroups::V2(dir.path().to_owned());
        let group = dir.path().join("ep-one");
        std::fs::create_dir(&group).unwrap();
        let frozen = |members: &str| {
            std::fs::write(group.join("cgroup.freeze"), "1\n").unwrap();
            std::fs::write(group.join("cgroup.procs"), members).unwrap();
            groups.group("ep-one", Path::new("/nowhere")).unwrap().is_frozen(0)
        };
        assert!(!frozen(""), "nobody is in it");
        assert!(frozen("4711\n"), "who is in it stays as he is");
    }
}
