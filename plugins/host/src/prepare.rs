//! From the bytes of a component to something that can be instantiated in microseconds.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use crate::bindings::Contract;
use crate::cache::{Cache, Cached};
use crate::capability::{Capability, Grants};
use crate::compile;
use crate::config::{CompileConfig, HostConfig, Limits};
use crate::digest::Digest;
use crate::engine;
use crate::failure::{EvaluationFailure, FailureCode};
use crate::imports;
use crate::measure::{self, Gauges, PluginMetrics};
use crate::sandbox::Sandbox;

/// A component as stored, and the digest that was signed for.
#[derive(Clone)]
pub struct ComponentSource {
    pub bytes: Arc<[u8]>,
    pub digest: Digest,
}

/// A component ready to run. Instances come and go; this stays as long as a binding uses it.
pub struct PreparedPlugin {
    digest: Digest,
    engine: Engine,
    engine_digest: Digest,
    limits: Arc<Limits>,
    limits_digest: Digest,
    contract: Contract,
    required: Grants,
    imports: Vec<String>,
    exports: Vec<String>,
    origin: Origin,
    metrics: PluginMetrics,
}

/// Where compiled code came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Compiled just now.
    Compiled,
    /// From the cache, MAC verified.
    Cached,
    /// Compiled just now because the cached file was damaged, forged, or of another key.
    Rebuilt,
}

impl Origin {
    /// The stable text of the origin.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Compiled => "compiled",
            Self::Cached => "cached",
            Self::Rebuilt => "rebuilt",
        }
    }
}

impl PreparedPlugin {
    /// SHA-256 of the component.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The capabilities that the component imports; a binding must grant them all.
    pub const fn required(&self) -> Grants {
        self.required
    }

    /// The interfaces that the component imports, with their versions.
    pub fn imports(&self) -> &[String] {
        &self.imports
    }

    /// Everything that the component exports, with versions; only `countersign:policy/policy` is ever called.
    pub fn exports(&self) -> &[String] {
        &self.exports
    }

    /// The version of the contract that the component was built against.
    pub const fn contract_version(&self) -> &'static str {
        self.contract.version()
    }

    /// Where the compiled code came from.
    pub const fn origin(&self) -> Origin {
        self.origin
    }

    pub(crate) const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What bounds each of its calls.
    pub(crate) const fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }

    /// Fingerprint of the engine that runs it, as evaluations record it.
    pub const fn engine_digest(&self) -> Digest {
        self.engine_digest
    }

    /// Names what bounds each evaluation, as evaluations record it.
    pub const fn limits_digest(&self) -> Digest {
        self.limits_digest
    }

    /// Refuses a grant that lacks a capability which the component imports, and counts it.
    pub fn require_granted(&self, grants: Grants) -> Result<(), Capability> {
        let Some(missing) = self.required.missing_from(grants).next() else { return Ok(()) };
        measure::denied(self.digest, missing);
        Err(missing)
    }

    pub(crate) fn gauges(&self) -> Arc<Gauges> {
        self.metrics.gauges(Instant::now())
    }

    pub(crate) const fn contract(&self) -> &Contract {
        &self.contract
    }
}

impl fmt::Debug for PreparedPlugin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PreparedPlugin").field("digest", &self.digest).finish_non_exhaustive()
    }
}

/// An engine whose pool is as tight as the bounds of the components that it runs.
struct Class {
    engine: Engine,
    linker: Linker<Sandbox>,
    limits: Arc<Limits>,
    /// The keys of the configuration that bound its pool.
    keys: &'static str,
    limits_digest: Digest,
}

impl Class {
    const SMALL: &str = "`instances_max`, `memories_max`, `memory_bytes_max`, `table_elements_max`";
    const LARGE: &str =
        "`large_instances_max`, `memories_max`, `large_memory_bytes_max`, `table_elements_max`";

