//! The `options` startup parameter: one text that PostgreSQL cuts into words like a command line.
//!
//! ```text
//!  endpoint=ep-x  -c search_path=a,\ b   --geqo=off        a backslash takes the next character as it is,
//!  └─────┬─────┘ └┬┘└──────┬────────┘  └─────┬────┘        so a word can hold spaces and backslashes
//!      word      word     word              word
//! ```
//!
//! The proxy takes its own words (`endpoint=…`) out and passes the rest on, so cutting must agree exactly with
//! PostgreSQL's: were a space inside a value a cut for one and not for the other, a client could smuggle
//! a setting past us.

/// White space as C's `isspace` has it in the C locale. Rust's own ASCII set leaves out the vertical tab.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\x0b' | '\x0c' | '\r')
}

/// Cuts options into words, with backslash escapes resolved. A lone backslash at the very end is dropped.
#[must_use]
pub fn split(options: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = options.chars().peekable();
    loop {
        while rest.next_if(|c| is_space(*c)).is_some() {}
        if rest.peek().is_none() {
            return words;
        }
        let mut word = String::new();
        while let Some(c) = rest.next_if(|c| !is_space(*c)) {
            if c == '\\' { word.extend(rest.next()) } else { word.push(c) }
        }
        words.push(word);
    }
}

/// Joins words so that [`split`] (and PostgreSQL) gives them back. Empty words have no spelling and are left out.
#[must_use]
pub fn join<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> String {
    let mut out = String::new();
    for word in words {
        if !out.is_empty() && !word.as_ref().is_empty() {
            out.push(' ');
        }
        for c in word.as_ref().chars() {
            if c == '\\' || is_space(c) {
                out.push('\\');
            }
            out.push(c);
        }
    }
    out
}

/// Takes every `name=value` word out of options. Returns the last value, and what is left (`None` when nothing is).
///
/// Only a word that stands on its own counts: the word after `-c` is a setting for PostgreSQL, whatever its name.
#[must_use]
pub fn take_word(options: &str, name: &str) -> (Option<String>, Option<String>) {
    if !may_have(options, name) {
        return (None, options.contains(|c| !is_space(c)).then(|| options.to_owned()));
    }
    let (mut value, mut kept, mut after_c) = (None, Vec::new(), false);
    for word in split(options) {
        match word.split_once('=') {
            Some((n, v)) if n == name && !after_c => value = Some(v.to_owned()),
            _ => {
                after_c = word == "-c";
                kept.push(word);
            }
        }
    }
    let rest = join(kept);
    (value, (!rest.is_empty()).then_some(rest))
}

/// Whether there can be a word of this name; backslashes can hide one.
fn may_have(options: &str, name: &str) -> bool {
    options.contains('\\')
        || options.match_indices(name).any(|(at, _)| options[at + name.len()..].starts_with('='))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn splits_as_postgresql_does() {
        assert_eq!(split(r"-c geqo=off  --search_path=a,\ b"), ["-c", "geqo=off", "--search_path=a, b"]);
        assert_eq!(split(" \t\n\x0b\x0c\r a \r"), ["a"]);
        assert_eq!(split(r"a\\b \\"), [r"a\b", r"\"]);
        assert_eq!(split(r"\-c \x"), ["-c", "x"]);
        assert_eq!(split("a\\"), ["a"]);
        assert_eq!(split("\\"), [""]);
        assert_eq!(split("   "), Vec::<String>::new());
        assert_eq!(split("x=ä\u{a0}ö"), ["x=ä\u{a0}ö"], "only ASCII white space cuts");
    }

    #[test]
    fn own_words_are_taken_out() {
        let options = r"-c geqo=off endpoint=ep-x --search_path=a\ b endpoint=ep-y";
        let (value, rest) = take_word(options, "endpoint");
        assert_eq!(value.as_deref(), Some("ep-y"));
        assert_eq!(rest.as_deref(), Some(r"-c geqo=off --search_path=a\ b"));
        assert_eq!(take_word("endpoint=", "endpoint"), (Some(String::new()), None));
        assert_eq!(take_word("-c endpoint=1", "endpoint"), (None, Some("-c endpoint=1".into())));
        assert_eq!(take_word("endpoints=1", "endpoint"), (None, Some("endpoints=1".into())));
        assert_eq!(take_word(r"e\ndpoint=ep-x", "endpoint"), (Some("ep-x".into()), None));
        assert_eq!(take_word(" \t", "endpoint"), (None, None));
    }

    proptest! {
        #[test]
        fn a_word_is_found_however_it_is_written(options in r#"[a= \t\\c-]{0,12}"#) {
            let (value, _) = take_word(&options, "a");
            let words = split(&options);
            let behind_c = |at: usize| at > 0 && words[at - 1] == "-c";
            let mut own = words.iter().enumerate().filter(|(at, word)| word.starts_with("a=") && !behind_c(*at));
            prop_assert_eq!(value.as_deref(), own.next_back().map(|(_, word)| &word[2..]));
        }

        #[test]
        fn join_is_undone_by_split(words in proptest::collection::vec(r#"[ \t\x0b\\a-c=ä"']{1,6}"#, 0..6)) {
            prop_assert_eq!(split(&join(&words)), words);
        }
    }
}
