//! The engine's judges: a naive twin that must say the same bytes, an auditor that believes
//! nothing but events, and the promises of determinism, of bounds and of no allocation.
//!
//! A slice of the cases runs always; `EXCHANGE_FULL=1` runs the long form.

mod allocation;
mod auditor;
mod auditor_algos;
mod auditor_funding;
mod auditor_liquidation;
mod auditor_margin;
mod auditor_orders;
mod auditor_rest;
mod auditor_settling;
mod auditor_solvency;
mod bench;
mod bounds;
mod builds;
mod dated;
mod debts;
mod deleveraging;
mod determinism;
mod differential;
mod displayed;
mod edges;
mod flow;
mod flow_links;
mod flow_operator;
mod funding;
mod garbage;
mod guard;
mod hedge;
mod invariants;
mod isolated;
mod jumps;
mod lacking;
mod lending;
mod liquidation;
mod listing;
mod modes;
mod money;
mod mutants;
mod need;
mod prices;
mod recalls;
mod rescue;
mod settling;
mod snapshot;
mod states;
mod storm;
mod sweeps;
mod takeovers;
mod trading;
mod triggers;
mod twin;
mod withdrawals;
