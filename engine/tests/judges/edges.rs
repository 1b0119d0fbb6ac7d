//! Numbers at the limits of the arithmetic: values, positions and sums as large as filters let
//! them be, held to the twin's wide integers and to the auditor.

use proptest::prelude::*;
use protocol::{
    AccountId, Command, OrderId, SymbolId,
    command::{Amend, Place, SetLeverage},
    instrument::{Brackets, SymbolSpec},
    limits::{CASH_MAX, NOTIONAL_MAX, PRICE_MAX, QTY_MAX},
    order::{PriceMatch, Side, TimeInForce},
};

use crate::{
    auditor::Auditor,
    bench::{Bench, brackets, index, spec},
    differential::cases,
    trading::limit,
    twin::Twin,
};

/// As much as a listing may allow.
fn vast(mult: i64) -> (SymbolSpec, Brackets) {
    let spec = SymbolSpec {
        tick_e8: 1,
        lot_e8: mult * 100_000_000,
        mult,
        price_max: PRICE_MAX.min(NOTIONAL_MAX / mult),
        qty_max: QTY_MAX,
        market_qty_max: QTY_MAX,
        notional_min: 0,
        band_up: 100 * 100_000_000,
        band_down: 0,
        market_bound: 100 * 100_000_000,
        default_leverage: 125,
        ..spec(1)
    };
    let mut table = brackets(1);
    table.rows[2].cap = NOTIONAL_MAX;
    table.rows[2].max_leverage = 25;
    (spec, table)
}

/// Near a power of two up to 2^40.
fn edge() -> impl Strategy<Value = i64> {
    (0u32..=40, -1i64..=1).prop_map(|(bit, by)| (1i64 << bit) + by)
}

type Step = (u8, u32, bool, i64, i64, u8);

fn command(bench: &Bench, (choice, account, sells, price, qty, leverage): Step) -> Command {
    let side = if sells { Side::Sell } else { Side::Buy };
    let order = Place { reduce_only: choice == 1, ..limit(account, side, price, qty) };
    match choice {
        0..=5 => Command::Place(order),
        6 => Command::Place(Place { time_in_force: TimeInForce::Ioc, ..order }),
        7 => {
            let back = usize::from(leverage % 4) + 1;
            let at = bench.owners[0].len().saturating_sub(back);
            Command::Amend(Amend {
                account: bench.owners[0].get(at).copied().unwrap_or(AccountId(1)),
                symbol: SymbolId(1),
                side,
                price_match: PriceMatch::None,
                order: OrderId(at as u64 + 1),
                price,
                qty,
                client_id: order.client_id,
                reduce_only: false,
                _pad: [0; 3],
            })
        }
        8 => {
            let (account, symbol) = (order.account, SymbolId(1));
            Command::SetLeverage(SetLeverage { account, symbol, leverage, _pad: 0 })
        }
        _ => match index(1, 1) {
            Command::IndexPrices(mut prices) => {
                prices.rows[0].price_e8 = price;
                Command::IndexPrices(prices)
            }
            other => other,
        },
    }
}

proptest! {
    #![proptest_config(cases(300, 30_000))]

    #[test]
    fn the_limits_keep_every_sum_in_its_integer(
        mult in prop_oneof![Just(1i64), Just(1_000), Just(1 << 20)],
        start in edge(),
        steps in prop::collection::vec(
            (0u8..10, 1u32..5, any::<bool>(), edge(), edge(), 1u8..=125), 1..80,
        ),
    ) {
        let mut bench = Bench::new(1);
        let (spec, table) = vast(mult);
        bench.ok(&Command::ListSymbol(spec));
        bench.ok(&Command::SetBrackets(table));
        for account in 1..=4 {
            bench.grant(account, CASH_MAX);
        }
        let (mut twin, mut auditor) = (Twin::new(), Auditor::default());
        for (header, payload) in &bench.log {
            auditor.take(header.ts, &twin.apply(header, payload));
        }
        let steps = std::iter::once((9, 1, false, start.max(1), 1, 1)).chain(steps);
        for step in steps {
            let command = command(&bench, step);
            let said = bench.send(&command);
            let (header, payload) = bench.log.last().unwrap();
            prop_assert_eq!(&said, &twin.apply(header, payload), "{:?}", command);
            auditor.take(header.ts, &said);
        }
    }
}
