//! The one thread that drives the Aeron client, and what the others share with it.
//!
//! aeron-rs can run its conductor on a thread of its own, but that thread wakes 250 times a
//! second, ends in a panic after some errors, and takes a lock that the others need as well.
//! This one sleeps until it is asked something or a turn is due.

use std::ffi::CString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use aeron_rs::aeron::Aeron;
use aeron_rs::context::Context;
use aeron_rs::utils::errors::{AeronError, GenericError};

use super::directory::{ControlFile, unavailable};
use super::{
    ANSWER_SLACK, CONNECT_TIMEOUT, CREATE_TIMEOUT, DRIVER_LIVENESS, PublicationHandle,
    SubscriptionHandle,
};
use crate::{Error, StreamId};

/// How often the client looks for news from the driver: how late a new publisher is heard.
const TURN_INTERVAL: Duration = Duration::from_millis(10);

/// The same while an answer is awaited.
const AWAITING_TURN_INTERVAL: Duration = Duration::from_millis(1);

/// News taken in one turn, so that requests are not kept waiting.
const NEWS_PER_TURN_MAX: usize = 64;

/// How often the control file is looked at.
const CONTROL_FILE_INTERVAL: Duration = Duration::from_secs(1);

/// After so long without a turn the client may be closed without knowing it yet. Half of what the
/// driver allows.
const STALL_MS_MAX: u64 = 5_000;

/// How long the client keeps a log mapped after its last use, and how long the conductor goes on
/// after the last handle came back so that they are all unmapped.
const LINGER_MS: u64 = 1_000;
const FAREWELL: Duration = Duration::from_millis(3 * LINGER_MS);
const FAREWELL_TURN_INTERVAL: Duration = Duration::from_millis(100);

/// What the conductor is asked for.
pub enum Request {
    Publish { channel: CString, stream: StreamId, reply: Reply<PublicationHandle> },
    Subscribe { channel: CString, stream: StreamId, reply: Reply<SubscriptionHandle> },
    ReleasePublication(PublicationHandle),
    ReleaseSubscription(SubscriptionHandle),
    Flush { reply: SyncSender<()> },
}

type Reply<T> = SyncSender<Result<T, Error>>;

/// What the conductor tells everybody.
pub struct Shared {
    failure: OnceLock<String>,
    /// Set when the client has lost the thread of the driver's news and must not be driven.
    deaf: AtomicBool,
    start: Instant,
    last_turn_ms: AtomicU64,
}

impl Shared {
    pub fn new() -> Shared {
        Shared {
            failure: OnceLock::new(),
            deaf: AtomicBool::new(false),
            start: Instant::now(),
            last_turn_ms: AtomicU64::new(0),
        }
    }

    pub fn has_failed(&self) -> bool {
        self.failure.get().is_some()
    }

    pub fn check(&self) -> Result<(), Error> {
        match self.failure.get() {
            None => Ok(()),
            Some(reason) => Err(Error::Closed { reason: reason.clone() }),
        }
    }

    /// Whether the client's counters are still its own, as far as can be known.
    pub fn may_read(&self) -> bool {
        let now_ms = self.start.elapsed().as_millis() as u64;
        let stalled_ms = now_ms.saturating_sub(self.last_turn_ms.load(Ordering::Acquire));
        !self.has_failed() && stalled_ms <= STALL_MS_MAX
    }

    fn note_turn(&self) {
        let now_ms = self.start.elapsed().as_millis() as u64;
        self.last_turn_ms.store(now_ms, Ordering::Release);
    }

    /// Keeps the first reason; the others follow from it.
    fn fail(&self, reason: String) {
        if self.failure.set(reason.clone()).is_ok() {
            tracing::error!(%reason, "the Aeron client is closed");
        }
    }

    fn on_error(&self, error: AeronError) {
        match error {
            // One channel is broken; its publications and subscriptions are closed, no others.
            AeronError::ChannelEndpointException(_, reason) => {
                tracing::warn!(%reason, "an Aeron channel is closed");
            }
            AeronError::BroadcastTransmitError(_) => {
                self.deaf.store(true, Ordering::Release);
                self.fail(error.to_string());
            }
            other => self.fail(other.to_string()),
        }
    }
}

/// Starts the thread and waits until its client is connected.
pub fn spawn(
    directory: &Path,
    requests: Receiver<Request>,
    shared: Arc<Shared>,
) -> Result<(), Error> {
    let owned = directory.to_path_buf();
    let (reply, answer) = mpsc::sync_channel(1);
    thread::Builder::new()
        .name("aeron-conductor".into())
        .spawn(move || {
            // The client is made here because it cannot move between threads.
            match connect(&owned, &shared) {
                Ok(aeron) => {
                    shared.note_turn();
                    let control_file = ControlFile::of(&owned);
                    let _asker_gave_up = reply.send(Ok(()));
                    Conductor::new(aeron, control_file, shared).run(&requests);
                }
                Err(error) => {
                    let _asker_gave_up = reply.send(Err(error));
                }
            }
        })
        .map_err(|error| unavailable(directory, format!("no thread for it: {error}")))?;
    answer
        .recv_timeout(DRIVER_LIVENESS + CONNECT_TIMEOUT + ANSWER_SLACK)
        .unwrap_or_else(|error| Err(unavailable(directory, error.to_string())))
}

