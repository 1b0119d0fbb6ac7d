//! A driver of its own for each test: its directory, its port, and its end.

use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use transport::aeron::AeronTransport;
use transport::{Offer, Publication, Subscription};

/// How long a test waits for what should happen at once on an idle machine.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A running media driver, killed when the test is over.
pub struct Driver {
    process: Child,
    directory: PathBuf,
    port: u16,
    _temp: TempDir,
}

impl Driver {
    pub fn start() -> Driver {
        let temp = match tempfile::Builder::new().prefix("media-driver-").tempdir_in("/dev/shm") {
            Ok(temp) => temp,
            Err(_) => tempfile::tempdir().expect("a temporary directory"),
        };
        let directory = temp.path().join("aeron");
        let process = launch(&directory);
        Driver { process, directory, port: free_port(), _temp: temp }
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn channel(&self) -> String {
        transport::udp_loopback(self.port, transport::TERM_BYTES_DEFAULT)
    }

    pub fn transport(&self) -> AeronTransport {
        AeronTransport::connect(&self.directory).expect("a transport")
    }

    pub fn is_running(&mut self) -> bool {
        self.process.try_wait().expect("the driver's state").is_none()
    }

    pub fn kill(&mut self) {
        self.process.kill().expect("the driver can be killed");
        self.process.wait().expect("the driver ends");
    }

    /// A driver in the place of this one, which must have ended.
    pub fn restart(&mut self) {
        assert!(!self.is_running());
        self.process = launch(&self.directory);
    }

    /// Sends SIGTERM and returns whether the driver ended well.
    pub fn terminate(&mut self) -> bool {
        signal(&self.process, "TERM");
        self.process.wait().expect("the driver ends").success()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        end(&mut self.process);
    }
}

/// Kills a process; it may have ended already, and there is nothing else to do about it.
pub fn end(process: &mut Child) {
    let _may_have_ended = process.kill();
    let _may_be_reaped = process.wait();
}

/// The driver as a command, with its output to be read.
pub fn driver_command(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_media-driver"));
    command.arg("--dir").arg(directory).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn launch(directory: &Path) -> Child {
    let mut process = driver_command(directory).spawn().expect("the driver starts");
    await_line(process.stdout.take().expect("its output"), "media-driver ready");
    process
}

/// Reads a process's output up to the line that contains a mark.
pub fn await_line(stdout: ChildStdout, mark: &str) {
    let mut lines = BufReader::new(stdout).lines();
    let found = lines.any(|line| line.expect("its output").contains(mark));
    assert!(found, "it ended without {mark:?}");
}

fn free_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.local_addr().expect("its address").port()
}

pub fn signal(process: &Child, name: &str) {
    let pid = process.id().to_string();
    let status = Command::new("kill").arg(format!("-{name}")).arg(pid).status();
    assert!(status.expect("kill runs").success());
}

/// Whether the tests that wait for Aeron's own timeouts are wanted.
pub fn full() -> bool {
    std::env::var_os("EXCHANGE_FULL").is_some_and(|value| value == "1")
}

/// Waits until something holds; fails the test if it does not in time.
pub fn until(what: &str, patience: Duration, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !holds() {
        assert!(Instant::now() < deadline, "not in {patience:?}: {what}");
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// Offers until the message is taken.
pub fn send(publication: &mut dyn Publication, message: &[u8]) {
    until("a message is taken", PATIENCE, || match publication.offer(message) {
        Offer::Sent => true,
        Offer::BackPressured | Offer::NotConnected => false,
        refused @ (Offer::TooLong | Offer::Closed) => panic!("{refused:?}"),
    });
}

/// Polls until a number of messages has come.
pub fn receive(subscription: &mut dyn Subscription, count: usize) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    until("messages come", PATIENCE, || {
        subscription.poll(&mut |message| messages.push(message.to_vec()), 16);
        messages.len() >= count
    });
    messages
}
