//! The HSM layer against a bare loop of `C_SignInit` and `C_Sign` on the same token and key.

use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cryptoki::context::Pkcs11;
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectClass};
use cryptoki::slot::Slot;
use hsm::{Hsm, HsmConfig, KeyAlgorithm, KeyLabel, KeyReference, KeySpec, KeyUsage, Lane, Pin, SoftHsmPaths};
use tokio::task::JoinSet;

use crate::processor::{self, Snapshot};
use crate::report::{Figure, Goal, Report, Section};
use crate::scale::Scale;
use crate::statistics::{median, micros_each, percentile_micros, rate};
use crate::verification::Verification;

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const TOKEN_LABEL: &str = "countersign bench";
const DIGEST: [u8; 32] = [7; 32];
const PERMIT_LIFE: Duration = Duration::from_mins(5);

/// A token of the benchmark's own, reached through the layer and past it.
pub(crate) struct Token {
    hsm: Hsm,
    pkcs11: Pkcs11,
    slot: Slot,
    keys: Vec<(KeyAlgorithm, KeyReference)>,
}

/// What a loop does besides `C_SignInit` and `C_Sign`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bare {
    Nothing,
    Verify,
}

/// One round of the bare loop.
pub(crate) struct BareRound {
    pub(crate) per_second: f64,
    /// Processor time of one signature.
    pub(crate) cpu_micros: f64,
}

/// One round of each.
struct Rounds {
    bare: BareRound,
    verifying: BareRound,
    layer: LayerRound,
}

/// One round of the layer.
struct LayerRound {
    per_second: f64,
    /// Processor time of the session threads for one signature.
    cpu_micros: f64,
    latencies: Vec<Duration>,
}

impl Token {
    /// Makes the token. `SOFTHSM2_CONF` must name its configuration already.
    pub(crate) fn provision(directory: &Path, softhsm: &SoftHsmPaths) -> Result<HsmConfig> {
        let pin = |text: &str| Pin::new(text.to_owned());
        let mut config = HsmConfig::new(MODULE, TOKEN_LABEL, pin("bench-user"), directory);
        config.storage_directories = vec![softhsm.tokens.clone()];
        config.create_canary = true;
        hsm::provision_token(&config, &pin("bench-officer")).context("making the benchmark's token")?;
        Ok(config)
    }

    pub(crate) async fn start(config: HsmConfig) -> Result<Token> {
        let hsm = Hsm::start(config).await.context("starting the HSM layer")?;
        let mut keys = Vec::new();
        for (number, algorithm) in [(1, KeyAlgorithm::Secp256k1), (2, KeyAlgorithm::P256)] {
            let label = KeyLabel {
                organization: "bench".into(),
                key_id: algorithm.name().into(),
                purpose: "wallet".into(),
                kinds: vec!["transaction".into()],
            };
            let spec =
                KeySpec { cka_id: [number; 16], label, algorithm, usage: KeyUsage::Sign, permanent: false };
            keys.push((algorithm, hsm.generate(spec).await?));
        }
        let pkcs11 = Pkcs11::new(MODULE)?;
        let slots = pkcs11.get_slots_with_initialized_token()?;
        let slot = *slots.first().context("no slot with an initialized token")?;
        Ok(Token { hsm, pkcs11, slot, keys })
    }

    pub(crate) async fn shutdown(&self) {
        self.hsm.shutdown().await;
    }

    fn key(&self, algorithm: KeyAlgorithm) -> Result<&KeyReference> {
        let found = self.keys.iter().find(|(candidate, _)| *candidate == algorithm);
        found.map(|(_, key)| key).with_context(|| format!("no key for {algorithm}"))
    }

    /// Signs on `threads` threads, each with a session of its own, for about `duration`.
    pub(crate) fn bare(
        &self,
        algorithm: KeyAlgorithm,
        besides: Bare,
        threads: usize,
        duration: Duration,
    ) -> Result<BareRound> {
        let key = self.key(algorithm)?;
        let together = Barrier::new(threads);
        let rounds = thread::scope(|scope| {
            let running: Vec<_> = (0..threads)
                .map(|_| scope.spawn(|| self.sign_for(key, besides, duration, &together)))
                .collect();
            running
                .into_iter()
                .map(|thread| thread.join().expect("signing does not panic"))
                .collect::<Result<Vec<_>>>()
        })?;
        Ok(BareRound {
            per_second: rounds.iter().map(|round| round.per_second).sum(),
            cpu_micros: median(rounds.iter().map(|round| round.cpu_micros)),
        })
    }

