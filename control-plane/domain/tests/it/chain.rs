//! The chain and the hashes: whatever is changed shows, and their form is frozen.

use crate::scenario::Scenario;
use crate::world::{advertiser, settlement};
use control_plane_domain::invariants;
use control_plane_domain::ledger::{
    Account, ChainError, LedgerHead, LedgerTransaction, TransactionKind, verify_chain,
};
use control_plane_domain::notify;
use control_plane_domain::reason;
use proto_model::{AdvertiserId, PartnerId, UnixMicros};
use std::collections::BTreeSet;

fn scenario() -> Scenario {
    let mut scenario = Scenario::new();
    let lines = "terms o1 v1 hold=none sale=10%\nclick k1 o1 p1 at=5\nat 10\n\
                 token A amount=100.00USD click=k1\norder A refunded amount=40.00USD\nclose";
    lines.lines().for_each(|line| scenario.run(line));
    scenario
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// If this fails, every ledger and statement out there would fail to verify: do not change the form,
/// add a new version of it.
#[test]
fn the_canonical_form_is_frozen() {
    let scenario = scenario();
    let heads =
        [advertiser(1), settlement()].map(|key| hex(&scenario.world.shards[&key].books.state.ledger.hash));
    let statement = &scenario.world.shards[&settlement()].books.statements[0];
    assert_eq!(heads[0], "8c12f92fd51c08c4d9dff4ef5d984a68b6c5e84dd079ae3e399c979c1b9d8699");
    assert_eq!(heads[1], "af2b4a9e862b1abffc3f0e856f6b779adbcfa6b4071e75ece0787859388a66f6");
    assert_eq!(hex(&statement.hash), "29397522d7ef41ca423016b1eddcfa8e5c3aec60bf9a559b220a9d590055ecad");
}

#[test]
fn whatever_is_changed_shows() {
    type Change = fn(&mut Vec<LedgerTransaction>);
    let scenario = scenario();
    let ledger = scenario.world.shards[&advertiser(1)].books.ledger.clone();
    assert_eq!(ledger.len(), 3);
    let cases: [(Change, ChainError); 8] = [
        (|l| l[1].posted_at = UnixMicros(1), ChainError::Altered { sequence: 2 }),
        (|l| l[1].entries[0].minor += 1, ChainError::Altered { sequence: 2 }),
        (|l| l[2].hash[0] ^= 1, ChainError::Altered { sequence: 3 }),
        (|l| l.swap(0, 1), ChainError::Gap { expected: 1, found: 2 }),
        (|l| drop(l.remove(1)), ChainError::Gap { expected: 2, found: 3 }),
        (|l| l[2].prev_hash = [0; 32], ChainError::Broken { sequence: 3 }),
        // Somebody who repairs the hashes on the way still has to change the last one.
        (
            |l| {
                l[1].posted_at = UnixMicros(1);
                l[1].hash = l[1].computed_hash();
                l[2].prev_hash = l[1].hash;
            },
            ChainError::Altered { sequence: 3 },
        ),
        (
            |l| {
                l[2].entries[0].minor += 1;
                l[2].hash = l[2].computed_hash();
            },
            ChainError::Unbalanced { sequence: 3 },
        ),
    ];
    for (change, error) in cases {
        let mut changed = ledger.clone();
        change(&mut changed);
        assert_eq!(verify_chain(LedgerHead::default(), &changed), Err(error));
    }
}

#[test]
fn books_that_were_tampered_with_do_not_pass() {
    let scenario = scenario();
    let shards = &scenario.world.shards;
    let mut cut = shards[&advertiser(1)].books.clone();
    cut.ledger.pop();
    assert!(invariants::check(advertiser(1), &cut).is_err(), "a cut tail");
    let mut forged = shards[&settlement()].books.clone();
    forged.statements[0].closing_minor += 1;
    assert!(invariants::check(settlement(), &forged).is_err(), "an altered statement");
    let mut lost = shards[&settlement()].books.clone();
    lost.payouts.clear();
    assert!(invariants::check(settlement(), &lost).is_err(), "a payout without its row");
    let mut raised = shards[&advertiser(1)].books.clone();
    let order = raised.state.orders.get_mut("A").unwrap();
    let conversion = order.conversions.values_mut().next().unwrap();
    conversion.commissions.values_mut().next().unwrap().amount.minor += 1;
    assert!(invariants::check(advertiser(1), &raised).is_err(), "a raised commission");
}

#[test]
fn stored_words_read_back() {
    let (advertiser, partner) = (AdvertiserId::new(7).unwrap(), PartnerId::new(8).unwrap());
    let accounts = [
        Account::AdvertiserAccrued(advertiser),
        Account::AdvertiserReceivable(advertiser),
        Account::PartnerPending(partner),
        Account::PartnerPayable(partner),
        Account::PayoutDue(partner),
        Account::Clearing,
    ];
    for account in accounts {
        assert_eq!(Account::parse(&account.to_string()), Some(account));
    }
    for kind in TransactionKind::ALL {
        assert_eq!(TransactionKind::parse(kind.as_str()), Some(kind));
    }
    for text in reason::ALL {
        assert_eq!(reason::parse(text), Some(*text));
    }
    assert_eq!(reason::ALL.iter().collect::<BTreeSet<_>>().len(), reason::ALL.len());
    assert!(notify::KINDS.iter().all(|kind| kind.split_once('.').is_some()));
    for text in ["", "clearing:", "partner_payable:adv_00000007", "payout_due"] {
        assert_eq!(Account::parse(text), None, "{text}");
    }
}
