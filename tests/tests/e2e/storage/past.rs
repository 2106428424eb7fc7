//! Branches of the past: by position and by time, and never of what is not kept.

use super::{FILL, Site};

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn the_past_by_position_and_by_time() {
    let mut site = Site::new(&[]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    let mut places = Vec::new();
    for round in 1..=3 {
        site.run(&main, &format!("insert into t values ({}, 'round')", -round)).await;
        places.push((site.place(&main).await, site.time(&main).await));
    }
    site.run(&main, "drop table t").await;
    for (round, (lsn, time)) in places.iter().enumerate() {
        let wanted = 1001 + i64::try_from(round).unwrap();
        for (word, at) in [("lsn", lsn), ("time", time)] {
            let branch = site.server.branch(&main, &format!("{word}{round}"), &["--at", at]);
            assert_eq!(site.number(&branch.at, "select count(*) from t").await, wanted, "{word} {at}");
            assert_eq!(site.server.act(&branch.at, "suspend").0, 200);
        }
    }
    site.server.fsck();
    assert!(site.server.stop().1);
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn what_is_not_kept_and_what_has_not_been_is_refused() {
    let mut site = Site::new(&[]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    let place = site.place(&main).await;
    site.server.branch(&main, "now", &["--at", &place]);
    for at in ["2001-01-01T00:00:00Z", "0/28", "2999-01-01T00:00:00Z", "FFFF/0", "yesterday-ish", "0/xyz"] {
        let refused = site.server.try_branch(&main, "never", &["--at", at]).unwrap_err();
        assert!(matches!(refused.status, Some(1 | 2)), "{at}: {refused:?}");
        assert!(!refused.text.contains("internal"), "{at}: it says what is wrong: {refused:?}");
    }
    // Nothing of it is left.
    assert_eq!(site.server.branch_verb(&main, "get", "never", &[]).unwrap_err().status, Some(3));
    assert!(site.server.stop().1);
}
