//! Which templates nobody uses any more. A template goes as a whole or not at all.

use std::collections::{BTreeMap, BTreeSet};

use dormouse_base::Timestamp;

use super::{Dead, Kind, Known, Limits, Live, Strange, age};
use crate::branch::record::Origin;
use crate::key::{self, Key};
use crate::object::Listed;

/// What uses templates: collected over all projects of the store.
#[derive(Debug, Default)]
pub struct Templates {
    used: BTreeSet<String>,
}

/// The template that an object belongs to.
fn template_of(key: &Key) -> Option<&str> {
    let rest = key.as_str().strip_prefix(key::templates().as_str())?.strip_prefix('/')?;
    rest.split_once('/').map(|(template, _)| template)
}

impl Templates {
    /// A template that is to stay: new projects are made of it, or a pin says so.
    pub fn want(&mut self, template: &str) {
        self.used.insert(template.to_owned());
    }

    /// What a register uses: a template that it lists as a snapshot, or began with and has not left yet.
    pub fn used_by(&mut self, known: &Known) {
        let record = &known.record;
        let listed = record.snapshots.iter().chain(record.retired.iter().map(|r| &r.snapshot));
        let keys: Vec<&Key> = listed.flat_map(|s| [&s.manifest, &s.boot]).collect();
        self.used.extend(keys.iter().filter_map(|key| template_of(key)).map(str::to_owned));
        if let Origin::Template { template } = &record.origin
            && known.deleted_at.is_none()
            && record.snapshots.is_empty()
        {
            self.want(template);
        }
    }

    /// What live manifests use of templates' packs.
    pub fn used_in(&mut self, live: &Live) {
        self.used.extend(live.packs().filter_map(template_of).map(str::to_owned));
    }
}

/// Objects of templates that nobody uses and that are old; and strange ones.
#[must_use]
pub fn templates(
    objects: &[Listed],
    users: &Templates,
    limits: &Limits,
    now: Timestamp,
) -> (Vec<Dead>, Vec<Strange>) {
    let (mut dead, mut strange) = (Vec::new(), Vec::new());
    let mut all: BTreeMap<&str, Vec<&Listed>> = BTreeMap::new();
    for object in objects {
        match template_of(&object.key) {
            Some(template) => all.entry(template).or_default().push(object),
            None => strange.push(Strange { key: object.key.clone(), why: "not a template" }),
        }
    }
    for (template, objects) in all {
        let young = objects.iter().any(|object| age(now, object.modified) < limits.template_grace);
        if young || users.used.contains(template) {
            continue;
        }
        // The manifest first: a template that is half there must not be mistaken for a whole one.
        let mut gone: Vec<Dead> = objects
            .iter()
            .map(|object| Dead {
                kind: if object.key.name() == "manifest" { Kind::Manifest } else { Kind::Pack },
                key: object.key.clone(),
                size: object.size,
            })
            .collect();
        gone.sort_by_key(|object| object.kind);
        dead.extend(gone);
    }
    (dead, strange)
}
