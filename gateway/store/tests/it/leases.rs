//! Several processes on one database: who stood still longer than its lease gets no permit (T19).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use gateway_domain::{
    changes::{Contested, Write},
    policy::PermitRecord,
    ports::DecisionReads,
    registry::{Relay, RelayOutcome},
    settings::Settings,
};
use gateway_store::{DatabaseUrl, Store, StoreConfig};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

use crate::{
    database::{Database, instance, on_both_engines, sealer},
    world::{World, contested, hash, now, past, published::relay_quota},
};

on_both_engines!(
    no_permit_once_the_lease_has_run_out,
    no_registry_call_once_the_lease_has_run_out,
    no_permit_under_the_fencing_number_of_an_earlier_life,
    another_process_lease_is_no_help,
    a_renewed_lease_gives_a_new_number_only_after_a_lapse,
    a_start_forgets_leases_that_ran_out_and_who_comes_back_has_another_number,
    who_stands_still_in_a_transaction_holds_others_up_no_longer_than_a_commit_may_take,
);

/// A store that renews so seldom that the test sees none of it.
pub(crate) async fn slow(database: &Database, number: u128) -> Store {
    let config = StoreConfig { lease: Duration::from_hours(1), ..database.config() };
    let store = Store::open(config, sealer(), instance(number), Arc::new(Notify::new())).await.unwrap();
    store.set_log_fault(None);
    store
}

async fn ready(database: &Database) -> (Store, Box<World>) {
    let store = slow(database, 1).await;
    let world = World::founded(&store).await;
    world.commit(&store, [Write::InsertAttempt(world.seal(&world.attempt))]).await.unwrap();
    (store, world)
}

/// The permit's insert and its renewal are refused.
async fn refused(store: &Store, world: &World) {
    let insert = Write::InsertPermit(world.seal(&world.permit));
    assert_eq!(contested(world.commit(store, [insert]).await), Contested::Permit);
    assert!(store.permits(world.organization.id, world.transaction.id).await.unwrap().is_empty());
}

async fn no_permit_once_the_lease_has_run_out(database: &Database) {
    let (store, world) = ready(database).await;
    let mut intruder = database.intruder().await;
    intruder.execute(format!("UPDATE instances SET live_until = {}", past().unix_micros())).await.unwrap();
    refused(&store, &world).await;
}

async fn no_registry_call_once_the_lease_has_run_out(database: &Database) {
    let (store, world) = ready(database).await;
    let quota = relay_quota(9, now());
    let insert = || Write::InsertRelay(world.seal(&world.relay), quota);
    let mut intruder = database.intruder().await;
    intruder.execute("UPDATE instances SET fencing = fencing + 1").await.unwrap();
    assert_eq!(contested(world.commit(&store, [insert()]).await), Contested::Relay);
    intruder.execute("UPDATE instances SET fencing = fencing - 1").await.unwrap();
    world.commit(&store, [insert()]).await.unwrap();
    intruder.execute(format!("UPDATE instances SET live_until = {}", past().unix_micros())).await.unwrap();
    let signed = RelayOutcome::Signed { raw: vec![1], hash: hash() };
    let signed = Relay { outcome: signed, version: 2, ..world.relay.clone() };
    let signed = world.commit(&store, [Write::UpdateRelay(world.seal(&signed))]).await;
    assert_eq!(contested(signed), Contested::Version);
}

async fn no_permit_under_the_fencing_number_of_an_earlier_life(database: &Database) {
    let (store, world) = ready(database).await;
    let insert = Write::InsertPermit(world.seal(&world.permit));
    world.commit(&store, [insert]).await.unwrap();
    let mut intruder = database.intruder().await;
    let expired = past().unix_micros();
    intruder.execute(format!("UPDATE permits SET expires_at = {expired}")).await.unwrap();
    intruder.execute("UPDATE instances SET fencing = fencing + 1").await.unwrap();
    let renewal = PermitRecord { version: 2, ..world.permit.clone() };
    let renew = Write::RenewPermit(world.seal(&renewal));
    assert_eq!(contested(world.commit(&store, [renew]).await), Contested::Permit);
    intruder.execute("UPDATE instances SET fencing = fencing - 1").await.unwrap();
    world.commit(&store, [Write::RenewPermit(world.seal(&renewal))]).await.unwrap();
}

async fn another_process_lease_is_no_help(database: &Database) {
    let (store, world) = ready(database).await;
    let _other = slow(database, 2).await;
    let mut intruder = database.intruder().await;
    intruder.execute(format!("DELETE FROM instances WHERE id = '{}'", instance(1))).await.unwrap();
    refused(&store, &world).await;
}

