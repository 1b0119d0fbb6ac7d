//! How conditional orders come, fire and end.
//!
//! Once one has fired, its end is the end of its order, and it is finished here when that closes;
//! a shard that says so too repeats it.

use protocol::{
    event,
    order::{AlgoStatus, OrderStatus},
};

use super::{Recent, apply::Step};
use crate::{
    store::Row,
    views::{
        algo::Algo,
        notice::{AlgoNotice, UserNotice},
        order::Order,
    },
};

impl Step<'_> {
    pub(super) fn accept_algo(&mut self, accepted: &event::AlgoAccepted) {
        self.keep_algo(Algo::new(accepted.algo, accepted.terms, self.header.ts), true);
    }

    pub(super) fn change_algo(&mut self, changed: &event::AlgoChanged) {
        let ts = self.header.ts;
        let account = self.account(changed.account);
        let Some(known) = account.algos.get(&changed.algo).copied() else {
            return self.unknown_algo(changed);
        };
        let fires = matches!(changed.status, AlgoStatus::Triggering | AlgoStatus::Triggered);
        let algo = Algo {
            status: changed.status,
            order: if changed.order.is_none() { known.order } else { changed.order },
            reject: changed.reject,
            activated: known.activated || changed.activated,
            updated: ts,
            triggered: if fires && known.triggered == 0 { ts } else { known.triggered },
            ..known
        };
        // that a trail has begun is no step that clients have a word for
        self.keep_algo(algo, algo.status != known.status);
        self.adopt_order(&algo);
    }

    /// Takes over what an order has traded; the conditional order it was ends with it.
    pub(super) fn follow_order(&mut self, order: &Order) {
        let account = self.account(order.account);
        let Some(known) = account.algo_of(order.symbol, order.order) else { return };
        let over = match order.status {
            OrderStatus::New | OrderStatus::PartiallyFilled => false,
            OrderStatus::Filled
            | OrderStatus::Canceled
            | OrderStatus::Rejected
            | OrderStatus::Expired
            | OrderStatus::ExpiredInMatch => true,
        };
        let algo = Algo {
            status: if over { AlgoStatus::Finished } else { known.status },
            cum_qty: order.cum_qty,
            cum_quote: order.cum_quote,
            updated: self.header.ts,
            ..known
        };
        self.keep_algo(algo, over);
    }

    /// An order may have been told of before the conditional one that it was.
    fn adopt_order(&mut self, algo: &Algo) {
        let (account, symbol) = (algo.account(), algo.symbol());
        let known = self.account(account);
        if known.algo_of(symbol, algo.order).is_none() {
            return;
        }
        let key = (symbol, algo.order);
        let order = match known.open.get_mut(&key) {
            Some(order) => order,
            None => match known.closed.get_mut(&key) {
                Some(order) => order,
                None => return,
            },
        };
        if order.origin.is_none() {
            order.origin = Some(algo.origin());
            let order = *order;
            self.effects.rows.push(Row::Order(Box::new(order)));
            self.follow_order(&order);
        }
    }

    fn keep_algo(&mut self, algo: Algo, tell: bool) {
        let account = algo.account();
        if self.account(account).put_algo(algo) {
            self.recent(account, Recent::Algo(algo.algo));
        }
        if tell {
            let notice = AlgoNotice { ts: self.header.ts, algo };
            self.tell(account, UserNotice::Algo(Box::new(notice)));
        }
        self.effects.rows.push(Row::Algo(Box::new(algo)));
    }

    fn unknown_algo(&self, changed: &event::AlgoChanged) {
        // what its order's end has told already
        if changed.status == AlgoStatus::Finished {
            return;
        }
        let (shard, seq) = (self.shard, self.header.seq);
        let (algo, status) = (changed.algo, changed.status);
        tracing::error!(%shard, seq, %algo, ?status, "an event about an unknown conditional order");
    }
}
