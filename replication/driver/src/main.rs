//! `media-driver` moves Aeron's messages between the processes of one machine and its peers.
//!
//! It is Aeron's own driver in C in a small binary of ours, so that a cluster needs no Java and
//! one process alone needs a C toolchain to be built. Clients (crate `transport`) share a
//! directory of memory-mapped files with it.
//!
//! Aeron has no authentication: garbage on its port does no harm, but whoever can send well-made
//! packets to it can forge messages. Its ports belong on loopback or on a private network.
//!
//! Building it compiles Aeron's C sources. That takes a C and C++ compiler, CMake 3.30 or newer
//! (`CMAKE=/path/to/cmake` where the system's is older; `pip install cmake` has a new one),
//! libclang with its headers for bindgen, and the headers of libbsd, libuuid, zlib and OpenSSL.
//! On Debian: `libclang1-14 libclang-common-14-dev libbsd-dev uuid-dev zlib1g-dev libssl-dev
//! pkg-config`. A release build is for the machine's own processor unless `RUSTERON_C_MARCH`
//! names another. To run, it needs libbsd, libmd and libuuid.

use std::process::ExitCode;

use clap::Parser;

mod directory;
mod driver;
mod idle;

fn main() -> ExitCode {
    match driver::run(&driver::Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("media-driver: {error}");
            ExitCode::FAILURE
        }
    }
}