fn connect(directory: &Path, shared: &Arc<Shared>) -> Result<Aeron, Error> {
    let name = directory.to_str();
    let name = name.ok_or_else(|| unavailable(directory, "the directory's name is not UTF-8"))?;
    let mut context = Context::new();
    context.set_aeron_dir(name.to_string());
    context.set_use_conductor_agent_invoker(true);
    context.set_media_driver_timeout(DRIVER_LIVENESS.as_millis() as u64);
    context.set_resource_linger_timeout(LINGER_MS);
    let on_error = shared.clone();
    context.set_error_handler(move |error| on_error.on_error(error));
    // A driver may die between the look at its directory and this; the library then panics.
    catch_unwind(AssertUnwindSafe(|| Aeron::new(context)))
        .map_err(|_| unavailable(directory, "the client panicked"))?
        .map_err(|error| unavailable(directory, error.to_string()))
}

struct Conductor {
    aeron: Aeron,
    control_file: ControlFile,
    control_file_due: Instant,
    awaited: Vec<Awaited>,
    shared: Arc<Shared>,
    /// The client panicked: its locks are poisoned, and it is left as it is.
    broken: bool,
}

/// A request that the driver has not answered yet.
struct Awaited {
    channel: CString,
    stream: StreamId,
    registration: i64,
    asked: Instant,
    asker: Asker,
}

enum Asker {
    Publication(Reply<PublicationHandle>),
    Subscription(Reply<SubscriptionHandle>),
    /// Gave up. What the driver makes of the request is released as soon as it is there.
    NobodyPublishes,
    NobodySubscribes,
}

/// Where a request stands.
enum Progress {
    Waiting,
    Done,
    Failed(AeronError),
}

impl Conductor {
    fn new(aeron: Aeron, control_file: ControlFile, shared: Arc<Shared>) -> Conductor {
        let control_file_due = Instant::now() + CONTROL_FILE_INTERVAL;
        Conductor {
            aeron,
            control_file,
            control_file_due,
            awaited: Vec::new(),
            shared,
            broken: false,
        }
    }

