//! The one place with `unsafe`: start a program in its cage, in one `clone3`.
//!
//! Why not `std::process::Command`: a process that is *born* in its cgroup (`CLONE_INTO_CGROUP`)
//! saves the 5–20 ms that moving it there costs, and the pidfd comes without a race. Between clone
//! and exec the child is a copy of one thread of a multi-threaded program, so it may only make
//! system calls: no allocation, no locks, and no libc wrappers that talk to other threads (glibc's
//! `setuid` does), which is why these calls are made raw.
//!
//! Order in the child: session → urgency → groups, group, user → no_new_privs → Landlock → files →
//! exec. What fails is reported through a pipe that exec closes.

#![allow(unsafe_code, reason = "clone, exec and a few system calls that no safe crate offers")]

use std::ffi::{CString, c_char, c_int, c_long};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::identity::Identity;

/// Born in the cgroup whose directory `clone_args.cgroup` is. (libc's constant is too narrow for it.)
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Processes of one compute, all its backends and their programs together.
const MAX_PROCESSES: u64 = 2048;

/// `CLOSE_RANGE_CLOEXEC`: mark instead of close.
const CLOSE_ON_EXEC: c_long = 4;

/// What to start, with everything allocated before the clone.
#[derive(Debug)]
pub struct Command {
    /// Absolute path of the program.
    pub program: CString,
    /// Arguments, the first is the program's name.
    pub args: Vec<CString>,
    /// The whole environment, `NAME=value`.
    pub env: Vec<CString>,
    /// Who it shall be; `None` keeps the current user.
    pub identity: Option<Identity>,
    /// Standard input; nothing when `None`.
    pub stdin: Option<File>,
    /// Standard output and error.
    pub log: File,
    /// The prepared Landlock ruleset.
    pub landlock: Option<OwnedFd>,
    /// The cgroup to be born in.
    pub cgroup: Option<OwnedFd>,
    /// Start in the lowest real-time priority, where allowed.
    pub urgent: bool,
    /// The user is this compute's alone, so its processes can be counted.
    pub private_user: bool,
}

/// Why a start failed.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The kernel refused a new process.
    #[error("cannot start a process")]
    Clone(#[source] io::Error),
    /// A step in the child failed.
    #[error("cannot start {program}: {step} failed")]
    Child {
        /// The program.
        program: String,
        /// The step.
        step: &'static str,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

/// The steps that can fail in the child; its index travels through the pipe.
const STEPS: [&str; 6] = ["setgroups", "setgid", "setuid", "no_new_privs", "landlock", "exec"];

/// The C arrays that exec wants.
struct Pointers {
    argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
}

impl Pointers {
    fn of(command: &Command) -> Self {
        let list = |strings: &[CString]| {
            strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect::<Vec<_>>()
        };
        Self { argv: list(&command.args), envp: list(&command.env) }
    }
}

/// A process that was started, perhaps still on its way to exec.
#[derive(Debug)]
pub struct Started {
    /// Process ID.
    pub pid: u32,
    /// Holds the process.
    pub pidfd: OwnedFd,
    /// Why it could not exec, if it could not.
    pub failure: Failure,
}

/// What a child that failed before exec reports.
#[derive(Debug)]
pub struct Failure {
    program: String,
    reader: io::PipeReader,
}

/// Starts the program, without waiting for exec: on a busy machine that wait alone would cost a turn
/// of the scheduler. A child that fails before exec ends with code 127 and leaves a [`Failure`].
///
/// # Errors
/// When the process could not be made.
pub fn start(command: &Command) -> Result<Started, SpawnError> {
    let pointers = Pointers::of(command);
    let null = File::open("/dev/null").map_err(SpawnError::Clone)?;
    let stdin = command.stdin.as_ref().unwrap_or(&null).as_raw_fd();
    let (failure_reader, failure_writer) = io::pipe().map_err(SpawnError::Clone)?;
    let mut pidfd: RawFd = -1;
    // SAFETY: an all-zero clone_args is valid; the fields set below are as clone3(2) documents them.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = libc::CLONE_PIDFD as u64;
    args.pidfd = (&raw mut pidfd) as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    if let Some(group) = &command.cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = group.as_raw_fd() as u64;
    }
    let blocked = BlockedSignals::all();
    // SAFETY: without CLONE_VM the child has its own copy of memory; it only runs `child`, which never
    // returns and makes system calls only.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()) };
    if pid == 0 {
        // SAFETY: we are the child; all pointers were made before the clone.
        unsafe { child(command, &pointers, stdin, failure_writer.as_raw_fd()) }
    }
    let error = io::Error::last_os_error();
    drop(blocked);
    if pid < 0 {
        return Err(SpawnError::Clone(error));
    }
    drop(failure_writer);
    // SAFETY: clone3 succeeded, so the kernel stored a fresh descriptor that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    let pid = u32::try_from(pid).expect("process IDs are positive");
    let program = command.program.to_string_lossy().into_owned();
    Ok(Started { pid, pidfd, failure: Failure { program, reader: failure_reader } })
}

impl Failure {
    /// What went wrong before exec; `None` when the program was executed. Waits until one of both is
    /// certain, so ask when the process has ended.
    #[must_use]
    pub fn report(mut self) -> Option<SpawnError> {
        let mut message = [0u8; 8];
        // Closed without a message: exec succeeded.
        self.reader.read_exact(&mut message).ok()?;
        let [a, b, c, d, step, ..] = message;
        Some(SpawnError::Child {
            program: self.program,
            step: STEPS.get(usize::from(step)).copied().unwrap_or("start"),
            source: io::Error::from_raw_os_error(i32::from_ne_bytes([a, b, c, d])),
        })
    }
}

/// Runs in the child. Only system calls from here on.
unsafe fn child(command: &Command, pointers: &Pointers, stdin: RawFd, failure: RawFd) -> ! {
    // SAFETY: every call below is a plain system call on values that live in this process's copy of memory.
    unsafe {
        libc::syscall(libc::SYS_setsid);
        // Whoever started it may be of the batch policy.
        let ordinary = libc::sched_param { sched_priority: 0 };
        libc::syscall(libc::SYS_sched_setscheduler, 0, libc::SCHED_OTHER, &raw const ordinary);
        if command.urgent {
            let parameter = libc::sched_param { sched_priority: 1 };
            // Not allowed everywhere; it is only a speed-up.
            libc::syscall(libc::SYS_sched_setscheduler, 0, libc::SCHED_RR, &raw const parameter);
        }
        if let Some(identity) = command.identity {
            let (uid, gid) = (identity.uid as c_long, identity.gid as c_long);
            check(libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<u32>()), 0, failure);
            check(libc::syscall(libc::SYS_setresgid, gid, gid, gid), 1, failure);
            check(libc::syscall(libc::SYS_setresuid, uid, uid, uid), 2, failure);
        }
        check(libc::syscall(libc::SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 3, failure);
        if let Some(rules) = &command.landlock {
            check(libc::syscall(libc::SYS_landlock_restrict_self, rules.as_raw_fd(), 0), 4, failure);
        }
        let no_core = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        libc::syscall(libc::SYS_prlimit64, 0, libc::RLIMIT_CORE, &raw const no_core, std::ptr::null::<u8>());
        if command.private_user {
            let few = libc::rlimit { rlim_cur: MAX_PROCESSES, rlim_max: MAX_PROCESSES };
            let none = std::ptr::null::<u8>();
            libc::syscall(libc::SYS_prlimit64, 0, libc::RLIMIT_NPROC, &raw const few, none);
        }
        // What the server itself inherited must not reach the compute. Old kernels do not know the call.
        libc::syscall(libc::SYS_close_range, 3, c_long::from(u32::MAX), CLOSE_ON_EXEC);
        libc::syscall(libc::SYS_umask, 0o077);
        libc::syscall(libc::SYS_dup3, stdin, 0, 0);
        libc::syscall(libc::SYS_dup3, command.log.as_raw_fd(), 1, 0);
        libc::syscall(libc::SYS_dup3, command.log.as_raw_fd(), 2, 0);
        let none: u64 = 0;
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const none,
            std::ptr::null::<u8>(),
            8,
        );
        let failed = libc::syscall(
            libc::SYS_execve,
            command.program.as_ptr(),
            pointers.argv.as_ptr(),
            pointers.envp.as_ptr(),
        );
        check(failed, 5, failure);
        loop {
            libc::syscall(libc::SYS_exit_group, 127);
        }
    }
}

