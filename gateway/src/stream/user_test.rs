//! What accounts hear of themselves, in the stream's words.

use protocol::order::{CallKind, Side};
use serde_json::{Value, json};

use super::user::event;
use crate::views::{
    Effects, Views,
    accounts::sample::{BTC, ETH, HEDGED, ISOLATED, Toy, shard_of},
};

/// The account updates that one account hears, and those of its settings.
fn updates(toy: &Toy, account: protocol::AccountId) -> Vec<Value> {
    told(toy, account).into_iter().filter(|event| event["e"] == "ACCOUNT_UPDATE").collect()
}

/// All that one account hears.
fn told(toy: &Toy, account: protocol::AccountId) -> Vec<Value> {
    let (mut views, mut effects) = (Views::default(), Effects::default());
    for (shard, header, said) in &toy.said {
        views.apply(*shard, header, said, &mut effects);
    }
    let own = effects.user.iter().filter(|(id, _)| *id == account);
    let texts = own.filter_map(|(_, notice)| event(notice, &views.instruments));
    texts.map(|text| serde_json::from_str(&text).unwrap()).collect()
}

fn calls(toy: &Toy, account: protocol::AccountId) -> Vec<Value> {
    told(toy, account).into_iter().filter(|event| event["e"] == "MARGIN_CALL").collect()
}

/// How the margin mode changes, a fill sets its margin aside, and more is added by hand.
#[test]
fn isolated_wallets_are_told() {
    let mut toy = Toy::new();
    toy.place(ISOLATED, ETH, Side::Buy, 600_000, 400, true);
    toy.place(protocol::AccountId(2), ETH, Side::Sell, 600_000, 400, true);
    toy.ask((3, 0, 0, 0, 1));
    toy.ask((18, 0, 0, 30_000, 0));
    let told = updates(&toy, ISOLATED);
    let causes: Vec<_> = told.iter().map(|event| event["a"]["m"].as_str().unwrap()).collect();
    assert_eq!(causes, ["DEPOSIT", "MARGIN_TYPE_CHANGE", "ORDER", "MARGIN_TRANSFER"]);
    let position = |event: &Value| {
        let row = &event["a"]["P"][0];
        json!([row["s"], row["ps"], row["mt"], row["iw"]])
    };
    let wallets: Vec<_> = told[1..].iter().map(position).collect();
    assert_eq!(
        json!(wallets),
        json!([
            ["ETHUSDT", "BOTH", "isolated", "0.00000000"],
            ["ETHUSDT", "BOTH", "isolated", "600.00000000"],
            ["ETHUSDT", "BOTH", "isolated", "600.00010000"],
        ])
    );
    // 10,000 less a fee of 6, and what of it is not set aside
    let last = &told[3]["a"]["B"][0];
    assert_eq!((&last["wb"], &last["cw"]), (&json!("9994.00000000"), &json!("9393.99990000")));
}

#[test]
fn fills_name_their_leg() {
    let mut toy = Toy::new();
    toy.place(HEDGED, BTC, Side::Sell, 600_000, 400, true);
    toy.place(protocol::AccountId(2), BTC, Side::Buy, 600_000, 400, true);
    toy.ask((3, 0, 0, 0, 1));
    let told = updates(&toy, HEDGED);
    let row = &told.last().unwrap()["a"]["P"][0];
    assert_eq!((&row["ps"], &row["pa"]), (&json!("SHORT"), &json!("-0.200")));
    assert_eq!(row["mt"], "cross");
}

/// A shard that calls for collateral is news only where the whole wallet nears its line.
#[test]
fn a_call_is_told_when_the_wallet_cannot_meet_it() {
    let account = protocol::AccountId(1);
    let mut toy = Toy::new();
    toy.place(account, BTC, Side::Buy, 600_000, 400, true);
    toy.place(protocol::AccountId(2), BTC, Side::Sell, 600_000, 400, true);
    toy.ask((3, 0, 0, 0, 1));
    let call = |toy: &mut Toy, kind| toy.call(account, shard_of(BTC), kind);
    call(&mut toy, CallKind::Need);
    assert_eq!(calls(&toy, account), [] as [Value; 0], "9,994 USDT for a maintenance of 48");
    toy.deposit(account, -993_400_000_000);
    for other in [CallKind::Order, CallKind::Debt] {
        call(&mut toy, other);
    }
    assert_eq!(calls(&toy, account), [] as [Value; 0]);
    call(&mut toy, CallKind::Need);
    let told = calls(&toy, account);
    assert_eq!(
        told[0]["p"],
        json!([{
            "s": "BTCUSDT", "ps": "BOTH", "pa": "0.200", "mt": "CROSSED", "iw": "0.00000000",
            "mp": "60000.00000000", "up": "0.00000000", "mm": "48.00000000",
        }])
    );
    assert_eq!((&told[0]["cw"], told.len()), (&json!("60.00000000"), 1));
    // nobody listens for the insurance fund, and it has no line
    toy.call(protocol::AccountId::INSURANCE, shard_of(BTC), CallKind::Need);
    assert_eq!(calls(&toy, protocol::AccountId::INSURANCE), [] as [Value; 0]);
}

/// An isolated position has no call of its shard: its owner is warned by the mark, once until the
/// position is well again.
#[test]
fn isolated_positions_near_their_line_are_told() {
    let mut toy = Toy::new();
    toy.place(ISOLATED, ETH, Side::Buy, 600_000, 400, true);
    toy.place(protocol::AccountId(2), ETH, Side::Sell, 600_000, 400, true);
    toy.ask((3, 0, 0, 0, 1));
    // of a wallet of 600 the line leaves 1.15 times 0.4 % of the value
    for (mark, known) in [
        (573_000, 0),
        (572_500, 1),
        (572_000, 1),
        // between the line and half as much again nobody is well
        (573_200, 1),
        (572_000, 1),
        (574_000, 1),
        (572_000, 2),
    ] {
        toy.mark(ETH, mark);
        assert_eq!(calls(&toy, ISOLATED).len(), known, "at {mark}");
    }
    let told = calls(&toy, ISOLATED);
    assert_eq!(told[0].get("cw"), None);
    assert_eq!(
        told[0]["p"],
        json!([{
            "s": "ETHUSDT", "ps": "BOTH", "pa": "0.200", "mt": "ISOLATED",
            "iw": "600.00000000", "mp": "57250.00000000", "up": "-550.00000000",
            "mm": "45.80000000",
        }])
    );
    assert_eq!(calls(&toy, protocol::AccountId(2)), [] as [Value; 0]);
}
