//! What becomes of a command: done, perhaps about an order, or refused with a reason.

use protocol::{OrderId, Reject};

/// Done; the order it was about or none.
pub(crate) type Verdict = Result<OrderId, Refusal>;

/// Refused: nothing but the session's number has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub reject: Reject,
    /// What [`Reject::NeedMargin`] and [`Reject::SessionGap`] say.
    pub amount: i64,
}

impl From<Reject> for Refusal {
    fn from(reject: Reject) -> Self {
        Self { reject, amount: 0 }
    }
}

/// A check: passed, or the reason.
pub(crate) fn require(holds: bool, otherwise: Reject) -> Result<(), Reject> {
    if holds { Ok(()) } else { Err(otherwise) }
}
