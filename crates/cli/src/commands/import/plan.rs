//! What is decided before anything is made.

use crate::error::Error;

/// Versions that Dormouse runs.
const SUPPORTED: std::ops::RangeInclusive<u16> = 15..=18;

/// The versions that the project may have, best first. Never older than the source: nobody promises
/// that an older PostgreSQL understands what a newer one says.
pub(super) fn versions(source: u16, wanted: Option<u16>) -> Result<Vec<u16>, Error> {
    if source > *SUPPORTED.end() {
        return Err(Error::failed(format!(
            "the source is PostgreSQL {source}, which is newer than what Dormouse runs ({} to {})",
            SUPPORTED.start(),
            SUPPORTED.end()
        )));
    }
    match wanted {
        Some(wanted) if wanted < source => Err(Error::usage(format!(
            "the source is PostgreSQL {source}: it cannot be imported into the older version {wanted}"
        ))
        .hint(format!("Leave `--pg-version` out, or use {source} or newer."))),
        Some(wanted) => Ok(vec![wanted]),
        None => Ok(SUPPORTED.filter(|major| *major >= source).collect()),
    }
}

/// Refuses when an extension of the source cannot be had: says all of them at once.
pub(super) fn extensions(
    wanted: &[(String, Vec<String>)],
    available: &[String],
    version: u16,
) -> Result<(), Error> {
    let missing: Vec<String> = wanted
        .iter()
        .filter_map(|(database, names)| {
            let names: Vec<&str> =
                names.iter().filter(|name| !available.contains(name)).map(String::as_str).collect();
            (!names.is_empty()).then(|| format!("{} (in `{database}`)", names.join(", ")))
        })
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::failed(format!(
        "PostgreSQL {version} here lacks extensions that the source uses: {}",
        missing.join("; ")
    ))
    .hint("Install them for that version on the server's machine, or try another `--pg-version`.")
    .hint("Or drop them in the source, if nothing uses them. Nothing was imported."))
}

/// Refuses when the server does not have a locale of the source: says all of them at once.
pub(super) fn locales(unknown: &[String], version: u16) -> Result<(), Error> {
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Error::failed(format!(
        "PostgreSQL {version} here cannot sort text as the source does: {}",
        unknown.join("; ")
    ))
    .hint("Install the operating system's locale on the server's machine; for ICU's, try another `--pg-version`: not every PostgreSQL is built with ICU.")
    .hint("To import all the same, so that text is sorted differently: `--any-locale`. Nothing was imported."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_older_than_the_source() {
        assert_eq!(versions(15, None).unwrap(), [15, 16, 17, 18]);
        assert_eq!(versions(17, None).unwrap(), [17, 18]);
        assert_eq!(versions(9, None).unwrap(), [15, 16, 17, 18]);
        assert_eq!(versions(15, Some(18)).unwrap(), [18]);
        assert_eq!(versions(16, Some(15)).unwrap_err().class().status(), 2);
        assert_eq!(versions(19, None).unwrap_err().class().status(), 1);
        assert_eq!(versions(19, Some(19)).unwrap_err().class().status(), 1);
    }

    #[test]
    fn all_missing_extensions_are_named() {
        let wanted = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let all = [
            ("shop".to_owned(), wanted(&["hstore", "postgis"])),
            ("blog".to_owned(), wanted(&["vector", "zombo"])),
        ];
        let have = wanted(&["hstore", "vector"]);
        let report = extensions(&all, &have, 18).unwrap_err().report().to_string();
        assert!(
            report.contains("postgis (in `shop`); zombo (in `blog`)") && !report.contains("hstore"),
            "{report}"
        );
        assert!(extensions(&all[..0], &have, 18).is_ok());
    }
}
