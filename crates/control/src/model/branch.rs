//! Which branches may be deleted, reset, restored and expire, and what they are called.
//!
//! | | default | protected | has children |
//! |---|---|---|---|
//! | delete | no | no | only with them (`recursive`), children first |
//! | expire | no | no | no |
//! | reset (the parent's head) | no | no | yes: they keep to the old line |
//! | restore (any other point) | yes: this is how yesterday comes back | no | yes |
//!
//! Children are found by storage IDs: a branch that was restored leaves its children to the line that it
//! left, which lives on as a branch of another name.

use dormouse_base::Timestamp;
use jiff::SignedDuration;

use super::name::MAX_LABEL;
use super::record::Branch;
use super::{Refused, name};

/// The most branches of one project.
pub const MAX_BRANCHES: usize = 5000;
/// The most endpoints of one branch: one writer, the others read.
pub const MAX_ENDPOINTS: usize = 16;
/// The longest time to live, seconds (30 days).
pub const MAX_TTL_SECONDS: i64 = 30 * 24 * 3600;
/// The most names that an error lists.
const MAX_NAMED: usize = 10;

fn must_stay(branch: &Branch, what: &str) -> Result<(), Refused> {
    let name = &branch.name;
    if branch.is_default {
        let text =
            format!("`{name}` is the default branch and cannot {what}: make another one the default first");
        return Err(Refused::conflict("branch-is-default", text));
    }
    if branch.protected {
        let text = format!("branch `{name}` is protected and cannot {what}: take the protection away first");
        return Err(Refused::conflict("branch-protected", text));
    }
    Ok(())
}

fn is_child(child: &Branch, of: &Branch) -> bool {
    child.parent.as_ref().is_some_and(|parent| parent.storage_id == of.storage_id)
}

/// The branches that were made from this one.
pub fn children<'a>(of: &'a Branch, all: &'a [Branch]) -> impl Iterator<Item = &'a Branch> {
    all.iter().filter(move |child| is_child(child, of))
}

/// What is to be deleted together with `target`, children first. `all` are the project's branches.
///
/// # Errors
/// When something of it must stay, or has children and `recursive` does not include them.
pub fn deletion(target: &Branch, all: &[Branch], recursive: bool) -> Result<Vec<Branch>, Refused> {
    let mut order = vec![target.clone()];
    let mut next = 0;
    while let Some(parent) = order.get(next).cloned() {
        order.extend(children(&parent, all).cloned());
        next += 1;
    }
    must_stay(target, "be deleted")?;
    if !recursive && order.len() > 1 {
        let named: Vec<String> =
            children(target, all).take(MAX_NAMED).map(|b| format!("`{}`", b.name)).collect();
        let more = children(target, all).count().saturating_sub(MAX_NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let text = format!(
            "branch `{}` has children: {}{more}. Delete them first, or all of it with `recursive`",
            target.name,
            named.join(", ")
        );
        return Err(Refused::conflict("branch-has-children", text));
    }
    order.iter().try_for_each(|branch| must_stay(branch, "be deleted"))?;
    order.reverse();
    Ok(order)
}

/// Checks a time at which a branch is to be deleted, and returns its time to live in seconds.
///
/// # Errors
/// When the branch must stay, has children, or the time is past or too far away.
pub fn expiry(branch: &Branch, has_children: bool, at: Timestamp, now: Timestamp) -> Result<i64, Refused> {
    must_stay(branch, "expire")?;
    if has_children {
        let text =
            format!("branch `{}` has children and cannot expire: delete or restore them first", branch.name);
        return Err(Refused::conflict("branch-has-children", text));
    }
    let left = at.duration_since(now);
    if left <= SignedDuration::ZERO || left > SignedDuration::from_secs(MAX_TTL_SECONDS) {
        let text = format!("`expires_at` is {at}: choose a time within the next 30 days");
        return Err(Refused::new("bad-expiry", text));
    }
    Ok(left.as_secs().max(1))
}

/// Checks that a branch may become protected, or the default.
///
/// # Errors
/// When it expires.
pub fn may_stay(branch: &Branch) -> Result<(), Refused> {
    if branch.expires_at.is_none() {
        return Ok(());
    }
    let text = format!("branch `{}` expires: set its `expires_at` to null first", branch.name);
    Err(Refused::conflict("branch-expires", text))
}

/// Checks that a branch may get other data. `to_parents_head` is a reset.
///
/// # Errors
/// When it is protected, or is the default one and would be reset.
pub fn restore(branch: &Branch, to_parents_head: bool) -> Result<(), Refused> {
    let default_may = branch.is_default && !branch.protected && !to_parents_head;
    if default_may { Ok(()) } else { must_stay(branch, "get other data") }
}

/// The name for what a restored branch had before: `<name>_old_<time>`, or the first one after it that is
/// free.
#[must_use]
pub fn old_name(name: &str, taken: &[Branch], now: Timestamp) -> String {
    let stamp = now.strftime("_old_%Y%m%dT%H%M%SZ").to_string();
    let mut end = name.len().min(MAX_LABEL - stamp.len() - 4);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    let first = format!("{}{stamp}", &name[..end]);
    let is_free = |candidate: &String| !taken.iter().any(|b| b.name == *candidate);
    (1..).map(|n| if n == 1 { first.clone() } else { format!("{first}_{n}") }).find(is_free).unwrap_or(first)
}

/// Checks a name that a new branch is to have.
///
/// # Errors
/// When it is not a name, or taken.
pub fn new_name(wanted: &str, taken: &[Branch]) -> Result<(), Refused> {
    name::branch(wanted)?;
    if taken.iter().any(|branch| branch.name == wanted) {
        let text = format!("a branch named `{wanted}` exists already: choose another name");
        return Err(Refused::conflict("branch-exists", text));
    }
    Ok(())
}

#[cfg(test)]
#[path = "branch_tests.rs"]
mod tests;
