//! Cold starts: wakes that wait to be measured, and how many there were in the last hour.
//!
//! `cold_start_rate` is the number of wakes in the hour before each sample. It is sampled of endpoints that had one, of
//! their projects, and of the server always; so a rate falls back to zero by itself and an alert on it ends. At the start
//! those before are read from the events of endpoints.

use std::collections::{BTreeMap, VecDeque};

use dormouse_api::statistics::Metric;
use dormouse_base::{EndpointId, ProjectId};
use dormouse_statistics::{Key, Subject};
use parking_lot::Mutex;

use super::samples::Sample;

/// Wakes between two looks; more are counted by nobody.
pub const MAX_WAITING: usize = 4096;
/// Wakes in an hour that are told apart; a rate above it is told as this.
pub const MAX_REMEMBERED: usize = 50_000;
/// Seconds of the window.
pub const HOUR: i64 = 3600;

/// Wakes that nobody has looked at yet. The keeper puts them in, at the moment of the wake.
#[derive(Debug, Default)]
pub struct Waiting {
    all: Mutex<Vec<(EndpointId, f64)>>,
}

impl Waiting {
    /// An endpoint was woken from Stopped, in so many milliseconds.
    pub fn note(&self, endpoint: &EndpointId, milliseconds: f64) {
        let mut all = self.all.lock();
        if all.len() < MAX_WAITING {
            all.push((endpoint.clone(), milliseconds));
        }
    }

    /// All of them, once.
    pub fn take(&self) -> Vec<(EndpointId, f64)> {
        std::mem::take(&mut self.all.lock())
    }
}

/// The wakes of the last hour, oldest first. Times are seconds since 1970.
#[derive(Debug, Default)]
pub struct Lately {
    wakes: VecDeque<(i64, EndpointId, ProjectId)>,
}

impl Lately {
    /// Adds a wake.
    pub fn note(&mut self, at: i64, endpoint: &EndpointId, project: &ProjectId) {
        if self.wakes.len() >= MAX_REMEMBERED {
            self.wakes.pop_front();
        }
        self.wakes.push_back((at, endpoint.clone(), project.clone()));
    }

    /// The rates at `now`.
    pub fn samples(&mut self, now: i64) -> Vec<Sample> {
        let mut rates: BTreeMap<Subject, u64> = BTreeMap::from([(Subject::Server, 0)]);
        // Who has just left the hour is told once more: nothing.
        for (at, endpoint, project) in &self.wakes {
            let one = u64::from(*at > now - HOUR);
            for subject in
                [Subject::Server, Subject::Project(project.clone()), Subject::Endpoint(endpoint.clone())]
            {
                *rates.entry(subject).or_default() += one;
            }
        }
        while self.wakes.front().is_some_and(|(at, ..)| *at <= now - HOUR) {
            self.wakes.pop_front();
        }
        let sample = |(subject, rate): (Subject, u64)| {
            (Key { subject, metric: Metric::ColdStartRate }, rate as f64, 1)
        };
        rates.into_iter().map(sample).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_rises_with_every_wake_and_falls_back_to_zero() {
        let (endpoint, project) = ("ep-one".parse().unwrap(), "calm-oak-abcd2345".parse().unwrap());
        let mut lately = Lately::default();
        let rates = |lately: &mut Lately, now| -> Vec<(String, f64)> {
            let all = lately.samples(now);
            all.into_iter().map(|(key, value, _)| (key.subject.to_string(), value)).collect()
        };
        assert_eq!(rates(&mut lately, 0), [("server".to_owned(), 0.0)]);
        lately.note(10, &endpoint, &project);
        lately.note(20, &endpoint, &project);
        let told = rates(&mut lately, 3609);
        assert_eq!((told.len(), told.iter().all(|(_, rate)| *rate == 2.0)), (3, true), "{told:?}");
        assert!(rates(&mut lately, 3610).iter().all(|(_, rate)| *rate == 1.0));
        assert!(rates(&mut lately, 3620).iter().all(|(_, rate)| *rate == 0.0), "told once more");
        assert_eq!(rates(&mut lately, 3621), [("server".to_owned(), 0.0)]);
    }

    #[test]
    fn what_nobody_takes_does_not_grow() {
        let waiting = Waiting::default();
        let endpoint: EndpointId = "ep-one".parse().unwrap();
        (0..MAX_WAITING + 5).for_each(|_| waiting.note(&endpoint, 1.0));
        assert_eq!((waiting.take().len(), waiting.take().len()), (MAX_WAITING, 0));
    }
}
