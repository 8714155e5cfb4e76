//! Compiled code counts only under its MAC.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use plugin_host::{CacheKey, FailureCode, HostConfig, Origin, PluginHost};

use crate::guests::{TestHost, component, request};

fn cached_file(config: &HostConfig) -> PathBuf {
    let mut files = fs::read_dir(&config.cache.directory).unwrap().map(|entry| entry.unwrap().path());
    let file = files.next().unwrap();
    assert_eq!(files.next(), None);
    file
}

/// How a host that starts now gets at the code of `hello`, which must work in any case.
async fn origin_in_new_host(config: &HostConfig) -> Origin {
    let host = PluginHost::start(config).unwrap();
    let hello = host.prepare(component("hello")).await.unwrap();
    host.evaluate(&hello, request("{}")).await.unwrap();
    hello.origin()
}

#[tokio::test(flavor = "multi_thread")]
async fn compiled_once_and_loaded_from_the_cache_afterwards() {
    let host = TestHost::start();
    assert_eq!(host.prepare("hello").await.origin(), Origin::Compiled);
    assert_eq!(origin_in_new_host(&host.config).await, Origin::Cached);
}

#[tokio::test(flavor = "multi_thread")]
async fn flipped_byte_anywhere_is_found_and_rebuilt() {
    let host = TestHost::start();
    host.prepare("hello").await;
    let file = cached_file(&host.config);
    let good = fs::read(&file).unwrap();
    for position in [0, 31, 32, 40, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[position] ^= 0x40;
        fs::write(&file, bad).unwrap();
        assert_eq!(origin_in_new_host(&host.config).await, Origin::Rebuilt, "byte {position}");
        assert_eq!(fs::read(&file).unwrap().len(), good.len());
    }
    assert_eq!(origin_in_new_host(&host.config).await, Origin::Cached);
}

#[tokio::test(flavor = "multi_thread")]
async fn truncated_extended_and_empty_files_are_rebuilt() {
    let host = TestHost::start();
    host.prepare("hello").await;
    let file = cached_file(&host.config);
    let good = fs::read(&file).unwrap();
    let extended = [good.as_slice(), b"x"].concat();
    for bad in [&good[..good.len() - 1], &good[..10], &[], &extended] {
        fs::write(&file, bad).unwrap();
        assert_eq!(origin_in_new_host(&host.config).await, Origin::Rebuilt);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn file_of_another_component_or_key_is_rebuilt() {
    let mut host = TestHost::start();
    host.prepare("hello").await;
    let file = cached_file(&host.config);
    host.config.cache.key = CacheKey::new([8; 32]);
    assert_eq!(origin_in_new_host(&host.config).await, Origin::Rebuilt);

    let other = TestHost::start();
    other.prepare("hostile").await;
    fs::copy(cached_file(&other.config), &file).unwrap();
    assert_eq!(origin_in_new_host(&host.config).await, Origin::Rebuilt);
}

#[tokio::test(flavor = "multi_thread")]
async fn code_of_another_engine_is_never_loaded() {
    let mut host = TestHost::start();
    host.prepare("hello").await;
    let ours = cached_file(&host.config);
    let code = fs::read(&ours).unwrap();
    // Another engine has files of its own.
    host.config.compile.count_fuel = true;
    assert_eq!(origin_in_new_host(&host.config).await, Origin::Compiled);
    let files = fs::read_dir(&host.config.cache.directory).unwrap().map(|entry| entry.unwrap().path());
    let theirs = files.into_iter().find(|path| *path != ours).unwrap();
    // Under its name, our code has the right key and the wrong engine.
    fs::write(&theirs, code).unwrap();
    assert_eq!(origin_in_new_host(&host.config).await, Origin::Rebuilt);
}

#[tokio::test(flavor = "multi_thread")]
async fn cached_code_is_its_owners_alone_and_nothing_half_written_is_left() {
    let host = TestHost::start();
    host.prepare("hello").await;
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&host.config.cache.directory), 0o700);
    assert_eq!(mode(&cached_file(&host.config)), 0o600);
}

