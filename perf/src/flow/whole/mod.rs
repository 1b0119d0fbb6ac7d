//! Flow C, the exchange whole: what flow B's market makers do, on three symbols, by accounts with
//! leverage and little or much money, with conditional orders among it and a mark that moves.
//!
//! The generator looks at the events of an engine beside it, since whom it cancels depends on who
//! still rests, and that on margin. So the stream is made before anything is measured, and an
//! engine that is measured has to end in the state of the one that the stream was made with.

use protocol::{
    AccountId, AlgoId, ClientId, Command, Event, OrderId, SymbolId, Ticks,
    command::{Amend, Cancel, CancelAlgo},
    order::{PriceMatch, Side, TimeInForce},
};

mod draw;
mod market;
mod orders;
pub mod setup;
mod speaker;

pub use draw::Spread;
pub use speaker::{Frame, Speaker};

use super::random::SplitMix;
use draw::Accounts;
use market::Market;
use orders::{Reach, distance};
use setup::{MIDDLE, SYMBOLS, symbol_of};

/// How large a shard the flow meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    pub accounts: u32,
    /// That rest at first, and about as many always.
    pub orders: u32,
    /// All accounts are as near to their liquidation as the usual thousand.
    pub all_bold: bool,
}

/// Accounts, and resting orders, unless told otherwise.
pub const USUAL: u32 = 1_000;

const SEED: u64 = 0x5EED_2026;
/// Every hundredth command brings new prices.
const COMMANDS_PER_MARK: u64 = 100;
/// With them each mark takes a step of up to 0.05 % either way.
const MARK_STEP: i64 = 250;
/// Once in so many commands all marks jump by 3 %, down and up in turn.
const COMMANDS_PER_JUMP: u64 = 200_000;
const JUMP: Ticks = 15_000;
/// Marks stay within 8 % of the first.
const WANDER_MAX: Ticks = 40_000;
/// Of each 1,000 other commands so many are about conditional orders.
const ALGOS: u64 = 20;

/// Of each 1,000 others these many place, when the book is thin, as it should be, and thick; from
/// there to 900 cancel, to 960 move, the rest take: flow B's shares.
const PLACES_THIN: u64 = 560;
const PLACES: u64 = 460;
const PLACES_THICK: u64 = 340;
const CANCELS_TO: u64 = 900;
const MOVES_TO: u64 = 960;
/// How far a book's size, or the difference between its sides, may stray before it is led back.
const SLACK: usize = 64;
/// An immediate-or-cancel order's limit lies this far beyond the middle.
const TAKE_REACH: Ticks = 5_000;
/// An account with so many open orders on a symbol cancels instead of placing.
const OWN_MAX: usize = 100;

/// Makes the commands, one by one; it wants to see every event.
#[derive(Debug)]
pub struct Generator {
    scale: Scale,
    random: SplitMix,
    accounts: Accounts,
    market: Market,
    marks: [Ticks; SYMBOLS as usize],
    made: u64,
    placed: u64,
}

impl Generator {
    pub fn new(scale: Scale, spread: Spread) -> Self {
        Self {
            scale,
            random: SplitMix::new(SEED),
            accounts: Accounts::new(scale.accounts, spread),
            market: Market::new(scale.accounts),
            marks: [MIDDLE; SYMBOLS as usize],
            made: 0,
            placed: 0,
        }
    }

    /// An event of the setup, or of the last command.
    pub fn see(&mut self, event: &Event) {
        self.market.take(event);
    }

    pub fn next(&mut self) -> Command {
        self.made += 1;
        if self.made.is_multiple_of(COMMANDS_PER_MARK) {
            return self.mark();
        }
        let account = self.accounts.draw(&mut self.random);
        let symbol = symbol_of(self.random.below(10));
        if self.random.below(1_000) < ALGOS {
            return self.algo(account, symbol);
        }
        let live = self.market.resting(symbol, Side::Buy) + self.market.resting(symbol, Side::Sell);
        let wanted = wanted(&self.scale, symbol);
        let places = if live + SLACK < wanted {
            PLACES_THIN
        } else if live > wanted + SLACK {
            PLACES_THICK
        } else {
            PLACES
        };
        let choice = self.random.below(1_000);
        let own = self.market.own(account, symbol);
        if choice < places || live == 0 {
            match own.first().filter(|_| own.len() >= OWN_MAX).copied() {
                None => self.place(account, symbol),
                Some(oldest) => self.cancel(symbol, OrderId(oldest)),
            }
        } else if choice < MOVES_TO {
            let victim = self.market.victim(account, symbol, &mut self.random);
            match victim {
                None => self.place(account, symbol),
                Some(victim) if choice < CANCELS_TO => self.cancel(symbol, victim),
                Some(victim) => self.shift(symbol, victim),
            }
        } else {
            self.take(account, symbol)
        }
    }