    fn new(limits: Limits, keys: &'static str, config: &HostConfig) -> Result<Self, EvaluationFailure> {
        if limits.memory_bytes > engine::MEMORY_BYTES_MAX {
            let detail = format!("`memory_bytes` must be at most {}", engine::MEMORY_BYTES_MAX);
            return Err(EvaluationFailure::new(FailureCode::HostError, detail));
        }
        let unusable =
            |error: wasmtime::Error| EvaluationFailure::new(FailureCode::HostError, format!("{error:#}"));
        let engine =
            engine::running(&limits, &config.schedule, config.compile.count_fuel).map_err(unusable)?;
        let linker = Contract::linker(&engine).map_err(unusable)?;
        let limits_digest = limits.digest(config.schedule.deadline);
        Ok(Self { engine, linker, limits: Arc::new(limits), limits_digest, keys })
    }
}

/// Prepares components, each digest once.
pub(crate) struct Workshop {
    small: Class,
    large: Class,
    cache: Cache,
    config: CompileConfig,
    compiling: Semaphore,
    /// One at a time, so that nothing is loaded twice; apart from `compiling`, so that what is compiled already never
    /// waits for what is not.
    loading: Semaphore,
    prepared: Mutex<HashMap<Digest, Weak<PreparedPlugin>>>,
}

impl Workshop {
    pub(crate) fn open(config: &HostConfig) -> Result<Self, EvaluationFailure> {
        let small = Class::new(config.limits.clone(), Class::SMALL, config)?;
        let large = Class::new(config.limits.of_large_components(), Class::LARGE, config)?;
        // Engines differ in their pools alone: code is the same for both.
        let cache = Cache::open(&config.cache, &small.engine, config.compile.artifact_bytes);
        let cache = cache.map_err(|error| cache_unavailable(&config.cache.directory, &error))?;
        Ok(Self {
            small,
            large,
            cache,
            compiling: Semaphore::new(config.compile.concurrent.max(1)),
            loading: Semaphore::new(1),
            config: config.compile.clone(),
            prepared: Mutex::default(),
        })
    }

    pub(crate) fn engines(&self) -> [&Engine; 2] {
        [&self.small.engine, &self.large.engine]
    }

    fn class(&self, component_bytes: usize) -> &Class {
        let is_large = component_bytes >= self.small.limits.large.component_bytes;
        if is_large { &self.large } else { &self.small }
    }

    /// Compiles or loads a component. The bytes are hashed every time, whatever is known about them.
    pub(crate) async fn prepare(
        self: Arc<Self>,
        source: ComponentSource,
    ) -> Result<Arc<PreparedPlugin>, EvaluationFailure> {
        let this = Arc::clone(&self);
        let checked = source.clone();
        if let Some(prepared) = blocking(move || this.verify(&checked)).await? {
            return Ok(prepared);
        }
        let bytes = source.bytes.len();
        let origin = match Arc::clone(&self).found(source.digest, bytes).await? {
            Lookup::Loaded(prepared) => return Ok(prepared),
            Lookup::Missing(origin) => origin,
        };
        let _permit = self.compiling.acquire().await.expect("the semaphore is never closed");
        // Another caller may have compiled it while this one waited.
        if let Lookup::Loaded(prepared) = Arc::clone(&self).found(source.digest, bytes).await? {
            return Ok(prepared);
        }
        let artifact = compile::compile(&self.config, &source.bytes).await?;
        let this = Arc::clone(&self);
        blocking(move || {
            // What is refused takes no room from what is used.
            let prepared = this.load((source.digest, bytes), &artifact, origin)?;
            let written = this.cache.write(source.digest, &artifact);
            written.map_err(|error| cache_unavailable(this.cache.directory(), &error))?;
            Ok(prepared)
        })
        .await
    }

    async fn found(self: Arc<Self>, digest: Digest, bytes: usize) -> Result<Lookup, EvaluationFailure> {
        let this = Arc::clone(&self);
        let _permit = self.loading.acquire().await.expect("the semaphore is never closed");
        if let Some(prepared) = self.known(digest) {
            return Ok(Lookup::Loaded(prepared));
        }
        blocking(move || this.load_cached(digest, bytes)).await
    }

