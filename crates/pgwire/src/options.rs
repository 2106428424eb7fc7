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
/// The word may stand on its own, or be written as settings are for PostgreSQL (`-c name=value`, `-cname=value`,
/// `--name=value`), which has none of a name that is ours.
#[must_use]
pub fn take_word(options: &str, name: &str) -> (Option<String>, Option<String>) {
    if !may_have(options, name) {
        return (None, options.contains(|c| !is_space(c)).then(|| options.to_owned()));
    }
    let (mut value, mut kept) = (None, Vec::new());
    let mut words = split(options).into_iter().peekable();
    while let Some(word) = words.next() {
        if word == "-c" {
            match words.next_if(|next| setting(next, name).is_some()) {
                Some(next) => value = setting(&next, name).map(str::to_owned),
                None => {
                    kept.push(word);
                    // Its own, whatever it is called.
                    kept.extend(words.next());
                }
            }
            continue;
        }
        let bare = word.strip_prefix("--").or_else(|| word.strip_prefix("-c")).unwrap_or(&word);
        match setting(bare, name) {
            Some(found) => value = Some(found.to_owned()),
            None => kept.push(word),
        }
    }
    let rest = join(kept);
    (value, (!rest.is_empty()).then_some(rest))
}

/// The value of a word `name=value`, in which a hyphen stands for an underscore as for PostgreSQL.
fn setting<'a>(word: &'a str, name: &str) -> Option<&'a str> {
    let (called, value) = word.split_once('=')?;
    let same = called.len() == name.len()
        && called.bytes().zip(name.bytes()).all(|(c, n)| c == n || (c == b'-' && n == b'_'));
    same.then_some(value)
}

/// Whether there can be a word of this name; backslashes can hide one.
fn may_have(options: &str, name: &str) -> bool {
    let ends = options.match_indices('=').map(|(at, _)| &options[..at]);
    let end = name.rsplit('_').next().unwrap_or(name);
    options.contains('\\') || ends.into_iter().any(|before| before.ends_with(end))
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
        let same = ["-c endpoint=ep-x", "-cendpoint=ep-x", "--endpoint=ep-x", "endpoint=ep-x"];
        for form in same {
            assert_eq!(take_word(form, "endpoint"), (Some("ep-x".into()), None), "{form}");
            let (more, rest) = (format!("-c geqo=off {form} -c jit=on"), "-c geqo=off -c jit=on");
            assert_eq!(take_word(&more, "endpoint"), (Some("ep-x".into()), Some(rest.into())), "{form}");
        }
        assert_eq!(take_word("--pool-mode=session", "pool_mode"), (Some("session".into()), None));
        assert_eq!(take_word("-c -c endpoint=1", "endpoint"), (Some("1".into()), Some("-c -c".into())));
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
