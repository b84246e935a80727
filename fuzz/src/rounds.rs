//! A short run of a target, without a fuzzer: the seeds as they are, then changed and mixed at random.
//!
//! `FAIRLEAD_FUZZ_ROUNDS` sets how many inputs each target gets. With `FAIRLEAD_FUZZ_CORPUS` the seeds are written there
//! as well, for a fuzzer to begin with.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

/// What has led parsers astray.
const TOKENS: [&[u8]; 34] = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"\0",
    b" ",
    b"\t",
    b"\x0b",
    b"\x7f",
    b"\xff",
    b":",
    b",",
    b";",
    b"_",
    b"0",
    b"f",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"chunked",
    b"Connection: close\r\n",
    b"Connection: upgrade\r\n",
    b"Upgrade: x\r\n",
    b"Host: b\r\n",
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"GET",
    b"HEAD",
    b"DELETE",
    b"0\r\n\r\n",
    b"1\r\nx\r\n",
    b"\r\n ",
    b"\"",
    b"Expect: 100-continue\r\n",
];

/// xorshift64: the same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % limit.max(1)
    }

    fn of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// A piece of the input, often short.
    fn piece(&mut self, len: usize) -> std::ops::Range<usize> {
        let start = self.below(len + 1);
        let most = if self.below(2) == 0 { 4 } else { len };
        start..(start + self.below(most + 1)).min(len)
    }
}

fn change(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut input = random.of(seeds).clone();
    for _ in 0..=random.below(4) {
        let at = random.below(input.len() + 1);
        match random.below(6) {
            0 => drop(input.splice(at..at, random.of(&TOKENS).iter().copied())),
            1 => drop(input.drain(random.piece(input.len()))),
            2 => {
                let piece = input[random.piece(input.len())].to_vec();
                drop(input.splice(at..at, piece));
            }
            3 => {
                // The end of another seed.
                let other = random.of(seeds);
                input.truncate(at);
                input.extend_from_slice(&other[random.below(other.len() + 1)..]);
            }
            4 if at < input.len() => input[at] = random.below(256) as u8,
            _ if at < input.len() => input[at] ^= 1 << random.below(8),
            _ => {}
        }
    }
    input
}

/// Gives the target the seeds of its folder, those in `more`, and then changed ones.
pub(crate) fn run(name: &str, rounds: usize, more: Vec<Vec<u8>>, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(name);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let mut seeds: Vec<_> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
    assert!(seeds.len() > 5, "{name} has too few seeds");
    seeds.extend(more);
    if let Some(corpus) = std::env::var_os("FAIRLEAD_FUZZ_CORPUS") {
        let corpus = Path::new(&corpus).join(name);
        std::fs::create_dir_all(&corpus).unwrap();
        for (number, seed) in seeds.iter().enumerate() {
            std::fs::write(corpus.join(format!("seed-{number}")), seed).unwrap();
        }
    }
    let rounds = std::env::var("FAIRLEAD_FUZZ_ROUNDS").map_or(rounds, |rounds| rounds.parse().unwrap());
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let changed = (0..rounds).map(|_| change(&mut random, &seeds));
    for input in seeds.iter().cloned().chain(changed) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(&input))) {
            eprintln!("{name}: b\"{}\"", input.escape_ascii());
            resume_unwind(panic);
        }
    }
}
