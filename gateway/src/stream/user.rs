//! Events of an account's own stream as JSON.

use protocol::{
    CASH_DECIMALS, Micros, Reject,
    order::{CashReason, MarginMode, OrderStatus, OrderType, Side, WorkingType},
};
use rules::Position;
use serde::Serialize;

use super::payload::json;
use crate::{
    rest::reject,
    text::{Text, percent},
    views::{
        accounts::MARGIN_ASSET,
        algo::{ALGO_KIND, becomes},
        instruments::{Instrument, Instruments},
        market::millis,
        notice::{
            AccountNotice, AlgoNotice, CalledPosition, Cause, Execution, Filled, MarginCallNotice,
            OrderNotice, PositionNotice, UserNotice,
        },
        order::Order,
    },
    words::Word,
};

/// Writes a notice; nothing when its symbol is not known here.
pub fn event(notice: &UserNotice, instruments: &Instruments) -> Option<String> {
    match notice {
        UserNotice::Order(notice) => Some(order(notice, instruments.get(notice.order.symbol)?)),
        UserNotice::Algo(notice) => Some(algo(notice, instruments.get(notice.algo.symbol())?)),
        UserNotice::TradeLite(notice) => trade_lite(notice, instruments.get(notice.order.symbol)?),
        UserNotice::Account(notice) => account(notice, instruments),
        UserNotice::MarginCall(notice) => margin_call(notice, instruments),
        UserNotice::Leverage { ts, symbol, leverage } => {
            Some(leverage_changed(*ts, instruments.get(*symbol)?, *leverage))
        }
    }
}

#[derive(Serialize)]
struct ListenKeyExpired<'a> {
    e: &'static str,
    #[serde(rename = "E")]
    event_ms: i64,
    #[serde(rename = "listenKey")]
    listen_key: &'a str,
}

pub fn listen_key_expired(listen_key: &str, now_ms: i64) -> String {
    json(&ListenKeyExpired { e: "listenKeyExpired", event_ms: now_ms, listen_key })
}

/// An event with the time it was sent and the time it happened.
#[derive(Serialize)]
struct Timed<T> {
    e: &'static str,
    #[serde(rename = "E")]
    event_ms: i64,
    #[serde(rename = "T")]
    time_ms: i64,
    #[serde(flatten)]
    body: T,
}

fn timed<T: Serialize>(e: &'static str, ts: Micros, body: T) -> String {
    json(&Timed { e, event_ms: millis(ts), time_ms: millis(ts), body })
}

#[derive(Serialize)]
struct OrderBody<'a> {
    o: OrderRow<'a>,
}

#[derive(Serialize)]
struct OrderRow<'a> {
    s: &'a str,
    c: &'a str,
    #[serde(rename = "S")]
    side: &'static str,
    o: &'static str,
    f: &'static str,
    q: Text,
    p: Text,
    ap: Text,
    sp: Text,
    x: &'static str,
    #[serde(rename = "X")]
    status: &'static str,
    i: u64,
    l: Text,
    z: Text,
    #[serde(rename = "L")]
    last_price: Text,
    #[serde(rename = "N")]
    fee_asset: &'static str,
    n: Text,
    #[serde(rename = "T")]
    time_ms: i64,
    t: u64,
    b: Text,
    a: Text,
    m: bool,
    #[serde(rename = "R")]
    reduce_only: bool,
    wt: &'static str,
    ot: &'static str,
    ps: &'static str,
    cp: bool,
    #[serde(rename = "AP")]
    activation: Text,
    cr: Text,
    rp: Text,
    #[serde(rename = "pP")]
    price_protect: bool,
    si: u8,
    ss: u8,
    #[serde(rename = "V")]
    self_trade: &'static str,
    pm: &'static str,
    gtd: i64,
    er: String,
}

fn order(notice: &OrderNotice, instrument: &Instrument) -> String {
    const NO_FILL: Filled =
        Filled { trade: protocol::TradeId(0), price: 0, qty: 0, fee: 0, pnl: 0, maker: false };
    let order = &notice.order;
    let origin = order.origin.as_ref();
    let fill = match notice.execution {
        Execution::Trade(fill) => fill,
        Execution::New | Execution::Amendment | Execution::Closed(_) => NO_FILL,
    };
    let row = OrderRow {
        s: instrument.name(),
        c: order.client_id.as_str(),
        side: order.side.word(),
        o: order.order_type.word(),
        f: order.time_in_force.word(),
        q: instrument.qty(order.qty),
        p: limit(instrument, order),
        ap: instrument.average_price(order.cum_quote.into(), order.cum_qty),
        sp: instrument.price(origin.map_or(0, |origin| origin.trigger_price)),
        x: execution(notice),
        status: order.status.word(),
        i: order.order.0,
        l: instrument.qty(fill.qty),
        z: instrument.qty(order.cum_qty),
        last_price: instrument.price(fill.price),
        fee_asset: MARGIN_ASSET,
        n: Text::e8(fill.fee),
        time_ms: millis(notice.ts),
        t: fill.trade.0,
        b: Text::e8(notice.bids),
        a: Text::e8(notice.asks),
        m: fill.maker,
        reduce_only: order.reduce_only,
        wt: origin.map_or(WorkingType::Contract, |origin| origin.working_type).word(),
        ot: origin.map_or(order.order_type.word(), |origin| origin.algo_type.word()),
        ps: order.position_side.word(),
        cp: origin.is_some_and(|origin| origin.close_position),
        activation: instrument.price(origin.map_or(0, |origin| origin.activate_price)),
        cr: percent(origin.map_or(0, |origin| origin.callback)),
        rp: Text::e8(fill.pnl),
        price_protect: origin.is_some_and(|origin| origin.price_protect),
        si: 0,
        ss: 0,
        self_trade: order.self_trade.word(),
        pm: order.price_match.word(),
        gtd: millis(order.good_till),
        er: notice.execution.expiry().to_string(),
    };
    timed("ORDER_TRADE_UPDATE", notice.ts, OrderBody { o: row })
}

