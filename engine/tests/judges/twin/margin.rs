//! Money and margin, recounted from scratch each time.

use protocol::{
    Reject,
    instrument::Brackets,
    order::{PositionSide, Side},
};

use super::{
    no,
    shard::{Leg, Order, Shard},
};

pub const ONE: i128 = 100_000_000;

pub fn ceil_div(a: i128, b: i128) -> i128 {
    let quotient = a / b;
    if a % b > 0 { quotient + 1 } else { quotient }
}

/// Buy value, sell value, loss and fee.
pub type Sums = [i128; 4];

/// What an order of these terms holds back.
#[derive(Clone, Copy)]
pub struct Hold {
    pub assumed: i128,
    pub loss: i128,
    pub rate: i128,
}

impl Hold {
    pub fn sums(&self, side: Side, lots: i64, mult: i64) -> Sums {
        let lots = i128::from(lots) * i128::from(mult);
        let value = self.assumed * lots;
        let fee = ceil_div(value * self.rate, ONE);
        match side {
            Side::Buy => [value, 0, self.loss * lots, fee],
            Side::Sell => [0, value, self.loss * lots, fee],
        }
    }
}

pub fn add(a: Sums, b: Sums) -> Sums {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]]
}

pub fn fee_of(value: i128, rate: i128) -> i128 {
    if rate < 0 { -(value * -rate / ONE) } else { ceil_div(value * rate, ONE) }
}

pub fn brackets_are_sound(brackets: &Brackets) -> bool {
    let count = usize::from(brackets.count);
    if count == 0 || count > brackets.rows.len() {
        return false;
    }
    (0..count).all(|i| {
        let row = brackets.rows[i];
        let (floor, maintenance, leverage) = match i {
            0 => (0, 1, 125),
            _ => {
                let before = brackets.rows[i - 1];
                (before.cap, before.maintenance, before.max_leverage)
            }
        };
        row.floor == floor
            && row.cap > row.floor
            && row.cap <= 1 << 60
            && row.maintenance >= maintenance
            && (1..=leverage).contains(&row.max_leverage)
            && i128::from(row.maintenance) * i128::from(row.max_leverage) <= ONE
    })
}

/// The most value that a leverage allows.
pub fn value_cap(brackets: &Brackets, leverage: u8) -> i128 {
    let rows = &brackets.rows[..usize::from(brackets.count)];
    let allowed = rows.iter().filter(|row| row.max_leverage >= u32::from(leverage));
    allowed.map(|row| i128::from(row.cap)).max().unwrap_or(0)
}

impl Shard {
    /// The sums of the orders of a leg.
    pub fn sums(&self, leg: Leg) -> Sums {
        let market = &self.markets[&leg.1];
        let own = market.orders.iter().filter(|order| order.leg(leg.1) == leg && !order.reduce);
        own.fold([0; 4], |sums, order| {
            add(sums, order.hold.sums(order.side, order.left(), market.spec.mult))
        })
    }

    pub fn leverage(&self, account: u32, symbol: u16) -> u8 {
        let market = &self.markets[&symbol];
        let top = market.brackets.map_or(255, |brackets| brackets.rows[0].max_leverage as u8);
        let chosen = self.chosen(account, symbol).leverage;
        chosen.unwrap_or(market.spec.default_leverage.min(top))
    }

    /// Signed, at the mark.
    pub fn value(&self, leg: Leg) -> i128 {
        let market = &self.markets[&leg.1];
        self.holding(leg).qty * i128::from(market.mark) * i128::from(market.spec.mult)
    }

    pub fn worst(&self, leg: Leg, sums: Sums) -> i128 {
        let value = self.value(leg);
        (value + sums[0]).abs().max((value - sums[1]).abs())
    }

