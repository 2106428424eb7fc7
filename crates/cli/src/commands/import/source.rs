//! What there is to import. The same questions are put to the target at the end.

use serde::Deserialize;

use super::locale::Locale;
use super::psql::Psql;
use super::settings::{self, Settings};
use crate::error::Error;

/// The oldest source: what today's pg_dump can read and these questions work on.
const OLDEST: (u32, &str) = (90_400, "9.4");

/// What is PostgreSQL's own.
const FOREIGN: &str = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";

/// What belongs to an extension comes with the extension.
const LOOSE: &str = "NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass \
                     AND d.objid = c.oid AND d.deptype = 'e')";

/// A database of the source.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Known {
    pub(super) name: String,
    /// Its size; `None` = the login may not connect to it.
    pub(super) bytes: Option<u64>,
}

/// The source as a whole.
#[derive(Debug, Deserialize)]
pub(super) struct Facts {
    pub(super) number: u32,
    pub(super) version: String,
    pub(super) databases: Vec<Known>,
}

impl Facts {
    /// Asks for them.
    pub(super) async fn ask(session: &mut Psql) -> Result<Self, Error> {
        let sql = "SELECT pg_catalog.json_build_object('number', pg_catalog.current_setting('server_version_num')::int, \
            'version', pg_catalog.current_setting('server_version'), \
            'databases', (SELECT pg_catalog.json_agg(pg_catalog.json_build_object('name', datname, 'bytes', \
              CASE WHEN pg_catalog.has_database_privilege(datname, 'CONNECT') THEN pg_catalog.pg_database_size(datname) END) \
              ORDER BY datname) FROM pg_catalog.pg_database WHERE datallowconn AND NOT datistemplate))";
        let facts: Self = session.ask(sql).await?;
        if facts.number < OLDEST.0 {
            return Err(Error::failed(format!(
                "the source is PostgreSQL {}: only {} and newer can be imported",
                facts.version, OLDEST.1
            )));
        }
        Ok(facts)
    }

    /// The major version; 9.4 to 9.6 are 9.
    pub(super) fn major(&self) -> u16 {
        u16::try_from(self.number / 10_000).unwrap_or(u16::MAX)
    }
}

/// A table, a filled materialised view or a sequence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(super) struct Relation {
    pub(super) schema: String,
    pub(super) name: String,
    /// Without its indexes.
    pub(super) bytes: u64,
    /// Its rows come from a query, which is run again here.
    pub(super) materialized: bool,
}

impl Relation {
    /// `schema.name`, for people.
    pub(super) fn shown(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
}

/// A role that owns something or has been given rights.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Party {
    pub(super) name: String,
    pub(super) login: bool,
    pub(super) superuser: bool,
}

/// What is in one database.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Contents {
    pub(super) encoding: String,
    pub(super) locale: Locale,
    pub(super) settings: Vec<Settings>,
    pub(super) tables: Vec<Relation>,
    pub(super) sequences: Vec<Relation>,
    pub(super) extensions: Vec<String>,
    pub(super) parties: Vec<Party>,
    /// How many large objects.
    pub(super) large: u64,
    /// Views, functions and types of users.
    pub(super) others: u64,
}

impl Contents {
    /// Asks for them.
    pub(super) async fn ask(session: &mut Psql) -> Result<Self, Error> {
        let relations = |kinds: &str, filter: &str| {
            format!(
                "(SELECT coalesce(json_agg(json_build_object('schema', n.nspname, 'name', c.relname, \
                 'bytes', pg_table_size(c.oid), 'materialized', c.relkind = 'm') ORDER BY n.nspname, c.relname), '[]') FROM pg_catalog.pg_class c \
                 JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ({kinds}) AND {FOREIGN} AND {LOOSE} {filter})"
            )
        };
        let parties = format!(
            "(SELECT coalesce(json_agg(json_build_object('name', r.rolname, 'login', r.rolcanlogin, 'superuser', r.rolsuper) \
             ORDER BY r.rolname), '[]') FROM pg_catalog.pg_roles r WHERE r.rolname !~ '^pg_' AND r.oid IN (\
             SELECT c.relowner FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE {FOREIGN} \
             UNION SELECT n.nspowner FROM pg_catalog.pg_namespace n WHERE {FOREIGN} AND n.nspname <> 'public' \
             UNION SELECT p.proowner FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE {FOREIGN} \
             UNION SELECT t.typowner FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace WHERE {FOREIGN} \
             UNION SELECT (aclexplode(c.relacl)).grantee FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE {FOREIGN} \
             UNION SELECT (aclexplode(n.nspacl)).grantee FROM pg_catalog.pg_namespace n WHERE {FOREIGN} \
             UNION SELECT (aclexplode(p.proacl)).grantee FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE {FOREIGN} \
             UNION SELECT (aclexplode(defaclacl)).grantee FROM pg_catalog.pg_default_acl))"
        );
        let others = format!(
            "(SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               WHERE c.relkind IN ('v', 'f', 'p', 'c') AND {FOREIGN} AND {LOOSE}) + \
             (SELECT count(*) FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
               WHERE {FOREIGN} AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE \
               d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'))"
        );
        // Also for the sizes: what row security hides would be missed.
        session.rows("SET search_path = pg_catalog; SET row_security = off").await?;
        session
            .ask(&format!(
                "SELECT json_build_object('encoding', (SELECT pg_encoding_to_char(encoding) FROM pg_database \
                 WHERE datname = current_database()), 'locale', {}, 'settings', {}, 'tables', {}, 'sequences', {}, \
                 'extensions', (SELECT coalesce(json_agg(extname ORDER BY extname), '[]') FROM pg_catalog.pg_extension WHERE extname <> 'plpgsql'), \
                 'parties', {parties}, 'large', (SELECT count(*) FROM pg_catalog.pg_largeobject_metadata), 'others', {others})",
                Locale::question("current_database()"),
                settings::QUESTION,
                relations("'r', 'm'", "AND c.relispopulated AND c.relpersistence <> 't'"),
                relations("'S'", "")
            ))
            .await
    }

    /// Bytes of all tables.
    pub(super) fn bytes(&self) -> u64 {
        self.tables.iter().map(|table| table.bytes).sum()
    }

    /// Whether somebody has put something in.
    pub(super) fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.sequences.is_empty() && self.large == 0 && self.others == 0
    }
}
