//! `countersign`: the gateway and its operator's commands.
#![forbid(unsafe_code)]

mod config;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let text = match arguments.get(1).map(String::as_str) {
        Some("--example") => config::reference::example_file(),
        _ => config::reference::reference_page(),
    };
    std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes()).expect("standard output is open");
}
