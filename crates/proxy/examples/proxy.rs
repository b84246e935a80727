//! The proxy without an interpreter around it, for instruments that count: `proxy CONFIGURATION` (JSON).

use std::process::ExitCode;

use fairlead_proxy::{ProxyConfig, run};

fn main() -> ExitCode {
    let Some(json) = std::env::args().nth(1) else {
        eprintln!("usage: proxy CONFIGURATION");
        return ExitCode::from(2);
    };
    match ProxyConfig::from_json(json.as_bytes()) {
        Ok(config) => ExitCode::from(u8::try_from(run(config)).unwrap_or(1)),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
