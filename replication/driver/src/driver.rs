//! Configures Aeron's driver for small machines and runs it until it is told to stop.
//!
//! Aeron's defaults suit servers: three spinning threads and 48 MiB a stream. A cluster on a
//! laptop has one driver, a few dozen quiet streams and two cores, so here one thread does all
//! of a driver's work and sleeps longer the longer nothing happens, and streams are small.

use std::ffi::{CStr, CString, NulError};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Parser, ValueEnum};
use rusteron_media_driver::bindings::aeron_threading_mode_t;
use rusteron_media_driver::{AeronCError, AeronDriver, AeronDriverContext};
use thiserror::Error;

use crate::directory::Directory;
use crate::idle::Idle;

/// The least and the greatest length of a stream's buffer that Aeron knows.
const TERM_BYTES_MIN: usize = 64 * 1024;
const TERM_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// How long a client may be silent before its streams are taken away. A second closed healthy
/// clients on loaded machines, and nothing in the cluster waits for it.
const CLIENT_LIVENESS_NS: u64 = 10_000_000_000;

/// Bytes in flight to one receiver, and to all receivers of one port.
const RECEIVE_WINDOW_BYTES: usize = 512 * 1024;
const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Room for 8,192 counters; Aeron's own 16 MiB, and four times that for their names, would be
/// most of what a driver holds in memory.
const COUNTERS_BYTES: usize = 1024 * 1024;

/// Spins, yields, first and longest park of a thread without work, where threads are dedicated.
const IDLE_STEPS: &CStr = c"20-10-50us-1ms";

/// Moves Aeron messages between the processes that share a directory with it.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub struct Options {
    /// The directory shared with clients; made anew at every start. /dev/shm is the place for it
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,

    /// One thread for everything, or one each for sending, receiving and control
    #[arg(long, value_enum, default_value_t = Threading::Shared)]
    threading: Threading,

    /// Length of each of a stream's three buffers where its channel does not say: a power of
    /// two, in bytes or with k, m or g; an eighth of it is the longest message
    #[arg(long, value_name = "BYTES", default_value = "1m", value_parser = parse_term_bytes)]
    term_length: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Threading {
    /// For machines with few cores
    Shared,
    /// For machines with three cores to spare
    Dedicated,
}

