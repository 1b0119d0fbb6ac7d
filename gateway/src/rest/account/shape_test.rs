//! Answers have every field that clients read, each of the JSON type that they expect.

use protocol::{AccountId, order::Side};
use serde_json::{Value, json};

use super::{
    balances, forced, history, margin,
    positions::{Listed, position_risk},
    settings,
};
use crate::{
    store::row::IncomeKind,
    views::{
        Effects, Views,
        accounts::{
            queues::Queues,
            sample::{ACCOUNTS, BTC, ETH, HEDGED, ISOLATED, Toy, asks, shard_of},
        },
    },
};
use proptest::prelude::*;

fn views_of(toy: &Toy) -> Views {
    let mut views = Views::default();
    let mut effects = Effects::default();
    for (shard, header, event) in &toy.said {
        views.apply(*shard, header, event, &mut effects);
    }
    views
}

/// A toy in which account 1 is long against account 2, with orders open on both symbols.
fn traded() -> Views {
    let mut toy = Toy::new();
    toy.place(AccountId(1), BTC, Side::Buy, 600_000, 500, true);
    toy.place(AccountId(2), BTC, Side::Sell, 600_000, 400, true);
    toy.ask((3, 0, 0, 0, 1));
    toy.place(AccountId(1), ETH, Side::Sell, 600_100, 30, false);
    toy.ask((13, 0, 0, 20, 0));
    toy.ask((6, 0, 0, 0, 300));
    views_of(&toy)
}

