//! The link against fake nodes over a bad network: every command once, every event once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use protocol::{
    AccountId, ClientId, Command, Event, Lots, Name, Reject, ShardId, SymbolId,
    command::{Place, Withdraw},
    order::{
        OrderType, PositionSide, PriceMatch, SelfTradePrevention, SessionKind, Side, TimeInForce,
    },
};
use tokio::runtime::Runtime;
use transport::local::LocalNetwork;

use super::{
    Client, From, LinkError, Listener, Orders, Received, Reply, SubmitError,
    client::Settings,
    fake_node::{CHANNEL, CLUSTER, Disk, FakeNode, POOR_FROM, SHORT_FROM, Weather, World},
};

const SHARD: ShardId = ShardId(1);
const STORM: Weather = Weather { lost: 4, doubled: 4, swapped: 4 };

/// Keeps what it is given, and checks that it is complete and in order.
#[derive(Clone, Default)]
struct Recorder {
    next: Arc<Mutex<HashMap<ShardId, (u64, u32)>>>,
    accepted: Arc<Mutex<Vec<(AccountId, String)>>>,
}

impl Listener for Recorder {
    fn apply(&mut self, batch: &[Received]) {
        let mut next = self.next.lock().unwrap();
        for received in batch {
            let place = next.entry(received.shard).or_insert((1, 0));
            assert_eq!((received.header.seq, received.header.index), *place);
            *place = match received.event {
                Event::Outcome(_) => (place.0 + 1, 0),
                _ => (place.0, place.1 + 1),
            };
            if let Event::OrderAccepted(order) = &received.event {
                let mut accepted = self.accepted.lock().unwrap();
                accepted.push((order.account, order.client_id.to_string()));
            }
        }
    }
}

struct Setup {
    runtime: Runtime,
    world: World,
    ledger: FakeNode,
    shard: FakeNode,
    recorder: Recorder,
    client: Client,
    ended: Arc<Mutex<Option<LinkError>>>,
}

impl Drop for Setup {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(*self.ended.lock().unwrap(), None);
        }
    }
}

