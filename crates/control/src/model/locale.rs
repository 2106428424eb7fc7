//! Which locales a new database may be given. Whether they exist only PostgreSQL knows, when it makes the
//! database; what it could not even read is refused here.

use dormouse_api::database::{DatabaseLocale, LocaleProvider};

use super::Refused;

/// The longest name of a locale, bytes.
pub const MAX_LOCALE: usize = 256;
/// The longest rules of sorting, bytes.
pub const MAX_RULES: usize = 8192;
/// The first major version with a provider of its own.
const BUILTIN_SINCE: u16 = 17;
/// The first major version that takes rules.
const RULES_SINCE: u16 = 16;

/// Checks the locale of a database that is to be made.
///
/// # Errors
/// When something in it does not go together, is too long, or PostgreSQL of that version does not have it.
pub fn check(locale: &DatabaseLocale, pg_major: u16) -> Result<(), Refused> {
    let bad = |why: String| Err(Refused::new("bad-locale", format!("the locale of a database {why}")));
    let DatabaseLocale { provider, name, lc_collate, lc_ctype, icu_rules } = locale;
    let parts = [
        ("name", name, MAX_LOCALE),
        ("lc_collate", lc_collate, MAX_LOCALE),
        ("lc_ctype", lc_ctype, MAX_LOCALE),
        ("icu_rules", icu_rules, MAX_RULES),
    ];
    for (field, text, most) in parts {
        let Some(text) = text else { continue };
        if text.len() > most || text.contains('\0') || (text.is_empty() && field != "icu_rules") {
            return bad(format!("has a bad `{field}`: give it 1 to {most} bytes, without NUL"));
        }
    }
    match provider {
        LocaleProvider::Libc if name.is_none() && lc_collate.is_none() && lc_ctype.is_none() => {
            bad("says nothing: give it a `name`, `lc_collate` or `lc_ctype`, or leave it out".to_owned())
        }
        LocaleProvider::Icu | LocaleProvider::Builtin if name.is_none() => {
            bad("has no `name`: only `libc` can do without".to_owned())
        }
        LocaleProvider::Builtin if pg_major < BUILTIN_SINCE => bad(format!(
            "is `builtin`, which PostgreSQL {pg_major} does not have: {BUILTIN_SINCE} is the first"
        )),
        _ if icu_rules.is_none() => Ok(()),
        LocaleProvider::Icu if pg_major >= RULES_SINCE => Ok(()),
        _ => bad(format!("has `icu_rules`, which belong to `icu` and PostgreSQL {RULES_SINCE} and newer")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(json: &str, pg_major: u16) -> Option<String> {
        check(&serde_json::from_str(json).unwrap(), pg_major).err().map(|refused| refused.message)
    }

    #[test]
    fn what_goes_together() {
        for (json, pg_major) in [
            (r#"{"provider": "icu", "name": "de"}"#, 15),
            (r#"{"provider": "icu", "name": "de", "lc_ctype": "C", "icu_rules": "&a < b"}"#, 16),
            (r#"{"provider": "libc", "name": "C"}"#, 15),
            (r#"{"provider": "libc", "lc_collate": "C", "lc_ctype": "de_DE.UTF-8"}"#, 18),
            (r#"{"provider": "builtin", "name": "C.UTF-8"}"#, 17),
        ] {
            assert_eq!(code(json, pg_major), None, "{json}");
        }
    }

    #[test]
    fn what_does_not() {
        let long = format!(r#"{{"provider": "icu", "name": "{}"}}"#, "x".repeat(MAX_LOCALE + 1));
        for (json, pg_major, word) in [
            (r#"{"provider": "icu"}"#, 18, "no `name`"),
            (r#"{"provider": "libc"}"#, 18, "says nothing"),
            (r#"{"provider": "builtin", "name": "C"}"#, 16, "does not have"),
            (r#"{"provider": "icu", "name": "de", "icu_rules": "&a < b"}"#, 15, "icu_rules"),
            (r#"{"provider": "libc", "name": "C", "icu_rules": "&a < b"}"#, 18, "icu_rules"),
            (r#"{"provider": "icu", "name": "d\u0000e"}"#, 18, "bad `name`"),
            (r#"{"provider": "libc", "lc_ctype": ""}"#, 18, "bad `lc_ctype`"),
            (long.as_str(), 18, "bad `name`"),
        ] {
            assert!(code(json, pg_major).is_some_and(|said| said.contains(word)), "{json}");
        }
    }
}
