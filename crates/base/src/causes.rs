//! An error with its causes in one line, for logs and for operators. (Clients get texts made for them.)

use std::error::Error;

/// `cannot open the lock: permission denied`.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    #[derive(Debug, thiserror::Error)]
    #[error("cannot read")]
    struct Outer(#[source] std::fmt::Error);

    #[test]
    fn all_causes_in_order() {
        let text = super::with_causes(&Outer(std::fmt::Error));
        assert_eq!(text, format!("cannot read: {}", std::fmt::Error));
    }
}