fn setup(weather: Weather, seed: u64, reply_timeout: Duration) -> Setup {
    let network = LocalNetwork::new();
    let world = World { network, weather, grants: Arc::default(), seed };
    let recorder = Recorder::default();
    let settings = Settings {
        cluster: CLUSTER,
        discovery_channel: CHANNEL.into(),
        egress_channel: CHANNEL.into(),
        kind: SessionKind::Gateway,
        name: Name::new("test").unwrap(),
        from: From::beginning(),
        reply_timeout,
    };
    let ended = Arc::new(Mutex::new(None));
    let told = ended.clone();
    let client = Client::start(
        settings,
        Box::new(world.network.transport()),
        Box::new(recorder.clone()),
        move |error| *told.lock().unwrap() = Some(error),
    )
    .unwrap();
    let ledger = FakeNode::start(&world, ShardId::LEDGER, 1, Arc::default());
    let shard = FakeNode::start(&world, SHARD, 1, Arc::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let setup = Setup { runtime, world, ledger, shard, recorder, client, ended };
    wait_for(|| setup.client.status().complete(2));
    setup
}

fn wait_for(condition: impl Fn() -> bool) {
    for _ in 0..3_000 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("nothing came of it in 15 s");
}

fn place(account: u32, id: &str, qty: Lots) -> Command {
    Command::Place(Place {
        account: AccountId(account),
        symbol: SymbolId(1),
        side: Side::Buy,
        order_type: OrderType::Limit,
        time_in_force: TimeInForce::Gtc,
        self_trade: SelfTradePrevention::ExpireMaker,
        price_match: PriceMatch::None,
        position_side: PositionSide::Both,
        reduce_only: false,
        _pad: [0; 3],
        price: 1,
        qty,
        good_till: 0,
        client_id: ClientId::new(id).unwrap(),
        _pad2: [0; 4],
    })
}

/// Hands in places at once, in order, and waits for all.
async fn place_all(
    orders: &Orders,
    places: impl IntoIterator<Item = Command>,
) -> Vec<Result<Reply, SubmitError>> {
    let under_way: Vec<_> = places.into_iter().map(|one| orders.begin(SHARD, one, 0)).collect();
    let mut replies = Vec::new();
    for one in under_way {
        replies.push(match one {
            Ok(reply) => reply.await.unwrap(),
            Err(error) => Err(error),
        });
    }
    replies
}

fn ids(disk: &Mutex<Disk>) -> Vec<String> {
    disk.lock().unwrap().placed.iter().map(|(_, id)| id.clone()).collect()
}

fn numbered(count: u32) -> Vec<String> {
    (0..count).map(|n| n.to_string()).collect()
}

#[test]
fn in_a_storm_each_command_is_applied_once_and_in_order() {
    let count = if std::env::var_os("EXCHANGE_FULL").is_some() { 5_000 } else { 200 };
    let setup = setup(STORM, 7, Duration::from_secs(60));
    let orders = setup.client.orders();
    let wanted = numbered(count);
    for chunk in wanted.chunks(50) {
        let places = chunk.iter().map(|id| place(1, id, 1));
        let replies = setup.runtime.block_on(place_all(&orders, places));
        assert!(replies.iter().all(|reply| reply.as_ref().unwrap().outcome.reject.is_none()));
        // the views hold what a reply speaks of
        assert!(setup.recorder.accepted.lock().unwrap().len() >= replies.len());
    }
    assert_eq!(ids(&setup.shard.disk), wanted);
    let seen: Vec<_> =
        setup.recorder.accepted.lock().unwrap().iter().map(|(_, id)| id.clone()).collect();
    assert_eq!(seen, wanted);
}

#[test]
fn a_node_that_restarts_gets_what_was_under_way_once() {
    let mut setup = setup(Weather::default(), 3, Duration::from_secs(60));
    let orders = setup.client.orders();
    for incarnation in 2..6 {
        let from = (incarnation - 2) * 40;
        let begun: Vec<_> = (from..from + 40)
            .map(|n| orders.begin(SHARD, place(1, &n.to_string(), 1), 0).unwrap())
            .collect();
        // it dies with some of them in its ingress, and comes back on another stream
        let disk = setup.shard.disk.clone();
        setup.shard = FakeNode::start(&setup.world, ShardId(9), incarnation, Arc::default());
        std::thread::sleep(Duration::from_millis(50));
        setup.shard = FakeNode::start(&setup.world, SHARD, incarnation, disk);
        for reply in begun {
            let reply = setup.runtime.block_on(reply).unwrap().unwrap();
            assert_eq!(reply.outcome.reject, Reject::None);
        }
    }
    assert_eq!(ids(&setup.shard.disk), numbered(160));
}

#[test]
fn an_order_short_of_margin_is_lent_for_and_keeps_its_place() {
    for weather in [Weather::default(), STORM] {
        let setup = setup(weather, 5, Duration::from_secs(60));
        let orders = setup.client.orders();
        let first = orders.begin(SHARD, place(SHORT_FROM, "0", 10), 0).unwrap();
        std::thread::sleep(Duration::from_millis(2));
        let later = (1..20).map(|n| place(SHORT_FROM, &n.to_string(), 1));
        let replies = setup.runtime.block_on(place_all(&orders, later));
        let first = setup.runtime.block_on(first).unwrap().unwrap();
        assert_eq!(first.outcome.reject, Reject::None);
        assert!(replies.iter().all(|reply| reply.as_ref().unwrap().outcome.reject.is_none()));
        // what was under way before the shard had answered may have overtaken the first
        let placed = ids(&setup.shard.disk);
        assert_eq!(placed.len(), 20);
        let rest: Vec<_> = placed.iter().filter(|id| *id != "0").cloned().collect();
        assert!(rest.is_sorted_by_key(|id| id.parse::<u32>().unwrap()), "{rest:?}");
    }
}

#[test]
fn what_the_ledger_refuses_is_short_of_margin() {
    let setup = setup(Weather::default(), 5, Duration::from_secs(60));
    let reply =
        setup.runtime.block_on(setup.client.orders().submit(SHARD, place(POOR_FROM, "0", 1), 0));
    assert_eq!(reply.unwrap().outcome.reject, Reject::NeedMargin);
    assert!(ids(&setup.shard.disk).is_empty());
    assert!(setup.ledger.disk.lock().unwrap().placed.is_empty());
}

/// Whether it is settled at once or later, the reply says what became of it.
#[test]
fn a_withdrawal_is_answered_when_it_is_settled() {
    for weather in [Weather::default(), STORM] {
        let setup = setup(weather, 11, Duration::from_secs(60));
        let orders = setup.client.orders();
        for transfer in 1..20 {
            for (account, reject) in [(1, Reject::None), (POOR_FROM, Reject::WithdrawalTooLarge)] {
                let account = AccountId(account);
                let withdraw = Withdraw { account, _pad: 0, transfer, amount: 5 };
                let command = Command::Withdraw(withdraw);
                let reply = setup.runtime.block_on(orders.submit(ShardId::LEDGER, command, 0));
                assert_eq!(reply.unwrap().outcome.reject, reject);
            }
        }
    }
}

#[test]
fn a_shard_that_is_away_makes_outcomes_unknown_and_still_gets_each_command_once() {
    let mut setup = setup(Weather::default(), 9, Duration::from_millis(200));
    let orders = setup.client.orders();
    let disk = setup.shard.disk.clone();
    // Nothing polls the ingress any more, but it still is subscribed to.
    let mut silent = setup.world.clone();
    silent.weather = Weather { lost: 100, ..Weather::default() };
    setup.shard = FakeNode::start(&silent, SHARD, 2, disk.clone());
    wait_for(|| setup.client.status().shard(SHARD).is_some_and(|shard| shard.incarnation == 2));
    let reply = setup.runtime.block_on(orders.submit(SHARD, place(1, "0", 1), 0));
    assert_eq!(reply.unwrap_err(), SubmitError::Unknown);
    setup.shard = FakeNode::start(&setup.world, SHARD, 3, disk.clone());
    wait_for(|| ids(&disk) == ["0"]);
    let reply = setup.runtime.block_on(orders.submit(SHARD, place(1, "1", 1), 0));
    assert_eq!(reply.unwrap().outcome.reject, Reject::None);
    assert_eq!(ids(&disk), ["0", "1"]);
}

#[test]
fn nobody_waits_for_a_shard_that_was_never_met() {
    let setup = setup(Weather::default(), 1, Duration::from_secs(60));
    let orders = setup.client.orders();
    let reply = setup.runtime.block_on(orders.submit(ShardId(7), place(1, "0", 1), 0));
    assert_eq!(reply.unwrap_err(), SubmitError::Unavailable);
}

#[test]
fn a_closed_transport_ends_the_link_with_its_reason() {
    let network = LocalNetwork::new();
    let transport = network.transport();
    transport.close();
    let ended = Arc::new(Mutex::new(None));
    let told = ended.clone();
    let settings = Settings {
        cluster: CLUSTER,
        discovery_channel: CHANNEL.into(),
        egress_channel: CHANNEL.into(),
        kind: SessionKind::Feed,
        name: Name::EMPTY,
        from: From::Tail,
        reply_timeout: Duration::from_secs(1),
    };
    let client =
        Client::start(settings, Box::new(transport), Box::new(Recorder::default()), move |error| {
            *told.lock().unwrap() = Some(error)
        })
        .unwrap();
    wait_for(|| ended.lock().unwrap().is_some());
    assert!(matches!(*ended.lock().unwrap(), Some(LinkError::Transport(_))));
    drop(client);
}