#[derive(Serialize)]
struct AlgoBody<'a> {
    o: AlgoRow<'a>,
}

#[derive(Serialize)]
struct AlgoRow<'a> {
    caid: &'a str,
    aid: u64,
    at: &'static str,
    o: &'static str,
    s: &'a str,
    #[serde(rename = "S")]
    side: &'static str,
    ps: &'static str,
    f: &'static str,
    q: Text,
    #[serde(rename = "X")]
    status: &'static str,
    ai: String,
    ap: Text,
    aq: Text,
    act: &'static str,
    tp: Text,
    p: Text,
    #[serde(rename = "V")]
    self_trade: &'static str,
    wt: &'static str,
    pm: &'static str,
    cp: bool,
    #[serde(rename = "pP")]
    price_protect: bool,
    #[serde(rename = "R")]
    reduce_only: bool,
    #[serde(rename = "AP")]
    activation: Text,
    cr: Text,
    tt: i64,
    gtd: i64,
    rm: String,
}

fn algo(notice: &AlgoNotice, instrument: &Instrument) -> String {
    let algo = &notice.algo;
    let terms = &algo.terms;
    let became = !algo.order.is_none();
    let refused = algo.reject != Reject::None;
    let row = AlgoRow {
        caid: terms.client_id.as_str(),
        aid: algo.algo.0,
        at: ALGO_KIND,
        o: terms.algo_type.word(),
        s: instrument.name(),
        side: terms.side.word(),
        ps: terms.position_side.word(),
        f: terms.time_in_force.word(),
        q: instrument.qty(terms.qty),
        status: algo.status.word(),
        ai: if became { algo.order.to_string() } else { String::new() },
        ap: instrument.average_price(algo.cum_quote.into(), algo.cum_qty),
        aq: instrument.qty(algo.cum_qty),
        act: if became { becomes(terms.algo_type).word() } else { "0" },
        tp: instrument.price(terms.trigger_price),
        p: instrument.price(terms.price),
        self_trade: terms.self_trade.word(),
        wt: terms.working_type.word(),
        pm: terms.price_match.word(),
        cp: terms.close_position,
        price_protect: terms.price_protect,
        reduce_only: terms.reduce_only,
        activation: instrument.price(terms.activate_price),
        cr: percent(terms.callback),
        tt: millis(algo.triggered),
        gtd: millis(terms.good_till),
        rm: if refused { reject::reason(algo.reject).into_owned() } else { String::new() },
    };
    timed("ALGO_UPDATE", notice.ts, AlgoBody { o: row })
}

/// What happened, in the stream's words.
fn execution(notice: &OrderNotice) -> &'static str {
    match notice.execution {
        Execution::New => "NEW",
        Execution::Trade(_) if notice.order.is_forced() => "CALCULATED",
        Execution::Trade(_) => "TRADE",
        Execution::Amendment => "AMENDMENT",
        Execution::Closed(_) => match notice.order.status {
            OrderStatus::Canceled | OrderStatus::Rejected => "CANCELED",
            OrderStatus::New
            | OrderStatus::PartiallyFilled
            | OrderStatus::Filled
            | OrderStatus::Expired
            | OrderStatus::ExpiredInMatch => "EXPIRED",
        },
    }
}

/// A market order's worst price is not its client's.
fn limit(instrument: &Instrument, order: &Order) -> Text {
    match order.order_type {
        OrderType::Limit => instrument.price(order.price),
        OrderType::Market => instrument.price(0),
    }
}

#[derive(Serialize)]
struct TradeLite<'a> {
    s: &'a str,
    q: Text,
    p: Text,
    m: bool,
    c: &'a str,
    #[serde(rename = "S")]
    side: &'static str,
    #[serde(rename = "L")]
    last_price: Text,
    l: Text,
    t: u64,
    i: u64,
}

fn trade_lite(notice: &OrderNotice, instrument: &Instrument) -> Option<String> {
    let Execution::Trade(fill) = notice.execution else { return None };
    let order = &notice.order;
    let body = TradeLite {
        s: instrument.name(),
        q: instrument.qty(order.qty),
        p: limit(instrument, order),
        m: fill.maker,
        c: order.client_id.as_str(),
        side: Side::word(order.side),
        last_price: instrument.price(fill.price),
        l: instrument.qty(fill.qty),
        t: fill.trade.0,
        i: order.order.0,
    };
    Some(timed("TRADE_LITE", notice.ts, body))
}

