//! What is shared, what is forgotten, and what is counted.

use super::*;

const NONE: fn(&[u8]) -> Stateful = |_| Stateful::default();

#[test]
fn equal_ones_are_found_and_unused_ones_forgotten() {
    let mut registry = Registry::default();
    let a = registry.intern(b"select 1\0\0\0", NONE);
    assert!(!a.is_used_again());
    let b = registry.intern(b"select 1\0\0\0", NONE);
    assert!(Arc::ptr_eq(&a, &b) && a.is_used_again());
    let other = registry.intern(b"select 1\0\0\x01\0\0\0\x17", NONE);
    assert_ne!(a.id(), other.id(), "other types are another statement");
    drop(other);
    for n in 0..2 * SWEEP_AFTER {
        registry.intern(format!("select {n} + 1\0\0\0").as_bytes(), NONE);
    }
    assert!(registry.len() <= SWEEP_AFTER + 3, "{}", registry.len());
    assert!(Arc::ptr_eq(&a, &registry.intern(b"select 1\0\0\0", NONE)));
}

#[test]
fn texts_that_nobody_holds_do_not_fill_the_memory() {
    let mut registry = Registry::default();
    for n in 0..SWEEP_AFTER {
        let text = format!("select {n}, '{}'\0\0\0", "x".repeat(MAX_SHARED / 2));
        registry.intern(text.as_bytes(), NONE);
        assert!(registry.bytes() <= SWEEP_AFTER_BYTES + MAX_SHARED, "{}", registry.bytes());
    }
}

#[test]
fn one_text_is_another_statement_when_it_is_read_in_another_way() {
    let mut registry = Registry::default();
    let (berlin, tokyo) = (Reading::default().after("Berlin"), Reading::default().after("Tokyo"));
    let body = b"select '2024-06-01'::timestamptz\0\0\0";
    let a = registry.intern_as(body, berlin, NONE);
    let b = registry.intern_as(body, tokyo, NONE);
    assert!(a.id() != b.id() && !b.is_used_again());
    assert!(Arc::ptr_eq(&a, &registry.intern_as(body, berlin, NONE)));
    assert!(Arc::ptr_eq(&b, &registry.intern_as(body, tokyo, NONE)));
    // As many as somebody thinks of: they are forgotten like any other.
    for n in 0..2 * SWEEP_AFTER {
        registry.intern_as(body, berlin.after(n), NONE);
    }
    assert!(registry.len() <= SWEEP_AFTER + 3, "{}", registry.len());
    drop(a);
    for n in 0..2 * SWEEP_AFTER {
        registry.intern_as(body, berlin.after(n), NONE);
    }
    assert!(Arc::ptr_eq(&b, &registry.intern_as(body, tokyo, NONE)));
}

#[test]
fn what_says_a_moment_is_new_each_time() {
    let mut registry = Registry::default();
    let mut parse = || registry.intern(b"insert into log values ('now')\0\0\0", NONE);
    let (one, two, three) = (parse(), parse(), parse());
    assert!(one.id() != two.id() && two.id() != three.id());
    assert!(!one.is_shared() && !three.is_used_again());
    assert!(Arc::ptr_eq(one.shared_body(), three.shared_body()), "the text is there once");
    assert_eq!(registry.len(), 1);
}

#[test]
fn long_ones_are_not_shared_and_have_a_limit() {
    let mut registry = Registry::default();
    let body = vec![b'x'; MAX_SHARED + 1];
    let one = registry.intern(&body, NONE);
    let two = registry.intern(&body, NONE);
    assert!(!Arc::ptr_eq(&one, &two) && !one.is_shared());
    assert!(
        registry.has_room(MAX_LONG - 2 * body.len()) && !registry.has_room(MAX_LONG - 2 * body.len() + 1)
    );
    drop((one, two));
    assert!(registry.has_room(MAX_LONG) && registry.has_room(MAX_SHARED) && !registry.has_room(MAX_LONG + 1));
}