    fn sign_for(
        &self,
        key: &KeyReference,
        besides: Bare,
        duration: Duration,
        together: &Barrier,
    ) -> Result<BareRound> {
        let verification = Verification::by(&key.public_key)?;
        // Every thread reaches the barrier, whatever went wrong before it.
        let opened =
            self.pkcs11.open_rw_session(self.slot).map_err(anyhow::Error::from).and_then(|session| {
                let wanted = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Id(key.cka_id.to_vec())];
                let found = session.find_objects(&wanted)?;
                Ok((*found.first().context("the benchmark's key is not on the token")?, session))
            });
        together.wait();
        let (object, session) = opened?;
        let (started, cpu) = (Instant::now(), processor::of_this_thread()?);
        let mut count = 0;
        while started.elapsed() < duration {
            let signature = session.sign(&Mechanism::Ecdsa, object, &DIGEST)?;
            if besides == Bare::Verify {
                verification.check(&DIGEST, &signature)?;
            }
            count += 1;
        }
        let spent = processor::of_this_thread()?.saturating_sub(cpu);
        Ok(BareRound { per_second: rate(count, started.elapsed()), cpu_micros: micros_each(spent, count) })
    }

    /// Keeps `in_flight` signatures under way in the layer for about `duration`.
    async fn layer(
        &self,
        algorithm: KeyAlgorithm,
        in_flight: usize,
        duration: Duration,
    ) -> Result<LayerRound> {
        let key = self.key(algorithm)?;
        let before = Snapshot::of(std::process::id())?;
        let started = Instant::now();
        let mut running = JoinSet::new();
        for _ in 0..in_flight {
            let (hsm, key) = (self.hsm.clone(), key.clone());
            running.spawn(async move {
                let mut latencies = Vec::new();
                while started.elapsed() < duration {
                    let asked = Instant::now();
                    hsm.sign_digest(&key, &DIGEST, Lane::Sign, asked + PERMIT_LIFE).await?;
                    latencies.push(asked.elapsed());
                }
                Ok::<_, hsm::HsmError>(latencies)
            });
        }
        let mut latencies = Vec::new();
        while let Some(finished) = running.join_next().await {
            latencies.append(&mut finished??);
        }
        ensure!(!latencies.is_empty(), "the HSM layer has signed nothing");
        let per_second = rate(latencies.len(), started.elapsed());
        let spent = Snapshot::of(std::process::id())?.threads_since(&before, "hsm-session");
        Ok(LayerRound { per_second, cpu_micros: micros_each(spent, latencies.len()), latencies })
    }

    /// Both algorithms, alone and with eight in flight.
    pub(crate) async fn measure(&self, scale: &Scale, report: &Report) -> Result<()> {
        let section = report.section(
            "hsm",
            "HSM layer: sign_digest, verified, against a bare C_Sign loop on as many threads",
        )?;
        for algorithm in [KeyAlgorithm::Secp256k1, KeyAlgorithm::P256] {
            for in_flight in [1, 8] {
                self.compare(scale, &section, algorithm, in_flight).await?;
            }
        }
        section.note("the layer verifies each signature, and its callers run on the same cores")?;
        section.note("processor time is that of the session threads, against the loop that verifies too")
    }

    async fn compare(
        &self,
        scale: &Scale,
        section: &Section,
        algorithm: KeyAlgorithm,
        in_flight: usize,
    ) -> Result<()> {
        let threads = in_flight.min(scale.cores);
        let (mut rounds, mut latencies) = (Vec::new(), Vec::new());
        for _ in 0..scale.rounds {
            let bare = self.bare(algorithm, Bare::Nothing, threads, scale.short_round)?;
            let mut layer = self.layer(algorithm, in_flight, scale.short_round).await?;
            let verifying = self.bare(algorithm, Bare::Verify, threads, scale.short_round)?;
            latencies.append(&mut layer.latencies);
            rounds.push(Rounds { bare, verifying, layer });
        }
        let middle = |pick: fn(&Rounds) -> f64| median(rounds.iter().map(pick));
        let name = format!("{algorithm}, {in_flight} in flight");
        let rate = |name: &str| Figure::new(name, middle(|round| round.layer.per_second), "signatures/s");
        let figure = rate(&name).against_by_rounds(
            middle(|round| round.bare.per_second),
            middle(|round| round.layer.per_second / round.bare.per_second),
        );
        // The goals are for a layer under load.
        let has_goal = in_flight > 1;
        section.figure(&if has_goal { figure.goal(Goal::AtLeast(0.95)) } else { figure })?;
        section.figure(&rate(&format!("{name}: against a loop that verifies")).against_by_rounds(
            middle(|round| round.verifying.per_second),
            middle(|round| round.layer.per_second / round.verifying.per_second),
        ))?;
        let processor =
            Figure::new(format!("{name}: processor time"), middle(|round| round.layer.cpu_micros), "us");
        section.figure(&processor.against(middle(|round| round.verifying.cpu_micros)))?;
        let p50 = percentile_micros(&mut latencies, 50);
        let p99 =
            Figure::new(format!("{name}: p99 against p50"), percentile_micros(&mut latencies, 99), "us");
        let p99 = p99.against(p50);
        section.figure(&if has_goal { p99.goal(Goal::AtMost(3.0)) } else { p99 })
    }
}
