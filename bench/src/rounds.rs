//! Rounds: each contestant is measured once in each, in an order that is drawn anew.

use std::error::Error;

use crate::process::Server;
use crate::report::{Value, median};

/// What was found for a contestant in each round, or what its table says instead.
pub type Found = Result<Vec<f64>, Value>;

/// Measures the contestants that are there. The first round warms up and is not told; one that fails is measured no more.
pub fn interleave<T>(
    contestants: &mut [Result<T, Value>],
    rounds: usize,
    mut measure: impl FnMut(&mut T) -> Result<f64, Box<dyn Error>>,
) -> Vec<Found> {
    let mut found: Vec<Found> = contestants.iter().map(|_| Ok(Vec::with_capacity(rounds))).collect();
    for round in 0..=rounds {
        let mut order: Vec<usize> = (0..contestants.len()).collect();
        fastrand::shuffle(&mut order);
        for place in order {
            let Ok(values) = &mut found[place] else { continue };
            let measured = match &mut contestants[place] {
                Ok(contestant) => measure(contestant).map_err(Value::absent),
                Err(absent) => Err(absent.clone()),
            };
            match measured {
                Ok(_) if round == 0 => {}
                Ok(value) => values.push(value),
                Err(absent) => found[place] = Err(absent),
            }
        }
    }
    found
}

/// The medians of the values, and of their ratios to those of the same round of the contestant at the place that `limit`
/// gives.
pub fn summarize(found: &[Found], limit: impl Fn(usize) -> Option<usize>) -> Vec<Value> {
    let summary = |(place, values): (usize, &Found)| {
        let values = match values {
            Ok(values) => values,
            Err(absent) => return absent.clone(),
        };
        let limit = limit(place).and_then(|limit| found[limit].as_ref().ok());
        let ratios = limit.map(|limit| values.iter().zip(limit).map(|(cost, raw)| cost / raw).collect::<Vec<_>>());
        Value::Found(median(values), ratios.map(|ratios| median(&ratios)))
    };
    found.iter().enumerate().map(summary).collect()
}

/// The server's CPU time in µs for each of what `work` tells that it has done.
pub fn cpu_per(server: &Server, work: impl FnOnce() -> Result<u64, Box<dyn Error>>) -> Result<f64, Box<dyn Error>> {
    let before = server.cpu();
    let count = work()?;
    let spent = server.cpu() - before;
    if count == 0 { Err("nothing was done".into()) } else { Ok(spent.as_secs_f64() * 1e6 / count as f64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_fails_is_measured_no_more_and_the_others_go_on() {
        let mut contestants = [Ok((1.0, 0)), Err(Value::Absent("missing", String::new())), Ok((2.0, 0))];
        let found = interleave(&mut contestants, 3, |(cost, calls)| {
            *calls += 1;
            if *cost == 2.0 && *calls == 3 { Err("no answer".into()) } else { Ok(*cost * f64::from(*calls)) }
        });
        // Without the first round.
        assert_eq!(found[0], Ok(vec![2.0, 3.0, 4.0]));
        assert_eq!(found[1], Err(Value::Absent("missing", String::new())));
        assert_eq!(found[2], Err(Value::Absent("failed", "no answer".to_owned())));
        assert_eq!(contestants[2], Ok((2.0, 3)));
    }

    #[test]
    fn a_ratio_is_the_median_of_those_within_the_rounds() {
        // Each twice as dear as the limit in its round, while the machine becomes slower.
        let found = [Ok(vec![1.0, 10.0, 100.0]), Ok(vec![2.0, 20.0, 200.0])];
        let values = summarize(&found, |_| Some(0));
        assert_eq!(values, [Value::Found(10.0, Some(1.0)), Value::Found(20.0, Some(2.0))]);
    }
}