/// Checks that `value` has what `shape` names, at least. In a shape, a text is the name of a
/// type, and a list has one element that each row is like.
fn has(value: &Value, shape: &Value, at: &str) {
    match shape {
        Value::String(kind) => {
            let fits = match kind.as_str() {
                "string" => value.is_string(),
                "decimal" => value.as_str().is_some_and(|text| text.parse::<f64>().is_ok()),
                "int" => value.is_i64() || value.is_u64(),
                "number" => value.is_number(),
                "bool" => value.is_boolean(),
                other => panic!("{at}: no type is called {other}"),
            };
            assert!(fits, "{at}: {value} is no {kind}");
        }
        Value::Object(fields) => {
            for (name, shape) in fields {
                let at = format!("{at}.{name}");
                has(value.get(name).unwrap_or_else(|| panic!("{at} is missing")), shape, &at);
            }
        }
        Value::Array(rows) => {
            let values = value.as_array().unwrap_or_else(|| panic!("{at}: {value} is no list"));
            assert!(!values.is_empty(), "{at} has no row to look at");
            for (n, value) in values.iter().enumerate() {
                has(value, &rows[0], &format!("{at}[{n}]"));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => panic!("{at}: {shape} is no shape"),
    }
}

fn to_json(value: impl serde::Serialize) -> Value {
    // as bytes first, as it goes to clients: a value made in memory would hide raw numbers
    serde_json::from_slice(&serde_json::to_vec(&value).unwrap()).unwrap()
}

#[test]
fn accounts_have_both_versions_fields() {
    let views = traded();
    let assets = json!([{
        "asset": "string", "walletBalance": "decimal", "unrealizedProfit": "decimal",
        "marginBalance": "decimal", "maintMargin": "decimal", "initialMargin": "decimal",
        "positionInitialMargin": "decimal", "openOrderInitialMargin": "decimal",
        "crossWalletBalance": "decimal", "crossUnPnl": "decimal",
        "availableBalance": "decimal", "maxWithdrawAmount": "decimal",
        "marginAvailable": "bool", "updateTime": "int",
    }]);
    let positions = json!([{
        "symbol": "string", "positionSide": "string", "positionAmt": "decimal",
        "unrealizedProfit": "decimal", "isolatedMargin": "decimal", "notional": "decimal",
        "isolatedWallet": "decimal", "initialMargin": "decimal", "maintMargin": "decimal",
        "updateTime": "int", "positionInitialMargin": "decimal",
        "openOrderInitialMargin": "decimal", "leverage": "decimal", "isolated": "bool",
        "entryPrice": "decimal", "breakEvenPrice": "decimal", "maxNotional": "decimal",
        "bidNotional": "decimal", "askNotional": "decimal",
    }]);
    let shape = json!({
        "feeTier": "int", "feeBurn": "bool", "canTrade": "bool", "canDeposit": "bool",
        "canWithdraw": "bool", "updateTime": "int", "multiAssetsMargin": "bool",
        "tradeGroupId": "int", "totalInitialMargin": "decimal", "totalMaintMargin": "decimal",
        "totalWalletBalance": "decimal", "totalUnrealizedProfit": "decimal",
        "totalMarginBalance": "decimal", "totalPositionInitialMargin": "decimal",
        "totalOpenOrderInitialMargin": "decimal", "totalCrossWalletBalance": "decimal",
        "totalCrossUnPnl": "decimal", "availableBalance": "decimal",
        "maxWithdrawAmount": "decimal", "assets": assets, "positions": positions,
    });
    for listed in [Listed::All, Listed::Active] {
        has(&to_json(balances::account(&views, AccountId(1), listed)), &shape, "account");
    }
    let rows = |account: u32, listed| {
        let account = to_json(balances::account(&views, AccountId(account), listed));
        account["positions"].as_array().unwrap().len()
    };
    assert_eq!((rows(1, Listed::All), rows(1, Listed::Active)), (2, 2));
    assert_eq!((rows(2, Listed::All), rows(2, Listed::Active)), (2, 1));
    assert_eq!((rows(3, Listed::All), rows(3, Listed::Active)), (2, 0));
    let shape = json!([{
        "accountAlias": "string", "asset": "string", "balance": "decimal",
        "crossWalletBalance": "decimal", "crossUnPnl": "decimal", "availableBalance": "decimal",
        "maxWithdrawAmount": "decimal", "marginAvailable": "bool", "updateTime": "int",
    }]);
    has(&to_json(balances::balance(&views, AccountId(1))), &shape, "balance");
}

#[test]
fn positions_have_their_risk() {
    let views = traded();
    let shape = json!([{
        "symbol": "string", "positionSide": "string", "positionAmt": "decimal",
        "entryPrice": "decimal", "breakEvenPrice": "decimal", "markPrice": "decimal",
        "unRealizedProfit": "decimal", "liquidationPrice": "decimal",
        "isolatedMargin": "decimal", "notional": "decimal", "marginAsset": "string",
        "isolatedWallet": "decimal", "initialMargin": "decimal", "maintMargin": "decimal",
        "positionInitialMargin": "decimal", "openOrderInitialMargin": "decimal", "adl": "int",
        "bidNotional": "decimal", "askNotional": "decimal", "updateTime": "int",
        "leverage": "decimal", "marginType": "string", "isAutoAddMargin": "string",
        "maxNotionalValue": "decimal",
    }]);
    let all = to_json(position_risk(&views, &Queues::default(), AccountId(1), None, Listed::All));
    has(&all, &shape, "positionRisk");
    let btc = &to_json(position_risk(
        &views,
        &Queues::default(),
        AccountId(1),
        Some(BTC),
        Listed::Active,
    ))[0];
    // half of 400 lots of 0.001 at 60,000.00, with a leverage of 21
    for (name, value) in [
        ("positionAmt", "0.200"),
        ("entryPrice", "60000.00"),
        ("breakEvenPrice", "60002.85660000"),
        ("markPrice", "60000.00000000"),
        ("notional", "12000.00000000"),
        ("positionInitialMargin", "571.42857143"),
        ("maintMargin", "48.00000000"),
        ("leverage", "21"),
        ("marginType", "cross"),
        ("maxNotionalValue", "20000000"),
    ] {
        assert_eq!(btc[name], value, "{name}");
    }
    let short = &to_json(position_risk(
        &views,
        &Queues::default(),
        AccountId(2),
        Some(BTC),
        Listed::Active,
    ))[0];
    assert_eq!(
        (&short["positionAmt"], &short["notional"]),
        (&json!("-0.200"), &json!("-12000.00000000"))
    );
    assert!(short["liquidationPrice"].as_str().unwrap().parse::<f64>().unwrap() > 60_000.0);
}

#[test]
fn settings_have_their_fields() {
    let views = traded();
    let shape = json!([{
        "symbol": "string", "notionalCoef": "number",
        "brackets": [{
            "bracket": "int", "initialLeverage": "int", "notionalCap": "int",
            "notionalFloor": "int", "maintMarginRatio": "number", "cum": "number",
        }],
    }]);
    let brackets = to_json(settings::brackets(&views.instruments, None));
    has(&brackets, &shape, "leverageBracket");
    assert_eq!(brackets.as_array().unwrap().len(), 2);
    assert_eq!(brackets[0]["brackets"][1]["maintMarginRatio"], json!(0.01));
    assert_eq!(brackets[0]["brackets"][1]["cum"], json!(300.0));
    let one = to_json(settings::brackets(&views.instruments, Some(ETH)));
    assert_eq!((one.as_array().unwrap().len(), &one[0]["symbol"]), (1, &json!("ETHUSDT")));

    let shape = json!([{
        "symbol": "string", "marginType": "string", "isAutoAddMargin": "bool",
        "leverage": "int", "maxNotionalValue": "decimal",
    }]);
    let configs = to_json(settings::symbol_configs(&views, AccountId(1), None));
    has(&configs, &shape, "symbolConfig");
    assert_eq!((&configs[0]["leverage"], &configs[1]["leverage"]), (&json!(21), &json!(20)));
    let shape = json!({
        "feeTier": "int", "canTrade": "bool", "canDeposit": "bool", "canWithdraw": "bool",
        "dualSidePosition": "bool", "updateTime": "int", "multiAssetsMargin": "bool",
        "tradeGroupId": "int",
    });
    let config = |id| settings::account_config(&views, id);
    has(&config(AccountId(1)), &shape, "accountConfig");
    let dual = [AccountId(1), HEDGED].map(|id| config(id)["dualSidePosition"].clone());
    assert_eq!(dual, [json!(false), json!(true)]);
    let instrument = views.instruments.get(ETH).unwrap();
    let commission = to_json(settings::commission(&views, AccountId(1), instrument));
    assert_eq!(
        commission,
        json!({
            "symbol": "ETHUSDT", "makerCommissionRate": "0.0002",
            "takerCommissionRate": "0.0005", "rpiCommissionRate": "0.0002",
        })
    );
}

#[test]
fn history_has_its_fields() {
    let views = traded();
    let account = views.accounts.get(AccountId(1)).unwrap();
    let trades: Vec<_> = account
        .fills
        .values()
        .filter_map(|fill| history::UserTrade::new(fill, &views.instruments))
        .collect();
    let shape = json!([{
        "symbol": "string", "id": "int", "orderId": "int", "side": "string",
        "price": "decimal", "qty": "decimal", "quoteQty": "decimal", "realizedPnl": "decimal",
        "commission": "decimal", "commissionAsset": "string", "time": "int",
        "positionSide": "string", "buyer": "bool", "maker": "bool",
    }]);
    has(&to_json(&trades), &shape, "userTrades");
    let incomes: Vec<_> =
        account.incomes.values().map(|row| history::Income::new(row, &views.instruments)).collect();
    let shape = json!([{
        "symbol": "string", "incomeType": "string", "income": "decimal", "asset": "string",
        "info": "string", "time": "int", "tranId": "int", "tradeId": "string",
    }]);
    let incomes = to_json(&incomes);
    has(&incomes, &shape, "income");
    let kinds: Vec<_> =
        incomes.as_array().unwrap().iter().map(|row| row["incomeType"].clone()).collect();
    assert_eq!(kinds, ["TRANSFER", "COMMISSION"]);
    let amendments: Vec<_> = account
        .amendments
        .values()
        .map(|row| {
            let instrument = views.instruments.get(row.symbol).unwrap();
            history::Amendment::new(row, 1, instrument)
        })
        .collect();
    let shape = json!([{
        "amendmentId": "int", "symbol": "string", "pair": "string", "orderId": "int",
        "clientOrderId": "string", "time": "int",
        "amendment": {
            "price": { "before": "decimal", "after": "decimal" },
            "origQty": { "before": "decimal", "after": "decimal" },
            "count": "int",
        },
    }]);
    has(&to_json(&amendments), &shape, "orderAmendment");
    for kind in IncomeKind::ALL {
        assert_eq!(IncomeKind::parse(&kind.name().to_lowercase()), Some(kind));
    }
}

/// A decimal text as an integer of units of 1e-8, exactly.
fn e8(value: &Value) -> i128 {
    protocol::decimal::parse(value.as_str().unwrap(), 8).unwrap().into()
}

/// An isolated position has its wallet, its part of the balance, and a price of its own.
#[test]
fn isolated_positions_show_their_wallet() {
    let mut toy = Toy::new();
    toy.place(ISOLATED, ETH, Side::Buy, 600_000, 400, true);
    toy.place(AccountId(2), ETH, Side::Sell, 600_000, 400, true);
    toy.ask((3, 0, 0, 0, 1));
    toy.ask((18, 0, 0, 30_000, 0));
    let views = views_of(&toy);
    // 200 lots at 60,000.00 and a leverage of 20: 600 USDT, and 0.0001 more by her own hand
    let risk =
        to_json(position_risk(&views, &Queues::default(), ISOLATED, Some(ETH), Listed::Active));
    assert_eq!(
        (&risk[0]["marginType"], &risk[0]["positionSide"]),
        (&json!("isolated"), &json!("BOTH"))
    );
    assert_eq!(e8(&risk[0]["isolatedWallet"]), 60_000_010_000);
    assert_eq!(e8(&risk[0]["isolatedMargin"]), 60_000_010_000);
    // at 57,228.915 a loss of nearly all leaves 0.4 % of the value; a long's is rounded up
    assert_eq!(risk[0]["liquidationPrice"], json!("57229.00"));
    let shown = to_json(balances::account(&views, ISOLATED, Listed::Active));
    let asset = &shown["assets"][0];
    let fee = 600_000_000;
    assert_eq!(e8(&asset["walletBalance"]), 1_000_000_000_000 - fee);
    assert_eq!(e8(&asset["crossWalletBalance"]), 1_000_000_000_000 - fee - 60_000_010_000);
    assert_eq!(e8(&shown["positions"][0]["isolatedWallet"]), 60_000_010_000);
    let instrument = views.instruments.get(ETH).unwrap();
    let moves = &views.accounts.get(ISOLATED).unwrap().margins;
    let moves: Vec<_> =
        moves.values().map(|row| margin::MarginShown::new(row, instrument)).collect();
    let shape = json!([{
        "symbol": "string", "type": "int", "deltaType": "string", "amount": "decimal",
        "asset": "string", "time": "int", "positionSide": "string",
    }]);
    let moves = to_json(moves);
    has(&moves, &shape, "positionMargin/history");
    assert_eq!((&moves[0]["amount"], &moves[0]["type"]), (&json!("0.00010000"), &json!(1)));
}

/// Two legs are two rows, of opposite signs, with one price at which the account comes due.
#[test]
fn legs_are_rows_of_their_own() {
    let mut toy = Toy::new();
    for (side, other) in [(Side::Buy, Side::Sell), (Side::Sell, Side::Buy)] {
        let lots = if side == Side::Buy { 400 } else { 200 };
        toy.place(HEDGED, BTC, side, 600_000, 2 * lots, true);
        toy.place(AccountId(2), BTC, other, 600_000, 2 * lots, true);
        let open = toy.count_open();
        toy.ask((3, 0, 0, open - 2, open - 1));
    }
    let views = views_of(&toy);
    let risk = to_json(position_risk(&views, &Queues::default(), HEDGED, Some(BTC), Listed::All));
    let sides = risk.as_array().unwrap().iter().map(|row| row["positionSide"].as_str().unwrap());
    assert_eq!(sides.collect::<Vec<_>>(), ["LONG", "SHORT"]);
    let amounts = [0, 1].map(|row| e8(&risk[row]["positionAmt"]));
    assert_eq!(amounts, [40_000_000, -20_000_000]);
    assert_eq!(risk[0]["liquidationPrice"], risk[1]["liquidationPrice"]);
    assert!(e8(&risk[0]["liquidationPrice"]) > 0);
    let shown = to_json(balances::account(&views, HEDGED, Listed::Active));
    assert_eq!(shown["positions"].as_array().unwrap().len(), 2);
}

proptest! {
    #[test]
    fn what_is_free_and_what_is_used_is_all_there_is(asks in asks(80)) {
        let views = views_of(&Toy::run(&asks));
        for id in 1..=ACCOUNTS + 1 {
            let shown = to_json(balances::account(&views, AccountId(id), Listed::All));
            let asset = &shown["assets"][0];
            let of = |name: &str| e8(&asset[name]);
            let total = of("marginBalance");
            prop_assert_eq!(of("availableBalance") + of("initialMargin"), total);
            prop_assert_eq!(of("walletBalance") + of("unrealizedProfit"), total);
            prop_assert_eq!(
                of("positionInitialMargin") + of("openOrderInitialMargin"),
                of("initialMargin")
            );
            prop_assert!(of("availableBalance") >= 0);
            let sum: i128 = shown["positions"]
                .as_array()
                .unwrap()
                .iter()
                .map(|row| e8(&row["unrealizedProfit"]))
                .sum();
            prop_assert_eq!(sum, of("unrealizedProfit"));
            let balance = to_json(balances::balance(&views, AccountId(id)));
            prop_assert_eq!(&balance[0]["balance"], &asset["walletBalance"]);
            prop_assert_eq!(&balance[0]["availableBalance"], &shown["availableBalance"]);
            prop_assert_eq!(&shown["totalMarginBalance"], &asset["marginBalance"]);
        }
    }
}

/// Forced orders are orders as any other, and places in the queues stand with the positions.
#[test]
fn places_in_the_queues_have_their_fields() {
    let mut toy = Toy::new();
    for (side, other) in [(Side::Buy, Side::Sell), (Side::Sell, Side::Buy)] {
        toy.place(HEDGED, BTC, side, 600_000, 400, true);
        toy.place(AccountId(2), BTC, other, 600_000, 400, true);
        let open = toy.count_open();
        toy.ask((3, 0, 0, open - 2, open - 1));
    }
    for account in [AccountId(2), HEDGED] {
        toy.grant(account, shard_of(BTC), 100_000_000_000);
        toy.deliver();
    }
    let views = views_of(&toy);
    let queues = Queues::rank(&parking_lot::RwLock::new(views));
    let views = views_of(&toy);
    let quantiles = |account| to_json(forced::adl_quantiles(&views, &queues, account, None));
    assert_eq!(
        quantiles(HEDGED),
        json!([{
            "symbol": "BTCUSDT",
            "adlQuantile": { "LONG": 4, "SHORT": 4, "HEDGE": 0, "BOTH": 0 },
        }])
    );
    assert_eq!(quantiles(AccountId(1)), json!([]));
    let risk = to_json(position_risk(&views, &queues, HEDGED, Some(BTC), Listed::All));
    assert_eq!((&risk[0]["adl"], &risk[1]["adl"]), (&json!(4), &json!(4)));
}
