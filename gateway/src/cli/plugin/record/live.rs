//! Cases whose questions are put to the services and nodes themselves, through the gateway's own clients and under its
//! own bounds.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use gateway_clients::egress::NamedHost;
use gateway_domain::{Clock as _, ids::OrganizationId};
use plugin_host::{
    ChainAnswer, ChainMethod, ChainQuestion, EvaluationRequest, FailureCode, HistoryAnswer, HistoryQuestion,
    HttpAnswer, HttpQuestion, OutsideError, OutsidePort,
};
use serde_json::{Map, Value, json};
use tokio::runtime::Handle;

use crate::{
    adapters::{
        outside::{Pinned, Reach},
        system::SystemClock,
    },
    cli::{
        output::progress,
        plugin::{
            cases::{self, Case, INPUTS},
            workbench::{ComponentArgument, Workbench, diagnosis},
        },
    },
    config::{Chain, Config, List, Overrides, PluginUpstream, Secret},
    wiring,
};

/// What a case may expect of an outcome, as the other form of the command records it.
const EXPECTED: [&str; 6] = ["verdict", "reason_code", "analysis", "confidence_ppm", "evidence", "failure"];
/// For one evaluation with everything it asks.
const DEADLINE: Duration = Duration::from_mins(2);

#[derive(Debug, Args)]
pub(super) struct Live {
    /// Component to ask instead; needs no gateway. What it asks is put to the services and nodes named here.
    #[arg(long, value_name = "FILE", requires = "cases")]
    component: Option<PathBuf>,
    /// File of the cases that it is given; what they expect is recorded anew.
    #[arg(long, value_name = "FILE", requires = "component")]
    cases: Option<PathBuf>,
    /// Service that the component may ask: its name and URL; repeat for several.
    #[arg(long = "upstream", value_name = "NAME=URL", requires = "component", value_parser = parse_pair)]
    upstreams: Vec<(String, String)>,
    /// What may be asked of these services, as `plugin_upstreams.routes` has it, such as "GET /addresses/{address}".
    #[arg(long = "route", value_name = "ROUTE", requires = "upstreams")]
    routes: Vec<String>,
    /// Header that the component may set.
    #[arg(long = "request-header", value_name = "NAME", requires = "upstreams")]
    request_headers: Vec<String>,
    /// Header of an answer that the component is shown.
    #[arg(long = "response-header", value_name = "NAME", requires = "upstreams")]
    response_headers: Vec<String>,
    /// Node of a chain that the component may read: CAIP-2 id and URL; repeat for several.
    #[arg(long = "node", value_name = "CHAIN=URL", requires = "component", value_parser = parse_pair)]
    nodes: Vec<(String, String)>,
}

impl Live {
    /// The cases with what was answered and what came of it.
    pub(super) async fn cases(&self, config: Option<&Path>) -> Result<Vec<Value>> {
        let (Some(component), Some(file)) = (&self.component, &self.cases) else {
            bail!("`--component` and `--cases` belong together");
        };
        let sources = Arc::new(wiring::plugins::sources(&self.configuration(config)?)?);
        let names = sources.upstreams.names().map(|name| format!("http:{name}"));
        let methods = ChainMethod::ALL.iter().map(|method| format!("chain:{}", method.as_str()));
        let grants: std::collections::BTreeSet<String> = names.chain(methods).collect();
        let cases = cases::read(file)?;
        let workbench = Workbench::open(|config| config.schedule.deadline = DEADLINE)?;
        let loaded = workbench.load(&ComponentArgument::of(component)).await?;
        let mut recorded = Vec::new();
        for case in &cases {
            progress(&format!("asking for case `{}`", case.name));
            let EvaluationRequest { outside, verified, .. } = case.request(&loaded.plugin)?;
            let chain = verified.chain.parse().ok();
            let reach = Reach {
                organization: OrganizationId::from_uuid(uuid::Uuid::nil()),
                grants: grants.clone(),
                upstreams: Arc::clone(&sources.upstreams),
                chain: chain.and_then(|chain| sources.chains.get(&chain).cloned()),
                pinned: Pinned::default(),
                now: SystemClock.now(),
                runtime: Handle::current(),
            };
            let request = EvaluationRequest {
                outside: Arc::new(Asking { reach, recorded: outside }),
                ..case.request(&loaded.plugin)?
            };
            recorded.push(record(case, &workbench.host.evaluate(&loaded.plugin, request).await)?);
        }
        Ok(recorded)
    }

