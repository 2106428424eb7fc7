//! Where every subject of every rule is. Figures come in, changes come out; nothing is read or written here.

use std::collections::{BTreeMap, BTreeSet};

use dormouse_api::alert::{AlertState, Each, Rule};
use dormouse_api::statistics::Metric;
use dormouse_base::{AlertRuleId, EndpointId, ProjectId, Timestamp};
use dormouse_statistics::Subject;
use dormouse_statistics::alert::rule::thresholds;
use dormouse_statistics::alert::{Thresholds, Tracked, step};
use jiff::SignedDuration;

/// Of whom nothing was measured for so long is not shown any more.
pub const FORGET_AFTER: SignedDuration = SignedDuration::from_hours(1);
/// Subjects that are watched, all rules together; more are not.
pub const MAX_WATCHED: usize = 50_000;

/// A state that fires, as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Firing {
    /// The rule.
    pub rule: AlertRuleId,
    /// Its name.
    pub name: String,
    /// What it looks at.
    pub metric: Metric,
    /// Whom it is about.
    pub subject: Subject,
    /// Warning or Critical.
    pub state: AlertState,
    /// The figure that decided.
    pub value: Option<f64>,
    /// The threshold that the state is about, as far as it is known.
    pub threshold: Option<f64>,
    /// Since when.
    pub since: Timestamp,
}

/// A subject of a rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Spot {
    /// Its state, and what speaks for another one.
    pub tracked: Tracked,
    /// The figure of the last period.
    pub value: Option<f64>,
    /// When it came to its state.
    pub since: Timestamp,
    /// Where its warning begins, in place of the rule's.
    own: Option<f64>,
    /// What is said of a rule that is gone.
    told: (String, Metric),
}

/// One change of state that is worth telling.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// What holds now.
    pub now: Firing,
    /// Where it was.
    pub from: AlertState,
}

/// Where everything is.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    spots: BTreeMap<(AlertRuleId, Subject), Spot>,
    /// The beginning of the last period that was looked at, for each rule.
    looked: BTreeMap<AlertRuleId, i64>,
}

fn fires(state: AlertState) -> bool {
    matches!(state, AlertState::Warning | AlertState::Critical)
}

impl Watch {
    /// With what fired when the last server stopped.
    #[must_use]
    pub fn with(firing: Vec<Firing>) -> Self {
        let spots = firing.into_iter().map(|it| {
            let spot = Spot {
                tracked: Tracked::at(it.state),
                value: it.value,
                since: it.since,
                own: None,
                told: (it.name, it.metric),
            };
            ((it.rule, it.subject), spot)
        });
        Self { spots: spots.collect(), looked: BTreeMap::new() }
    }

    /// Whether a rule has not seen the period that began then.
    #[must_use]
    pub fn is_new(&self, rule: &AlertRuleId, start: i64) -> bool {
        self.looked.get(rule).is_none_or(|last| *last < start)
    }

    /// The subjects of a rule that were measured before.
    pub fn of_rule(&self, rule: &AlertRuleId) -> impl Iterator<Item = &Subject> {
        self.spots.keys().filter(move |(of, _)| of == rule).map(|(_, subject)| subject)
    }

    /// Everything, with its rule and subject.
    pub fn all(&self) -> impl Iterator<Item = (&AlertRuleId, &Subject, &Spot)> {
        self.spots.iter().map(|((rule, subject), spot)| (rule, subject, spot))
    }

    /// Takes in the figures of one period of a rule. `own` is where a subject's warning begins, if it says so itself.
    pub fn look(
        &mut self,
        rule: &Rule,
        start: i64,
        figures: Vec<(Subject, Option<f64>)>,
        own: impl Fn(&Subject) -> Option<f64>,
        now: Timestamp,
    ) -> Vec<Change> {
        self.looked.insert(rule.id.clone(), start);
        let mut changes = Vec::new();
        for (subject, value) in figures {
            let own = own(&subject);
            let lines = lines(rule, own);
            let key = (rule.id.clone(), subject);
            let full = self.spots.len() >= MAX_WATCHED;
            if !self.spots.contains_key(&key) && (value.is_none() || full) {
                continue;
            }
            let spot = self.spots.entry(key.clone()).or_insert_with(|| Spot {
                tracked: Tracked::at(AlertState::NoData),
                value: None,
                since: now,
                own,
                told: (rule.name.clone(), rule.metric),
            });
            let from = spot.tracked.state;
            spot.tracked = step(&lines, spot.tracked, value);
            (spot.value, spot.own) = (value, own);
            spot.told.0.clone_from(&rule.name);
            if spot.tracked.state != from {
                spot.since = now;
                changes.extend(spot.change(&key, from, lines.threshold(spot.tracked.state)));
            } else if from == AlertState::NoData && now.duration_since(spot.since) >= FORGET_AFTER {
                self.spots.remove(&key);
            }
        }
        changes
    }

