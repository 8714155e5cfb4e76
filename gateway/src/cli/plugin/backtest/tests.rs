use std::{path::Path, time::Duration};

use plugin_host::{CacheKey, CompileCommand, HostConfig};

use super::bound_as;
use crate::config::Plugins;

#[test]
fn a_candidate_has_the_time_and_the_room_that_the_gateway_gives() {
    let plugins = Plugins { deadline_ms: 123, memory_bytes_max: 1 << 20, ..Plugins::default() };
    let command = CompileCommand { program: "unused".into(), arguments: Vec::new() };
    let mut config = HostConfig::new(command, Path::new("unused").to_owned(), CacheKey::new([1; 32]));
    let patience = config.schedule.deadline;
    bound_as(&plugins, &mut config);
    let gateways = plugins.host_config(
        CompileCommand { program: "unused".into(), arguments: Vec::new() },
        CacheKey::new([1; 32]),
        Path::new("unused"),
    );
    assert_eq!(config.schedule.run_max, Some(Duration::from_millis(123)));
    assert_eq!(config.schedule.run_max, Some(gateways.schedule.deadline));
    assert_eq!(config.schedule.deadline, patience + gateways.schedule.deadline);
    assert_eq!(config.schedule.tick, gateways.schedule.tick);
    assert_eq!(config.limits.memory_bytes, 1 << 20);
}
