//! Runs a command to its end, and says what that took.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::figures::Fail;

/// What a process used.
pub(crate) struct Used {
    /// From its start until it had ended.
    pub(crate) wall: Duration,
    /// On a processor, in the system and outside of it.
    pub(crate) cpu: Duration,
    /// The most memory that was resident, in MiB.
    pub(crate) peak: f64,
}

/// Fails unless the command succeeds.
pub(crate) fn run(command: &mut Command) -> Result<Used, Fail> {
    run_until(command, |_| Ok(()))
}

/// The same where something is to be done with the process, such as to wait for what it does and to end it.
pub(crate) fn run_until(command: &mut Command, meanwhile: impl FnOnce(u32) -> Result<(), Fail>) -> Result<Used, Fail> {
    match used(command, meanwhile)? {
        (0, used) => Ok(used),
        (status, _) => Err(format!("{command:?} ended with status {status}").into()),
    }
}

/// The same for a process that may end anyhow: its status, too.
pub(crate) fn used(
    command: &mut Command,
    meanwhile: impl FnOnce(u32) -> Result<(), Fail>,
) -> Result<(i32, Used), Fail> {
    let began = Instant::now();
    let child = command.spawn()?;
    meanwhile(child.id())?;
    let (status, usage) = wait(child.id())?;
    let time = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    let cpu = time(usage.ru_utime) + time(usage.ru_stime);
    Ok((status, Used { wall: began.elapsed(), cpu, peak: usage.ru_maxrss as f64 / 1024.0 }))
}

/// Reaps a child. Nobody else does: the handle to it is only dropped.
#[expect(unsafe_code, reason = "neither the standard library nor rustix tells what a single child has used")]
fn wait(child: u32) -> Result<(i32, libc::rusage), Fail> {
    let (mut status, mut usage) = (0, std::mem::MaybeUninit::<libc::rusage>::zeroed());
    // SAFETY: both pointers are valid for the call. All zeros is a usage, so that it may be read whatever was written.
    let (reaped, usage) = unsafe {
        let reaped = libc::wait4(child as libc::pid_t, &raw mut status, 0, usage.as_mut_ptr());
        (reaped, usage.assume_init())
    };
    if reaped < 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    Ok((status, usage))
}
