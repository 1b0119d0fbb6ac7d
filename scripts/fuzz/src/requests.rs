//! Requests of traders: query and body, from their bytes to commands.
//!
//! ```text
//!   input: query | line feed | body
//! ```

use gateway::{
    rest::{
        algos::ask as ask_algo,
        orders::ask::{self, Which},
        params::{Params, percent_decode, take_signature},
    },
    views::instruments::Instrument,
};
use protocol::{
    AccountId, Command, Envelope,
    limits::{COMMAND_BYTES_MAX, PRICE_MAX, QTY_MAX},
};

use crate::venue::{brackets, spec};

const ACCOUNT: AccountId = AccountId(1);

/// A request that is asked as a new order, as a change, as an end, and as a condition.
pub fn run(bytes: &[u8]) {
    let (query, body) = match bytes.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &[][..]),
    };
    assert!(percent_decode(query).len() <= query.len());
    let (signed_query, signed_body, signature) = take_signature(query, body);
    let cut = query.len() + body.len() - signed_query.len() - signed_body.len();
    assert_eq!(cut > 0, signature.is_some(), "only the signature is taken out");
    assert!(signature.is_none_or(|signature| cut >= signature.len()));
    let Ok(params) = Params::decode(&signed_query, &signed_body) else { return };
    let instrument = Instrument { spec: spec(1), brackets: Some(brackets(1)), index_stale: false };
    ask_all(&params, &instrument);
}

fn ask_all(params: &Params, instrument: &Instrument) {
    if let Ok(place) = ask::place(params, ACCOUNT, instrument) {
        assert!(place.price <= PRICE_MAX && place.qty <= QTY_MAX, "{place:?}");
        survives(&Command::Place(place));
    }
    if let Ok(which) = Which::read(params) {
        survives(&Command::Cancel(ask::cancel(which, ACCOUNT, instrument)));
        if let Ok(amend) = ask::amend(params, which, ACCOUNT, instrument) {
            assert!(amend.price <= PRICE_MAX && amend.qty <= QTY_MAX, "{amend:?}");
            survives(&Command::Amend(amend));
        }
    }
    if let Ok(algo) = ask_algo::place(params, ACCOUNT, instrument) {
        assert!(algo.trigger_price <= PRICE_MAX && algo.qty <= QTY_MAX, "{algo:?}");
        survives(&Command::PlaceAlgo(algo));
    }
}

/// What is asked can be said to a shard.
fn survives(command: &Command) {
    let mut payload = [0; COMMAND_BYTES_MAX];
    let len = command.encode(&Envelope::default(), &mut payload);
    let read = Command::decode(command.kind() as u16, &payload[..len]);
    assert_eq!(read, Ok((Envelope::default(), *command)));
}

/// Requests that are taken, one of each kind.
pub fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        "symbol=ONEUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.5&price=100.1&signature=0a",
        "symbol=ONEUSDT&side=SELL&type=MARKET&quantity=0.25&reduceOnly=true\nsignature=ff",
        "symbol=ONEUSDT&side=BUY&type=LIMIT&timeInForce=GTD&goodTillDate=1700000700000&\
         quantity=1e-3&priceMatch=QUEUE_5&newClientOrderId=a-b",
        "orderId=17&symbol=ONEUSDT&side=SELL&quantity=3&price=99.9&timestamp=1&recvWindow=5000",
        "origClientOrderId=x%2Dy\nsymbol=ONEUSDT",
        "algoType=CONDITIONAL&side=SELL&type=STOP&timeInForce=GTC&quantity=1&price=90&\
         triggerPrice=91&workingType=MARK_PRICE&priceProtect=TRUE",
        "algoType=CONDITIONAL&side=BUY&type=TRAILING_STOP_MARKET&quantity=1&callbackRate=1.5&\
         activatePrice=95.5",
        "algoType=CONDITIONAL&side=SELL&type=STOP_MARKET&closePosition=true&stopPrice=90",
    ];
    texts.map(|text| text.as_bytes().to_vec()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_orders() {
        let instrument =
            Instrument { spec: spec(1), brackets: Some(brackets(1)), index_stale: false };
        for (seed, place, algo) in [(0, true, false), (1, true, false), (5, false, true)] {
            let (query, body) = (seeds()[seed].clone(), Vec::new());
            let query = query.split(|byte| *byte == b'\n').next().unwrap_or_default().to_vec();
            let (query, body, _) = take_signature(&query, &body);
            let params = Params::decode(&query, &body).unwrap();
            assert_eq!(ask::place(&params, ACCOUNT, &instrument).is_ok(), place, "{seed}");
            assert_eq!(ask_algo::place(&params, ACCOUNT, &instrument).is_ok(), algo, "{seed}");
        }
    }
}
