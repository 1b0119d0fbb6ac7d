//! What accounts hear of themselves, in the stream's words.

use protocol::order::Side;
use serde_json::{Value, json};

use super::user::event;
use crate::views::{
    Effects, Views,
    accounts::sample::{BTC, ETH, HEDGED, ISOLATED, Toy},
};

/// The account updates that one account hears, and those of its settings.
fn updates(toy: &Toy, account: protocol::AccountId) -> Vec<Value> {
    let (mut views, mut effects) = (Views::default(), Effects::default());
    for (shard, header, said) in &toy.said {
        views.apply(*shard, header, said, &mut effects);
    }
    let own = effects.user.iter().filter(|(id, _)| *id == account);
    let texts = own.filter_map(|(_, notice)| event(notice, &views.instruments));
    let all = texts.map(|text| serde_json::from_str::<Value>(&text).unwrap());
    all.filter(|event| event["e"] == "ACCOUNT_UPDATE").collect()
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
