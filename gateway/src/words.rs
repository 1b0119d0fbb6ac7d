//! The API's words for the protocol's enums, both ways; reading them minds no case.

use protocol::order::{
    AlgoStatus, AlgoType, MarginMode, OrderStatus, OrderType, PositionSide, PriceMatch,
    SelfTradePrevention, Side, SymbolState, TimeInForce, WorkingType,
};

/// A value that the API names with a word.
pub trait Word: Copy + 'static {
    const ALL: &'static [Self];

    fn word(self) -> &'static str;

    /// Reads the word in any case.
    fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|value| value.word().eq_ignore_ascii_case(text))
    }
}

macro_rules! words {
    ($($name:ident { $($variant:ident = $word:literal),+ $(,)? })+) => { $(
        impl Word for $name {
            const ALL: &'static [Self] = $name::ALL;

            fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    )+ };
}

words! {
    Side { Buy = "BUY", Sell = "SELL" }
    OrderType { Limit = "LIMIT", Market = "MARKET" }
    TimeInForce { Gtc = "GTC", Ioc = "IOC", Fok = "FOK", Gtx = "GTX", Gtd = "GTD" }
    SelfTradePrevention {
        ExpireTaker = "EXPIRE_TAKER", ExpireMaker = "EXPIRE_MAKER", ExpireBoth = "EXPIRE_BOTH",
    }
    PositionSide { Both = "BOTH", Long = "LONG", Short = "SHORT" }
    MarginMode { Cross = "CROSSED", Isolated = "ISOLATED" }
    PriceMatch {
        None = "NONE", Opponent = "OPPONENT", Opponent5 = "OPPONENT_5",
        Opponent10 = "OPPONENT_10", Opponent20 = "OPPONENT_20", Queue = "QUEUE",
        Queue5 = "QUEUE_5", Queue10 = "QUEUE_10", Queue20 = "QUEUE_20",
    }
    OrderStatus {
        New = "NEW", PartiallyFilled = "PARTIALLY_FILLED", Filled = "FILLED",
        Canceled = "CANCELED", Rejected = "REJECTED", Expired = "EXPIRED",
        ExpiredInMatch = "EXPIRED_IN_MATCH",
    }
    AlgoType {
        Stop = "STOP", StopMarket = "STOP_MARKET", TakeProfit = "TAKE_PROFIT",
        TakeProfitMarket = "TAKE_PROFIT_MARKET", TrailingStopMarket = "TRAILING_STOP_MARKET",
    }
    WorkingType { Contract = "CONTRACT_PRICE", Mark = "MARK_PRICE" }
    AlgoStatus {
        New = "NEW", Triggering = "TRIGGERING", Triggered = "TRIGGERED", Finished = "FINISHED",
        Canceled = "CANCELED", Rejected = "REJECTED", Expired = "EXPIRED",
    }
    SymbolState {
        Trading = "TRADING", CancelOnly = "CANCEL_ONLY", ReduceOnly = "REDUCE_ONLY",
        Halted = "HALT", Settling = "SETTLING",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both_ways<T: Word + PartialEq + std::fmt::Debug>() {
        for value in T::ALL {
            assert_eq!(T::parse(&value.word().to_lowercase()), Some(*value));
        }
        assert_eq!(T::parse("RPI"), None);
        assert_eq!(T::parse(""), None);
    }

    #[test]
    fn every_word_is_read_as_what_it_names() {
        both_ways::<Side>();
        both_ways::<OrderType>();
        both_ways::<TimeInForce>();
        both_ways::<SelfTradePrevention>();
        both_ways::<PositionSide>();
        both_ways::<MarginMode>();
        both_ways::<PriceMatch>();
        both_ways::<OrderStatus>();
        both_ways::<SymbolState>();
        both_ways::<AlgoType>();
        both_ways::<WorkingType>();
        both_ways::<AlgoStatus>();
    }
}
