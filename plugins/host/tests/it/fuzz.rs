//! Mutations of a stored corpus, the same in every run: uploads, settings, and the bytes that a guest answers with.

use std::fs;
use std::path::Path;

use plugin_host::{FailureCode, Settings, SettingsFault, Verdict};

use crate::guests::{TestHost, component, request, source};
use crate::patched::{contract_export, with_body};

/// A child compiles each of them.
const UPLOADS: u64 = 120;
const SETTINGS: u64 = 600;
const ANSWERS: u64 = 4000;

/// Numbers that look random and are the same everywhere (`SplitMix64`).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % (bound.max(1) as u64)).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    /// A few changes of any kind that files suffer.
    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            match self.below(6) {
                0 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
                1 if !bytes.is_empty() => bytes[at] = self.byte(),
                2 => bytes.insert(at, self.byte()),
                3 if !bytes.is_empty() => drop(bytes.remove(at)),
                4 => bytes.truncate(at),
                _ => {
                    let end = (at + self.below(64)).min(bytes.len());
                    let again = bytes[at..end].to_vec();
                    let to = self.below(bytes.len());
                    bytes.splice(to..to, again);
                }
            }
        }
    }
}

/// Files of the corpus, in the order of their names.
fn corpus(folder: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(folder);
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn mutated_uploads_are_refused_by_name_or_run_in_the_sandbox() {
    let host = TestHost::with(|config| {
        config.compile.concurrent = 4;
        config.schedule.deadline = std::time::Duration::from_secs(2);
        config.schedule.breaker_failures = u32::MAX;
    });
    let mut seeds = corpus("uploads");
    for text in &mut seeds {
        *text = wat::parse_bytes(text).unwrap().into_owned();
    }
    seeds.push(component("hello").bytes.to_vec());
    let mut chance = Chance(1);
    for number in 0..UPLOADS {
        let mut bytes = seeds[chance.below(seeds.len())].clone();
        chance.mutate(&mut bytes);
        let code = match host.host.prepare(source(bytes)).await {
            Err(failure) => failure.code,
            Ok(plugin) => match host.host.evaluate(&plugin, request("{}")).await {
                Ok(_) => continue,
                Err(failure) => failure.code,
            },
        };
        assert_ne!(code, FailureCode::HostError, "upload {number}");
        assert_ne!(code, FailureCode::CacheUnavailable, "upload {number}");
    }
    let honest = host.prepare("hello").await;
    host.host.evaluate(&honest, request("{}")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn mutated_settings_are_accepted_or_refused_and_break_no_guest_of_ours() {
    let host = TestHost::with(|config| config.schedule.breaker_failures = u32::MAX);
    let guests =
        [host.prepare("orion").await, host.prepare("velocity").await, host.prepare("http_review").await];
    let seeds = corpus("settings");
    let mut chance = Chance(2);
    for number in 0..SETTINGS {
        let mut bytes = seeds[chance.below(seeds.len())].clone();
        chance.mutate(&mut bytes);
        let settings = String::from_utf8_lossy(&bytes).into_owned();
        let ambiguous = matches!(Settings::from(&*settings).fault(), Some(SettingsFault::KeyTwice(_)));
        for guest in &guests {
            let problems = match host.host.validate_settings(guest, &settings).await {
                Ok(problems) => problems,
                // Refused before a guest sees them, and wherever they are given.
                Err(failure) if ambiguous => {
                    assert_eq!(failure.code, FailureCode::SettingsAmbiguous, "settings {number}\n{settings}");
                    let failure = host.host.evaluate(guest, request(&settings)).await.unwrap_err();
                    assert_eq!(failure.code, FailureCode::SettingsAmbiguous, "settings {number}\n{settings}");
                    continue;
                }
                Err(failure) => panic!("settings {number}: {failure}\n{settings}"),
            };
            assert!(!ambiguous, "settings {number}\n{settings}");
            if problems.is_empty() {
                // What it has accepted it can also be run with.
                let answer = host.host.evaluate(guest, request(&settings)).await;
                let code = answer.err().map(|failure| failure.code);
                let answered =
                    matches!(code, None | Some(FailureCode::GuestError | FailureCode::HttpRefused));
                assert!(answered, "settings {number}: {code:?}\n{settings}");
            }
        }
    }
}

/// Bytes of a request that the guest hands back as its answer: an outcome as far as the host knows.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_guest_answers_is_a_verdict_within_the_contract_or_a_failure() {
    let host = TestHost::with(|config| config.schedule.breaker_failures = u32::MAX);
    // The transaction's data lies 68 bytes into the arguments; the next whole word of it becomes the answer.
    let echo = "(func (param i32) (result i32) \
                (i32.and (i32.add (i32.load offset=68 (local.get 0)) (i32.const 7)) (i32.const -8)))";
    let plugin = host.host.prepare(with_body(&contract_export("#evaluate"), echo)).await.unwrap();
    let (mut chance, mut verdicts, mut failures) = (Chance(3), 0, 0);
    for number in 0..ANSWERS {
        let mut asked = request("{}");
        let words = std::iter::repeat_with(|| word(&mut chance)).take(40);
        asked.verified.data = words.flat_map(u32::to_le_bytes).collect();
        match host.host.evaluate(&plugin, asked).await {
            Ok(evaluation) => {
                let outcome = evaluation.outcome;
                assert!(outcome.confidence_ppm <= plugin_host::PARTS_PER_MILLION, "answer {number}");
                assert!(!outcome.reason_code.is_empty(), "answer {number}");
                let demands = matches!(&outcome.verdict, Verdict::NeedApprovals(needs) if needs.is_empty());
                assert!(!demands, "answer {number}");
                verdicts += 1;
            }
            Err(failure) => {
                let known = matches!(
                    failure.code,
                    FailureCode::InvalidOutput
                        | FailureCode::OutputTooLarge
                        | FailureCode::BadConfidence
                        | FailureCode::GuestError
                        // The guest cleans up afterwards, after an answer that it has not made.
                        | FailureCode::Abort
                        | FailureCode::OutOfBounds
                );
                assert!(known, "answer {number}: {failure}");
                failures += 1;
            }
        }
    }
    assert_eq!(verdicts + failures, ANSWERS);
    assert!(failures > ANSWERS / 2, "{failures} failures: the bytes are too tame");
}

/// Small numbers, which are cases and lengths, and addresses in and out of memory.
fn word(chance: &mut Chance) -> u32 {
    let bits = u32::try_from(chance.next() & u64::from(u32::MAX)).unwrap();
    match chance.below(5) {
        0 => bits % 6,
        1 => bits % 64,
        2 => 65_536 + bits % 4096,
        3 => bits % (1 << 24),
        _ => bits,
    }
}
