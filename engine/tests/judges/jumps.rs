//! Flows in which money is thin, leverage high and marks jump by up to 30 %, so that orders rest
//! where nobody would place them and accounts can't bear what they are met with.

use protocol::{
    AccountId, Command, Envelope, ShardId, SymbolId,
    command::{Grant, LinkState, Place, Recall, SetLeverage, SetMarginMode},
    limits::MARGIN_CALL_GRACE_US,
    order::{MarginMode, OrderType, SelfTradePrevention, Side, TimeInForce},
};

use crate::{
    bench::{Bench, WORK_PER_TURN, index},
    flow::{Act, Draw, Step, amend, recent},
    trading::limit,
};

/// Some orders, and some grants, are so many times as large.
const BIG: i64 = 15;

/// A shard's next command.
pub fn jumping_act(bench: &mut Bench, step: &Step, mark: &mut [i64; 2]) -> Act {
    let mut draw = Draw(step.iter());
    let choice = draw.below(32);
    // whoever is out of a market may choose another margin there, while work on it still waits
    if choice.is_multiple_of(3)
        && bench.work_per_turn < WORK_PER_TURN
        && bench.works()
        && let Some((account, symbol)) = bench.closed.take()
    {
        let mode = draw.one_of(MarginMode::ALL);
        let command = Command::SetMarginMode(SetMarginMode { account, symbol, mode, _pad: 0 });
        return Act::Command { envelope: bench.envelope(0, false), command };
    }
    let account = AccountId(1 + u32::from(draw.below(4)));
    let symbol = 1 + u16::from(draw.below(4) == 0);
    let symbol_id = SymbolId(symbol);
    let now_mark = &mut mark[usize::from(symbol) - 1];
    let command = match choice {
        0..=18 => Command::Place(place(&mut draw, account, symbol_id, *now_mark)),
        19..=21 => {
            let (order, account) = recent(bench, &mut draw, symbol, account);
            let of = amend(&mut draw, account, symbol_id, *now_mark);
            let owned = (order.0 as usize).wrapping_sub(1);
            let side = bench.sides[usize::from(symbol) - 1].get(owned).copied();
            let price = *now_mark + i64::from(draw.below(29)) - 14;
            let (side, qty) = (side.unwrap_or(of.side), 1 + i64::from(draw.below(12)));
            Command::Amend(protocol::command::Amend {
                order,
                side,
                price,
                qty,
                price_match: protocol::order::PriceMatch::None,
                reduce_only: false,
                ..of
            })
        }
        22 if draw.below(2) == 0 => {
            bench.links[0] += 1;
            let (link_seq, amount) =
                (bench.links[0], i64::from(draw.below(5)) * 4_000 * bench.unit);
            let (urgent, _pad, lend) = (draw.below(3) > 0, [0; 3], 77);
            let recall = Recall { link_seq, account, urgent, _pad, amount, lend };
            return Act::Command {
                envelope: Envelope::default(),
                command: Command::Recall(recall),
            };
        }
        22 if draw.below(2) == 0 => {
            let (peer, up) = (ShardId::LEDGER, draw.below(2) == 0);
            let command = Command::LinkState(LinkState { peer, up, _pad: [0; 6] });
            return Act::Command { envelope: Envelope::default(), command };
        }
        22 => {
            let mode = draw.one_of(MarginMode::ALL);
            let (symbol, _pad) = (symbol_id, 0);
            Command::SetMarginMode(SetMarginMode { account, symbol, mode, _pad })
        }
        23 if !bench.calls.is_empty() && draw.below(2) == 0 => {
            let (account, call) = bench.calls[bench.calls.len() - 1];
            bench.links[0] += 1;
            let (link_seq, amount) =
                (bench.links[0], i64::from(draw.below(4)) * 5_000 * bench.unit);
            let command = Command::Grant(Grant { link_seq, account, _pad: 0, amount, call });
            return Act::Command { envelope: Envelope::default(), command };
        }
        23 => {
            let (leverage, symbol) = (draw.one_of(&[10, 20, 50, 125]), symbol_id);
            Command::SetLeverage(SetLeverage { account, symbol, leverage, _pad: 0 })
        }
        // whoever has been liquidated, or has paid for it, has money again
        24 => {
            let funds = draw.below(8) == 0;
            let account = if funds { AccountId::INSURANCE } else { account };
            bench.links[0] += 1;
            let unit = if funds { 100 } else { 6_000 * draw.one_of(&[1, BIG]) };
            let amount = (1 + i64::from(draw.below(8)) * unit) * bench.unit;
            let link_seq = bench.links[0];
            let command = Command::Grant(Grant { link_seq, account, _pad: 0, amount, call: 0 });
            return Act::Command { envelope: Envelope::default(), command };
        }
        _ => {
            bench.ts += u64::from(draw.below(4) / 3) * MARGIN_CALL_GRACE_US;
            *now_mark = match draw.below(12) {
                0 => *now_mark * 13 / 10,
                1 => *now_mark * 7 / 10,
                2 => 100,
                _ => *now_mark + i64::from(draw.below(9)) - 4,
            };
            *now_mark = (*now_mark).clamp(60, 160);
            index(symbol, *now_mark)
        }
    };
    Act::Command { envelope: bench.envelope(0, draw.below(2) == 1), command }
}

fn place(draw: &mut Draw, account: AccountId, symbol: SymbolId, mark: i64) -> Place {
    let side = draw.one_of(Side::ALL);
    let price = mark + i64::from(draw.below(29)) - 14;
    let flags = draw.below(256);
    // in the higher brackets a mark can come between the lines
    let scale = if flags >> 6 < 2 { BIG } else { 1 };
    let qty = 1 + i64::from(draw.below(12)) * if symbol.0 == 2 { 20 } else { scale };
    let market = flags & 7 == 0;
    let tifs = [TimeInForce::Gtc, TimeInForce::Gtc, TimeInForce::Ioc, TimeInForce::Fok];
    Place {
        symbol,
        order_type: if market { OrderType::Market } else { OrderType::Limit },
        price: if market { 0 } else { price },
        time_in_force: if market { TimeInForce::Ioc } else { draw.one_of(&tifs) },
        reduce_only: flags >> 3 & 3 == 0,
        self_trade: draw.one_of(SelfTradePrevention::ALL),
        ..limit(account.0, side, price, qty)
    }
}