#[tokio::test(flavor = "multi_thread")]
async fn file_swapped_while_hosts_load_it_is_never_run() {
    let host = TestHost::start();
    host.prepare("hello").await;
    let file = cached_file(&host.config);
    let good = fs::read(&file).unwrap();
    let mut bad = good.clone();
    // Zeros in the middle of the native code: running them would crash the test.
    let middle = good.len() / 4..good.len() / 2;
    bad[middle].fill(0);
    let finished = AtomicBool::new(false);
    let (mut cached, mut rebuilt) = (0, 0);
    let runtime = tokio::runtime::Handle::current();
    thread::scope(|scope| {
        scope.spawn(|| {
            while !finished.load(Ordering::Relaxed) {
                fs::write(&file, &bad).unwrap();
                fs::write(&file, &good).unwrap();
            }
        });
        scope.spawn(|| {
            // However late the writer begins.
            while cached + rebuilt < 30 || (rebuilt == 0 && cached < 10_000) {
                match runtime.block_on(origin_in_new_host(&host.config)) {
                    Origin::Cached => cached += 1,
                    Origin::Rebuilt | Origin::Compiled => rebuilt += 1,
                }
            }
            finished.store(true, Ordering::Relaxed);
        });
    });
    assert!(rebuilt > 0, "{cached} loads never met the swapped file");
}

#[tokio::test(flavor = "multi_thread")]
async fn directory_that_others_may_enter_is_refused() {
    let host = TestHost::start();
    let mode =
        |mode| fs::set_permissions(&host.config.cache.directory, fs::Permissions::from_mode(mode)).unwrap();
    assert_eq!(fs::metadata(&host.config.cache.directory).unwrap().permissions().mode() & 0o777, 0o700);
    mode(0o750);
    let failure = PluginHost::start(&host.config).err().unwrap();
    assert_eq!(failure.code, FailureCode::CacheUnavailable);
    assert!(failure.detail.contains("has mode 750, must be 700"), "{failure}");
}

/// The files, by the first letters of the component's digest.
fn shelf(host: &TestHost) -> BTreeMap<String, u64> {
    let files = fs::read_dir(&host.config.cache.directory).unwrap().map(Result::unwrap);
    let of = |file: fs::DirEntry| {
        (file.file_name().to_str().unwrap()[..8].to_owned(), file.metadata().unwrap().len())
    };
    files.map(of).collect()
}

fn letters(guest: &str) -> String {
    component(guest).digest.to_string()[..8].to_owned()
}

/// How a host that starts now gets at the code of the guest.
async fn origin_of(host: &TestHost, guest: &str) -> Origin {
    PluginHost::start(&host.config).unwrap().prepare(component(guest)).await.unwrap().origin()
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_bound_what_was_not_used_for_longest_goes() {
    let mut host = TestHost::start();
    for guest in ["hostile", "orion", "hello"] {
        host.prepare(guest).await;
    }
    let all = shelf(&host);
    assert_eq!(all.len(), 3);
    // Used again, and so not the first to go.
    assert_eq!(origin_of(&host, "hostile").await, Origin::Cached);
    host.config.cache.bytes = all.values().sum::<u64>() - 1;
    let host_of_less = PluginHost::start(&host.config).unwrap();
    assert_eq!(shelf(&host).into_keys().collect::<Vec<_>>(), sorted([letters("hostile"), letters("hello")]));
    // What comes takes the place of what was not used, while the host runs.
    assert_eq!(host_of_less.prepare(component("orion")).await.unwrap().origin(), Origin::Compiled);
    assert_eq!(shelf(&host).into_keys().collect::<Vec<_>>(), sorted([letters("hostile"), letters("orion")]));
    host.config.cache.bytes = 1;
    assert_eq!(origin_of(&host, "velocity").await, Origin::Compiled);
    assert_eq!(shelf(&host).into_keys().collect::<Vec<_>>(), [letters("velocity")], "the last one stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_compiled_of_retired_components_goes_and_nobody_elses_files() {
    let host = TestHost::start();
    for guest in ["hostile", "hello"] {
        host.prepare(guest).await;
    }
    let other = host.config.cache.directory.join("notes.txt");
    fs::write(&other, "of somebody").unwrap();
    host.host.keep_compiled(&BTreeSet::from([component("hello").digest])).unwrap();
    assert_eq!(origin_of(&host, "hello").await, Origin::Cached);
    assert_eq!(origin_of(&host, "hostile").await, Origin::Compiled);
    assert!(other.exists());
}

fn sorted<const N: usize>(mut names: [String; N]) -> [String; N] {
    names.sort();
    names
}
