//! What may be deleted, and what must not.

use super::{FILL, ROWS, Site};

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_branch_with_children_is_deleted_only_with_them() {
    let mut site = Site::new(&[]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    let child = site.server.branch(&main, "child", &[]);
    let grandchild = site.server.branch(&main, "grandchild", &["--parent", "child"]);
    assert_eq!(site.number(&grandchild.at, ROWS).await, 1000);
    let delete =
        |name, words: &[&str]| site.server.branch_verb(&main, "delete", name, &[words, &["--yes"]].concat());
    let refused = delete("child", &[]).unwrap_err();
    assert!(refused.text.contains("grandchild") || refused.text.contains("child"), "{refused:?}");
    assert_eq!(site.number(&grandchild.at, ROWS).await, 1000, "a refusal changes nothing");
    let refused = delete("main", &["--recursive"]).unwrap_err();
    assert!(matches!(refused.status, Some(1 | 2)), "the default branch stays: {refused:?}");

    delete("child", &["--recursive"]).unwrap();
    for gone in [&child, &grandchild] {
        assert_eq!(site.server.branch_verb(&main, "get", &gone.name, &[]).unwrap_err().status, Some(3));
        assert!(!site.server.home_of(&gone.at).exists(), "its local files are gone");
        let error = site.server.try_connect(&gone.at.dsn).await.unwrap_err();
        assert_eq!(error.code().map(|c| c.code()), Some("3D000"), "{error:?}");
    }
    site.server.gc();
    site.only_in_the_store(&main);
    assert_eq!(site.number(&main, ROWS).await, 1000, "the parent keeps what it shared");
    assert!(site.server.stop().1);
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_protected_branch_is_neither_deleted_nor_reset() {
    let mut site = Site::new(&[]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    let branch = site.server.branch(&main, "kept", &[]);
    let path = format!("/projects/{}/branches/{}", main.id, branch.id);
    let protect = serde_json::json!({ "branch": { "protected": true } });
    let (status, reply) = site.server.api("PATCH", &path, &protect);
    assert_eq!(status, 200, "{reply}");
    for (verb, words) in [("delete", &["--yes"][..]), ("reset", &[])] {
        let refused = site.server.branch_verb(&main, verb, "kept", words).unwrap_err();
        assert!(refused.text.contains("protected"), "{verb}: {refused:?}");
    }
    assert_eq!(site.number(&branch.at, ROWS).await, 1000);
    assert!(site.server.stop().1);
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_branch_expires() {
    let mut site = Site::new(&[]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    let branch = site.server.branch(&main, "short", &[]);
    assert_eq!(site.number(&branch.at, ROWS).await, 1000);
    let soon = dormouse_base::clock::now() + std::time::Duration::from_secs(2);
    let path = format!("/projects/{}/branches/{}", main.id, branch.id);
    let expire = serde_json::json!({ "branch": { "expires_at": soon.to_string() } });
    let (status, reply) = site.server.api("PATCH", &path, &expire);
    assert_eq!(status, 200, "{reply}");
    site.server.until_true("the branch is gone", || {
        site.server.branch_verb(&main, "get", "short", &[]).is_err_and(|refused| refused.status == Some(3))
    });
    assert_eq!(site.number(&main, ROWS).await, 1000);
    assert!(site.server.stop().1);
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_branch_is_deleted_while_it_is_being_filled() {
    let mut site = Site::with(&[], &[("DORMOUSE_STORE_FAULTS", "seed=1,latency=20ms")]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    let large = "create table u as select g, md5(g::text) s from generate_series(1, 100000) g";
    site.run(&main, large).await;
    site.server.branch_verb(&main, "snapshot", "main", &[]).unwrap();
    for round in 0..6 {
        let branch = site.server.branch(&main, &format!("b{round}"), &[]);
        let client = site.open(&branch.at).await;
        let some: i64 = client.query_one("select count(*) from t", &[]).await.unwrap().get(0);
        assert_eq!(some, 1000);
        drop(client);
        // While it is filled, and around the moment in which it is complete.
        std::thread::sleep(std::time::Duration::from_millis(150 * round));
        site.server.branch_verb(&main, "delete", &branch.id, &["--yes"]).unwrap();
        assert!(!site.server.cluster_of(&branch.at).exists());
    }
    let log = site.server.log();
    for loud in ["the hydration cannot be completed", "cannot remove", "a chunk cannot be written"] {
        let line = log.lines().find(|line| line.contains(loud));
        assert_eq!(line, None, "it ends quietly");
    }
    assert!(site.server.stop().1);
}
