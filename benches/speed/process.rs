//! Processes to measure: where they run, and what they cost.

use crate::support::program::Program;
use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What is measured runs on the first processor, and whoever asks it on the others, so that neither takes the other's time.
pub const SERVERS: usize = 0;

/// Keeps this process, and all it starts, off the servers' processor. A machine with one processor shares it.
pub fn stay_off_the_servers() {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    if processors < 2 {
        return;
    }
    assert!(stay_on((0..processors).filter(|processor| *processor != SERVERS)), "no processor of one's own");
}

/// Makes a command keep itself on the servers' processor, before it becomes its program.
pub fn stay_on_the_servers(command: &mut Command) {
    // SAFETY: between fork and exec it makes one system call, and touches nothing but the stack.
    unsafe {
        command.pre_exec(|| match stay_on(SERVERS..=SERVERS) {
            true => Ok(()),
            false => Err(std::io::Error::last_os_error()),
        });
    }
}

/// Keeps the calling thread, and all it starts, on these processors.
pub fn stay_on(processors: impl Iterator<Item = usize>) -> bool {
    // SAFETY: the set is initialised, and outlives the call; 0 is the calling thread, whose children inherit it.
    unsafe {
        let mut set = std::mem::zeroed::<libc::cpu_set_t>();
        for processor in processors {
            libc::CPU_SET(processor, &mut set);
        }
        libc::sched_setaffinity(0, size_of_val(&set), &raw const set) == 0
    }
}

/// The same command on the servers' processor.
pub fn on_the_servers(command: &Command) -> Command {
    let mut pinned = Command::new("taskset");
    pinned.arg("--cpu-list").arg(SERVERS.to_string()).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => pinned.env(name, value),
            None => pinned.env_remove(name),
        };
    }
    pinned.stdin(std::process::Stdio::null());
    pinned
}

/// A process on the servers' processor. Dropped: killed and reaped.
pub struct Process {
    pub program: Program,
}

impl Process {
    pub fn start(command: &Command) -> Process {
        Process { program: Program::start(on_the_servers(command)) }
    }

    /// What its threads have used of a processor so far, as the scheduler counts it: to the nanosecond, while `stat` has
    /// ticks of 10 ms.
    pub fn used(&self) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.program.pid())).expect("it runs");
        let nanoseconds = tasks
            .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok())
            .map(|text| text.split(' ').next().and_then(|first| first.parse::<u64>().ok()).expect("schedstat"))
            .sum();
        Duration::from_nanos(nanoseconds)
    }
}

/// Resident memory of a process, in bytes of a million a megabyte.
fn resident_mb(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") * 1_024.0 / 1_000_000.0
}

/// Does this, and says the most that was resident of a process meanwhile.
pub fn most_resident_mb<T>(pid: u32, work: impl FnOnce() -> T) -> (T, f64) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let most = scope.spawn(|| {
            let mut most = resident_mb(pid);
            while !over.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(100));
                most = most.max(resident_mb(pid));
            }
            most
        });
        let done = work();
        over.store(true, Ordering::Relaxed);
        (done, most.join().expect("a look at memory does not panic"))
    })
}

/// Lets this process, and all it starts from now on, hold so many files and connections open.
pub fn allow_open_files(wanted: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls read or write the one structure given to them, which outlives them.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0, "no limit of open files");
        let most = limit.rlim_max;
        assert!(
            most >= wanted,
            "at most {most} open files are allowed, and {wanted} needed: raise it (ulimit -Hn {wanted})"
        );
        limit.rlim_cur = limit.rlim_cur.max(wanted);
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0, "the limit of open files stays");
    }
}

/// Makes a process, and all threads it starts from now on, wait for everybody else who wants its processor.
pub fn give_way(pid: u32) {
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs").flatten() {
        let task = task.file_name().to_str().and_then(|task| task.parse::<libc::id_t>().ok()).expect("a number");
        // SAFETY: a plain system call; no memory is involved. A thread that is gone meanwhile is in nobody's way.
        unsafe { libc::setpriority(libc::PRIO_PROCESS, task, 19) };
    }
}

/// What this thread has used of a processor so far.
pub fn own_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure outlives the call, which writes it.
    let outcome = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(outcome, 0, "no clock of this thread");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A program on PATH or where Debian keeps those of the administrator.
pub fn installed(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).chain([OsStr::new("/usr/sbin").into()]).any(|folder| folder.join(name).is_file())
}

/// What the processes that this one started, and that have ended, had used of a processor in all.
pub fn ended_children_time() -> Duration {
    // SAFETY: the structure is plain numbers, outlives the call, and the call writes it.
    let used = unsafe {
        let mut used = std::mem::zeroed::<libc::rusage>();
        assert_eq!(libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut used), 0, "no count of children");
        used
    };
    let time = |part: libc::timeval| Duration::new(part.tv_sec as u64, part.tv_usec as u32 * 1_000);
    time(used.ru_utime) + time(used.ru_stime)
}
