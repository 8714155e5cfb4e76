//! Policies that are replaced while requests are judged: each is judged by one revision, wholly.

use std::{
    cell::Cell,
    collections::BTreeSet,
    sync::atomic::{AtomicU64, Ordering},
};

use gateway_api::ApiConfig;
use gateway_domain::{
    Address, U256,
    approvals::Role,
    audit::AuditEvent,
    chain::ChainId,
    changes::{ChangeSet, Write},
    evaluations::{Evaluation, EvaluationResult},
    ids::PluginRevisionId,
    policy::{Examined, Mode, PluginRevision, PolicyHead, Power},
    ports::Limits,
    transactions::{DryRunRequest, ExecutionType, dry_run},
};
use serde_json::json;
use uuid::Uuid;

use crate::{
    races::id_of,
    wallet::Wallet,
    world::{CHAIN, World, binding, component_digest, limits},
};

const ACTIVATIONS: u64 = 1000;
/// What the plugin of the two revisions says, by the policy's revision.
const MARKS: [&str; 2] = ["\"even\"", "\"odd\""];

fn mark_of(revision: u64) -> &'static str {
    MARKS[usize::try_from(revision % 2).unwrap()]
}

async fn install(world: &World, settings: &str) -> PluginRevision {
    let revision = PluginRevision {
        id: PluginRevisionId::from_uuid(Uuid::new_v4()),
        organization: world.organization,
        plugin: "orion".to_owned(),
        component_digest: component_digest(),
        settings: settings.to_owned(),
        grants: BTreeSet::new(),
        examined: Examined::default(),
        signature: None,
        uploaded_by: None,
        created_at: world.services.clock.now(),
    };
    let event = AuditEvent::new(&world.ctx(), "plugin.installed", "orion".to_owned(), json!({}));
    let stored = world.services.sealer.seal(revision.clone());
    let changes =
        ChangeSet::new(event).write(Write::InsertPluginRevision(stored, b"component".to_vec(), 100));
    world.services.store.commit(changes).await.unwrap();
    revision
}

/// Puts the revision that belongs to the next number in the place of the other.
async fn activate(world: &World, revisions: &[PluginRevision; 2]) {
    let mut policy = world.services.store.policy(world.organization).await.unwrap().unwrap().into_value();
    policy.revision += 1;
    let next = &revisions[usize::try_from(policy.revision % 2).unwrap()];
    policy.bindings = vec![binding(next, Mode::Enforce, Power::Authority(Role::Orion))];
    let head = PolicyHead { organization: world.organization, revision: policy.revision };
    let event = AuditEvent::new(&world.ctx(), "policy.replaced", "policy".to_owned(), json!({}));
    let sealer = &world.services.sealer;
    let changes = ChangeSet::new(event)
        .write(Write::InsertPolicy(sealer.seal(policy)))
        .write(Write::MovePolicyHead(sealer.seal(head)));
    world.services.store.commit(changes).await.unwrap();
}

#[track_caller]
fn assert_whole(evaluation: &Evaluation, revisions: &[PluginRevision; 2]) {
    let EvaluationResult::Verdict(outcome) = &evaluation.result else {
        panic!("failed: {:?}", evaluation.result)
    };
    let revision = &revisions[usize::try_from(evaluation.policy_revision % 2).unwrap()];
    assert_eq!(outcome.analysis, mark_of(evaluation.policy_revision));
    assert_eq!(evaluation.subject_digest, revision.subject_digest());
}

#[tokio::test(flavor = "multi_thread")]
async fn thousand_activations_while_requests_are_judged_fail_none_and_mix_none() {
    // As many are asked as the machine can answer meanwhile.
    let limits = Limits { dry_run_evaluations_daily_max: u32::MAX, ..limits() };
    let world = World::with_limits(ApiConfig::default(), limits).await;
    let escrow = world.user(&Wallet::new(1)).await;
    let revisions = [install(&world, MARKS[0]).await, install(&world, MARKS[1]).await];
    activate(&world, &revisions).await;
    let (done, judged) = (Cell::new(false), AtomicU64::new(0));

    let activations = async {
        for _ in 0..ACTIVATIONS {
            activate(&world, &revisions).await;
        }
        done.set(true);
    };
    let rehearse = async || {
        while !done.get() {
            let asked = DryRunRequest {
                escrow,
                chain: ChainId::eip155(CHAIN).unwrap(),
                to: Address::repeat_byte(0x42),
                value: U256::from(1),
                data: Vec::new(),
                execution_type: ExecutionType::DirectUser,
                note: None,
            };
            let run = dry_run(&world.ctx(), &world.services, asked).await.unwrap();
            let opinions: Vec<_> = run.opinions().collect();
            assert_eq!((run.rehearsal.as_str(), opinions.len()), ("approved", 1));
            assert_eq!(opinions[0].evaluation.policy_revision, run.policy_revision());
            assert_whole(opinions[0].evaluation, &revisions);
            judged.fetch_add(1, Ordering::Relaxed);
        }
    };
    let request = async {
        while !done.get() {
            let proposed = world.propose(escrow, 1).await;
            assert_ne!(proposed["status"], "REJECTED", "{proposed}");
            let stored =
                world.services.store.evaluations(world.organization, id_of(&proposed)).await.unwrap();
            for evaluation in &stored {
                assert_whole(evaluation, &revisions);
            }
            judged.fetch_add(1, Ordering::Relaxed);
        }
    };
    tokio::join!(activations, rehearse(), rehearse(), rehearse(), request);
    assert!(judged.load(Ordering::Relaxed) > 10, "nobody was judged meanwhile");
    let policy = world.services.store.policy(world.organization).await.unwrap().unwrap();
    assert_eq!(policy.revision, ACTIVATIONS + 2);
    world.idle().await;
}