#[derive(Debug, Error)]
pub enum Error {
    #[error("{} is in use by a live driver", directory.display())]
    InUse { directory: PathBuf },
    #[error("{} cannot be used: {source}", directory.display())]
    NotUsable { directory: PathBuf, source: io::Error },
    #[error("{} holds {found:?}, which is not a driver's: choose a directory of its own",
            directory.display())]
    ForeignFiles { directory: PathBuf, found: String },
    #[error("the directory's name has a zero byte")]
    DirectoryName(#[from] NulError),
    #[error("Aeron refused to {action}: {reason}")]
    Aeron { action: &'static str, reason: String },
    #[error("signals cannot be handled: {0}")]
    Signals(#[from] ctrlc::Error),
    #[error("the ready line cannot be printed: {0}")]
    Ready(io::Error),
}

/// Runs a driver until SIGINT or SIGTERM, then takes its directory away.
pub fn run(options: &Options) -> Result<(), Error> {
    let stop = Arc::new(AtomicBool::new(false));
    let asked = stop.clone();
    ctrlc::set_handler(move || asked.store(true, Ordering::Release))?;

    let directory = Directory::claim(&options.dir)?;
    let path = CString::new(directory.path().as_os_str().as_bytes())?;
    let context = configure(options, &path).map_err(refused("take its settings"))?;
    let driver = AeronDriver::new(&context).map_err(refused("make a driver"))?;
    driver.start(true).map_err(refused("start"))?;
    announce(options).map_err(Error::Ready)?;

    let mut idle = Idle::new();
    while !stop.load(Ordering::Acquire) {
        // A turn that fails, as over a malformed datagram, is noted in the driver's error log,
        // which Aeron's tools read; the next turn goes on.
        let work = driver.main_do_work().unwrap_or(0);
        match options.threading {
            Threading::Shared => idle.after(work),
            Threading::Dedicated => driver.main_idle_strategy(work),
        }
    }
    Ok(())
}

fn configure(options: &Options, directory: &CStr) -> Result<AeronDriverContext, AeronCError> {
    let context = AeronDriverContext::new()?;
    context.set_dir(directory)?;
    context.set_dir_delete_on_start(true)?;
    context.set_dir_delete_on_shutdown(true)?;
    context.set_threading_mode(match options.threading {
        Threading::Shared => aeron_threading_mode_t::AERON_THREADING_MODE_SHARED,
        Threading::Dedicated => aeron_threading_mode_t::AERON_THREADING_MODE_DEDICATED,
    })?;

    context.set_conductor_idle_strategy(c"backoff")?;
    context.set_conductor_idle_strategy_init_args(IDLE_STEPS)?;
    context.set_sender_idle_strategy(c"backoff")?;
    context.set_sender_idle_strategy_init_args(IDLE_STEPS)?;
    context.set_receiver_idle_strategy(c"backoff")?;
    context.set_receiver_idle_strategy_init_args(IDLE_STEPS)?;

    context.set_counters_buffer_length(COUNTERS_BYTES)?;
    context.set_term_buffer_length(options.term_length)?;
    context.set_ipc_term_buffer_length(options.term_length)?;
    context.set_term_buffer_sparse_file(true)?;
    let socket_bytes = socket_buffer_bytes();
    context.set_socket_so_rcvbuf(socket_bytes)?;
    context.set_socket_so_sndbuf(socket_bytes)?;
    context.set_rcv_initial_window_length(RECEIVE_WINDOW_BYTES.min(socket_bytes))?;

    context.set_client_liveness_timeout_ns(CLIENT_LIVENESS_NS)?;
    Ok(context)
}

/// As large as the system allows without a warning from Aeron, up to what is of use.
fn socket_buffer_bytes() -> usize {
    ["/proc/sys/net/core/rmem_max", "/proc/sys/net/core/wmem_max"]
        .iter()
        .filter_map(|path| std::fs::read_to_string(path).ok()?.trim().parse().ok())
        .fold(SOCKET_BUFFER_BYTES, usize::min)
}

fn announce(options: &Options) -> io::Result<()> {
    let threading = match options.threading {
        Threading::Shared => "shared",
        Threading::Dedicated => "dedicated",
    };
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "media-driver ready: dir {}, threading {threading}, term length {}",
        options.dir.display(),
        options.term_length
    )?;
    out.flush()
}

fn refused(action: &'static str) -> impl Fn(AeronCError) -> Error {
    move |error| {
        let error = error.capture_errmsg();
        let reason = error.message().unwrap_or_default().trim().to_string();
        Error::Aeron { action, reason }
    }
}

fn parse_term_bytes(text: &str) -> Result<usize, String> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1024),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1024 * 1024),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 1024 * 1024 * 1024),
        Some(_) | None => (text, 1),
    };
    let count: usize = digits.parse().map_err(|error| format!("{error}"))?;
    let bytes = count.checked_mul(unit).filter(|bytes| bytes.is_power_of_two());
    match bytes {
        Some(bytes) if (TERM_BYTES_MIN..=TERM_BYTES_MAX).contains(&bytes) => Ok(bytes),
        Some(_) | None => Err("it must be a power of two from 64k to 1g".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn term_lengths_are_powers_of_two_within_aeron_s_bounds() {
        assert_eq!(parse_term_bytes("64k"), Ok(TERM_BYTES_MIN));
        assert_eq!(parse_term_bytes("1m"), Ok(1024 * 1024));
        assert_eq!(parse_term_bytes("1048576"), Ok(1024 * 1024));
        assert_eq!(parse_term_bytes("1G"), Ok(TERM_BYTES_MAX));
        let wrong =
            ["", "k", "32k", "2g", "3m", "-1m", "1.5m", "0", "1mb", "99999999999999999999g", "é"];
        for text in wrong {
            assert!(parse_term_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn options_name_the_directory_and_nothing_unknown() {
        assert!(Options::try_parse_from(["media-driver"]).is_err());
        assert!(Options::try_parse_from(["media-driver", "--dir", "d", "--speed", "9"]).is_err());
        let options =
            Options::try_parse_from(["media-driver", "--dir", "d", "--threading", "dedicated"])
                .unwrap();
        assert_eq!(options.threading, Threading::Dedicated);
    }
}