    /// Goes on until the transport and every handle are gone.
    fn run(mut self, requests: &Receiver<Request>) {
        loop {
            let interval =
                if self.awaited.is_empty() { TURN_INTERVAL } else { AWAITING_TURN_INTERVAL };
            match requests.recv_timeout(interval) {
                Ok(request) => self.accept(request),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.turn();
        }
        self.say_farewell();
    }

    fn accept(&mut self, request: Request) {
        match request {
            Request::Publish { channel, stream, reply } => {
                let added = match self.shared.check() {
                    Ok(()) => self
                        .guarded(|aeron| aeron.add_exclusive_publication(channel.clone(), stream.0))
                        .map_err(|error| refused(&channel, stream, &error)),
                    Err(error) => Err(error),
                };
                match added {
                    Ok(registration) => {
                        self.await_answer(channel, stream, registration, Asker::Publication(reply));
                    }
                    Err(error) => drop(reply.send(Err(error))),
                }
            }
            Request::Subscribe { channel, stream, reply } => {
                let added = match self.shared.check() {
                    Ok(()) => self
                        .guarded(|aeron| aeron.add_subscription(channel.clone(), stream.0))
                        .map_err(|error| refused(&channel, stream, &error)),
                    Err(error) => Err(error),
                };
                match added {
                    Ok(registration) => {
                        let asker = Asker::Subscription(reply);
                        self.await_answer(channel, stream, registration, asker);
                    }
                    Err(error) => drop(reply.send(Err(error))),
                }
            }
            Request::ReleasePublication(handle) => self.release(handle),
            Request::ReleaseSubscription(handle) => self.release(handle),
            Request::Flush { reply } => drop(reply.send(())),
        }
    }

    fn await_answer(
        &mut self,
        channel: CString,
        stream: StreamId,
        registration: i64,
        asker: Asker,
    ) {
        let asked = Instant::now();
        self.awaited.push(Awaited { channel, stream, registration, asked, asker });
    }

    /// Dropping a handle tells the driver, under the client's lock.
    fn release<T>(&mut self, handle: T) {
        if self.broken {
            std::mem::forget(handle);
        } else if catch_unwind(AssertUnwindSafe(|| drop(handle))).is_err() {
            self.give_up();
        }
    }

    fn turn(&mut self) {
        let deaf = self.shared.deaf.load(Ordering::Acquire);
        if !self.broken && !deaf {
            let taken = self.guarded(|aeron| {
                let invoker = aeron.conductor_agent_invoker();
                Ok((0..NEWS_PER_TURN_MAX).take_while(|_| invoker.invoke() > 0).count())
            });
            if let Err(error) = taken {
                self.shared.on_error(error);
            }
        }
        self.shared.note_turn();
        self.watch_control_file();
        let awaited = std::mem::take(&mut self.awaited);
        self.awaited = awaited.into_iter().filter_map(|one| self.look_after(one)).collect();
    }

    fn watch_control_file(&mut self) {
        let now = Instant::now();
        if now >= self.control_file_due {
            self.control_file_due = now + CONTROL_FILE_INTERVAL;
            if !self.shared.has_failed() && !self.control_file.is_in_place() {
                self.shared.fail("its media driver has ended or was replaced".into());
            }
        }
    }

    /// Answers a request if the driver has, or if it is time to give up; returns it if not.
    fn look_after(&mut self, mut awaited: Awaited) -> Option<Awaited> {
        if let Err(error) = self.shared.check() {
            awaited.asker.refuse(error);
            return None;
        }
        match self.progress(&awaited) {
            Progress::Done => None,
            Progress::Failed(error) => {
                let error = refused(&awaited.channel, awaited.stream, &error);
                awaited.asker.refuse(error);
                None
            }
            Progress::Waiting => {
                let waited = awaited.asked.elapsed();
                if waited >= CREATE_TIMEOUT {
                    awaited.asker.refuse(Error::Unanswered {
                        channel: awaited.channel.to_string_lossy().into_owned(),
                        stream: awaited.stream,
                        waited_ms: waited.as_millis() as u64,
                    });
                    awaited.asker = awaited.asker.forsaken();
                }
                Some(awaited)
            }
        }
    }

    fn progress(&mut self, awaited: &Awaited) -> Progress {
        let registration = awaited.registration;
        let find_publication = |aeron: &mut Aeron| {
            aeron.find_exclusive_publication(registration).map(PublicationHandle)
        };
        let find_subscription = |aeron: &mut Aeron| aeron.find_subscription(registration);
        let outcome = match &awaited.asker {
            Asker::Publication(reply) => {
                self.guarded(find_publication).map(|handle| self.hand_over(Some(reply), handle))
            }
            Asker::NobodyPublishes => {
                self.guarded(find_publication).map(|handle| self.hand_over(None, handle))
            }
            Asker::Subscription(reply) => {
                self.guarded(find_subscription).map(|handle| self.hand_over(Some(reply), handle))
            }
            Asker::NobodySubscribes => {
                self.guarded(find_subscription).map(|handle| self.hand_over(None, handle))
            }
        };
        match outcome {
            Ok(()) => Progress::Done,
            Err(
                AeronError::SubscriptionNotReady(_)
                | AeronError::Generic(GenericError::ExclusivePublicationNotReadyYet { .. }),
            ) => Progress::Waiting,
            Err(error) => Progress::Failed(error),
        }
    }

    /// Gives the asker what was made, or takes it apart again if nobody waits for it any more.
    fn hand_over<T>(&mut self, reply: Option<&Reply<T>>, handle: T) {
        let Some(reply) = reply else { return self.release(handle) };
        match reply.try_send(Ok(handle)) {
            Ok(()) => {}
            Err(TrySendError::Full(unsent) | TrySendError::Disconnected(unsent)) => {
                self.release(unsent);
            }
        }
    }

    /// Calls the client. It panics on what it does not expect, and is of no more use then.
    fn guarded<T>(
        &mut self,
        call: impl FnOnce(&mut Aeron) -> Result<T, AeronError>,
    ) -> Result<T, AeronError> {
        if self.broken {
            return Err(GenericError::ClientConductorClosed.into());
        }
        match catch_unwind(AssertUnwindSafe(|| call(&mut self.aeron))) {
            Ok(outcome) => outcome,
            Err(_) => {
                self.give_up();
                Err(GenericError::ClientConductorClosed.into())
            }
        }
    }

    fn give_up(&mut self) {
        self.broken = true;
        self.shared.fail("the client panicked".into());
    }

    /// Lets the client unmap the logs of what was released, then ends it.
    fn say_farewell(mut self) {
        let end = Instant::now() + FAREWELL;
        while Instant::now() < end && !self.broken {
            self.turn();
            thread::sleep(FAREWELL_TURN_INTERVAL);
        }
        if self.broken {
            std::mem::forget(self.aeron);
        }
    }
}

impl Asker {
    fn refuse(&self, error: Error) {
        match self {
            Asker::Publication(reply) => drop(reply.try_send(Err(error))),
            Asker::Subscription(reply) => drop(reply.try_send(Err(error))),
            Asker::NobodyPublishes | Asker::NobodySubscribes => {}
        }
    }

    fn forsaken(self) -> Asker {
        match self {
            Asker::Publication(_) | Asker::NobodyPublishes => Asker::NobodyPublishes,
            Asker::Subscription(_) | Asker::NobodySubscribes => Asker::NobodySubscribes,
        }
    }
}

fn refused(channel: &CString, stream: StreamId, error: &AeronError) -> Error {
    // What the driver answered; the error's own text has the number alone.
    let reason = match error {
        AeronError::RegistrationException(code, reason) => format!("{reason} (code {code})"),
        other => other.to_string(),
    };
    Error::Refused { channel: channel.to_string_lossy().into_owned(), stream, reason }
}
