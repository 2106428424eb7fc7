//! The table of [`super`], row by row.

use dormouse_base::{BranchId, Lsn, ProjectId};

use super::*;
use crate::model::record::Origin;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn root(name: &str) -> Branch {
    Branch::new(BranchId::generate(), &ProjectId::generate(), name.to_owned(), "o".to_owned(), at(0))
}

fn child(name: &str, of: &Branch) -> Branch {
    let parent = Some(Origin { storage_id: of.storage_id.clone(), lsn: Lsn(1), at: None });
    Branch { parent, ..root(name) }
}

fn names(branches: &[Branch]) -> Vec<&str> {
    branches.iter().map(|b| b.name.as_str()).collect()
}

#[test]
fn a_tree_goes_from_the_leaves_up_or_not_at_all() {
    let main = Branch { is_default: true, ..root("main") };
    let dev = child("dev", &main);
    let (a, b) = (child("a", &dev), child("b", &dev));
    let leaf = child("leaf", &a);
    let mut all = vec![main.clone(), dev.clone(), a.clone(), b.clone(), leaf.clone()];
    assert_eq!(names(&deletion(&leaf, &all, false).unwrap()), ["leaf"]);
    let refused = deletion(&dev, &all, false).unwrap_err();
    assert_eq!(refused.code, "branch-has-children");
    assert!(refused.message.contains("`a`, `b`"), "{refused}");
    let order = deletion(&dev, &all, true).unwrap();
    assert_eq!(order.len(), 4);
    let place = |name: &str| order.iter().position(|x| x.name == name).unwrap();
    assert!(place("leaf") < place("a") && place("a") < place("dev") && place("b") < place("dev"));
    assert_eq!(deletion(&main, &all, true).unwrap_err().code, "branch-is-default");
    all[4].protected = true;
    let refused = deletion(&dev, &all, true).unwrap_err();
    assert_eq!(refused.code, "branch-protected");
    assert!(refused.message.contains("`leaf`"), "the one in the way is named: {refused}");
}

#[test]
fn children_keep_to_the_line_that_they_left() {
    let main = root("main");
    let dev = child("dev", &main);
    let restored = Branch { storage_id: BranchId::generate(), ..main.clone() };
    let old = Branch { name: "main_old".to_owned(), id: BranchId::generate(), ..main };
    let all = [restored.clone(), old.clone(), dev];
    assert_eq!(children(&restored, &all).count(), 0);
    assert_eq!(children(&old, &all).count(), 1);
}

#[test]
fn expiry_is_within_thirty_days_and_only_for_what_may_go() {
    let main = root("main");
    let dev = child("dev", &main);
    let code = |branch: &Branch, children, second| {
        expiry(branch, children, at(second), at(0)).map_err(|refused| refused.code)
    };
    assert_eq!(code(&dev, false, 60), Ok(60));
    assert_eq!(code(&dev, false, MAX_TTL_SECONDS), Ok(MAX_TTL_SECONDS));
    assert_eq!(code(&dev, false, 0), Err("bad-expiry"));
    assert_eq!(code(&dev, false, MAX_TTL_SECONDS + 1), Err("bad-expiry"));
    assert_eq!(code(&dev, true, 60), Err("branch-has-children"));
    assert_eq!(code(&Branch { is_default: true, ..dev.clone() }, false, 60), Err("branch-is-default"));
    assert_eq!(code(&Branch { protected: true, ..dev.clone() }, false, 60), Err("branch-protected"));
    assert_eq!(may_stay(&Branch { expires_at: Some(at(1)), ..dev }).unwrap_err().code, "branch-expires");
    assert_eq!(may_stay(&main), Ok(()));
}

#[test]
fn yesterday_comes_back_for_the_default_branch_but_not_for_a_protected_one() {
    let main = Branch { is_default: true, ..root("main") };
    assert_eq!(restore(&main, false), Ok(()));
    assert_eq!(restore(&main, true).unwrap_err().code, "branch-is-default");
    let guarded = Branch { protected: true, ..main.clone() };
    assert!(restore(&guarded, false).is_err() && restore(&guarded, true).is_err());
    assert_eq!(restore(&child("dev", &main), true), Ok(()));
}

#[test]
fn what_was_before_gets_a_name_that_is_free_and_legal() {
    let first = old_name("main", &[], at(0));
    assert_eq!(first, "main_old_20231114T221320Z");
    let second = old_name("main", &[root(&first)], at(0));
    assert_eq!(second, "main_old_20231114T221320Z_2");
    let long = "ü".repeat(128);
    let name = old_name(&long, &[], at(0));
    assert_eq!(new_name(&name, &[]), Ok(()));
    assert_eq!(new_name("main", &[root("main")]).unwrap_err().code, "branch-exists");
    assert_eq!(new_name("br-x", &[]).unwrap_err().code, "bad-name");
}
