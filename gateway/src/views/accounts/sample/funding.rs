//! The toy's fundings: whenever it is told to, an hour later each time.

use protocol::{CommandKind, Event, Rate, SymbolId, event, order::MarginMode};

use super::{START_US, Toy, shard_of, spec};

const HOUR_US: u64 = 3_600_000_000;
const MARK: i64 = 600_000;

impl Toy {
    /// A funding of a symbol that all its positions are booked in at once.
    pub fn fund(&mut self, symbol: SymbolId, rate: Rate) {
        self.fundings += 1;
        let time = START_US - START_US % HOUR_US + self.fundings * HOUR_US;
        let shard = shard_of(symbol);
        let funding = event::Funding { symbol, _pad: [0; 6], time, rate, mark: MARK };
        self.say(shard, Event::Funding(funding));
        let mut residue = 0;
        let held: Vec<_> = self.positions.keys().filter(|key| key.1 == symbol).copied().collect();
        for (account, _, position_side) in held {
            let exposure = self.positions.get_mut(&(account, symbol, position_side)).unwrap();
            let position = exposure.position.qty;
            if position == 0 {
                continue;
            }
            let charge = rules::funding::charge(position, MARK, spec(symbol).mult, rate) as i64;
            if exposure.mode == MarginMode::Isolated {
                exposure.wallet -= charge;
            }
            let isolated_wallet = exposure.wallet;
            let cash = self.cash.entry((shard, account)).or_default();
            *cash -= charge;
            residue += charge;
            let paid = event::FundingPaid {
                account,
                symbol,
                position_side,
                _pad: 0,
                time,
                amount: -charge,
                position,
                cash: *cash,
                isolated_wallet,
            };
            self.say(shard, Event::FundingPaid(paid));
        }
        let ended = event::FundingEnded { symbol, _pad: [0; 6], time, residue };
        self.say(shard, Event::FundingEnded(ended));
        self.end(shard, CommandKind::Tick);
    }
}