    /// Lets go of rules that are not looked at any more, and of subjects that are gone.
    pub fn keep(
        &mut self,
        rules: &BTreeSet<AlertRuleId>,
        is_there: impl Fn(&Subject) -> bool,
        now: Timestamp,
    ) -> Vec<Change> {
        self.looked.retain(|rule, _| rules.contains(rule));
        let mut changes = Vec::new();
        self.spots.retain(|key, spot| {
            let stays = rules.contains(&key.0) && is_there(&key.1);
            if !stays {
                let from = spot.tracked.state;
                (spot.tracked, spot.value, spot.since) = (Tracked::at(AlertState::NoData), None, now);
                changes.extend(spot.change(key, from, None));
            }
            stays
        });
        changes
    }

    /// Subjects that fire.
    #[must_use]
    pub fn firing(&self) -> usize {
        self.spots.values().filter(|spot| fires(spot.tracked.state)).count()
    }
}

/// The lines of a rule for a subject that says itself where its warning begins, where the rule has one.
#[must_use]
pub fn lines(rule: &Rule, own: Option<f64>) -> Thresholds {
    let lines = thresholds(rule);
    Thresholds { warning: lines.warning.map(|line| own.unwrap_or(line)), ..lines }
}

impl Spot {
    /// The threshold that its state is about.
    #[must_use]
    pub fn threshold(&self, rule: &Rule) -> Option<f64> {
        lines(rule, self.own).threshold(self.tracked.state)
    }

    /// That a subject is well, or sleeps, is news only when it was not well before.
    fn change(
        &self,
        (rule, subject): &(AlertRuleId, Subject),
        from: AlertState,
        threshold: Option<f64>,
    ) -> Option<Change> {
        let state = self.tracked.state;
        let now = Firing {
            rule: rule.clone(),
            name: self.told.0.clone(),
            metric: self.told.1,
            subject: subject.clone(),
            state,
            value: self.value,
            threshold,
            since: self.since,
        };
        (fires(from) || fires(state)).then_some(Change { now, from })
    }
}

