//! Are two answers the same?
//!
//! Notices, notifications and parameters may come at any time and are left out before. What else may differ is said
//! here, and must be harmless.

/// In a failed transaction PostgreSQL refuses a Parse. The pool, which has the statement and does not know yet that
/// the transaction failed, says yes; what follows is refused all the same. So in a series that ends so, what came
/// before the refusal is not compared.
const REFUSED: &str = "E:25P02";

/// Whether the pool answered as PostgreSQL did; else where not.
pub(super) fn differ(pooled: &[String], direct: &[String]) -> Option<usize> {
    let (pooled, direct) = (usual(pooled), usual(direct));
    let same = pooled.iter().zip(&direct).take_while(|(one, other)| one == other).count();
    (same < pooled.len() || same < direct.len()).then_some(same)
}

fn usual(replies: &[String]) -> Vec<&str> {
    let (mut all, mut failed): (Vec<&str>, _) = (Vec::new(), false);
    for reply in replies {
        if reply.starts_with("Z:") {
            failed = reply == "Z:E";
        }
        // A statement that is not there is parsed first, which is refused before the Bind can be wrong.
        let reply = if failed && reply.starts_with("E:") { REFUSED } else { reply };
        if reply == REFUSED {
            while matches!(all.last(), Some(&("1" | "2" | "3"))) {
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
        assert_eq!(differ(&texts("Z:T E:25P02 Z:E"), &texts("Z:T E:08P01 Z:E")), Some(1));
        assert_eq!(differ(&texts("Z:E 1 E:25P02 Z:E"), &texts("Z:E E:25P02 Z:E")), None);
    }

    #[test]
    fn a_foreign_row_is_seen() {
        assert_eq!(foreign(&texts("D:client1_:5 D:x"), "client1_"), None);
        assert!(foreign(&texts("D:client1_:5 D:client11_:2"), "client1_").is_some());
        assert!(foreign(&texts("d:vandal"), "client1_").is_some());
    }
}
