//! Conditional orders and what is shown: none is held back for, and what fires is not refused for
//! margin that is there when it is refused.

use protocol::{
    AccountId, Command, Event, Reject,
    command::{Place, PlaceAlgo},
    order::{
        AlgoStatus, AlgoType, OrderType, PositionMode, PositionSide, Side, TimeInForce, WorkingType,
    },
};

use crate::{
    displayed::{ALICE, BOB, Venue, What, is_short},
    trading::limit,
    triggers::{closing, stop},
};

impl Venue {
    /// Before its shard's books take what has become of one: one unit of work is done in a frame,
    /// before all else, so what is shown now is what was shown then. What was too much when the
    /// ledger was asked for it is not asked for again, though something else has made room since.
    pub fn judge_fired(&mut self, shard: usize, events: &[Event]) {
        for event in events {
            if let Event::MarginCallIssued(call) = event
                && call.account == AccountId(ALICE)
            {
                let (audit, shown) = (&self.audits[shard], self.shown());
                for (key, fitted) in self.waiting.range_mut((shard, 0)..(shard + 1, 0)) {
                    *fitted = audit.order_needs(&order_of(&self.algos[key])).fits(shown);
                }
            }
            let Event::AlgoChanged(change) = event else { continue };
            let key = (shard, change.algo.0);
            let Some(terms) = self.algos.get(&key) else { continue };
            if change.status == AlgoStatus::Triggering {
                self.waiting.insert(key, true);
                continue;
            }
            let waited = self.waiting.remove(&key);
            let fired = What::Fired as usize;
            if change.status == AlgoStatus::Triggered {
                self.seen.fitted[fired] += 1;
                self.seen.lent[fired] += usize::from(waited.is_some());
            }
            if change.status == AlgoStatus::Rejected && is_short(change.reject) {
                let need = self.audits[shard].order_needs(&order_of(terms));
                let shown = self.shown();
                if need.fits(shown) && waited != Some(false) {
                    self.faults.push(format!("{need:?} of {shown} on {shard}: {terms:?}"));
                }
                self.seen.refused[fired] += 1;
            }
        }
    }

    /// What has become of alice's conditional orders on a shard, in the order of their ids.
    fn fates(&self, shard: usize) -> Vec<(u64, Reject)> {
        self.fates.range((shard, 0)..(shard + 1, 0)).map(|((_, id), fate)| (*id, *fate)).collect()
    }

    /// The mark of shard 1's first symbol comes to where somebody buys and sells.
    fn comes_to(&mut self, mark: i64) {
        for side in Side::ALL.iter().copied() {
            let order = limit(BOB, side, mark - side.sign(), 50);
            self.round(1, BOB, &Command::Place(order));
        }
        self.mark(1, 1, mark);
    }
}

/// The order that a conditional one becomes; of what closes a position any quantity.
fn order_of(terms: &PlaceAlgo) -> Place {
    let limited = matches!(terms.algo_type, AlgoType::Stop | AlgoType::TakeProfit);
    let (order_type, time_in_force) = match limited {
        true => (OrderType::Limit, terms.time_in_force),
        false => (OrderType::Market, TimeInForce::Ioc),
    };
    Place {
        symbol: terms.symbol,
        order_type,
        time_in_force,
        price_match: terms.price_match,
        position_side: terms.position_side,
        reduce_only: terms.reduce_only || terms.close_position,
        ..limit(terms.account.0, terms.side, terms.price, terms.qty)
    }
}

fn by_mark(algo: PlaceAlgo) -> Command {
    Command::PlaceAlgo(PlaceAlgo { working_type: WorkingType::Mark, ..algo })
}

/// One call is open for both; the second has one of its own.
#[test]
fn what_fires_beside_another_has_its_own_call() {
    // five lots at 104: 26,000, of which 25,750 stay, 5,000 lost against the mark and a fee of 260
    for (alice, second) in [(62_270, Reject::None), (62_269, Reject::InsufficientMargin)] {
        let mut venue = Venue::new(alice);
        for _ in 0..2 {
            venue.send(1, &by_mark(stop(ALICE, Side::Buy, 103, 5)));
        }
        venue.comes_to(103);
        assert_eq!(venue.fates(1), [(1, Reject::None), (2, second)]);
        assert_eq!(venue.faults, [""; 0]);
    }
}

/// What is too much for the ledger is refused, and what waited beside it is not.
#[test]
fn what_fires_beside_a_larger_one_is_not_refused_with_it() {
    let mut venue = Venue::new(31_260);
    venue.send(1, &by_mark(stop(ALICE, Side::Buy, 103, 20)));
    venue.send(1, &by_mark(stop(ALICE, Side::Buy, 103, 5)));
    venue.comes_to(103);
    assert_eq!(venue.fates(1), [(1, Reject::InsufficientMargin), (2, Reject::None)]);
    assert_eq!(venue.faults, [""; 0]);
}

/// The mark that makes a condition true leaves too little behind a position: its call comes first,
/// and what has fired waits for it.
#[test]
fn what_fires_while_its_account_is_in_need_waits() {
    let mut venue = Venue::new(200_000);
    venue.set_mode(PositionMode::Hedge);
    venue.comes_to(100);
    let long = Place { position_side: PositionSide::Long, ..limit(ALICE, Side::Buy, 101, 9) };
    assert_eq!(venue.judged(1, &Command::Place(long)), (Reject::None, true));
    let short = PlaceAlgo { position_side: PositionSide::Short, ..stop(ALICE, Side::Sell, 95, 2) };
    venue.send(1, &by_mark(short));
    venue.comes_to(95);
    assert_eq!(venue.fates(1), [(1, Reject::None)]);
    assert_eq!(venue.faults, [""; 0]);
}

#[test]
fn what_closes_needs_nothing() {
    // nine lots at 101: 45,450 and the fee, and 9,000 that are lost against the mark
    let mut venue = Venue::new(54_905);
    venue.comes_to(100);
    let long = Command::Place(limit(ALICE, Side::Buy, 101, 9));
    assert_eq!(venue.judged(1, &long), (Reject::None, true));
    venue.mark(1, 1, 98);
    assert!(venue.shown() < 0);
    venue.send(1, &by_mark(closing(ALICE, AlgoType::StopMarket, Side::Sell, 97)));
    venue.comes_to(97);
    assert_eq!(venue.fates(1), [(1, Reject::None)]);
    assert_eq!(venue.audits[1].position((ALICE, 1, 0)).qty, 0);
}