    /// The file's services and nodes with those of the command line beside them. Whoever names a service here has
    /// named its host.
    fn configuration(&self, file: Option<&Path>) -> Result<Config> {
        let mut config = Config::load(file, &Overrides::from_process())?;
        for upstream in &mut config.plugin_upstreams {
            (upstream.shared, upstream.organization) = (true, None);
        }
        for (name, url) in &self.upstreams {
            let parsed = url.parse().with_context(|| format!("`--upstream {name}={url}` is not a URL"))?;
            let host = NamedHost::of_url(&parsed).with_context(|| format!("`{url}` names no host"))?;
            config.egress.named_hosts.0.push(host.to_string());
            config.plugin_upstreams.push(PluginUpstream {
                name: name.clone(),
                url: url.clone(),
                shared: true,
                routes: List(self.routes.clone()),
                request_headers: List(self.request_headers.clone()),
                response_headers: List(self.response_headers.clone()),
                ..PluginUpstream::default()
            });
        }
        for (id, url) in &self.nodes {
            let rpc_urls = Some(Secret::new(url.clone()));
            // What is recorded is meant for later anyway, and an author's node may stand still.
            let block_age_max_seconds = Chain::BLOCK_AGE_MOST;
            match config.chains.iter_mut().find(|chain| chain.id == *id) {
                Some(chain) => {
                    (chain.rpc_urls, chain.block_age_max_seconds) = (rpc_urls, block_age_max_seconds);
                }
                None => config.chains.push(Chain {
                    id: id.clone(),
                    rpc_urls,
                    block_age_max_seconds,
                    ..Chain::default()
                }),
            }
        }
        Ok(config)
    }
}

/// Asks services and nodes; history, which only a gateway has, is answered from the case.
struct Asking {
    reach: Reach,
    recorded: Arc<dyn OutsidePort>,
}

impl OutsidePort for Asking {
    fn history(&self, question: &HistoryQuestion, deadline: Instant) -> Result<HistoryAnswer, OutsideError> {
        self.recorded.history(question, deadline).map_err(|_| {
            let detail = "there is no gateway here whose history could be asked: put the call with its answer into \
                          `given.host_calls` of the case";
            OutsideError::new(FailureCode::HistoryUnavailable, detail)
        })
    }

    fn http(&self, question: &HttpQuestion, deadline: Instant) -> Result<HttpAnswer, OutsideError> {
        self.reach.ask_upstream(question, deadline)
    }

    fn chain(&self, question: &ChainQuestion, deadline: Instant) -> Result<ChainAnswer, OutsideError> {
        self.reach.ask_chain(question, deadline)
    }
}

fn record(
    case: &Case,
    answer: &Result<plugin_host::Evaluation, plugin_host::EvaluationFailure>,
) -> Result<Value> {
    let record = match answer {
        Ok(evaluation) => Some(&evaluation.record),
        Err(failure) => failure.record.as_deref(),
    };
    let Some(record) = record else {
        bail!(
            "case `{}` left no record: {}",
            case.name,
            answer.as_ref().map_or_else(diagnosis, |_| String::new())
        );
    };
    let mut given: Map<String, Value> = match json!(record) {
        Value::Object(fields) => fields,
        _ => bail!("a record is an object"),
    };
    given.retain(|name, _| INPUTS.contains(&name.as_str()));
    let mut expect = cases::found(answer);
    expect.retain(|name, _| EXPECTED.contains(&name.as_str()));
    Ok(json!({ "name": case.name, "given": given, "expect": expect }))
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    let (name, url) = text.split_once('=').ok_or("a name, `=`, and a URL")?;
    Ok((name.to_owned(), url.to_owned()))
}
