//! What keeps money whole, kind of message by kind: with one gate open for one kind alone, storms
//! go wrong at once.

use protocol::{
    AccountId, Command,
    command::{MarginCall, Recall, Return},
    order::CallKind,
};

use crate::storm::{Storm, Verdict, storm};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Open: a message is applied whenever it comes, as if it were the next.
    Numbers,
    /// Open: it leaves before the frame that says it is durable.
    Messages,
    /// Open: it is acknowledged before the frame that takes it is durable.
    Acks,
}

/// What goes over the links, by what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// For an order that a gateway has asked for.
    Lend,
    /// The answer to a call, with money or without.
    Answer,
    Refusal,
    Recall,
    UrgentRecall,
    WithdrawalRecall,
    Return,
    UrgentReturn,
    WithdrawalReturn,
    /// What an account did not use.
    Sweep,
    OrderCall,
    NeedCall,
    DebtCall,
    Debt,
    Hold,
    Held,
    Release,
    /// The same of the insurance fund's leases.
    FundCall,
    FundAnswer,
    FundRecall,
    FundReturn,
}

impl Kind {
    pub const ALL: [Self; 21] = [
        Self::Lend,
        Self::Answer,
        Self::Refusal,
        Self::Recall,
        Self::UrgentRecall,
        Self::WithdrawalRecall,
        Self::Return,
        Self::UrgentReturn,
        Self::WithdrawalReturn,
        Self::Sweep,
        Self::OrderCall,
        Self::NeedCall,
        Self::DebtCall,
        Self::Debt,
        Self::Hold,
        Self::Held,
        Self::Release,
        Self::FundCall,
        Self::FundAnswer,
        Self::FundRecall,
        Self::FundReturn,
    ];
}

/// The peer that a link message comes from, and its place in that stream.
pub fn stream_of(command: &mut Command) -> Option<(u8, &mut u64)> {
    match command {
        Command::Grant(message) => Some((0, &mut message.link_seq)),
        Command::Recall(message) => Some((0, &mut message.link_seq)),
        Command::Hold(message) => Some((0, &mut message.link_seq)),
        Command::Release(message) => Some((0, &mut message.link_seq)),
        Command::Return(message) => Some((message.from.0, &mut message.link_seq)),
        Command::Held(message) => Some((message.from.0, &mut message.link_seq)),
        Command::MarginCall(message) => Some((message.from.0, &mut message.link_seq)),
        Command::Debt(message) => Some((message.from.0, &mut message.link_seq)),
        _ => None,
    }
}

impl Storm {
    pub fn kind_of(&self, command: &Command) -> Option<Kind> {
        let fund = |account: AccountId| account.is_insurance();
        Some(match command {
            Command::Grant(grant) if grant.amount == 0 => Kind::Refusal,
            Command::Grant(grant) if fund(grant.account) => Kind::FundAnswer,
            Command::Grant(grant) if grant.call != 0 => Kind::Answer,
            Command::Grant(_) => Kind::Lend,
            Command::Recall(Recall { account, .. }) if fund(*account) => Kind::FundRecall,
            Command::Recall(Recall { urgent: true, .. }) => Kind::UrgentRecall,
            Command::Recall(recall) if self.is_for_withdrawal(recall.lend) => {
                Kind::WithdrawalRecall
            }
            Command::Recall(_) => Kind::Recall,
            Command::Return(Return { account, .. }) if fund(*account) => Kind::FundReturn,
            Command::Return(Return { lend: 0, .. }) => Kind::Sweep,
            Command::Return(back) if self.is_for_withdrawal(back.lend) => Kind::WithdrawalReturn,
            Command::Return(back) if self.is_for_need(back.lend) => Kind::UrgentReturn,
            Command::Return(_) => Kind::Return,
            Command::MarginCall(MarginCall { account, .. }) if fund(*account) => Kind::FundCall,
            Command::MarginCall(MarginCall { kind: CallKind::Order, .. }) => Kind::OrderCall,
            Command::MarginCall(MarginCall { kind: CallKind::Need, .. }) => Kind::NeedCall,
            Command::MarginCall(MarginCall { kind: CallKind::Debt, .. }) => Kind::DebtCall,
            Command::Debt(_) => Kind::Debt,
            Command::Hold(_) => Kind::Hold,
            Command::Held(_) => Kind::Held,
            Command::Release(_) => Kind::Release,
            _ => return None,
        })
    }

    /// The ledger's frame that something was asked for.
    fn cause(&self, lend: u64) -> Option<Command> {
        let (header, payload) = self.nodes[0].log.get((lend as usize).checked_sub(1)?)?;
        Command::decode(header.kind, payload).ok().map(|(_, command)| command)
    }

    pub fn is_for_withdrawal(&self, lend: u64) -> bool {
        matches!(self.cause(lend), Some(Command::Withdraw(_)))
    }

    fn is_for_need(&self, lend: u64) -> bool {
        match self.cause(lend) {
            Some(Command::MarginCall(call)) => call.kind != CallKind::Order,
            _ => false,
        }
    }
}

/// Storms in which a gate that stands open must have been found.
const SEEDS: u64 = 512;

fn is_found(gate: Gate, eye: Kind, found: impl Fn(&Verdict) -> bool) -> bool {
    (0..SEEDS).any(|seed| found(&storm(seed, eye, Some(gate))))
}

fn each_kind_needs(gate: Gate) {
    let missed = Kind::ALL.into_iter().filter(|eye| {
        !is_found(gate, *eye, |verdict| verdict.money.is_err() || verdict.streams.is_err())
    });
    let missed: Vec<_> = missed.collect();
    assert!(missed.is_empty(), "{gate:?} is open for {missed:?}, and nobody notices");
}

#[test]
fn each_kind_needs_its_numbers() {
    each_kind_needs(Gate::Numbers);
}

#[test]
fn each_kind_leaves_when_it_is_durable() {
    each_kind_needs(Gate::Messages);
}

#[test]
fn each_kind_is_acknowledged_when_it_is_durable() {
    each_kind_needs(Gate::Acks);
}

/// What moves no money, however often it is applied; [`crate::again`] says why.
const ASKS: [Kind; 9] = [
    Kind::Refusal,
    Kind::Recall,
    Kind::UrgentRecall,
    Kind::FundRecall,
    Kind::OrderCall,
    Kind::NeedCall,
    Kind::DebtCall,
    Kind::FundCall,
    Kind::Held,
];

/// All else is found by money alone, by a hold that never ends, or by one that ends too early.
#[test]
fn what_moves_money_is_found_by_money() {
    let moves = Kind::ALL.into_iter().filter(|eye| !ASKS.contains(eye));
    let missed =
        moves.filter(|eye| !is_found(Gate::Numbers, *eye, |verdict| verdict.money.is_err()));
    let missed: Vec<_> = missed.collect();
    assert!(missed.is_empty(), "applied again, {missed:?} cost nothing");
}

#[test]
fn what_only_asks_moves_no_money() {
    for eye in ASKS {
        let mut again = 0;
        for seed in 0..30 {
            let Verdict { money, streams } = storm(seed, eye, Some(Gate::Numbers));
            money.unwrap_or_else(|fault| panic!("{eye:?} {seed}: {fault}"));
            again += usize::from(streams.is_err());
        }
        assert!(again > 0, "no {eye:?} was applied again");
    }
}
