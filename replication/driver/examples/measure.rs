//! Measures streams between two processes on one machine: round trips, throughput, idling.
//!
//! The figures say what a configuration of the driver costs, so that its idle steps and window
//! are chosen by evidence. Start a driver, then
//!
//! ```text
//! measure DIR PORT round-trip [spin|park]   one message there and back, 20,000 times
//! measure DIR PORT flood BYTES              messages of one length for three seconds
//! measure DIR PORT connect                  from creating both ends to their being connected
//! measure DIR PORT idle PAIRS SECONDS       publications and subscriptions without traffic, and
//!                                           ten announcements a second to all others
//! ```

use std::env;
use std::error::Error;
use std::path::Path;
use std::process::{Child, Command};
use std::str::FromStr;
use std::time::{Duration, Instant};

use transport::aeron::AeronTransport;
use transport::{Offer, Publication, StreamId, Subscription, TERM_BYTES_DEFAULT, Transport};

const ROUND_TRIPS: usize = 20_000;
const PARKED_ROUND_TRIPS: usize = 2_000;
const WARM_ROUND_TRIPS: usize = 1_000;
const FLOOD: Duration = Duration::from_secs(3);
const PARK: Duration = Duration::from_millis(1);
const SPINS_BEFORE_PARK: u32 = 20;
const CONNECTIONS: usize = 10;
const FRAGMENTS: usize = 64;
const QUIET_TURNS_PER_SECOND: u64 = 200;
const ANNOUNCEMENTS_PER_SECOND: u64 = 10;

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [directory, port, what, more @ ..] = arguments.as_slice() else {
        return Err("measure DIR PORT round-trip|flood|idle ...".into());
    };
    let mut transport = AeronTransport::connect(Path::new(directory))?;
    let channel = transport::udp_loopback(port.parse()?, TERM_BYTES_DEFAULT);
    match what.as_str() {
        "round-trip" => round_trip(&mut transport, &channel, word(more, 0)?),
        "flood" => flood(&mut transport, &channel, number(more, 0)?),
        "connect" => connect(&mut transport, &channel),
        "idle" => idle(&mut transport, &channel, number(more, 0)?, number(more, 1)?),
        "echo" => echo(&mut Ends::given(&mut transport, &channel, more)?, word(more, 2)?),
        "sink" => sink(&mut Ends::given(&mut transport, &channel, more)?),
        unknown => Err(format!("{unknown}?").into()),
    }
}

fn word(words: &[String], index: usize) -> Result<&str, Box<dyn Error>> {
    words.get(index).map(String::as_str).ok_or_else(|| "an argument is missing".into())
}

fn number<T: FromStr<Err: Error + 'static>>(
    words: &[String],
    index: usize,
) -> Result<T, Box<dyn Error>> {
    Ok(word(words, index)?.parse()?)
}

/// This process's ends of a pair of streams. Each measurement has new streams, because a killed
/// process holds back those it read.
struct Ends {
    publication: Box<dyn Publication>,
    subscription: Box<dyn Subscription>,
}

impl Ends {
    /// The ends of the process that measures, and the other process.
    fn new(
        transport: &mut AeronTransport,
        channel: &str,
        role: &str,
        how: &str,
    ) -> Result<(Ends, Child), Box<dyn Error>> {
        let [there, back] = [StreamId::fresh(), StreamId::fresh()];
        let subscription = transport.subscription(channel, back)?;
        let publication = transport.publication(channel, there)?;
        let given: Vec<String> = env::args().skip(1).take(2).collect();
        let other = Command::new(env::current_exe()?)
            .args(given)
            .args([role, &back.to_string(), &there.to_string(), how])
            .spawn()?;
        while !publication.is_connected() || !subscription.is_connected() {
            std::thread::sleep(PARK);
        }
        Ok((Ends { publication, subscription }, other))
    }

    /// The ends of the other process, as its arguments name them.
    fn given(
        transport: &mut AeronTransport,
        channel: &str,
        streams: &[String],
    ) -> Result<Ends, Box<dyn Error>> {
        Ok(Ends {
            publication: transport.publication(channel, StreamId(number(streams, 0)?))?,
            subscription: transport.subscription(channel, StreamId(number(streams, 1)?))?,
        })
    }
}

/// What a poller does when it found nothing.
struct Idle {
    parks: bool,
    turns: u32,
}

impl Idle {
    fn new(how: &str) -> Idle {
        Idle { parks: how == "park", turns: 0 }
    }

    fn turn(&mut self, work: usize) {
        self.turns = if work > 0 { 0 } else { self.turns.saturating_add(1) };
        if self.parks && self.turns > SPINS_BEFORE_PARK {
            std::thread::sleep(PARK);
        } else if work == 0 {
            std::thread::yield_now();
        }
    }
}

fn round_trip(transport: &mut AeronTransport, channel: &str, how: &str) -> Outcome {
    let (Ends { publication: mut there, subscription: mut back }, mut echo) =
        Ends::new(transport, channel, "echo", how)?;
    let trips = if how == "park" { PARKED_ROUND_TRIPS } else { ROUND_TRIPS };
    let mut trips_ns = Vec::with_capacity(trips);
    for trip in 0..WARM_ROUND_TRIPS + trips {
        let start = Instant::now();
        let mut idle = Idle::new(how);
        while there.offer(&[1; 100]) != Offer::Sent {
            idle.turn(0);
        }
        while back.poll(&mut |_| {}, 1) == 0 {
            idle.turn(0);
        }
        if trip >= WARM_ROUND_TRIPS {
            trips_ns.push(start.elapsed().as_nanos() as u64);
        }
    }
    echo.kill()?;
    echo.wait()?;
    trips_ns.sort_unstable();
    let at = |per_mille: usize| trips_ns[(trips_ns.len() - 1) * per_mille / 1000] / 1000;
    println!("round trip, {how}: p50 {} us, p99 {} us, p99.9 {} us", at(500), at(990), at(999));
    Ok(())
}

