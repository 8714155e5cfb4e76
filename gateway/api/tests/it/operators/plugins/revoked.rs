//! What was revoked does not come back.

use super::*;

/// What was revoked is the component with its settings and grants, whichever revision of it was named.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_revoked_does_not_come_back_as_another_revision() {
    let deployment = Deployment::new().await;
    let world = &deployment.world;
    let escrow = world.user(&Wallet::new(1)).await;
    let (first, bound) = (deployment.stored("velocity").await, deployment.stored("velocity").await);
    let mut change = deployment.next_policy().await;
    change["bindings"].as_array_mut().unwrap().push(binding(&bound, "enforce"));
    deployment.carried(&change).await;
    assert_ne!(deployment.transfer(escrow).await, "REJECTED");

    let id = first["id"].as_str().unwrap();
    assert_eq!(deployment.revoke(&deployment.bob, id).await.0, 200);
    assert_eq!(deployment.transfer(escrow).await, "REJECTED", "what is bound is the same");
    let shown = format!("{}/{}", deployment.plugins(), bound["id"].as_str().unwrap());
    assert_eq!(
        deployment.get(&deployment.dee, &shown).await.1["revoked"]["by"],
        deployment.bob.id.to_string()
    );
    let policy = format!("/operator/v1/organizations/{}/policy", world.organization);
    assert_eq!(deployment.get(&deployment.dee, &policy).await.1["revoked"], json!([bound["id"]]));
    let examined = world.plugin.examined();
    let (status, problem) =
        deployment.upload(&deployment.ann, &deployment.ann.upload(world, "velocity")).await;
    assert_eq!(status, 400, "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("were revoked as revision") && detail.contains("differs"), "{problem}");
    assert_eq!(world.plugin.examined(), examined, "nothing is compiled for it");

    // One that is there nevertheless, as when it was stored at the same time, is bound by nobody.
    let stored = world.services.store.plugin_revision(world.organization, id.parse().unwrap()).await.unwrap();
    let late = PluginRevisionId::from_uuid(Uuid::new_v4());
    let revision = PluginRevision { id: late, ..stored.unwrap().into_value() };
    let event = AuditEvent::new(&world.ctx(), "plugin.stored", late.to_string(), json!({}));
    let insert = Write::InsertPluginRevision(world.services.sealer.seal(revision), b"velocity".to_vec(), 100);
    world.services.store.commit(ChangeSet::new(event).write(insert)).await.unwrap();
    let mut change = deployment.next_policy().await;
    let mut again = binding(&bound, "shadow");
    again["revision"] = json!(late.to_string());
    *change["bindings"].as_array_mut().unwrap().last_mut().unwrap() = again;
    let body = json!({
        "organization": world.organization.to_string(), "change": change, "reason": "again",
    });
    let (status, problem) = deployment.post(&deployment.ann, "/operator/v1/proposals", &body).await;
    assert_eq!(status, 400, "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("may not judge: it was revoked as revision"), "{problem}");
    // Revoking again takes that one as well.
    assert_eq!(deployment.revoke(&deployment.bob, id).await.0, 200);
    let (_, shown) = deployment.get(&deployment.dee, &format!("{}/{late}", deployment.plugins())).await;
    assert_eq!(shown["revoked"]["by"], deployment.bob.id.to_string());
}
