//! Where controllers are found, and what is written to them, against trees that look like mounts.

use super::*;
use crate::sandbox::cgroup::hierarchy::v2_base;

/// A tree that looks like a mount of the unified hierarchy, with the server's own group in it.
fn unified(root: &Path, controllers: &str) -> (Standing, PathBuf) {
    let own = root.join("service");
    fs::create_dir_all(&own).unwrap();
    fs::write(own.join("cgroup.controllers"), controllers).unwrap();
    fs::write(own.join("cgroup.subtree_control"), "").unwrap();
    let base = own.join("dormouse-test");
    fs::create_dir_all(&base).unwrap();
    let mounts = format!("cgroup2 {} cgroup2 rw 0 0\n", root.display());
    (Standing { mounts, own: "0::/service\n".to_owned() }, base)
}

#[test]
fn version_2_hands_its_controllers_down() {
    let dir = tempfile::tempdir().unwrap();
    let (standing, base) = unified(dir.path(), "cpuset cpu io memory pids\n");
    assert_eq!(v2_base(&standing.mounts, &standing.own).as_deref(), base.parent());
    assert_eq!(Controllers::find(&Cgroups::V2(base.clone()), "test", &standing), Controllers::V2);
    for group in [base.parent().unwrap(), &base] {
        assert_eq!(fs::read_to_string(group.join("cgroup.subtree_control")).unwrap(), HANDED_DOWN);
    }
}

#[test]
fn a_hierarchy_without_controllers_limits_nothing_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (standing, base) = unified(dir.path(), "hugetlb\n");
    let Controllers::Missing(why) = Controllers::find(&Cgroups::V2(base), "test", &standing) else {
        panic!("found some")
    };
    assert!(why.contains("no cpu controller") && why.contains("version 1: no cpu controller"), "{why}");
    assert!(matches!(Controllers::detect(Choice::Off, &Cgroups::Signals, "test"), Controllers::Missing(_)));
}

#[test]
fn version_1_has_a_group_in_each_hierarchy_and_shared_ones_once() {
    let dir = tempfile::tempdir().unwrap();
    for mount in ["cpu,cpuacct", "memory"] {
        let group = dir.path().join(mount).join("box/dormouse-test");
        fs::create_dir_all(&group).unwrap();
        for file in ["cpu.cfs_quota_us", "cgroup.procs", "memory.limit_in_bytes"] {
            fs::write(group.join(file), "").unwrap();
        }
    }
    let at = dir.path().display();
    let mounts = format!(
        "cgroup {at}/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\ncgroup {at}/memory cgroup rw,memory 0 0\n"
    );
    let standing = Standing { mounts, own: "3:memory:/box\n1:cpu,cpuacct:/box\n".to_owned() };
    let Controllers::V1(found) = Controllers::find(&Cgroups::Signals, "test", &standing) else {
        panic!("not found")
    };
    assert_eq!(found.cpuacct.as_ref(), Some(&found.cpu));
    assert_eq!(found.all().len(), 2, "cpu and cpuacct are one");
    let controllers = Controllers::V1(found.clone());
    controllers.make("ep-a-b-c").unwrap();
    assert!(found.of("ep-a-b-c").memory.unwrap().is_dir());
    controllers.forget("ep-a-b-c");
    assert!(!found.of("ep-a-b-c").cpu.exists());
}

#[test]
fn what_a_killed_server_left_goes_with_the_end_of_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let cpu = dir.path().join("dormouse-test");
    let found = V1 { cpu: cpu.clone(), cpuacct: None, memory: Some(dir.path().join("memory/dormouse-test")) };
    let controllers = Controllers::V1(found.clone());
    controllers.make("ep-left").unwrap();
    controllers.make("ep-in-use").unwrap();
    // A directory in a directory that cannot go stands for a process.
    let process = found.of("ep-in-use").cpu.join("process");
    fs::create_dir(&process).unwrap();
    controllers.remove();
    assert!(!found.of("ep-left").cpu.exists() && !found.memory.unwrap().exists());
    assert!(process.exists(), "what is in use stays");
    fs::remove_dir(&process).unwrap();
    controllers.remove();
    assert!(!cpu.exists());
}

#[test]
fn a_process_that_is_refused_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let list = dir.path().join("cgroup.procs");
    let own = std::process::id();
    fs::create_dir(&list).unwrap();
    let refused = enter_one(dir.path(), || vec![own]).unwrap_err().to_string();
    assert!(refused.contains(&format!("does not take process {own} (")), "{refused}");
    let calls = std::cell::Cell::new(0);
    let members = || {
        calls.set(calls.get() + 1);
        if calls.get() == 3 {
            fs::remove_dir(&list).unwrap();
        }
        vec![own]
    };
    enter_one(dir.path(), members).unwrap();
    assert_eq!(fs::read_to_string(&list).unwrap(), own.to_string());
}

#[test]
fn doctor_promises_only_what_the_server_would_get() {
    let dir = tempfile::tempdir().unwrap();
    let (standing, base) = unified(dir.path(), "cpu memory\n");
    let own = base.parent().unwrap().to_owned();
    fs::write(own.join("cgroup.type"), "domain\n").unwrap();
    let alone = format!("{}\n", std::process::id());
    fs::write(own.join("cgroup.procs"), &alone).unwrap();
    assert_eq!(Controllers::look(&standing), Controllers::V2);
    let missing = |wanted: &str| {
        let Controllers::Missing(why) = Controllers::look(&standing) else { panic!("it would not get them") };
        assert!(why.contains(wanted), "{why}");
    };
    // A shell, in the session of somebody who has logged in.
    fs::write(own.join("cgroup.procs"), format!("1\n{alone}")).unwrap();
    missing("other processes");
    // What the group hands down already, it hands down with them in it: they were let in.
    fs::write(own.join("cgroup.subtree_control"), "cpu memory\n").unwrap();
    assert_eq!(Controllers::look(&standing), Controllers::V2);
    fs::write(own.join("cgroup.procs"), &alone).unwrap();
    // A file system that cannot be written, or a group of somebody else.
    fs::remove_file(own.join("cgroup.subtree_control")).unwrap();
    missing("subtree_control");
    assert!(!own.join("dormouse-probe").exists());
}

#[test]
fn a_process_that_cannot_be_moved_is_told_and_one_that_has_ended_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let base = V1 { cpu: dir.path().to_owned(), cpuacct: None, memory: None };
    let controllers = Controllers::V1(base.clone());
    controllers.make("ep-a-b-c").unwrap();
    let group = base.of("ep-a-b-c").cpu;
    // Stands for what cannot be written.
    fs::create_dir(group.join("cgroup.procs")).unwrap();
    let error = controllers.enter("ep-a-b-c", || vec![1]).unwrap_err();
    assert!(error.to_string().contains("ep-a-b-c"), "{error}");
    controllers.enter("ep-a-b-c", Vec::new).unwrap();
}
