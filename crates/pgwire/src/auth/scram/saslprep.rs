//! SASLprep (RFC 4013) as PostgreSQL does it, so that a verifier made here fits a password typed into libpq.
//!
//! ```text
//!  all ASCII ─► as it is (control characters too)
//!  not UTF-8 ─► as it is
//!  else: spaces to ' ', soft hyphens and such away ─► checks ─► NFKC
//!                                                        └─ any fails ─► as it is
//! ```
//!
//! Two things are PostgreSQL's own: ASCII passes unchecked, and the checks look at the text *before* NFKC. So
//! the ready-made SASLprep, which checks afterwards, would refuse some passwords that PostgreSQL normalises
//! (pointed Hebrew, for one). Here the checks are made first, and NFKC alone comes last.

use std::borrow::Cow;

use stringprep::tables;

/// The bytes that go into PBKDF2 for a password.
#[must_use]
pub fn saslprep(password: &[u8]) -> Cow<'_, [u8]> {
    let raw = Cow::Borrowed(password);
    if password.is_ascii() {
        return raw;
    }
    let Ok(text) = std::str::from_utf8(password) else {
        return raw;
    };
    let mapped: String = text.chars().filter_map(map).collect();
    if mapped.is_empty() || mapped.chars().any(prohibited) || mixes_directions(&mapped) {
        return raw;
    }
    nfkc(&mapped).map_or(raw, |text| Cow::Owned(text.into_bytes()))
}

/// NFKC of a text that has passed the checks.
///
/// X.520's preparation is NFKC plus steps that do nothing to such a text, except that it refuses one that
/// begins with a combining mark. A space in front prevents that, and composes with nothing.
fn nfkc(text: &str) -> Option<String> {
    let spaced = format!(" {text}");
    let normalised = stringprep::x520prep(&spaced, false).ok()?;
    normalised.strip_prefix(' ').map(str::to_owned)
}

fn map(c: char) -> Option<char> {
    if tables::non_ascii_space_character(c) {
        return Some(' ');
    }
    (!tables::commonly_mapped_to_nothing(c)).then_some(c)
}

fn prohibited(c: char) -> bool {
    tables::ascii_control_character(c)
        || tables::non_ascii_control_character(c)
        || tables::private_use(c)
        || tables::non_character_code_point(c)
        || tables::inappropriate_for_plain_text(c)
        || tables::inappropriate_for_canonical_representation(c)
        || tables::change_display_properties_or_deprecated(c)
        || tables::tagging_character(c)
        || tables::unassigned_code_point(c)
}

/// A text with right-to-left letters must begin and end with one and have no left-to-right letters.
fn mixes_directions(text: &str) -> bool {
    let ends = |c: Option<char>| c.is_some_and(tables::bidi_r_or_al);
    text.contains(tables::bidi_r_or_al)
        && (text.contains(tables::bidi_l) || !ends(text.chars().next()) || !ends(text.chars().next_back()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prep(text: &str) -> Cow<'_, str> {
        match saslprep(text.as_bytes()) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8(bytes).unwrap()),
        }
    }

    #[test]
    fn the_examples_of_rfc_4013() {
        assert_eq!(prep("I\u{ad}X"), "IX");
        assert_eq!(prep("user"), "user");
        assert_eq!(prep("USER"), "USER");
        assert_eq!(prep("\u{aa}"), "a");
        assert_eq!(prep("\u{2168}"), "IX");
        assert_eq!(prep("\u{7}"), "\u{7}", "prohibited, but all ASCII");
        assert_eq!(prep("\u{627}1"), "\u{627}1", "mixed directions: as it is");
    }

    #[test]
    fn what_is_prohibited_stays_as_it_is() {
        for text in
            ["\u{ad}", "ä\u{7}", "\u{e000}x", "\u{340}", "\u{1f100}", "\u{1f42d}\u{aa}", "\u{5d0}a\u{aa}"]
        {
            assert_eq!(prep(text), text, "{text:?}");
        }
        assert_eq!(&*saslprep(b"\xff\xaa"), b"\xff\xaa");
    }

    #[test]
    fn spaces_and_compositions() {
        assert_eq!(prep("a\u{a0}b\u{3000}c"), "a b c");
        assert_eq!(prep("e\u{301}"), "\u{e9}");
        assert_eq!(prep("\u{5d0}\u{aa}"), "\u{5d0}\u{aa}");
        assert_eq!(prep("\u{5d0}1\u{5d1}"), "\u{5d0}1\u{5d1}");
        assert_eq!(prep(""), "");
    }

    /// NFKC refuses nothing that passes PostgreSQL's checks, and does not change what is normal already.
    #[test]
    fn no_checked_character_is_refused_afterwards() {
        for c in ('\u{80}'..=char::MAX).filter(|c| map(*c) == Some(*c) && !prohibited(*c)) {
            let once = nfkc(&c.to_string());
            assert!(once.is_some(), "{c:?}");
            assert_eq!(nfkc(&once.clone().unwrap()), once, "{c:?}");
        }
    }

    /// Where the standard's SASLprep says yes, the result is the same; where it says no, PostgreSQL may say yes.
    #[test]
    fn agrees_with_the_standard_where_both_accept() {
        let accepted = |text: &str| saslprep(text.as_bytes()) != text.as_bytes();
        for c in ('\u{80}'..=char::MAX).filter(|c| map(*c) == Some(*c) && !prohibited(*c)) {
            let text = format!("{c}{c}");
            if let Ok(standard) = stringprep::saslprep(&text) {
                assert!(prep(&text) == standard || !accepted(&text) && mixes_directions(&text), "{c:?}");
            }
        }
        assert_eq!(prep("\u{fb1d}"), "\u{5d9}\u{5b4}");
        assert_eq!(prep("a\u{2135}"), "a\u{5d0}");
        assert_eq!(prep("\u{301}\u{aa}"), "\u{301}a");
    }
}
