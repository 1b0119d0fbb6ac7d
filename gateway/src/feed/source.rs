//! The sources of index prices that are not simulated: each a task of its own that says prices.
//!
//! ```text
//!  http ─┐
//!  http ─┼─ Prices ─▶ board ─▶ index of each symbol
//!   …   ─┘
//! ```
//!
//! A source is whatever sends [`Prices`] under its id; the board does not know where they come
//! from. Another kind has a table in the configuration, a place in [`Sources::start`] and no
//! more.

use std::{collections::BTreeMap, time::Instant};

use tokio::{
    sync::mpsc::{Receiver, channel},
    task::JoinSet,
};
use tracing::{info, warn};

use super::{
    FeedError,
    board::{Board, Change, Quote, SourceId, Standing},
    config::Plan,
    http::Poller,
};

/// Answers that wait to be looked at; a source waits when there are more.
const WAITING_MAX: usize = 64;

/// Milliseconds that only go up, from an arbitrary beginning.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    pub fn start() -> Self {
        Self(Instant::now())
    }

    pub fn now_ms(self) -> i64 {
        i64::try_from(self.0.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}

/// What a source said at once: quotes by our symbols.
#[derive(Clone, Debug)]
pub struct Prices {
    pub source: SourceId,
    pub prices: Vec<(String, Quote)>,
}

/// All sources of a plan, at work until this is dropped.
pub struct Sources {
    names: Vec<String>,
    clock: Clock,
    board: Board,
    said: Receiver<Prices>,
    tasks: JoinSet<()>,
}

impl Sources {
    pub fn start(plan: &Plan) -> Result<Self, FeedError> {
        let clock = Clock::start();
        let (out, said) = channel(WAITING_MAX);
        let mut tasks = JoinSet::new();
        for (place, source) in plan.http.iter().enumerate() {
            let poller = Poller::new(SourceId(place), source.clone(), clock)?;
            tasks.spawn(poller.run(out.clone()));
        }
        let names = plan.http.iter().map(|source| source.name.clone()).collect();
        Ok(Self { names, clock, board: Board::new(plan), said, tasks })
    }

    /// The index of each symbol that has one now, in quote units of 1e-8.
    pub fn indices(&mut self) -> Result<Vec<(String, i64)>, FeedError> {
        while let Ok(Prices { source, prices }) = self.said.try_recv() {
            for (symbol, quote) in prices {
                self.board.note(source, &symbol, quote);
            }
        }
        if self.tasks.try_join_next().is_some() {
            return Err(FeedError::SourceEnded);
        }
        let (indices, changes) = self.board.indices(self.clock.now_ms());
        self.tell(&changes);
        Ok(indices)
    }

    /// One line for each source and what it became, whatever the number of symbols.
    fn tell(&self, changes: &[Change]) {
        let mut standings: BTreeMap<(SourceId, Standing), Vec<&str>> = BTreeMap::new();
        for change in changes {
            match change {
                Change::Source { source, symbol, standing } => {
                    standings.entry((*source, *standing)).or_default().push(symbol);
                }
                Change::Index { symbol, is_there: true, live } => {
                    info!(symbol, live, "there is an index");
                }
                Change::Index { symbol, is_there: false, live } => {
                    warn!(symbol, live, "too few sources are alive: no index is sent");
                }
            }
        }
        for ((source, standing), symbols) in standings {
            let (source, symbols) = (&self.names[source.0], symbols.join(","));
            match standing {
                Standing::Live => info!(source, symbols, "an index source counts"),
                Standing::Stale => warn!(source, symbols, "an index source is stale: dropped"),
                Standing::Wild => warn!(
                    source,
                    symbols, "an index source is more than 5 % from the median: it weighs nothing"
                ),
            }
        }
    }
}
