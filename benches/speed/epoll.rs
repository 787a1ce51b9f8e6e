//! Waiting for many sockets at once, to the microsecond: `epoll_wait` itself knows milliseconds only.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

pub struct Epoll {
    own: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Epoll {
    /// `most` sockets are told of at once.
    pub fn new(most: usize) -> Epoll {
        // SAFETY: a plain system call; what it gives is a descriptor that nobody else owns.
        let own = unsafe {
            let own = libc::epoll_create1(libc::EPOLL_CLOEXEC);
            assert!(own >= 0, "epoll: {}", std::io::Error::last_os_error());
            OwnedFd::from_raw_fd(own)
        };
        Epoll { own, events: vec![libc::epoll_event { events: 0, u64: 0 }; most] }
    }

    /// From now on it is told when there is something to read. A socket that is closed leaves by itself.
    pub fn watch(&self, socket: &impl AsRawFd, number: usize) {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: number as u64 };
        // SAFETY: the event outlives the call, which copies it.
        let outcome =
            unsafe { libc::epoll_ctl(self.own.as_raw_fd(), libc::EPOLL_CTL_ADD, socket.as_raw_fd(), &raw mut event) };
        assert_eq!(outcome, 0, "epoll: {}", std::io::Error::last_os_error());
    }

    /// Waits for so long at most; the numbers of the sockets that have something.
    pub fn wait(&mut self, most: Duration) -> impl Iterator<Item = usize> {
        let most = libc::timespec { tv_sec: most.as_secs() as _, tv_nsec: most.subsec_nanos() as _ };
        // SAFETY: the kernel writes at most as many events as there is room for, and reads the time; no signal mask.
        let told = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.own.as_raw_fd(),
                self.events.as_mut_ptr(),
                self.events.len(),
                &raw const most,
                std::ptr::null::<libc::sigset_t>(),
                0usize,
            )
        };
        assert!(told >= 0, "epoll: {}", std::io::Error::last_os_error());
        self.events[..told as usize].iter().map(|event| event.u64 as usize)
    }
}
