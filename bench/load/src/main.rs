//! The benchmark's load generator and its backend: cheap, so that the proxy under test is the bottleneck.
//!
//! `run` offers load and prints one JSON document, `serve` answers it, `hold` keeps idle connections.
#![allow(clippy::print_stdout, reason = "it is a command")]

mod cpu;
mod histogram;
mod hold;
mod message;
mod options;
mod run;
mod schedule;
mod serve;
mod timer;
mod windows;

use std::process::ExitCode;

use options::{Command, USAGE};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let command = match options::parse(&arguments) {
        Ok(command) => command,
        Err(message) => {
            eprintln!("fairlead-load: {message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let done = match command {
        Command::Run(plan) => run::run(&plan).map(|report| println!("{report}")),
        Command::Serve { address, ports, time } => serve::serve(address, &ports, time),
        Command::Hold { target, request, connections, time } => {
            hold::hold(target, &request, connections, time)
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fairlead-load: {error}");
            ExitCode::FAILURE
        }
    }
}
