//! What is decided and what comes of it, with a directory that looks like a group.

use std::path::Path;

use super::super::controllers::Controllers;
use super::super::decide::Reason;
use super::super::sizing::Machine;
use super::*;

const MACHINE: Machine = Machine { cores: 4.0, memory: 64 << 30 };

fn cu(units: f64) -> Cu {
    Cu::new(units).unwrap()
}

fn bounds(min: f64, max: f64) -> Bounds {
    Bounds { min: cu(min), max: cu(max) }
}

fn gauge(dir: &Path) -> Gauge {
    for (name, text) in [("cpu.stat", "usage_usec 5000\n"), ("cpu.max", "max 100000\n")] {
        std::fs::write(dir.join(name), text).unwrap();
    }
    let sizing = Sizing::open(&Controllers::V2, "ep-a-b-c", Some(dir), MACHINE).unwrap();
    let begun = Begun { cu: cu(0.25), max: cu(1.0), fit: Some(Fit::Now) };
    Gauge::new(Some(sizing), MACHINE.cores, begun, Window::default())
}

fn because(resize: Option<Resize>) -> Option<(f64, f64, Option<Reason>)> {
    resize.map(|it| (it.to.as_f64(), it.max.as_f64(), it.change.map(|change| change.reason)))
}

#[test]
fn a_larger_maximum_holds_at_once_although_the_size_stays() {
    let dir = tempfile::tempdir().unwrap();
    let mut gauge = gauge(dir.path());
    assert_eq!(gauge.settle(bounds(0.25, 1.0)), None);
    let wider = gauge.settle(bounds(0.25, 3.0)).unwrap();
    assert_eq!(because(Some(wider)), Some((0.25, 3.0, None)));
    assert!(!gauge.resized(&wider, &Ok(Fit::Now)), "nobody is told: its size is the same");
    assert_eq!(gauge.settle(bounds(0.25, 3.0)), None);
    // No more than the machine has, and no less than the smallest.
    assert_eq!(because(gauge.settle(bounds(8.0, 16.0))), Some((4.0, 4.0, Some(Reason::Bounds))));
}

#[test]
fn one_thing_at_a_time_and_what_could_not_be_set_is_not_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut gauge = gauge(dir.path());
    let due = gauge.settle(bounds(2.0, 3.0)).unwrap();
    assert_eq!((gauge.settle(bounds(3.0, 3.0)), gauge.cu()), (None, cu(0.25)), "the first is on its way");
    assert!(gauge.resized(&due, &Ok(Fit::Now)));
    assert_eq!(gauge.cu(), cu(2.0));
    let due = gauge.settle(bounds(3.0, 3.0)).unwrap();
    assert!(!gauge.resized(&due, &Err(io::ErrorKind::PermissionDenied.into())));
    assert_eq!(gauge.cu(), cu(2.0), "whoever is billed by it has not got more");
    assert_eq!(gauge.settle(bounds(3.0, 3.0)), None, "not four times a second");
    gauge.refused_until = Some(Mono::now());
    assert_eq!(because(gauge.settle(bounds(3.0, 3.0))), Some((3.0, 3.0, Some(Reason::Bounds))));
}

#[test]
fn memory_that_did_not_fit_is_limited_later() {
    let dir = tempfile::tempdir().unwrap();
    let mut gauge = gauge(dir.path());
    let due = gauge.settle(bounds(0.25, 0.5)).unwrap();
    gauge.resized(&due, &Ok(Fit::Later));
    assert_eq!(gauge.settle(bounds(0.25, 0.5)), None);
    // Growing does not wait for that.
    assert_eq!(because(gauge.settle(bounds(0.5, 0.5))), Some((0.5, 0.5, Some(Reason::Bounds))));
    gauge.resized(&due, &Ok(Fit::Later));
    gauge.again_at = Some(Mono::now());
    assert_eq!(because(gauge.settle(bounds(0.25, 0.5))), Some((0.25, 0.5, None)));
}
