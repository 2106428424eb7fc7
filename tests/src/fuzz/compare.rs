//! Are two answers the same?
//!
//! Notices, notifications and parameters may come at any time and are left out before. What else may differ is said
//! here, and must be harmless.

/// A statement that this backend does not have is parsed first, so that its table, or its function, is gone is found
/// before whatever else is wrong; one that it has is not, so it is found later.
const GONE: [&str; 2] = ["E:42P01", "E:42883"];

/// A function of `pg_temp` that is not there: on a backend whose other clients once had something temporary, and on
/// one that never had, where there is not even the schema.
const NOTHING_TEMPORARY: [&str; 2] = ["E:42883", "E:3F000"];

/// The states in which nothing but the end of the transaction does anything.
const FAILED: &str = "Z:E";

/// Whether the pool answered as PostgreSQL did; else where not.
pub(super) fn differ(pooled: &[String], direct: &[String]) -> Option<usize> {
    if skips_more(pooled, direct) {
        return None;
    }
    let strictly = compare(&usual(pooled, false), &usual(direct, false));
    if strictly.is_none() || !pooled.iter().chain(direct).any(|reply| GONE.contains(&reply.as_str())) {
        return strictly;
    }
    let (pooled, direct) = (usual(pooled, true), usual(direct, true));
    // What that error leads to, to the next Sync and beyond, cannot be compared.
    let leads = |side: &[&str], at: usize| side.get(at).is_some_and(|reply| GONE.contains(reply));
    compare(&pooled, &direct).filter(|at| !leads(&pooled, *at) && !leads(&direct, *at))
}

/// Whether the pool's first answer that is another is a refused Parse of its own, in a failed transaction where
/// PostgreSQL describes what it has: what comes before the next Sync is skipped then, be it a query that ends the
/// transaction.
fn skips_more(pooled: &[String], direct: &[String]) -> bool {
    let at = pooled.iter().zip(direct).take_while(|(one, other)| one == other).count();
    let failed = pooled[..at].iter().rev().find(|reply| reply.starts_with("Z:")).is_some_and(|z| z == FAILED);
    let [one, other] = [pooled, direct].map(|side| side.get(at).map_or("", String::as_str));
    failed && one == "E:25P02" && other.starts_with("t:")
}

fn compare(pooled: &[&str], direct: &[&str]) -> Option<usize> {
    let alike = |one: &str, other: &str| {
        one == other
            || (GONE.contains(&one) && other.starts_with("E:"))
            || [one, other].iter().all(|reply| NOTHING_TEMPORARY.contains(reply))
    };
    let same = pooled.iter().zip(direct).take_while(|(one, other)| alike(one, other)).count();
    (same < pooled.len() || same < direct.len()).then_some(same)
}

/// What must be the same; with `late`, of what comes before an error only rows and ends of statements.
fn usual(replies: &[String], late: bool) -> Vec<&str> {
    let (mut all, mut failed): (Vec<&str>, _) = (Vec::new(), false);
    let is_prelude = |reply: &str| matches!(reply, "1" | "2" | "3" | "n") || reply.starts_with("t:");
    for reply in replies {
        // In a failed transaction PostgreSQL refuses a Parse, and describes what it has. The pool, whose backend may
        // have a statement or not, says yes to the one and refuses the other; nothing is executed in any case, and
        // a refusal more or less decides how much is skipped.
        if failed
            && (is_prelude(reply) || reply.starts_with("T:") || reply.starts_with("E:") || reply == FAILED)
        {
            continue;
        }
        if reply.starts_with("Z:") {
            failed = reply == FAILED;
        }
        if late && reply.starts_with("E:") {
            while all.last().is_some_and(|last| is_prelude(last)) {
                all.pop();
            }
        }
        all.push(reply);
    }
    all
}

/// A value of another client.
pub(super) fn foreign<'a>(replies: &'a [String], own: &str) -> Option<&'a String> {
    replies.iter().filter(|reply| reply.starts_with("D:") || reply.starts_with("d:")).find(|reply| {
        reply.match_indices("client").any(|(at, _)| !reply[at..].starts_with(own)) || reply.contains("vandal")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(all: &str) -> Vec<String> {
        all.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn only_what_is_harmless_may_differ() {
        assert_eq!(differ(&texts("1 2 D:x Z:I"), &texts("1 2 D:x Z:I")), None);
        assert_eq!(differ(&texts("1 2 D:x Z:I"), &texts("1 2 D:y Z:I")), Some(2));
        assert_eq!(differ(&texts("1 2 Z:I"), &texts("1 2 Z:I Z:I")), Some(3));
        assert_eq!(differ(&texts("Z:E E:25P02 Z:E"), &texts("Z:E E:08P01 Z:E")), None);
        assert_eq!(differ(&texts("E:42P01 Z:I"), &texts("E:22P02 Z:I")), None);
        assert_eq!(differ(&texts("E:42P02 Z:I"), &texts("E:22P02 Z:I")), Some(0));
        assert_eq!(differ(&texts("E:42P01 Z:I"), &texts("t: E:42P01 Z:I")), None);
        assert_eq!(differ(&texts("Z:T E:25P02 Z:E"), &texts("Z:T E:08P01 Z:E")), Some(1));
        assert_eq!(
            differ(&texts("Z:E E:25P02 Z:E C:ROLLBACK"), &texts("Z:E t: n E:25P02 Z:E Z:E C:ROLLBACK")),
            None
        );
        assert_eq!(differ(&texts("Z:E 1 Z:E D:x"), &texts("Z:E E:25P02 Z:E D:y")), Some(1));
        assert_eq!(differ(&texts("1 E:42P01 Z:I"), &texts("E:42P01 Z:I")), None);
        assert_eq!(differ(&texts("E:42P01 Z:I 3 E:42P01"), &texts("t: n E:08P01 Z:I 3 E:08P01")), None);
        assert_eq!(differ(&texts("E:42P01 Z:I"), &texts("t: n 3 D:x Z:I")), None);
        assert_eq!(differ(&texts("Z:E E:25P02 Z:E"), &texts("Z:E t: n C:ROLLBACK Z:I")), None);
        assert_eq!(differ(&texts("Z:T E:25P02 Z:E"), &texts("Z:T t: n C:ROLLBACK Z:I")), Some(1));
        assert_eq!(differ(&texts("1 E:08P01 Z:I"), &texts("E:08P01 Z:I")), Some(0));
        assert_eq!(differ(&texts("Z:E 1 E:25P02 Z:E"), &texts("Z:E E:25P02 Z:E")), None);
    }

    #[test]
    fn a_foreign_row_is_seen() {
        assert_eq!(foreign(&texts("D:client1_:5 D:x"), "client1_"), None);
        assert!(foreign(&texts("D:client1_:5 D:client11_:2"), "client1_").is_some());
        assert!(foreign(&texts("d:vandal"), "client1_").is_some());
    }
}
