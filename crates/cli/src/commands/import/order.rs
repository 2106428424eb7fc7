//! In which order a dump is restored, and what of that at the same time.
//!
//! ```text
//!  definitions      one after the other
//!  rows, indexes…   with --jobs at the same time
//!  the rest         one after the other: what may have to stay behind
//! ```
//!
//! Several processes of pg_restore write to one standard error, and their lines are torn and mixed there: which entry a
//! complaint belongs to cannot be known then. So what people may have to do without is not among what is done at the
//! same time: a complaint there is about rows, indexes and constraints.

/// Behind the data, and with owners of their own or for superusers alone.
const APART: [&str; 5] = ["DEFAULT ACL ", "EVENT TRIGGER ", "PUBLICATION ", "STATISTICS ", "SUBSCRIPTION "];

/// The same, as what is said of such an object names it.
const ABOUT: [&str; 3] = ["COMMENT ", "SECURITY LABEL ", "ACL "];

/// The entries of a dump's table of contents (`pg_restore --list`): those that can be restored at the same time, and
/// the others.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) together: String,
    pub(super) apart: String,
}

impl Order {
    /// Sorts a list; its comments are left out.
    pub(super) fn of(list: &str) -> Self {
        let mut order = Self::default();
        for line in list.lines().filter(|line| !line.starts_with(';') && !line.is_empty()) {
            let part = if is_apart(line) { &mut order.apart } else { &mut order.together };
            part.push_str(line);
            part.push('\n');
        }
        order
    }
}

/// `3701; 3466 16500 EVENT TRIGGER - watch postgres` · `3702; 0 0 COMMENT - EVENT TRIGGER watch postgres`
fn is_apart(line: &str) -> bool {
    // The number of the entry, of its catalog, and of the object there.
    let Some(kind) = line.splitn(4, ' ').nth(3) else { return false };
    let of = |text: &str| APART.iter().any(|apart| text.starts_with(apart));
    // Behind the kind is the schema's name, or `-`.
    let about = ABOUT.iter().find_map(|about| kind.strip_prefix(about)?.split_once(' '));
    of(kind) || about.is_some_and(|(_, what)| of(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_stay_behind_is_restored_apart() {
        let together = "215; 1259 16390 TABLE public t postgres\n\
                        3400; 0 16390 TABLE DATA public PUBLICATION postgres\n\
                        3500; 1259 16395 INDEX public t_idx postgres\n\
                        3501; 0 0 COMMENT public INDEX t_idx postgres\n\
                        3502; 2606 16398 FK CONSTRAINT public t t_fk postgres\n";
        let apart = "3601; 6104 16501 PUBLICATION - all_of_it postgres\n\
                     3602; 6106 16502 PUBLICATION TABLE public all_of_it t postgres\n\
                     3603; 3381 16503 STATISTICS public of_t postgres\n\
                     3604; 0 0 COMMENT public STATISTICS of_t postgres\n\
                     3701; 3466 16500 EVENT TRIGGER - watch postgres\n\
                     3702; 0 0 COMMENT - EVENT TRIGGER watch postgres\n\
                     3703; 826 16504 DEFAULT ACL public DEFAULT PRIVILEGES FOR TABLES seller\n";
        let list = format!(";\n; Archive created at …\n;\n{together}\n{apart}");
        assert_eq!(Order::of(&list), Order { together: together.into(), apart: apart.into() });
    }
}