    fn verify(&self, source: &ComponentSource) -> Result<Option<Arc<PreparedPlugin>>, EvaluationFailure> {
        let limit = self.config.component_bytes;
        if source.bytes.len() > limit {
            let actual = source.bytes.len();
            let detail = format!(
                "the component has {actual} bytes, where {limit} are allowed (`component_bytes_max`)"
            );
            return Err(EvaluationFailure::new(FailureCode::ComponentTooLarge, detail));
        }
        let actual = Digest::of(&source.bytes);
        if actual != source.digest {
            let detail = format!("the component has digest `{actual}`, expected `{}`", source.digest);
            return Err(EvaluationFailure::new(FailureCode::DigestMismatch, detail));
        }
        Ok(self.known(source.digest))
    }

    pub(crate) fn keep_compiled(&self, components: &BTreeSet<Digest>) -> Result<(), EvaluationFailure> {
        self.cache.keep(components).map_err(|error| cache_unavailable(self.cache.directory(), &error))
    }

    /// Names what bounds the evaluations of a component of that size.
    pub(crate) fn limits_digest(&self, component_bytes: usize) -> Digest {
        self.class(component_bytes).limits_digest
    }

    /// Components that somebody holds.
    pub(crate) fn live(&self) -> usize {
        let known = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        known.values().filter(|plugin| plugin.strong_count() > 0).count()
    }

    fn known(&self, digest: Digest) -> Option<Arc<PreparedPlugin>> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner).get(&digest)?.upgrade()
    }

    fn load_cached(&self, digest: Digest, bytes: usize) -> Result<Lookup, EvaluationFailure> {
        let found =
            self.cache.read(digest).map_err(|error| cache_unavailable(self.cache.directory(), &error))?;
        match found {
            Cached::Absent => Ok(Lookup::Missing(Origin::Compiled)),
            Cached::Artifact(artifact) => {
                self.load((digest, bytes), &artifact, Origin::Cached).map(Lookup::Loaded)
            }
            Cached::Invalid => {
                tracing::warn!(plugin = %digest, "the compiled component in the cache fails its MAC; compiling again");
                Ok(Lookup::Missing(Origin::Rebuilt))
            }
        }
    }

    fn load(
        &self,
        (digest, bytes): (Digest, usize),
        artifact: &[u8],
        origin: Origin,
    ) -> Result<Arc<PreparedPlugin>, EvaluationFailure> {
        let Class { engine, linker, limits, limits_digest, keys } = self.class(bytes);
        // SAFETY: the artifact comes from this host's own compiler child, or from the cache after its
        // MAC was verified over this same buffer; nothing that a plugin's author supplies gets here.
        #[expect(unsafe_code, reason = "wasmtime loads native code only so")]
        let component = unsafe { Component::deserialize(engine, artifact) };
        // The code is ours and fits this engine, so what remains to refuse are the limits of its pool.
        let beyond_pool =
            |error| EvaluationFailure::new(FailureCode::InstanceLimit, format!("{error:#} (bounds: {keys})"));
        let component = component.map_err(beyond_pool)?;
        let required = imports::check(engine, &component)?;
        let contract = Contract::resolve(linker, &component)?;
        let prepared = Arc::new(PreparedPlugin {
            digest,
            engine: engine.clone(),
            engine_digest: self.cache.engine(),
            limits: Arc::clone(limits),
            limits_digest: *limits_digest,
            contract,
            required,
            imports: imports::names(engine, &component),
            exports: imports::exports(engine, &component),
            origin,
            metrics: PluginMetrics::of(digest),
        });
        measure::prepared(digest, origin);
        let mut known = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, plugin| plugin.strong_count() > 0);
        known.insert(digest, Arc::downgrade(&prepared));
        Ok(prepared)
    }
}

enum Lookup {
    Loaded(Arc<PreparedPlugin>),
    Missing(Origin),
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, EvaluationFailure> + Send + 'static,
) -> Result<T, EvaluationFailure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(EvaluationFailure::new(FailureCode::HostError, error.to_string())),
    }
}

fn cache_unavailable(directory: &std::path::Path, error: &io::Error) -> EvaluationFailure {
    let detail = format!("compiled cache `{}`: {error}", directory.display());
    EvaluationFailure::new(FailureCode::CacheUnavailable, detail)
}
