//! How a database sorts and compares text. It comes along: under another locale queries answer in another
//! order, and a table that is partitioned by ranges of text does not even take its rows.
//!
//! Most locales are the operating system's or ICU's, and the target may not have them. [`Locale::probe`] is
//! asked there before anything is made.

use dormouse_api::database::{DatabaseLocale, LocaleProvider};
use serde::Deserialize;

use super::psql::literal;

/// What `pg_database` says of one. Its columns differ by version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Locale {
    /// Absent before 15: then it is the operating system's.
    #[serde(default, rename = "datlocprovider")]
    provider: Option<String>,
    #[serde(rename = "datcollate")]
    collate: String,
    #[serde(rename = "datctype")]
    ctype: String,
    /// Of ICU, from 17 on also of PostgreSQL's own.
    #[serde(default, rename = "datlocale", alias = "daticulocale")]
    name: Option<String>,
    #[serde(default, rename = "daticurules")]
    rules: Option<String>,
}

/// What two locales have in common that sort and compare alike.
#[derive(Debug, PartialEq, Eq)]
struct Alike<'a> {
    collate: String,
    ctype: String,
    rules: Option<&'a str>,
}

impl Locale {
    /// The question for it; `database` is an expression.
    pub(super) fn question(database: &str) -> String {
        format!("(SELECT row_to_json(d) FROM pg_catalog.pg_database d WHERE d.datname = {database})")
    }

    fn provider(&self) -> LocaleProvider {
        match self.provider.as_deref() {
            Some("i") => LocaleProvider::Icu,
            Some("b") => LocaleProvider::Builtin,
            _ => LocaleProvider::Libc,
        }
    }

    fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.collate)
    }

    fn alike(&self) -> Alike<'_> {
        let (collate, ctype) = match self.provider() {
            LocaleProvider::Libc => (spelled(&self.collate), spelled(&self.ctype)),
            LocaleProvider::Icu => {
                let name = format!("icu {}", self.name());
                (name.clone(), name)
            }
            // Its `C` and `C.UTF-8` sort as those of the operating system do.
            LocaleProvider::Builtin => (spelled(self.name()), spelled(self.name())),
        };
        Alike { collate, ctype, rules: self.rules.as_deref() }
    }

    /// The locale to ask for, so that a database is as this one; `None` = one that is made without is.
    pub(super) fn wanted(&self, otherwise: &Self) -> Option<DatabaseLocale> {
        if self.alike() == otherwise.alike() {
            return None;
        }
        let provider = self.provider();
        let (name, lc_collate, lc_ctype) = match provider {
            LocaleProvider::Libc => (None, Some(self.collate.clone()), Some(self.ctype.clone())),
            // The operating system's locale beside it sorts nothing.
            LocaleProvider::Icu | LocaleProvider::Builtin => (Some(self.name().to_owned()), None, None),
        };
        Some(DatabaseLocale { provider, name, lc_collate, lc_ctype, icu_rules: self.rules.clone() })
    }

    /// For people.
    pub(super) fn shown(&self) -> String {
        match self.provider() {
            LocaleProvider::Icu if self.rules.is_some() => {
                format!("ICU's locale `{}` with rules of its own", self.name())
            }
            LocaleProvider::Icu => format!("ICU's locale `{}`", self.name()),
            LocaleProvider::Builtin => format!("the built-in locale `{}`", self.name()),
            LocaleProvider::Libc if self.collate == self.ctype => {
                format!("the operating system's locale `{}`", self.collate)
            }
            LocaleProvider::Libc => {
                format!("the operating system's locales `{}` and `{}`", self.collate, self.ctype)
            }
        }
    }
}

/// `en_US.UTF-8` and `en_US.utf8` are the same, and so are `C` and `POSIX`.
fn spelled(name: &str) -> String {
    match name.split_once('.') {
        Some((language, set)) => format!("{language}.{}", set.to_lowercase().replace('-', "")),
        None if name == "POSIX" => "C".to_owned(),
        None => name.to_owned(),
    }
}

/// Statements that fail when the server does not have this locale, and leave nothing.
pub(super) fn probe(locale: &DatabaseLocale) -> String {
    let provider = match locale.provider {
        LocaleProvider::Libc => "libc",
        LocaleProvider::Icu => "icu",
        LocaleProvider::Builtin => "builtin",
    };
    let parts = [
        ("locale", &locale.name),
        ("lc_collate", &locale.lc_collate),
        ("lc_ctype", &locale.lc_ctype),
        ("rules", &locale.icu_rules),
    ];
    let parts: String = parts
        .iter()
        .filter_map(|(name, value)| value.as_ref().map(|value| format!(", {name} = {}", literal(value))))
        .collect();
    format!("BEGIN; CREATE COLLATION pg_temp.dormouse_probe (provider = {provider}{parts}); ROLLBACK")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Locale {
        serde_json::from_str(json).unwrap()
    }

    fn libc(name: &str) -> Locale {
        Locale { collate: name.into(), ctype: name.into(), ..Locale::default() }
    }

    const CLUSTER_15: &str =
        r#"{"datlocprovider": "c", "datcollate": "C.UTF-8", "datctype": "C.UTF-8", "oid": 1}"#;
    const CLUSTER_18: &str =
        r#"{"datlocprovider": "b", "datcollate": "C.UTF-8", "datctype": "C.UTF-8", "datlocale": "C.UTF-8"}"#;

    #[test]
    fn those_that_sort_alike_are_not_asked_for() {
        for cluster in [CLUSTER_15, CLUSTER_18].map(read) {
            for same in [CLUSTER_15, CLUSTER_18].map(read).iter().chain([&libc("C.utf8")]) {
                assert_eq!(same.wanted(&cluster), None, "{same:?}");
            }
            assert_eq!(libc("POSIX").wanted(&libc("C")), None);
            assert_eq!(libc("en_US.UTF-8").wanted(&libc("en_US.utf8")), None);
        }
    }

    #[test]
    fn others_are() {
        let cluster = read(CLUSTER_18);
        let json = |locale: Locale| serde_json::to_string(&locale.wanted(&cluster).unwrap()).unwrap();
        assert_eq!(json(libc("C")), r#"{"provider":"libc","lc_collate":"C","lc_ctype":"C"}"#);
        for icu in ["daticulocale", "datlocale"] {
            let locale = format!(
                r#"{{"datlocprovider": "i", "datcollate": "x", "datctype": "y", "{icu}": "de", "daticurules": "&a<b"}}"#
            );
            assert_eq!(json(read(&locale)), r#"{"provider":"icu","name":"de","icu_rules":"&a<b"}"#);
        }
        let fast = CLUSTER_18.replace(r#""C.UTF-8"}"#, r#""PG_UNICODE_FAST"}"#);
        assert_eq!(json(read(&fast)), r#"{"provider":"builtin","name":"PG_UNICODE_FAST"}"#);
    }

    #[test]
    fn the_probe_says_what_it_is_asked() {
        let locale =
            read(r#"{"datlocprovider": "i", "datcollate": "", "datctype": "", "daticulocale": "d'e"}"#);
        let locale = locale.wanted(&read(CLUSTER_15)).unwrap();
        assert_eq!(
            probe(&locale),
            "BEGIN; CREATE COLLATION pg_temp.dormouse_probe (provider = icu, locale = 'd''e'); ROLLBACK"
        );
    }
}
