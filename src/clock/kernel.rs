//! What the kernel knows of its own synchronisation (`adjtimex`, no privilege needed).

/// The kernel's NTP state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KernelState {
    /// A daemon keeps the clock synchronised (`STA_UNSYNC` is not set).
    pub synchronized: bool,
    /// The daemon's estimate of the remaining error, in milliseconds; only meaningful when synchronised.
    pub estimated_error_ms: f64,
}

pub fn kernel_state() -> KernelState {
    // SAFETY: all-zero is a valid timex; modes = 0 only reads.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is valid for the call.
    let state = unsafe { libc::adjtimex(&mut timex) };
    KernelState {
        synchronized: state >= 0 && timex.status & libc::STA_UNSYNC == 0,
        estimated_error_ms: timex.esterror as f64 / 1_000.0,
    }
}
