//! Publishers and subscribers in processes of their own, to be killed or stopped.
//!
//! A process is this test binary again, told by its environment what to be.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use transport::{StreamId, Transport};

use crate::harness::{Driver, await_line, end, send};

const ROLE: &str = "MEDIA_DRIVER_TEST_ROLE";
const DIRECTORY: &str = "MEDIA_DRIVER_TEST_DIRECTORY";
const CHANNEL: &str = "MEDIA_DRIVER_TEST_CHANNEL";
const STREAM: &str = "MEDIA_DRIVER_TEST_STREAM";

/// What a process printed when it was at work, and when its transport had closed.
const READY: &str = "role-is-ready";

/// A process that ended because its transport had closed.
pub const CLOSED_STATUS: i32 = 42;

/// A process lives no longer than this, whatever becomes of its test.
const LIFE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug)]
pub enum Role {
    /// Reads everything, until its transport closes.
    Subscriber,
    /// Sends its number (four bytes), then counts (four bytes), as fast as the stream takes it.
    Publisher(u32),
}

/// A process with a role, killed when the test is over.
pub struct Actor {
    pub process: Child,
}

impl Actor {
    /// Starts one; it is connected to its driver when this returns.
    pub fn start(role: Role, driver: &Driver, stream: StreamId) -> Actor {
        let text = match role {
            Role::Subscriber => "subscriber".to_string(),
            Role::Publisher(number) => number.to_string(),
        };
        let mut process = Command::new(std::env::current_exe().expect("this binary"))
            .args(["roles::act", "--exact", "--ignored", "--nocapture"])
            .env(ROLE, text)
            .env(DIRECTORY, driver.directory())
            .env(CHANNEL, driver.channel())
            .env(STREAM, stream.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the process starts");
        await_line(process.stdout.take().expect("its output"), READY);
        Actor { process }
    }

    pub fn kill(&mut self) {
        self.process.kill().expect("it can be killed");
        self.process.wait().expect("it ends");
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        end(&mut self.process);
    }
}

#[test]
#[ignore = "it is what the other tests start as a process"]
fn act() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let variable = |name| std::env::var(name).expect(name);
    std::thread::spawn(|| {
        std::thread::sleep(LIFE);
        std::process::exit(1);
    });
    let directory = std::path::PathBuf::from(variable(DIRECTORY));
    let mut transport = transport::aeron::AeronTransport::connect(&directory).expect("a driver");
    let channel = variable(CHANNEL);
    let stream = StreamId(variable(STREAM).parse().expect("a number"));
    if role == "subscriber" {
        let mut subscription = transport.subscription(&channel, stream).expect("a subscription");
        println!("{READY}");
        while transport.healthy() {
            subscription.poll(&mut |_| {}, 16);
            std::thread::sleep(Duration::from_millis(1));
        }
        std::process::exit(CLOSED_STATUS);
    }
    let number: u32 = role.parse().expect("a number");
    let mut publication = transport.publication(&channel, stream).expect("a publication");
    println!("{READY}");
    for count in 0..u32::MAX {
        let message = [number.to_le_bytes(), count.to_le_bytes()].concat();
        send(publication.as_mut(), &message);
    }
}