/// Reports a failed step and ends the child.
unsafe fn check(result: c_long, step: u8, failure: RawFd) {
    if result >= 0 {
        return;
    }
    // SAFETY: errno is thread-local memory of this process; write and exit are plain system calls.
    unsafe {
        let errno = (*libc::__errno_location()).to_ne_bytes();
        let message = [errno[0], errno[1], errno[2], errno[3], step, 0, 0, 0];
        libc::syscall(libc::SYS_write, failure, message.as_ptr(), message.len());
        libc::syscall(libc::SYS_exit_group, 127);
    }
}

/// Signals stay blocked across the clone, so that no handler of ours runs in the child.
struct BlockedSignals(u64);

impl BlockedSignals {
    fn all() -> Self {
        let all = u64::MAX;
        let mut before = 0u64;
        // SAFETY: both pointers are valid for eight bytes, the size that the kernel is told.
        unsafe {
            libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const all, &raw mut before, 8);
        }
        Self(before)
    }
}

impl Drop for BlockedSignals {
    fn drop(&mut self) {
        // SAFETY: as above; restores the mask of this thread.
        unsafe {
            let none = std::ptr::null::<u8>();
            libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const self.0, none, 8);
        }
    }
}

/// Puts a process back into the ordinary scheduling class.
pub(super) fn set_ordinary(pid: u32) {
    let parameter = libc::sched_param { sched_priority: 0 };
    // SAFETY: a plain system call; a process that is gone gives an error that does not matter.
    unsafe {
        libc::syscall(libc::SYS_sched_setscheduler, pid, libc::SCHED_OTHER, &raw const parameter);
    }
}

/// Removes a System V shared memory segment.
pub(super) fn remove_sysv_segment(id: c_int) {
    // SAFETY: IPC_RMID takes no buffer.
    let result = unsafe { libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut()) };
    if result < 0 {
        tracing::warn!(id, error = %io::Error::last_os_error(), "cannot remove left shared memory");
    }
}

/// The kernel's Landlock version, 0 without Landlock.
pub(super) fn landlock_abi() -> i64 {
    const VERSION_FLAG: c_long = 1;
    // SAFETY: with the version flag the call takes no attributes and only returns a number.
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0, VERSION_FLAG) };
    version.max(0)
}