#[derive(Serialize)]
struct AccountBody<'a> {
    a: AccountRow<'a>,
}

#[derive(Serialize)]
struct AccountRow<'a> {
    m: &'static str,
    #[serde(rename = "B")]
    balances: [BalanceRow; 1],
    #[serde(rename = "P")]
    positions: Vec<PositionRow<'a>>,
}

#[derive(Serialize)]
struct BalanceRow {
    a: &'static str,
    wb: Text,
    cw: Text,
    bc: Text,
}

#[derive(Serialize)]
struct PositionRow<'a> {
    s: &'a str,
    pa: Text,
    ep: Text,
    bep: Text,
    cr: Text,
    up: Text,
    mt: &'static str,
    iw: Text,
    ps: &'static str,
    ma: &'static str,
}

fn account(notice: &AccountNotice, instruments: &Instruments) -> Option<String> {
    let positions = match &notice.position {
        Some(row) => vec![position(row, instruments.get(row.symbol)?)],
        None => Vec::new(),
    };
    let balance = BalanceRow {
        a: MARGIN_ASSET,
        wb: Text::e8(notice.wallet),
        cw: Text::e8(notice.cross_wallet),
        bc: Text::e8(notice.change),
    };
    let row = AccountRow { m: cause(notice.cause), balances: [balance], positions };
    Some(timed("ACCOUNT_UPDATE", notice.ts, AccountBody { a: row }))
}

fn position<'a>(notice: &PositionNotice, instrument: &'a Instrument) -> PositionRow<'a> {
    let spec = &instrument.spec;
    let position = Position { qty: notice.position, entry: notice.entry };
    let price = |value_e8| Text::fixed(value_e8, CASH_DECIMALS);
    PositionRow {
        s: instrument.name(),
        pa: instrument.qty(notice.position),
        ep: price(position.entry_price(spec.mult, spec.tick_e8)),
        bep: price(position.break_even_price(spec.mult, spec.tick_e8, notice.taker_fee)),
        cr: Text::e8(notice.realized),
        up: Text::e8(notice.unrealized),
        mt: match notice.mode {
            MarginMode::Cross => "cross",
            MarginMode::Isolated => "isolated",
        },
        iw: Text::e8(notice.wallet),
        ps: notice.position_side.word(),
        ma: MARGIN_ASSET,
    }
}

/// Why the account changed, in the stream's words.
fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::Order => "ORDER",
        Cause::Margin => "MARGIN_TRANSFER",
        Cause::MarginType => "MARGIN_TYPE_CHANGE",
        Cause::Cash(reason) => match reason {
            CashReason::Deposit => "DEPOSIT",
            CashReason::Withdraw => "WITHDRAW",
            CashReason::GrantIssued
            | CashReason::GrantApplied
            | CashReason::ReturnIssued
            | CashReason::ReturnTaken => "MARGIN_TRANSFER",
            CashReason::Funding => "FUNDING_FEE",
            CashReason::Insurance | CashReason::Advance | CashReason::Repayment => {
                "INSURANCE_CLEAR"
            }
        },
    }
}

#[derive(Serialize)]
struct MarginCall<'a> {
    e: &'static str,
    #[serde(rename = "E")]
    event_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cw: Option<Text>,
    p: Vec<CalledRow<'a>>,
}

#[derive(Serialize)]
struct CalledRow<'a> {
    s: &'a str,
    ps: &'static str,
    pa: Text,
    mt: &'static str,
    iw: Text,
    mp: Text,
    up: Text,
    mm: Text,
}

fn margin_call(notice: &MarginCallNotice, instruments: &Instruments) -> Option<String> {
    let row = |called: &CalledPosition| {
        let instrument = instruments.get(called.symbol)?;
        Some(CalledRow {
            s: instrument.name(),
            ps: called.position_side.word(),
            pa: instrument.qty(called.position),
            mt: called.mode.word(),
            iw: Text::e8(called.wallet),
            mp: Text::e8(instrument.price_e8(called.mark)),
            up: Text::e8(called.unrealized),
            mm: Text::e8(called.maintenance),
        })
    };
    let rows: Option<Vec<_>> = notice.positions.iter().map(row).collect();
    Some(json(&MarginCall {
        e: "MARGIN_CALL",
        event_ms: millis(notice.ts),
        cw: notice.cross_wallet.map(Text::e8),
        p: rows?,
    }))
}

#[derive(Serialize)]
struct ConfigBody<'a> {
    ac: ConfigRow<'a>,
}

#[derive(Serialize)]
struct ConfigRow<'a> {
    s: &'a str,
    l: u8,
}

fn leverage_changed(ts: Micros, instrument: &Instrument, leverage: u8) -> String {
    let row = ConfigRow { s: instrument.name(), l: leverage };
    timed("ACCOUNT_CONFIG_UPDATE", ts, ConfigBody { ac: row })
}
