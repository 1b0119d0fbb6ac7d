//! The load of a drill: orders at a fixed rate, each remembered with what was answered.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    sync::Semaphore,
    task::JoinHandle,
    time::{MissedTickBehavior, interval, sleep},
};

use crate::{
    Error,
    admin::Admin,
    rest::{Answer, Rest},
};

/// Requests under way at once; beyond it the load waits, which the report says.
const IN_FLIGHT_MAX: usize = 4_096;
/// Orders are sent in bursts of this period, so that timers cost little.
const BURST: Duration = Duration::from_millis(5);
/// How far below the mark a resting order lies: inside the price band, outside the market.
const FAR: f64 = 0.97;
/// How long an order rests before it is cancelled.
const REST_FOR: Duration = Duration::from_millis(200);

pub struct Trader {
    pub rest: Rest,
}

/// What a symbol needs for a small valid order.
#[derive(Clone, Debug)]
pub struct DrillSymbol {
    pub name: String,
    pub shard: u8,
    price: String,
    qty: String,
}

/// An order that was answered with success.
#[derive(Clone, Debug)]
pub struct Answered {
    pub trader: usize,
    pub symbol: usize,
    pub client_id: String,
    pub order: u64,
    /// Its cancel was answered with success as well.
    pub canceled: bool,
}

pub struct Load {
    pub traders: Vec<Trader>,
    pub symbols: Vec<DrillSymbol>,
    pub answered: Mutex<HashMap<String, Answered>>,
    /// Sent and answered times of the newest answer by shard.
    newest: Mutex<HashMap<u8, Vec<(Instant, Instant)>>>,
    stop: AtomicBool,
    sent: AtomicU64,
    unknown: AtomicU64,
    refused: Mutex<HashMap<String, u64>>,
    late_bursts: AtomicU64,
}

/// Reads what the venue lists and prices an order for each symbol.
pub async fn symbols(rest: &Rest, admin: &Admin) -> Result<Vec<DrillSymbol>, Error> {
    let listed = admin.get("/admin/symbols").await?;
    let shard_of = |name: &str| {
        let row = listed.as_array()?.iter().find(|row| row["symbol"] == name)?;
        u8::try_from(row["shard"].as_u64()?).ok()
    };
    let info = rest.public("/fapi/v1/exchangeInfo", "").await?.done("exchangeInfo")?;
    let mut symbols = Vec::new();
    for row in info["symbols"].as_array().into_iter().flatten() {
        let Some(name) = row["symbol"].as_str() else { continue };
        let Some(shard) = shard_of(name) else { continue };
        let query = format!("symbol={name}");
        let mark = rest.public("/fapi/v1/premiumIndex", &query).await?.done("premiumIndex")?;
        if let Some(symbol) = drill_symbol(name, shard, row, &mark) {
            symbols.push(symbol);
        }
    }
    if symbols.is_empty() {
        return Err(Error::Usage("the venue lists no symbol with a price".into()));
    }
    Ok(symbols)
}

fn drill_symbol(name: &str, shard: u8, row: &Value, mark: &Value) -> Option<DrillSymbol> {
    let filters = row["filters"].as_array()?;
    let filter = |kind: &str, field: &str| {
        filters.iter().find(|f| f["filterType"] == kind)?[field].as_str()?.parse::<f64>().ok()
    };
    let mark: f64 = mark["markPrice"].as_str()?.parse().ok()?;
    let (tick, step) = (filter("PRICE_FILTER", "tickSize")?, filter("LOT_SIZE", "stepSize")?);
    let least = filter("MIN_NOTIONAL", "notional")?;
    let price = (mark * FAR / tick).floor() * tick;
    let qty = (least * 1.2 / price / step).ceil() * step;
    let decimals = |field: &str| row[field].as_u64().map_or(8, |d| d as usize);
    Some(DrillSymbol {
        name: name.to_owned(),
        shard,
        price: format!("{price:.*}", decimals("pricePrecision")),
        qty: format!("{qty:.*}", decimals("quantityPrecision")),
    })
}

impl Load {
    pub fn new(traders: Vec<Trader>, symbols: Vec<DrillSymbol>) -> Self {
        Self {
            traders,
            symbols,
            answered: Mutex::default(),
            newest: Mutex::default(),
            stop: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
            refused: Mutex::default(),
            late_bursts: AtomicU64::new(0),
        }
    }

