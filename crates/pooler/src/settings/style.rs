//! `DateStyle` is two settings in one: how dates look (`ISO`), and in which order they are read (`DMY`). A value that says
//! only one of them, once or twice, leaves the other as it is.

/// Whether a value of `DateStyle` says both halves. PostgreSQL takes `postgresql` or `european` for what they begin with.
#[must_use]
pub fn is_whole_style(value: &str) -> bool {
    let (mut look, mut order) = (false, false);
    for word in value.split(',').map(|word| word.trim().trim_matches('"').to_ascii_lowercase()) {
        match &*word {
            "iso" | "sql" | "german" => look = true,
            "ymd" | "dmy" | "mdy" | "us" => order = true,
            _ if word.starts_with("postgres") => look = true,
            _ if word.starts_with("euro") || word.starts_with("noneuro") => order = true,
            _ => {}
        }
    }
    look && order
}

#[cfg(test)]
mod tests {
    use super::is_whole_style;

    #[test]
    fn a_comma_does_not_make_a_whole() {
        for whole in ["ISO, DMY", "mdy,postgres", "\"SQL\", European", "German , us"] {
            assert!(is_whole_style(whole), "{whole}");
        }
        for half in ["iso", "iso, iso", "ymd, YMD", "european,us", "default, iso", "", ","] {
            assert!(!is_whole_style(half), "{half}");
        }
    }
}
