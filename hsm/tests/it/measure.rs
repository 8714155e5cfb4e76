use std::time::Instant;

use cryptoki::{mechanism::Mechanism, object::ObjectClass};
use hsm::{KeyAlgorithm, Lane};

use crate::harness::{Raw, generate, isolated, soon};

#[test]
fn ratio() {
    isolated("measure::ratio", async |bench| {
        let hsm = bench.start().await;
        for (number, algorithm, count) in [(1, KeyAlgorithm::Secp256k1, 4000), (2, KeyAlgorithm::P256, 20000)]
        {
            let key = generate(&hsm, number, algorithm).await;
            for round in 0..4 {
                let begun = Instant::now();
                let threads: Vec<_> = (0..2)
                    .map(|_| {
                        std::thread::spawn(move || {
                            let raw = Raw::softhsm();
                            let session = raw.session();
                            let private = raw.only(&session, ObjectClass::PRIVATE_KEY, number);
                            for _ in 0..count / 2 {
                                session.sign(&Mechanism::Ecdsa, private, &[7; 32]).unwrap();
                            }
                        })
                    })
                    .collect();
                for thread in threads {
                    thread.join().unwrap();
                }
                let bare = f64::from(count) / begun.elapsed().as_secs_f64();
                let begun = Instant::now();
                let mut tasks = Vec::new();
                for _ in 0..8 {
                    let (hsm, key) = (hsm.clone(), key.clone());
                    tasks.push(tokio::spawn(async move {
                        let mut times = Vec::new();
                        for _ in 0..count / 8 {
                            let begun = Instant::now();
                            hsm.sign_digest(&key, &[7; 32], Lane::Sign, soon()).await.unwrap();
                            times.push(begun.elapsed());
                        }
                        times
                    }));
                }
                let mut times = Vec::new();
                for task in tasks {
                    times.extend(task.await.unwrap());
                }
                let layered = f64::from(count) / begun.elapsed().as_secs_f64();
                times.sort();
                let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
                println!(
                    "MEASURE {algorithm} round {round}: bare {bare:.0}/s layer {layered:.0}/s ratio {:.3} p50 {p50:?} p99 {p99:?}",
                    layered / bare
                );
            }
        }
        hsm.shutdown().await;
    });
}
