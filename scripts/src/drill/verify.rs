//! What the venue remembers, held against what it had answered.

use std::collections::{HashMap, HashSet};

use reqwest::Method;
use serde_json::Value;

use super::orders::{Answered, Load, locked};
use crate::Error;

/// Orders a page of history.
const PAGE: usize = 1_000;
/// Examples kept of each kind of finding; the counts are whole.
const EXAMPLES_MAX: usize = 10;

#[derive(Debug, Default)]
pub struct Findings {
    pub checked: u64,
    pub lost: Vec<String>,
    pub doubled: Vec<String>,
    pub contradictions: Vec<String>,
}

impl Findings {
    pub fn is_clean(&self) -> bool {
        self.lost.is_empty() && self.doubled.is_empty() && self.contradictions.is_empty()
    }
}

/// Reads the whole history of the drill's accounts and compares.
pub async fn verify(load: &Load) -> Result<Findings, Error> {
    let mut findings = Findings::default();
    let mut by_place: HashMap<(usize, usize), Vec<Answered>> = HashMap::new();
    for answered in locked(&load.answered).values() {
        by_place.entry((answered.trader, answered.symbol)).or_default().push(answered.clone());
    }
    for ((trader, symbol), answers) in by_place {
        let history = history(load, trader, symbol).await?;
        compare(&history, &answers, &mut findings);
    }
    for list in [&mut findings.lost, &mut findings.doubled, &mut findings.contradictions] {
        list.sort();
        list.truncate(EXAMPLES_MAX);
    }
    Ok(findings)
}

struct Remembered {
    order: u64,
    client_id: String,
    status: String,
}

fn compare(history: &[Remembered], answers: &[Answered], findings: &mut Findings) {
    let mut by_client_id: HashMap<&str, Vec<&Remembered>> = HashMap::new();
    let mut ids = HashSet::new();
    for order in history {
        by_client_id.entry(&order.client_id).or_default().push(order);
        if !ids.insert(order.order) {
            findings.doubled.push(format!("order id {} stands twice", order.order));
        }
    }
    for (client_id, orders) in &by_client_id {
        if orders.len() > 1 {
            findings.doubled.push(format!("{client_id} became {} orders", orders.len()));
        }
    }
    for answered in answers {
        findings.checked += 1;
        let found = by_client_id.get(answered.client_id.as_str()).and_then(|o| o.first());
        match found {
            None => {
                findings.lost.push(format!("{} (order {})", answered.client_id, answered.order))
            }
            Some(order) if order.order != answered.order => findings.contradictions.push(format!(
                "{} was answered as order {}, history says {}",
                answered.client_id, answered.order, order.order
            )),
            Some(order) if answered.canceled && order.status != "CANCELED" => {
                findings.contradictions.push(format!(
                    "{}'s cancel was answered, history says {}",
                    answered.client_id, order.status
                ));
            }
            Some(_) => {}
        }
    }
}

async fn history(load: &Load, trader: usize, symbol: usize) -> Result<Vec<Remembered>, Error> {
    let (rest, symbol) = (&load.traders[trader].rest, &load.symbols[symbol].name);
    let mut orders: Vec<Remembered> = Vec::new();
    loop {
        let from = orders.last().map_or(1, |o| o.order + 1);
        let params = format!("symbol={symbol}&orderId={from}&limit={PAGE}");
        let page = rest.signed(Method::GET, "/fapi/v1/allOrders", &params).await?;
        let page = page.done("allOrders")?;
        let rows = page.as_array().cloned().unwrap_or_default();
        orders.extend(rows.iter().filter_map(remembered));
        if rows.len() < PAGE {
            return Ok(orders);
        }
    }
}

fn remembered(row: &Value) -> Option<Remembered> {
    Some(Remembered {
        order: row["orderId"].as_u64()?,
        client_id: row["clientOrderId"].as_str()?.to_owned(),
        status: row["status"].as_str()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(client_id: &str, order: u64, canceled: bool) -> Answered {
        Answered { trader: 0, symbol: 0, client_id: client_id.into(), order, canceled }
    }

    fn remembered(client_id: &str, order: u64, status: &str) -> Remembered {
        Remembered { order, client_id: client_id.into(), status: status.into() }
    }

    #[test]
    fn every_kind_of_loss_is_found() {
        let history = [
            remembered("kept", 1, "EXPIRED"),
            remembered("twice", 2, "NEW"),
            remembered("twice", 3, "NEW"),
            remembered("moved", 5, "NEW"),
            remembered("undone", 6, "NEW"),
        ];
        let answers = [
            answered("kept", 1, false),
            answered("twice", 2, false),
            answered("gone", 4, false),
            answered("moved", 7, false),
            answered("undone", 6, true),
        ];
        let mut findings = Findings::default();
        compare(&history, &answers, &mut findings);
        assert_eq!(findings.checked, 5);
        assert_eq!(findings.lost, ["gone (order 4)"]);
        assert_eq!(findings.doubled.len(), 1);
        assert_eq!(findings.contradictions.len(), 2);
        assert!(!findings.is_clean());
    }
}
