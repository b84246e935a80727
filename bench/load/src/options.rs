//! The command line.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use crate::message::request;
use crate::run::Plan;

/// How it is called.
pub(crate) const USAGE: &str = "\
usage: fairlead-load run TARGET [--connections N] [--rate PER_SECOND] [--seconds S] [--warm-up S] [--requests N]
                                [--host NAME] [--path PATH] [--seed N] [--cpu PID,PID]
       fairlead-load serve [--address IP] [--ports PORT,PORT] [--seconds S]
       fairlead-load hold TARGET [--connections N] [--host NAME] [--path PATH] [--seconds S]";

const TIME_MAX: f64 = 3_600.0;

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Command {
    /// Offer load.
    Run(Plan),
    /// Answer it.
    Serve {
        /// Listened on.
        address: IpAddr,
        /// Listened on.
        ports: Vec<u16>,
        /// For so long.
        time: Duration,
    },
    /// Keep idle connections.
    Hold {
        /// Where to.
        target: SocketAddr,
        /// Sent once on each.
        request: Vec<u8>,
        /// How many.
        connections: usize,
        /// For so long at most.
        time: Duration,
    },
}

struct Given<'a>(HashMap<&'a str, &'a str>);

impl Given<'_> {
    fn take<T: FromStr>(&mut self, name: &str, default: T) -> Result<T, String> {
        match self.0.remove(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| format!("--{name}: not understood: {text}")),
        }
    }

    fn list<T: FromStr>(&mut self, name: &str, default: &str) -> Result<Vec<T>, String> {
        let text = self.0.remove(name).unwrap_or(default);
        let parts = text.split(',').filter(|part| !part.is_empty());
        parts.map(|part| part.parse().map_err(|_| format!("--{name}: not understood: {part}"))).collect()
    }

    fn seconds(&mut self, name: &str, default: f64) -> Result<Duration, String> {
        let seconds = self.take(name, default)?;
        if !(0.0..=TIME_MAX).contains(&seconds) {
            return Err(format!("--{name}: not within 0 to {TIME_MAX} s"));
        }
        Ok(Duration::from_secs_f64(seconds))
    }

    fn request(&mut self) -> Result<Vec<u8>, String> {
        let host = self.take("host", "bench.test".to_owned())?;
        Ok(request(&host, &self.take("path", "/".to_owned())?))
    }
}

/// Reads the arguments.
pub(crate) fn parse(arguments: &[String]) -> Result<Command, String> {
    let (verb, rest) = arguments.split_first().ok_or("no command")?;
    let (target, options) = match rest.split_first() {
        Some((first, after)) if !first.starts_with("--") => (Some(first), after),
        _ => (None, rest),
    };
    let mut given = Given(HashMap::new());
    for pair in options.chunks(2) {
        match pair {
            [name, value] if name.starts_with("--") => given.0.insert(&name[2..], value),
            _ => return Err(format!("not understood: {}", pair.join(" "))),
        };
    }
    let address = || -> Result<SocketAddr, String> {
        let text = target.ok_or("no target")?;
        text.parse().map_err(|_| format!("no address: {text}"))
    };
    let command = match verb.as_str() {
        "run" => Command::Run(Plan {
            target: address()?,
            request: given.request()?,
            connections: given.take("connections", 64)?,
            rate: match given.take("rate", 0.0)? {
                0.0 => None,
                rate if rate > 0.0 => Some(rate),
                _ => return Err("--rate: not above 0".to_owned()),
            },
            seed: given.take("seed", 1)?,
            warm_up: given.seconds("warm-up", 0.2)?,
            time: given.seconds("seconds", 1.0)?,
            requests_max: given.take("requests", u64::MAX)?,
            processes: given.list("cpu", "")?,
        }),
        "serve" => Command::Serve {
            address: given.take("address", IpAddr::V4(Ipv4Addr::LOCALHOST))?,
            ports: given.list("ports", "9001,9002,9003,9004")?,
            time: given.seconds("seconds", TIME_MAX)?,
        },
        "hold" => Command::Hold {
            target: address()?,
            request: given.request()?,
            connections: given.take("connections", 4_000)?,
            time: given.seconds("seconds", 60.0)?,
        },
        other => return Err(format!("no such command: {other}")),
    };
    match given.0.into_keys().next() {
        Some(name) => Err(format!("no such option: --{name}")),
        None => Ok(command),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_run_is_read() {
        let line = "run 127.0.0.1:80 --connections 512 --rate 5000 --seconds 0.5 --cpu 12,13";
        let Ok(Command::Run(plan)) = parse(&words(line)) else { panic!("refused") };
        assert_eq!((plan.connections, plan.rate, plan.processes), (512, Some(5000.0), vec![12, 13]));
        assert_eq!(plan.time, Duration::from_millis(500));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (line, word) in [
            ("run", "no target"),
            ("run nowhere", "nowhere"),
            ("run 127.0.0.1:80 --rate -1", "--rate"),
            ("run 127.0.0.1:80 --speed 3", "--speed"),
            ("serve --seconds 90000", "--seconds"),
            ("dance", "dance"),
        ] {
            let error = parse(&words(line)).unwrap_err();
            assert!(error.contains(word), "{line}: {error}");
        }
    }
}
