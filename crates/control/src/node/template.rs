//! The templates of this node in the store: root branches begin with them, and directories are made from
//! spare copies of them wherever a snapshot shares files with the template, whichever node's it is.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use dormouse_base::Epoch;
use dormouse_runtime::task;
use dormouse_storage::branch::record::SnapshotRecord;
use dormouse_storage::manifest::{Manifest, Owner};
use dormouse_storage::snapshot::control_file::{self, ControlFile};
use dormouse_storage::snapshot::{self, Options, Request};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{Node, NodeError};
use crate::directory::write_durably;

/// Beside the template's cluster: what the store calls it.
const FILE: &str = "stored.json";

/// A template that is in the store.
#[derive(Debug)]
pub(crate) struct Template {
    /// Its name there.
    pub(crate) id: String,
    /// As the first snapshot of a root branch.
    pub(crate) record: SnapshotRecord,
    /// What it consists of.
    pub(crate) manifest: Arc<Manifest>,
}

#[derive(Serialize, Deserialize)]
struct Note {
    id: String,
    record: SnapshotRecord,
}

/// What is written down beside a template, if it is in a store.
fn note(place: &Path) -> Option<Note> {
    serde_json::from_slice(&fs::read(place.join(FILE)).ok()?).ok()
}

impl Node {
    /// The template of a version: built and stored when it is not yet. Remembered.
    ///
    /// # Errors
    /// When it cannot be built or stored.
    pub(crate) async fn template(&self, major: u16) -> Result<Arc<Template>, NodeError> {
        let mut known = self.inner.templates.lock().await;
        if let Some(template) = known.get(&major) {
            return Ok(Arc::clone(template));
        }
        let directories = self.inner.directories.clone();
        let data = task::blocking(move || directories.template(major)).await.map_err(NodeError::Directory)?;
        let place = data.parent().unwrap_or(&data).to_owned();
        let template = match self.noted(&place).await? {
            Some(template) => template,
            None => self.store_template(&data, &place, major).await?,
        };
        let template = Arc::new(template);
        known.insert(major, Arc::clone(&template));
        Ok(template)
    }

    /// The names of all templates that projects may be made of here: also those that nobody has asked for since
    /// this server started.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(super) async fn templates(&self) -> Result<BTreeSet<String>, NodeError> {
        let directories = self.inner.directories.clone();
        let noted = move || {
            let places = directories.templates()?;
            Ok(places.iter().filter_map(|place| Some(note(place)?.id)).collect())
        };
        let mut names: BTreeSet<String> = task::blocking(noted).await.map_err(NodeError::Directory)?;
        names.extend(self.inner.templates.lock().await.values().map(|template| template.id.clone()));
        Ok(names)
    }

    /// What an earlier run stored, if it is (still) in this store.
    async fn noted(&self, place: &Path) -> Result<Option<Template>, NodeError> {
        let Some(Note { id, record }) = note(place) else { return Ok(None) };
        match self.inner.store.exists(&record.manifest).await {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(source) => return Err(NodeError::Store { what: "look for a template", source }),
        }
        let manifest = Manifest::load(&self.inner.store, &record.manifest).await;
        let manifest = manifest.map_err(NodeError::part("read the manifest of a template"))?;
        Ok(Some(Template { id, record, manifest: Arc::new(manifest) }))
    }

    async fn store_template(&self, data: &Path, place: &Path, major: u16) -> Result<Template, NodeError> {
        let path = data.join(control_file::PATH);
        let control = fs::read(&path).map_err(NodeError::file("read", &path))?;
        let control = ControlFile::parse(&control).map_err(NodeError::part("read a control file"))?;
        let id = format!("{major}-{:016x}", control.system_identifier);
        let request = Request {
            store: self.inner.store.clone(),
            dir: data.to_owned(),
            owner: Owner::Template { template: id.clone() },
            epoch: Epoch(0),
            base: None,
            state: None,
            missing: None,
            hot: Vec::new(),
            options: Options::default(),
            cancel: CancellationToken::new(),
        };
        let taken = snapshot::clean(request).await.map_err(NodeError::part("store a template"))?;
        tracing::info!(id, bytes = taken.stats.written_bytes(), "template stored");
        let note = serde_json::to_vec(&Note { id: id.clone(), record: taken.record.clone() });
        let note = note.map_err(NodeError::part("describe a template"))?;
        write_durably(place, FILE, &note).map_err(NodeError::Directory)?;
        Ok(Template { id, record: taken.record, manifest: taken.manifest })
    }
}