    /// Sends `rate` orders a second, open loop, until stopped; ends when all are answered.
    pub fn start(self: &Arc<Self>, rate: u32) -> JoinHandle<()> {
        let load = Arc::clone(self);
        tokio::spawn(async move {
            let permits = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
            let mut ticks = interval(BURST);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            let burst = f64::from(rate) * BURST.as_secs_f64();
            let (mut due, mut next) = (0.0, 0u64);
            while !load.stop.load(Ordering::Relaxed) {
                ticks.tick().await;
                due += burst;
                while due >= 1.0 {
                    due -= 1.0;
                    if permits.available_permits() == 0 {
                        load.late_bursts.fetch_add(1, Ordering::Relaxed);
                    }
                    let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
                    let one = Arc::clone(&load);
                    tokio::spawn(async move {
                        one.order(next).await;
                        drop(permit);
                    });
                    next += 1;
                }
            }
            // all permits back: nothing is under way any more
            let all = u32::try_from(IN_FLIGHT_MAX).unwrap_or(u32::MAX);
            let _ended = permits.acquire_many(all).await;
        })
    }

    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// When the first order sent after `since` was answered (on that shard, if one is named).
    pub fn first_answer_since(&self, since: Instant, shard: Option<u8>) -> Option<Instant> {
        let mut newest = locked(&self.newest);
        let shards = newest.iter_mut().filter(|(s, _)| shard.is_none_or(|wanted| wanted == **s));
        shards
            .flat_map(|(_, answers)| {
                answers.retain(|(sent, _)| *sent >= since);
                answers.iter().map(|(_, answered)| *answered)
            })
            .min()
    }

    pub fn report(&self) -> Value {
        json!({
            "sent": self.sent.load(Ordering::Relaxed),
            "answered": locked(&self.answered).len(),
            "unknown": self.unknown.load(Ordering::Relaxed),
            "refused": *locked(&self.refused),
            "waited_for_a_free_request": self.late_bursts.load(Ordering::Relaxed),
        })
    }

    /// Every second order rests for a moment and is cancelled, every other one is IOC.
    async fn order(&self, number: u64) {
        let trader = number as usize % self.traders.len();
        let symbol = (number as usize / self.traders.len()) % self.symbols.len();
        let rests = number.is_multiple_of(2);
        let client_id = format!("drill-{number}");
        let DrillSymbol { name, price, qty, shard } = &self.symbols[symbol];
        let time_in_force = if rests { "GTC" } else { "IOC" };
        let params = format!(
            "symbol={name}&side=BUY&type=LIMIT&timeInForce={time_in_force}&price={price}\
             &quantity={qty}&newClientOrderId={client_id}"
        );
        self.sent.fetch_add(1, Ordering::Relaxed);
        let sent = Instant::now();
        let rest = &self.traders[trader].rest;
        let answer = rest.signed(Method::POST, "/fapi/v1/order", &params).await;
        let Some(body) = self.taken(answer) else { return };
        let Some(order) = body["orderId"].as_u64() else {
            self.count_refusal("an answer without an order id");
            return;
        };
        locked(&self.newest).entry(*shard).or_default().push((sent, Instant::now()));
        let answered =
            Answered { trader, symbol, client_id: client_id.clone(), order, canceled: false };
        locked(&self.answered).insert(client_id.clone(), answered);
        if rests {
            sleep(REST_FOR).await;
            let params = format!("symbol={name}&orderId={order}");
            let answer = rest.signed(Method::DELETE, "/fapi/v1/order", &params).await;
            if self.taken(answer).is_some()
                && let Some(answered) = locked(&self.answered).get_mut(&client_id)
            {
                answered.canceled = true;
            }
        }
    }

    /// The body of a success; everything else is counted.
    fn taken(&self, answer: Result<Answer, Error>) -> Option<Value> {
        match answer {
            Ok(Answer::Done(body)) => return Some(body),
            // 503: the outcome is not known, or the gateway could not take it
            Ok(Answer::Refused { status: 503, .. }) | Err(_) => {
                self.unknown.fetch_add(1, Ordering::Relaxed);
            }
            Ok(Answer::Refused { code, msg, .. }) => self.count_refusal(&format!("{code} {msg}")),
        }
        None
    }

    fn count_refusal(&self, why: &str) {
        *locked(&self.refused).entry(why.to_owned()).or_default() += 1;
    }
}

/// A poisoned lock means that a task has panicked; the drill's result would mean nothing.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no task of the drill panics")
}
