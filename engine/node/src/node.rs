//! A shard's replica among other processes: the pipeline with a transport around it.

use std::{
    sync::{
        Arc,
        mpsc::{self, Receiver, Sender, SyncSender},
    },
    thread::{self, JoinHandle},
};

use protocol::{Name, ShardId};
use replication::Solo;
use transport::{StreamId, Transport};

use crate::{
    Error,
    clerk::{Address, Clerk, Wiring},
    clock::Clock,
    control::{Control, DeathWatch},
    data_dir::DataDir,
    egress::{NoTap, Outlets},
    fanout::{Fanout, ToClerk, ToEgress},
    intake::{FOLLOWS_WAITING_MAX, Intake, Refusals},
    layout::{Layout, Running},
    links::Links,
    mind::Mind,
    outgoing::Identity,
    pipeline::{Parts, Pipeline},
    progress::Progress,
    recovery::{Recovered, Store, genesis, recover},
};

/// What a node is told at its start, apart from where its bytes travel.
#[derive(Clone, Debug)]
pub struct Setup {
    pub cluster: u64,
    pub shard: ShardId,
    pub shards: u8,
    pub replica: u8,
    pub segment_bytes: u64,
    pub spare_segments: usize,
    pub input_slots: usize,
    pub output_slots: usize,
    pub layout: Layout,
    pub channel: String,
    pub discovery_channel: String,
}

/// A serving node.
pub struct Node {
    running: Running,
    clerk: Option<JoinHandle<()>>,
    pub identity: Identity,
    pub ingress_stream: StreamId,
    pub refusals: Arc<Refusals>,
    _data_dir: DataDir,
}

impl Node {
    /// Recovers what `data_dir` holds into `mind`, which has seen nothing yet, and serves.
    pub fn start<M: Mind>(
        setup: &Setup,
        data_dir: DataDir,
        mind: M,
        mut transport: Box<dyn Transport>,
    ) -> Result<Self, Error> {
        setup.layout.check()?;
        let recovered = recover(&setup.store(&data_dir), mind)?;
        tracing::info!(
            shard = %setup.shard,
            seq = recovered.tail.last_seq,
            regenerated = recovered.regenerated,
            snapshot = recovered.snapshot,
            incarnation = data_dir.incarnation,
            "the log has been replayed"
        );
        let identity = Identity {
            cluster: setup.cluster,
            shard: setup.shard,
            epoch: recovered.tail.epoch.0,
            incarnation: data_dir.incarnation,
        };
        let ingress_stream = StreamId::fresh();
        let subscription = transport.subscription(&setup.channel, ingress_stream)?;
        let Some(channel) = Name::new(&setup.channel) else {
            return Err(Error::Config(format!("channel {:?} is too long", setup.channel)));
        };
        let address = Address { identity, replica: setup.replica, channel, stream: ingress_stream };

        let control = Arc::new(Control::default());
        let progress = Arc::new(Progress::at(recovered.tail.last_seq));
        let refusals = Arc::new(Refusals::default());
        let clock = Clock::default();
        let lines = Lines::new();
        let intake =
            Intake::new(subscription, setup.cluster, lines.to_clerk.clone(), refusals.clone());
        let outlets =
            outlets(setup, &identity, &recovered, &lines.to_clerk, lines.from_clerk, &progress);
        let wiring = Wiring {
            hello: transport.publication(&setup.discovery_channel, StreamId::DISCOVERY)?,
            discovery: transport.subscription(&setup.discovery_channel, StreamId::DISCOVERY)?,
            transport,
            inbox: lines.clerk_inbox,
            egress: lines.to_egress,
        };
        let pipeline = pipeline(setup, recovered, intake, outlets, &control, &progress)?;
        let running = pipeline.start(&setup.layout, clock)?;
        let clerk = Clerk::new(
            address,
            wiring,
            data_dir.dirs.events.clone(),
            clock,
            refusals.clone(),
            control.clone(),
            progress,
        );
        let clerk = Some(spawn(clerk, control)?);
        Ok(Self { running, clerk, identity, ingress_stream, refusals, _data_dir: data_dir })
    }

    pub fn control(&self) -> &Arc<Control> {
        &self.running.control
    }

    pub fn progress(&self) -> &Arc<Progress> {
        &self.running.progress
    }

    /// Ends cleanly: nothing that was taken in is left half done. The failure that had ended the
    /// node before, if there was one.
    pub fn stop(self) -> Result<(), Error> {
        let Self { running, clerk, .. } = self;
        let outcome = running.stop();
        if let Some(clerk) = clerk {
            // A panic there has become the failure already.
            drop(clerk.join());
        }
        outcome
    }
}

impl Setup {
    fn store(&self, data_dir: &DataDir) -> Store {
        Store {
            dirs: data_dir.dirs.clone(),
            cluster: self.cluster,
            shard: self.shard,
            shards: self.shards,
            segment_bytes: self.segment_bytes,
            spare_segments: self.spare_segments,
        }
    }
}

/// The lines between the hot threads and the clerk.
struct Lines {
    to_clerk: SyncSender<ToClerk>,
    clerk_inbox: Receiver<ToClerk>,
    to_egress: Sender<ToEgress>,
    from_clerk: Receiver<ToEgress>,
}

impl Lines {
    fn new() -> Self {
        let (to_clerk, clerk_inbox) = mpsc::sync_channel(FOLLOWS_WAITING_MAX);
        let (to_egress, from_clerk) = mpsc::channel();
        Self { to_clerk, clerk_inbox, to_egress, from_clerk }
    }
}

fn outlets<M: Mind>(
    setup: &Setup,
    identity: &Identity,
    recovered: &Recovered<M>,
    clerk: &SyncSender<ToClerk>,
    inbox: Receiver<ToEgress>,
    progress: &Arc<Progress>,
) -> Outlets {
    let emitted = recovered.tail.last_seq;
    let mut links = Links::new(setup.shard, setup.cluster);
    recovered.mind.unacknowledged(&mut |peer, link_seq, command| {
        links.push(peer, link_seq, command);
    });
    let fanout = Fanout::new(identity, emitted, clerk.clone(), Arc::clone(progress));
    Outlets { inbox, fanout, links }
}

fn pipeline<M: Mind>(
    setup: &Setup,
    recovered: Recovered<M>,
    intake: Intake,
    outlets: Outlets,
    control: &Arc<Control>,
    progress: &Arc<Progress>,
) -> Result<Pipeline, Error> {
    let Recovered { mind, journal, events, mut tail, .. } = recovered;
    if tail.last_seq == 0 {
        tail.genesis = Some(genesis(setup.cluster, setup.shard, setup.shards)?);
    }
    Ok(Pipeline::new(Parts {
        source: intake,
        rule: Solo::new(tail.epoch),
        mind,
        tap: NoTap,
        tail,
        journal,
        events,
        outlets: Some(outlets),
        input_slots: setup.input_slots,
        output_slots: setup.output_slots,
        control: Arc::clone(control),
        progress: Arc::clone(progress),
    }))
}

fn spawn(clerk: Clerk, control: Arc<Control>) -> Result<JoinHandle<()>, Error> {
    let work = move || {
        let _watch = DeathWatch { control, thread: "clerk" };
        clerk.run();
    };
    thread::Builder::new().name("clerk".into()).spawn(work).map_err(Error::Thread)
}