/// Whether a rule is about a subject. `project_of` knows the project of an endpoint that exists.
pub fn is_about<'a>(
    rule: &Rule,
    subject: &Subject,
    project_of: impl Fn(&EndpointId) -> Option<&'a ProjectId>,
) -> bool {
    match (rule.each, subject) {
        (Each::Server, Subject::Server) => true,
        (Each::Project, Subject::Project(project)) => {
            rule.scope.project_id.as_ref().is_none_or(|only| only == project)
        }
        (Each::Endpoint, Subject::Endpoint(endpoint)) => {
            let (project, only) = (project_of(endpoint), &rule.scope);
            project.is_some()
                && only.endpoint_id.as_ref().is_none_or(|only| only == endpoint)
                && only.project_id.as_ref().is_none_or(|only| Some(only) == project)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use dormouse_statistics::alert::defaults;

    use super::*;

    fn endpoint(name: &str) -> Subject {
        Subject::Endpoint(format!("ep-{name}").parse().unwrap())
    }

    fn wait_rule() -> Rule {
        let mut rule = defaults().into_iter().find(|rule| rule.id.as_str() == "rule-pooler-wait").unwrap();
        rule.datapoints = 1;
        rule
    }

    #[test]
    fn only_what_fires_or_fired_is_worth_telling() {
        let (rule, mut watch) = (wait_rule(), Watch::default());
        let at = |minute: i64| Timestamp::from_second(minute * 60).unwrap();
        let mut look = |minute: i64, value: Option<f64>| {
            let changes =
                watch.look(&rule, minute * 60, vec![(endpoint("one"), value)], |_| None, at(minute));
            changes.into_iter().map(|it| (it.from, it.now.state, it.now.value)).collect::<Vec<_>>()
        };
        use AlertState::{Critical, NoData, Ok, Warning};
        assert_eq!(look(1, None), []);
        assert_eq!(look(2, Some(5.0)), [], "it woke and is well");
        assert_eq!(look(3, Some(1200.0)), [(Ok, Warning, Some(1200.0))]);
        assert_eq!(look(4, Some(1600.0)), [(Warning, Critical, Some(1600.0))]);
        assert_eq!((look(5, None), look(6, None)), (vec![], vec![]));
        assert_eq!(look(7, None), [(Critical, NoData, None)], "it fell asleep");
        assert_eq!(look(8, Some(5.0)), []);
        for minute in 9..80 {
            assert_eq!(look(minute, None), []);
        }
        assert_eq!(watch.all().count(), 0, "and is forgotten");
        assert!(!watch.is_new(&rule.id, 79 * 60) && watch.is_new(&rule.id, 80 * 60));
    }

    #[test]
    fn a_subject_may_say_itself_where_its_warning_begins() {
        let rule = defaults().into_iter().find(|rule| rule.id.as_str() == "rule-quota").unwrap();
        let project = |name: &str| Subject::Project(name.parse().unwrap());
        let own = |subject: &Subject| (*subject == project("early")).then_some(50.0);
        let (mut watch, now) = (Watch::default(), Timestamp::from_second(60).unwrap());
        let mut look = |start, value: f64| {
            let figures = vec![(project("early"), Some(value)), (project("usual"), Some(value))];
            let changes = watch.look(&rule, start, figures, own, now);
            changes.into_iter().map(|it| (it.now.subject, it.now.state, it.now.threshold)).collect::<Vec<_>>()
        };
        use AlertState::{Critical, Ok, Warning};
        assert_eq!(look(0, 50.0), []);
        assert_eq!(look(10, 50.1), [(project("early"), Warning, Some(50.0))]);
        assert_eq!(look(20, 80.1), [(project("usual"), Warning, Some(80.0))]);
        let both = [(project("early"), Critical, Some(100.0)), (project("usual"), Critical, Some(100.0))];
        assert_eq!(look(30, 100.1), both);
        assert_eq!(look(40, 60.0), [(project("early"), Warning, Some(50.0)), (project("usual"), Ok, None)]);
    }

    #[test]
    fn what_fired_before_a_restart_fires_after_it() {
        let rule = wait_rule();
        let mut watch = Watch::default();
        let now = Timestamp::from_second(60).unwrap();
        let first = watch.look(&rule, 0, vec![(endpoint("one"), Some(1200.0))], |_| None, now);
        let mut again = Watch::with(vec![first[0].now.clone()]);
        assert_eq!(again.firing(), 1);
        let changes = again.look(&rule, 60, vec![(endpoint("one"), Some(1200.0))], |_| None, now);
        assert!(changes.is_empty(), "nobody is told twice: {changes:?}");
        let changes = again.look(&rule, 120, vec![(endpoint("one"), Some(1.0))], |_| None, now);
        assert_eq!(changes[0].now.state, AlertState::Ok);
    }

    #[test]
    fn a_rule_that_is_gone_and_a_subject_that_is_gone_let_go() {
        let rule = wait_rule();
        let now = Timestamp::from_second(60).unwrap();
        let both = || vec![(endpoint("one"), Some(1200.0)), (endpoint("two"), Some(1200.0))];
        let mut watch = Watch::default();
        watch.look(&rule, 0, both(), |_| None, now);
        let rules = BTreeSet::from([rule.id.clone()]);
        assert!(watch.keep(&rules, |_| true, now).is_empty());
        let changes = watch.keep(&rules, |subject| *subject != endpoint("two"), now);
        assert_eq!((changes.len(), &changes[0].now.subject), (1, &endpoint("two")));
        let changes = watch.keep(&BTreeSet::new(), |_| true, now);
        assert_eq!((changes[0].from, changes[0].now.state), (AlertState::Warning, AlertState::NoData));
        assert_eq!(watch.all().count(), 0);
    }

    #[test]
    fn a_scope_leaves_out_what_is_not_in_it() {
        let (own, other): (ProjectId, ProjectId) = ("own".parse().unwrap(), "other".parse().unwrap());
        let project_of = |id: &EndpointId| match id.as_str() {
            "ep-own" => Some(&own),
            "ep-other" => Some(&other),
            _ => None,
        };
        let about = |rule: &Rule, subject: &Subject| is_about(rule, subject, project_of);
        let mut rule = wait_rule();
        assert!(about(&rule, &endpoint("own")) && about(&rule, &endpoint("other")));
        assert!(!about(&rule, &endpoint("gone")) && !about(&rule, &Subject::Server));
        rule.scope.project_id = Some(own.clone());
        assert!(about(&rule, &endpoint("own")) && !about(&rule, &endpoint("other")));
        rule.each = Each::Project;
        assert!(
            about(&rule, &Subject::Project(own.clone())) && !about(&rule, &Subject::Project(other.clone()))
        );
    }
}