async fn a_renewed_lease_gives_a_new_number_only_after_a_lapse(database: &Database) {
    let mut intruder = {
        let _first = slow(database, 1).await;
        database.intruder().await
    };
    let number = "SELECT fencing FROM instances";
    let first = intruder.number(number).await;
    drop(slow(database, 1).await);
    assert_eq!(intruder.number(number).await, first);
    intruder.execute(format!("UPDATE instances SET live_until = {}", past().unix_micros())).await.unwrap();
    let (store, world) = ready(database).await;
    assert_eq!(intruder.number(number).await, first + 1);
    world.commit(&store, [Write::InsertPermit(world.seal(&world.permit))]).await.unwrap();
}

async fn a_start_forgets_leases_that_ran_out_and_who_comes_back_has_another_number(database: &Database) {
    let (paused, world) = ready(database).await;
    let mut intruder = database.intruder().await;
    let count = "SELECT count(*) FROM instances";
    let number = format!("SELECT fencing FROM instances WHERE id = '{}'", instance(1));
    let before = intruder.number(&number).await;
    let _live = slow(database, 2).await;
    assert_eq!(intruder.number(count).await, 2, "a live lease is kept");
    let ended = format!("UPDATE instances SET live_until = 0 WHERE id = '{}'", instance(1));
    intruder.execute(ended).await.unwrap();
    let _next = slow(database, 3).await;
    assert_eq!(intruder.number(count).await, 2, "the lease that ran out is forgotten");
    refused(&paused, &world).await;
    drop(slow(database, 1).await);
    assert!(intruder.number(&number).await > before);
    refused(&paused, &world).await;
}

/// A way to the database. Once `closed`, a connection stands still before its commit: the server hears no more of it, and
/// not that it ended.
struct Gate {
    url: DatabaseUrl,
    closed: Arc<AtomicBool>,
    reached: Arc<Notify>,
}

impl Gate {
    async fn before(database: &Database) -> Self {
        let (account, place) = database.url.as_str().rsplit_once('@').unwrap();
        let (server, name) = place.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = DatabaseUrl::new(format!("{account}@{}/{name}", listener.local_addr().unwrap()));
        let (closed, reached) = (Arc::<AtomicBool>::default(), Arc::<Notify>::default());
        let gate = Self { url, closed: Arc::clone(&closed), reached: Arc::clone(&reached) };
        let server = server.to_owned();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.unwrap();
                tokio::spawn(pass(client, server, Arc::clone(&closed), Arc::clone(&reached)));
            }
        });
        gate
    }
}

async fn pass(mut client: TcpStream, mut server: TcpStream, closed: Arc<AtomicBool>, reached: Arc<Notify>) {
    let (mut question, mut answer) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let find = |text: &[u8], part: &[u8]| text.windows(part.len()).position(|window| window == part);
    // A statement is sent with a name the first time, and by its name from then on.
    let mut commit = b"\0COMMIT\0".to_vec();
    loop {
        tokio::select! {
            Ok(length @ 1..) = client.read(&mut question) => {
                let question = &question[..length];
                if let Some(end) = find(question, &commit) {
                    if closed.load(Ordering::SeqCst) {
                        reached.notify_one();
                        return std::future::pending().await;
                    }
                    if commit[0] == 0 {
                        let name = question[..end].rsplit(|byte| !byte.is_ascii_graphic()).next().unwrap();
                        commit = [name, b"\0"].concat();
                    }
                }
                server.write_all(question).await.unwrap();
            }
            Ok(length @ 1..) = server.read(&mut answer) => {
                // Who went away hears nothing.
                let _ = client.write_all(&answer[..length]).await;
            }
            else => return,
        }
    }
}

async fn who_stands_still_in_a_transaction_holds_others_up_no_longer_than_a_commit_may_take(
    database: &Database,
) {
    if !database.is_postgres {
        return; // A SQLite database is one process's.
    }
    let gate = Gate::before(database).await;
    let brief = StoreConfig {
        commit_timeout: Duration::from_secs(2),
        lease: Duration::from_hours(1),
        sweep_timeout: Duration::ZERO,
        url: gate.url.clone(),
        ..database.config()
    };
    let stale = Store::open(brief, sealer(), instance(1), Arc::new(Notify::new())).await.unwrap();
    let world = World::founded(&stale).await;
    let live = slow(database, 2).await;
    let settings = Settings { version: 2, ..world.settings.clone() };
    let change = || [Write::UpdateSettings(world.seal(&settings))];
    gate.closed.store(true, Ordering::SeqCst);
    let (held, ()) = tokio::join!(world.commit(&stale, change()), async {
        gate.reached.notified().await;
        world.commit(&live, change()).await.unwrap();
    });
    assert!(held.is_err(), "the server undid it");
}
