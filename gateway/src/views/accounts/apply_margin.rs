//! What events say of leverage, margin and position modes.

use protocol::{
    ShardId,
    event::{MarginMoved, PositionModeChanged, SettingsChanged},
    order::{MarginMode, PositionMode, PositionSide},
};

use super::{
    Recent,
    apply::{Step, event_id},
};
use crate::{
    store::{
        Row,
        row::{MarginRow, ModeRow},
    },
    views::notice::{Cause, UserNotice},
};

impl Step<'_> {
    pub(super) fn settings(&mut self, settings: &SettingsChanged) {
        let (id, symbol) = (settings.account, settings.symbol);
        let slot = self.slot(id, symbol, PositionSide::Both);
        let leverage = (settings.leverage != 0).then_some(settings.leverage);
        let isolated = settings.margin_mode == MarginMode::Isolated;
        let leveraged = slot.leverage != leverage;
        let remoded = slot.isolated != isolated;
        (slot.leverage, slot.isolated) = (leverage, isolated);
        self.keep_slot(id, symbol, PositionSide::Both);
        if let (true, Some(leverage)) = (leveraged, leverage) {
            self.tell(id, UserNotice::Leverage { ts: self.header.ts, symbol, leverage });
        }
        if remoded {
            let notice = self.position_notice(id, symbol, PositionSide::Both, Cause::MarginType);
            self.tell(id, UserNotice::Account(notice));
        }
    }

    pub(super) fn margin(&mut self, moved: &MarginMoved) {
        let (id, symbol, leg, ts) =
            (moved.account, moved.symbol, moved.position_side, self.header.ts);
        let slot = self.slot(id, symbol, leg);
        (slot.wallet, slot.updated) = (moved.isolated_wallet, ts);
        self.keep_slot(id, symbol, leg);
        self.account(id).updated = ts;
        let row = MarginRow {
            account: id,
            symbol,
            position_side: leg,
            ts,
            id: event_id(self.header),
            amount: moved.delta,
        };
        let key = (symbol, ts, row.id);
        self.account(id).margins.insert(key, row);
        self.recent(id, Recent::Margin(key));
        self.effects.rows.push(Row::Margin(row));
        let notice = self.position_notice(id, symbol, leg, Cause::Margin);
        self.tell(id, UserNotice::Account(notice));
    }

    /// The ledger's word counts: shards change the mode one by one.
    pub(super) fn mode(&mut self, changed: &PositionModeChanged) {
        if self.shard != ShardId::LEDGER {
            return;
        }
        let hedge = changed.mode == PositionMode::Hedge;
        self.account(changed.account).hedge = hedge;
        self.effects.rows.push(Row::Mode(ModeRow { account: changed.account, hedge }));
    }
}
