//! A running link, and the handle with which the rest of the process uses it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle, Thread},
    time::Duration,
};

use protocol::{Command, Micros, Name, ShardId, order::SessionKind};
use tokio::sync::oneshot;
use transport::Transport;

use super::{
    COMMANDS_UNDER_WAY_MAX, From, LinkError, LinkStatus, Listener, Reply, SubmitError,
    conductor::Conductor,
};

/// What a link needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    pub cluster: u64,
    /// Where nodes announce themselves.
    pub discovery_channel: String,
    /// Where nodes can reach this process; each shard gets a stream of its own on it.
    pub egress_channel: String,
    /// Who opens the sessions.
    pub kind: SessionKind,
    pub name: Name<32>,
    pub from: From,
    /// How long a handler waits for an outcome before it is told that it is unknown.
    pub reply_timeout: Duration,
}

/// A link with its thread; dropping it ends both.
pub struct Client {
    orders: Orders,
    status: LinkStatus,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Where handlers hand in commands; clones share the link.
#[derive(Clone)]
pub struct Orders {
    inbox: mpsc::Sender<Submission>,
    thread: Thread,
    under_way: Arc<AtomicUsize>,
    reply_timeout: Duration,
    status: LinkStatus,
}

/// A command on its way to the link's thread.
pub(super) struct Submission {
    pub shard: ShardId,
    pub command: Command,
    pub expires_at: Micros,
    pub wait: Duration,
    pub waiter: Waiter,
}

/// Who waits for an outcome; counts as under way for as long as it exists.
#[derive(Debug)]
pub(super) struct Waiter {
    reply: oneshot::Sender<Result<Reply, SubmitError>>,
    under_way: Arc<AtomicUsize>,
}

impl Waiter {
    pub fn tell(self, result: Result<Reply, SubmitError>) {
        let Self { reply, under_way } = self;
        under_way.fetch_sub(1, Ordering::AcqRel);
        // A client that has gone away does not hear it; its command is done all the same.
        let _ = reply.send(result);
    }
}

impl Client {
    /// Starts a link. `ended` is called from its thread when it cannot go on; the process should
    /// then end, because what it knows is of no use without the shards.
    pub fn start(
        settings: Settings,
        transport: Box<dyn Transport>,
        listener: Box<dyn Listener>,
        ended: impl FnOnce(LinkError) + Send + 'static,
    ) -> Result<Self, std::io::Error> {
        let (inbox, submissions) = mpsc::channel();
        let status = LinkStatus::default();
        let stop = Arc::new(AtomicBool::new(false));
        let reply_timeout = settings.reply_timeout;
        let (thread_status, thread_stop) = (status.clone(), stop.clone());
        let thread = thread::Builder::new().name("link".into()).spawn(move || {
            let run = AssertUnwindSafe(|| {
                Conductor::new(settings, transport, listener, submissions, thread_status)?
                    .run(&thread_stop)
            });
            match catch_unwind(run) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => ended(error),
                Err(_) => ended(LinkError::Panicked),
            }
        })?;
        let orders = Orders {
            inbox,
            thread: thread.thread().clone(),
            under_way: Arc::default(),
            reply_timeout,
            status: status.clone(),
        };
        Ok(Self { orders, status, stop, thread: Some(thread) })
    }

    pub fn orders(&self) -> Orders {
        self.orders.clone()
    }

    pub fn status(&self) -> LinkStatus {
        self.status.clone()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("the link's thread panicked while it ended");
            }
        }
    }
}

impl Orders {
    /// Sends a command and waits for its outcome; the views show its effects by then.
    ///
    /// `expires_at` is when the shard shall no longer apply it (log time, 0: never). A command
    /// that lacks margin is sent once more after the ledger has lent it; a [`Reply`] with
    /// `NeedMargin` means that the ledger has refused.
    pub async fn submit(
        &self,
        shard: ShardId,
        command: Command,
        expires_at: Micros,
    ) -> Result<Reply, SubmitError> {
        self.begin(shard, command, expires_at)?.await.unwrap_or(Err(SubmitError::Unknown))
    }

    /// Like [`submit`](Self::submit), in two steps: commands are sent in the order of these
    /// calls, and their replies can be awaited together.
    pub fn begin(
        &self,
        shard: ShardId,
        command: Command,
        expires_at: Micros,
    ) -> Result<oneshot::Receiver<Result<Reply, SubmitError>>, SubmitError> {
        if self.under_way.fetch_add(1, Ordering::AcqRel) >= COMMANDS_UNDER_WAY_MAX {
            self.under_way.fetch_sub(1, Ordering::AcqRel);
            return Err(SubmitError::Busy);
        }
        let (reply, result) = oneshot::channel();
        let waiter = Waiter { reply, under_way: self.under_way.clone() };
        let wait = self.reply_timeout;
        let submission = Submission { shard, command, expires_at, wait, waiter };
        if let Err(mpsc::SendError(submission)) = self.inbox.send(submission) {
            submission.waiter.tell(Err(SubmitError::Unavailable));
        }
        self.thread.unpark();
        Ok(result)
    }

    pub fn status(&self) -> &LinkStatus {
        &self.status
    }
}