    /// What is taken off the account's cross equity: of an isolated symbol the orders' part alone,
    /// for what they can open beyond closing the position.
    pub fn initial(&self, leg: Leg, sums: Sums, leverage: u8) -> i128 {
        let value = self.value(leg);
        let opens = |sum: i128, closes: i128| (sum - closes.max(0)).max(0);
        let worst = match self.chosen(leg.0, leg.1).isolated {
            true => opens(sums[0], -value).max(opens(sums[1], value)),
            false => self.worst(leg, sums),
        };
        ceil_div(worst, leverage.into()) + sums[2] + sums[3]
    }

    /// Cross equity less initial margin, over all symbols and legs.
    pub fn available(&self, account: u32) -> i128 {
        let cash = self.accounts.get(&account).map_or(0, |known| known.cash);
        let symbols = self.markets.keys();
        let legs = symbols
            .flat_map(|symbol| PositionSide::ALL.iter().map(|side| (account, *symbol, *side)));
        let each = legs.map(|leg| {
            let holding = self.holding(leg);
            let own = match self.chosen(leg.0, leg.1).isolated {
                true => -holding.wallet,
                false => self.value(leg) - holding.entry,
            };
            own - self.initial(leg, self.sums(leg), self.leverage(leg.0, leg.1))
        });
        cash + each.sum::<i128>()
    }

    /// What may leave the wallet: what is available but for profit that is not realised.
    pub fn spare(&self, account: u32) -> i128 {
        let symbols = self.markets.keys().filter(|symbol| !self.chosen(account, **symbol).isolated);
        let legs = symbols
            .flat_map(|symbol| PositionSide::ALL.iter().map(|side| (account, *symbol, *side)));
        let profit: i128 = legs.map(|leg| self.value(leg) - self.holding(leg).entry).sum();
        self.available(account) - profit.max(0)
    }

    pub fn ask_available(
        &self,
        account: u32,
        needed: i128,
        refused: Reject,
        last_try: bool,
    ) -> Result<(), (Reject, i64)> {
        let lacking = needed - self.available(account);
        match (lacking > 0, last_try) {
            (false, _) => Ok(()),
            (true, true) => no(refused),
            (true, false) => Err((Reject::NeedMargin, lacking.min(i64::MAX.into()) as i64)),
        }
    }

    /// Brackets and margin of an order to come; `without` is the order it takes the place of.
    pub fn ask_margin(
        &self,
        (leg, side): (Leg, Side),
        lots: i64,
        hold: &Hold,
        without: Option<&Order>,
        last_try: bool,
    ) -> Result<(), (Reject, i64)> {
        let (account, symbol, _) = leg;
        let market = &self.markets[&symbol];
        let resting: i64 = market
            .orders
            .iter()
            .filter(|order| order.leg(symbol) == leg && order.side == side)
            .filter(|order| without.is_none_or(|gone| gone.id != order.id))
            .map(Order::left)
            .sum();
        if i128::from(resting + lots) <= self.closable(leg, side) {
            return Ok(());
        }
        if !self.may_open(account) {
            return no(Reject::InsufficientMargin);
        }
        let mult = market.spec.mult;
        let before = self.sums(leg);
        let gone = without.map_or([0; 4], |gone| gone.hold.sums(side, gone.left(), mult));
        let after = add(add(before, gone.map(|sum| -sum)), hold.sums(side, lots, mult));
        let leverage = self.leverage(account, symbol);
        if self.worst(leg, after) > value_cap(&market.brackets.unwrap(), leverage) {
            return no(Reject::PositionLimit);
        }
        let needed = self.initial(leg, after, leverage) - self.initial(leg, before, leverage);
        self.ask_available(account, needed, Reject::InsufficientMargin, last_try)
    }

    /// Lots an order of this side could close.
    pub fn closable(&self, leg: Leg, side: Side) -> i128 {
        let qty = self.holding(leg).qty;
        match side {
            Side::Buy => (-qty).max(0),
            Side::Sell => qty.max(0),
        }
    }
}
