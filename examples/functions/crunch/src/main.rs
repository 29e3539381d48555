//! A hot function in the format `json`: calls come in on stdin as JSON objects, and each gets an object on stdout.
//!
//! It keeps a processor busy for some seconds and takes more and more memory meanwhile, so that the record of a call
//! shows a curve. The number of seconds is the request body; without one it is 3.
#![expect(clippy::print_stderr, reason = "stderr is the log of the call")]

use std::{
    io::{self, Write as _},
    num::ParseIntError,
    time::{Duration, Instant},
};

use serde::Deserialize;
use serde_json::json;

/// How many numbers a sieve holds, at a byte each.
const LIMIT: usize = 16 << 20;
/// How many sieves are kept at most: a function is given 128 MB unless its route says otherwise.
const MOST_KEPT: usize = 5;

/// What this function wants to know of a call. There is more: `call_id`, `content_type` and `protocol`.
#[derive(Deserialize)]
struct Call {
    body: String,
}

fn main() -> io::Result<()> {
    let mut answers = io::stdout().lock();
    for call in serde_json::Deserializer::from_reader(io::stdin().lock()).into_iter::<Call>() {
        let answer = match seconds_in(&call?.body) {
            Ok(seconds) => {
                let primes = crunch(seconds);
                json!({ "body": format!("{primes} primes below {LIMIT}, again and again for {seconds} s\n") })
            }
            Err(error) => json!({
                "body": format!("the body is no number of seconds: {error}\n"),
                "protocol": { "status_code": 400 },
            }),
        };
        writeln!(answers, "{answer}")?;
    }
    Ok(())
}

fn seconds_in(body: &str) -> Result<usize, ParseIntError> {
    match body.trim() {
        "" => Ok(3),
        number => number.parse(),
    }
}

/// Counts primes for some seconds, and keeps more memory with each.
fn crunch(seconds: usize) -> usize {
    let mut kept = Vec::new();
    let mut primes = 0;
    for second in 1..=seconds {
        let sieve = crunch_for_a_second();
        primes = sieve.iter().filter(|&&prime| prime).count();
        eprintln!("second {second}: {primes} primes");
        if kept.len() < MOST_KEPT {
            kept.push(sieve);
        }
    }
    primes
}

#[expect(clippy::disallowed_methods, reason = "a function has a clock of its own")]
fn crunch_for_a_second() -> Vec<bool> {
    let start = Instant::now();
    loop {
        let sieve = sieve(LIMIT);
        if start.elapsed() >= Duration::from_secs(1) {
            return sieve;
        }
    }
}

/// The sieve of Eratosthenes: whether each number below the limit is prime.
fn sieve(limit: usize) -> Vec<bool> {
    let mut prime = vec![true; limit];
    prime[..2].fill(false);
    for number in (2..).take_while(|number| number * number < limit) {
        if prime[number] {
            prime[number * number..].iter_mut().step_by(number).for_each(|multiple| *multiple = false);
        }
    }
    prime
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_168_primes_below_1000() {
        assert_eq!(sieve(1000).iter().filter(|&&prime| prime).count(), 168);
    }
}
