//! Compiles one component in a process of its own; see `plugin_host::compile_child_main`.

use std::process::ExitCode;

fn main() -> ExitCode {
    plugin_host::compile_child_main()
}