    fn mark(&mut self) -> Command {
        let jumps = self.made.is_multiple_of(COMMANDS_PER_JUMP);
        let down = self.made / COMMANDS_PER_JUMP % 2 == 1;
        for mark in &mut self.marks {
            let step = self.random.below(2 * MARK_STEP as u64 + 1) as Ticks - MARK_STEP;
            let jump = match (jumps, down) {
                (false, _) => 0,
                (true, true) => -JUMP,
                (true, false) => JUMP,
            };
            *mark = (*mark + step + jump).clamp(MIDDLE - WANDER_MAX, MIDDLE + WANDER_MAX);
        }
        setup::index(self.marks)
    }

    fn place(&mut self, account: AccountId, symbol: SymbolId) -> Command {
        let side = self.lacking_side(symbol);
        let away = distance(&mut self.random, Reach::Any);
        let qty = orders::qty(&mut self.random);
        let price = self.middle(symbol) - side.sign() * away;
        self.named(orders::limit(account, symbol, side, TimeInForce::Gtc, price, qty))
    }

    fn take(&mut self, account: AccountId, symbol: SymbolId) -> Command {
        let side = if self.random.below(2) == 0 { Side::Buy } else { Side::Sell };
        let qty = 1 + self.random.below(200) as i64;
        let price = self.middle(symbol) + side.sign() * TAKE_REACH;
        self.named(orders::limit(account, symbol, side, TimeInForce::Ioc, price, qty))
    }

    fn cancel(&self, symbol: SymbolId, order: OrderId) -> Command {
        let account = self.market.known(symbol, order).account;
        let (client_id, _pad, _pad2) = (ClientId::EMPTY, [0; 2], [0; 4]);
        Command::Cancel(Cancel { account, symbol, _pad, order, client_id, _pad2 })
    }

    fn shift(&mut self, symbol: SymbolId, order: OrderId) -> Command {
        let victim = *self.market.known(symbol, order);
        let away = distance(&mut self.random, Reach::Passive);
        let mut price = self.middle(symbol) - victim.side.sign() * away;
        if price == victim.price {
            price -= victim.side.sign();
        }
        Command::Amend(Amend {
            account: victim.account,
            symbol,
            side: victim.side,
            price_match: PriceMatch::None,
            order,
            price,
            qty: victim.qty,
            client_id: ClientId::EMPTY,
            reduce_only: false,
            _pad: [0; 3],
        })
    }

    /// Cancels a conditional order that the account has waiting, or places one.
    fn algo(&mut self, account: AccountId, symbol: SymbolId) -> Command {
        let waiting = match self.random.below(2) {
            0 => self.market.algo(account, &mut self.random),
            _ => None,
        };
        match waiting {
            None => {
                let mark = self.middle(symbol);
                let command = orders::algo(&mut self.random, account, symbol, mark);
                self.named(command)
            }
            Some(algo) => cancel_algo(account, algo),
        }
    }

    /// Each order carries an id of its client's, which the engine has to look up.
    fn named(&mut self, mut command: Command) -> Command {
        self.placed += 1;
        let client_id = orders::client_id(self.placed);
        match &mut command {
            Command::Place(order) => order.client_id = client_id,
            Command::PlaceAlgo(terms) => terms.client_id = client_id,
            _ => {}
        }
        command
    }

    fn lacking_side(&mut self, symbol: SymbolId) -> Side {
        let of = |side| self.market.resting(symbol, side);
        let (bids, asks) = (of(Side::Buy), of(Side::Sell));
        if bids + SLACK < asks {
            Side::Buy
        } else if asks + SLACK < bids {
            Side::Sell
        } else {
            Side::ALL[self.random.below(2) as usize]
        }
    }

    const fn middle(&self, symbol: SymbolId) -> Ticks {
        self.marks[symbol.0 as usize - 1]
    }
}

/// Orders that should rest on a symbol: its share of all.
fn wanted(scale: &Scale, symbol: SymbolId) -> usize {
    let share = [6, 3, 1][usize::from(symbol.0) - 1];
    scale.orders as usize * share / 10
}

fn cancel_algo(account: AccountId, algo: AlgoId) -> Command {
    let (client_id, _pad, _pad2) = (ClientId::EMPTY, [0; 2], [0; 4]);
    Command::CancelAlgo(CancelAlgo { account, symbol: algo.symbol(), _pad, algo, client_id, _pad2 })
}
