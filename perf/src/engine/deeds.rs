//! What a flow did, counted from its events, and whether that is flow C at all.

use std::collections::BTreeMap;

use protocol::{
    Command, Event, Reject,
    event::Outcome,
    order::{AlgoStatus, CloseReason},
};
use serde::Serialize;

use crate::error::PerfError;

/// Of the orders placed at least so many in 100 are accepted, and of the commands so many trade.
const ACCEPTED_PERCENT: u64 = 90;
const TRADING_PERCENT: u64 = 5;
/// A shorter flow need not have met each kind of event.
const LONG: u64 = 200_000;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Deeds {
    pub commands: u64,
    pub events: u64,
    /// New orders asked for, and those accepted.
    pub placed: u64,
    pub accepted: u64,
    /// Commands that made at least one trade, and all trades.
    pub trading: u64,
    pub trades: u64,
    /// Conditional orders taken in, and those whose condition came true.
    pub algos: u64,
    pub triggered: u64,
    /// Orders that a liquidation ended, or that their owner could not have borne when they were met.
    pub liquidated: u64,
    /// By reason.
    pub rejected: BTreeMap<String, u64>,
    #[serde(skip)]
    places: bool,
    #[serde(skip)]
    trades_now: bool,
}

impl Deeds {
    /// The next command; its events follow.
    pub fn begin(&mut self, command: &Command) {
        self.commands += 1;
        self.places = matches!(command, Command::Place(_));
        self.trades_now = false;
        self.placed += u64::from(self.places);
    }

    pub fn add(&mut self, event: &Event) {
        self.events += 1;
        match event {
            Event::Trade(_) => {
                self.trading += u64::from(!self.trades_now);
                self.trades_now = true;
                self.trades += 1;
            }
            Event::AlgoAccepted(_) => self.algos += 1,
            Event::AlgoChanged(algo) if algo.status == AlgoStatus::Triggered => self.triggered += 1,
            Event::OrderClosed(closed) if closed.reason == CloseReason::Liquidation => {
                self.liquidated += 1;
            }
            Event::Outcome(outcome) => self.end(outcome),
            _ => {}
        }
    }

    /// Says what is missing to flow C.
    pub fn check(&self) -> Result<(), PerfError> {
        let missing = if self.accepted * 100 < self.placed * ACCEPTED_PERCENT {
            "too few orders are accepted"
        } else if self.trading * 100 < self.commands * TRADING_PERCENT {
            "too few commands trade"
        } else if self.commands >= LONG && self.triggered == 0 {
            "no condition comes true"
        } else {
            return Ok(());
        };
        Err(PerfError::NotTheFlow { missing, deeds: format!("{self:?}") })
    }

    fn end(&mut self, outcome: &Outcome) {
        if outcome.reject == Reject::None {
            self.accepted += u64::from(self.places);
        } else {
            *self.rejected.entry(format!("{:?}", outcome.reject)).or_default() += 1;
        }
    }
}