/// Sends back what comes, until it is killed.
fn echo(ends: &mut Ends, how: &str) -> Outcome {
    let mut idle = Idle::new(how);
    loop {
        let back = &mut ends.publication;
        let mut bounce = |message: &[u8]| while back.offer(message) != Offer::Sent {};
        let work = ends.subscription.poll(&mut bounce, FRAGMENTS);
        idle.turn(work);
    }
}

fn flood(transport: &mut AeronTransport, channel: &str, bytes: usize) -> Outcome {
    let (Ends { publication: mut there, subscription: mut back }, mut sink) =
        Ends::new(transport, channel, "sink", "spin")?;
    let mut message = vec![1; bytes];
    let start = Instant::now();
    let (mut sent, mut pressed) = (0_u64, 0_u64);
    while start.elapsed() < FLOOD {
        match there.offer(&message) {
            Offer::Sent => sent += 1,
            Offer::BackPressured => {
                pressed += 1;
                std::thread::yield_now();
            }
            other @ (Offer::NotConnected | Offer::TooLong | Offer::Closed) => {
                return Err(format!("{other:?}").into());
            }
        }
    }
    // The sink answers the last message with how many came.
    message[0] = 2;
    while there.offer(&message) != Offer::Sent {}
    let mut received = 0;
    while back.poll(&mut |answer| received = counted(answer), 1) == 0 {}
    let seconds = start.elapsed().as_secs_f64();
    sink.kill()?;
    sink.wait()?;
    let rate = received as f64 / seconds;
    let megabytes = rate * bytes as f64 / 1e6;
    println!(
        "flood of {bytes} B: {rate:.0} messages/s, {megabytes:.0} MB/s; {received} of {} came, \
         back-pressured {pressed} times",
        sent + 1
    );
    Ok(())
}

fn counted(answer: &[u8]) -> u64 {
    answer.try_into().map_or(0, u64::from_le_bytes)
}

/// Counts what comes and answers the last with the sum, until it is killed.
fn sink(ends: &mut Ends) -> Outcome {
    let mut received = 0_u64;
    let mut idle = Idle::new("spin");
    loop {
        let back = &mut ends.publication;
        let mut count = |message: &[u8]| {
            received += 1;
            if message[0] == 2 {
                while back.offer(&received.to_le_bytes()) != Offer::Sent {}
            }
        };
        let work = ends.subscription.poll(&mut count, FRAGMENTS);
        idle.turn(work);
    }
}

fn connect(transport: &mut AeronTransport, channel: &str) -> Outcome {
    let mut kept = Vec::new();
    for _ in 0..CONNECTIONS {
        let stream = StreamId::fresh();
        let start = Instant::now();
        let subscription = transport.subscription(channel, stream)?;
        let publication = transport.publication(channel, stream)?;
        let created = start.elapsed();
        while !publication.is_connected() || !subscription.is_connected() {
            std::thread::sleep(PARK);
        }
        println!("created in {created:?}, connected in {:?}", start.elapsed());
        kept.push((publication, subscription));
    }
    Ok(())
}

fn idle(transport: &mut AeronTransport, channel: &str, pairs: usize, seconds: u64) -> Outcome {
    let mut kept: Vec<(Box<dyn Publication>, Box<dyn Subscription>)> = Vec::new();
    for _ in 0..pairs {
        let stream = StreamId::fresh();
        let subscription = transport.subscription(channel, stream)?;
        kept.push((transport.publication(channel, stream)?, subscription));
    }
    let mut hears = transport.subscription(channel, StreamId::DISCOVERY)?;
    let mut announces = transport.publication(channel, StreamId::DISCOVERY)?;
    std::thread::sleep(Duration::from_secs(1));
    let start_ticks = cpu_ticks()?;
    let (mut lost, mut heard) = (0, 0);
    for turn in 0..seconds * QUIET_TURNS_PER_SECOND {
        if turn % (QUIET_TURNS_PER_SECOND / ANNOUNCEMENTS_PER_SECOND) == 0
            && announces.offer(&[1; 100]) != Offer::Sent
        {
            lost += 1;
        }
        for (_, subscription) in &mut kept {
            heard += subscription.poll(&mut |_| {}, FRAGMENTS);
        }
        heard += hears.poll(&mut |_| {}, FRAGMENTS);
        std::thread::sleep(Duration::from_millis(1000 / QUIET_TURNS_PER_SECOND));
    }
    // Ticks of Linux are hundredths of a second, so per second they are per cent of a core.
    let per_cent = (cpu_ticks()? - start_ticks) as f64 / seconds as f64;
    println!(
        "idle client with {pairs} pairs of streams: {per_cent:.2} % of a core, {heard} \
         announcements heard, {lost} not sent"
    );
    Ok(())
}

fn cpu_ticks() -> Result<u64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> =
        stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let [user, system] = [11, 12].map(|index| fields.get(index).copied().unwrap_or("0"));
    Ok(user.parse::<u64>()? + system.parse::<u64>()?)
}
