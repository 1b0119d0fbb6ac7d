//! The names of streams, as clients write them, and what they stand for.

use protocol::SymbolId;

use crate::views::{instruments::Instruments, market::interval::Interval};

/// Characters of a stream's name; listen keys are names too.
pub const NAME_CHARS_MAX: usize = 128;

/// What a market data stream tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    Trade(SymbolId),
    AggTrade(SymbolId),
    /// Changes of a book, gathered for this long.
    Depth(SymbolId, Speed),
    /// The best levels, as often as this.
    Partial(SymbolId, Levels, Speed),
    BookTicker(SymbolId),
    AllBookTickers,
    Kline(SymbolId, Interval),
    ContinuousKline(SymbolId, Interval),
    Mark(SymbolId, Speed),
    AllMarks(Speed),
    Ticker(SymbolId),
    AllTickers,
    MiniTicker(SymbolId),
    AllMiniTickers,
    /// Liquidations.
    ForceOrder(SymbolId),
    AllForceOrders,
    /// Listings and their states.
    ContractInfo,
}

/// How often a stream speaks at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Speed {
    Ms100,
    Ms250,
    Ms500,
    Ms1000,
    Ms3000,
}

impl Speed {
    pub const DEPTH: [Self; 3] = [Self::Ms100, Self::Ms250, Self::Ms500];

    pub const fn millis(self) -> u64 {
        match self {
            Self::Ms100 => 100,
            Self::Ms250 => 250,
            Self::Ms500 => 500,
            Self::Ms1000 => 1_000,
            Self::Ms3000 => 3_000,
        }
    }

    fn of_depth(suffix: Option<&str>) -> Option<Self> {
        match suffix {
            Some("100ms") => Some(Self::Ms100),
            None | Some("250ms") => Some(Self::Ms250),
            Some("500ms") => Some(Self::Ms500),
            Some(_) => None,
        }
    }

    fn of_mark(suffix: Option<&str>) -> Option<Self> {
        match suffix {
            Some("1s") => Some(Self::Ms1000),
            None | Some("3s") => Some(Self::Ms3000),
            Some(_) => None,
        }
    }
}

/// How many levels a side a partial book has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Levels {
    Five,
    Ten,
    Twenty,
}

impl Levels {
    pub const fn count(self) -> usize {
        match self {
            Self::Five => 5,
            Self::Ten => 10,
            Self::Twenty => 20,
        }
    }
}

/// Why a name stands for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("a stream's name has 1 to {NAME_CHARS_MAX} characters")]
    Length,
    #[error("no such stream")]
    Unknown,
    #[error("no such symbol")]
    Symbol,
    #[error("no such interval or speed")]
    Variant,
}

/// Reads a name such as `btcusdt@depth@100ms` or `!bookTicker`.
pub fn parse(name: &str, instruments: &Instruments) -> Result<Topic, NameError> {
    if name.is_empty() || name.len() > NAME_CHARS_MAX {
        return Err(NameError::Length);
    }
    let mut parts = name.split('@');
    let (subject, kind, suffix) = (parts.next().unwrap_or(""), parts.next(), parts.next());
    if parts.next().is_some() {
        return Err(NameError::Unknown);
    }
    if subject.starts_with('!') {
        return of_all(subject, kind, suffix);
    }
    let kind = kind.ok_or(NameError::Unknown)?;
    if let Some(interval) = kind.strip_prefix("continuousKline_") {
        let pair = subject.strip_suffix("_perpetual").ok_or(NameError::Unknown)?;
        let interval = Interval::parse(interval).filter(|_| suffix.is_none());
        let interval = interval.ok_or(NameError::Variant)?;
        return Ok(Topic::ContinuousKline(symbol(pair, instruments)?, interval));
    }
    of_symbol(symbol(subject, instruments)?, kind, suffix)
}

fn symbol(name: &str, instruments: &Instruments) -> Result<SymbolId, NameError> {
    let instrument = instruments.by_name(&name.to_ascii_uppercase());
    instrument.map(|instrument| instrument.spec.symbol).ok_or(NameError::Symbol)
}

fn of_all(subject: &str, kind: Option<&str>, suffix: Option<&str>) -> Result<Topic, NameError> {
    match (subject, kind, suffix) {
        ("!bookTicker", None, None) => Ok(Topic::AllBookTickers),
        ("!contractInfo", None, None) => Ok(Topic::ContractInfo),
        ("!ticker", Some("arr"), None) => Ok(Topic::AllTickers),
        ("!miniTicker", Some("arr"), None) => Ok(Topic::AllMiniTickers),
        ("!forceOrder", Some("arr"), None) => Ok(Topic::AllForceOrders),
        ("!markPrice", Some("arr"), speed) => {
            Speed::of_mark(speed).map(Topic::AllMarks).ok_or(NameError::Variant)
        }
        _ => Err(NameError::Unknown),
    }
}

fn of_symbol(symbol: SymbolId, kind: &str, suffix: Option<&str>) -> Result<Topic, NameError> {
    let depth = |levels: Option<Levels>| {
        let speed = Speed::of_depth(suffix).ok_or(NameError::Variant)?;
        Ok(levels.map_or(Topic::Depth(symbol, speed), |n| Topic::Partial(symbol, n, speed)))
    };
    match (kind, suffix) {
        ("depth", _) => depth(None),
        ("depth5", _) => depth(Some(Levels::Five)),
        ("depth10", _) => depth(Some(Levels::Ten)),
        ("depth20", _) => depth(Some(Levels::Twenty)),
        ("markPrice", speed) => {
            let speed = Speed::of_mark(speed).ok_or(NameError::Variant)?;
            Ok(Topic::Mark(symbol, speed))
        }
        (_, Some(_)) => Err(NameError::Unknown),
        ("trade", None) => Ok(Topic::Trade(symbol)),
        ("aggTrade", None) => Ok(Topic::AggTrade(symbol)),
        ("bookTicker", None) => Ok(Topic::BookTicker(symbol)),
        ("ticker", None) => Ok(Topic::Ticker(symbol)),
        ("miniTicker", None) => Ok(Topic::MiniTicker(symbol)),
        ("forceOrder", None) => Ok(Topic::ForceOrder(symbol)),
        (other, None) => {
            let interval = other.strip_prefix("kline_").ok_or(NameError::Unknown)?;
            let interval = Interval::parse(interval).ok_or(NameError::Variant)?;
            Ok(Topic::Kline(symbol, interval))
        }
    }
}
