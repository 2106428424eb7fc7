//! A directory store whose directory goes away under it.

use std::fs;

use super::*;

/// Everything that asks the store something.
async fn all_refused(store: &Store, key: &Key) -> Vec<StoreError> {
    vec![
        store.put(&named("t/put"), body(1, 10)).await.unwrap_err(),
        store.create(&named("t/create"), body(1, 10)).await.unwrap_err(),
        store.get(key).await.unwrap_err(),
        store.get_range(key, 0..1).await.unwrap_err(),
        store.head(key).await.unwrap_err(),
        store.exists(key).await.unwrap_err(),
        store.list(&named("t"), None).await.unwrap_err(),
        store.list(&named("kept"), Some(&named("a"))).await.unwrap_err(),
        store.children(&named("t")).await.unwrap_err(),
        store.delete(key).await.unwrap_err(),
        store.delete_all(std::slice::from_ref(key)).await.unwrap_err(),
    ]
}

#[tokio::test]
async fn nothing_is_read_or_written_where_the_directory_is_not() {
    let (dir, store) = local().await;
    let (place, aside) = (dir.path().join("store"), dir.path().join("aside"));
    let key = named("kept/one");
    store.put(&key, body(1, 100)).await.unwrap();
    fs::rename(&place, &aside).unwrap();
    // Nothing is there, an empty directory (nothing is mounted), a file.
    for round in 0..3 {
        match round {
            0 => {}
            1 => fs::create_dir(&place).unwrap(),
            _ => fs::write(&place, b"").unwrap(),
        }
        for refused in all_refused(&store, &key).await {
            assert!(!refused.is_not_found(), "round {round}: what is away is not known to be missing");
            let said = with_causes(&refused);
            assert!(said.contains("is not there") && said.contains("mounted"), "round {round}: {said}");
        }
        store.sweep_leftovers().await.unwrap_err();
        match round {
            0 => assert!(!place.exists(), "nothing is made in its place"),
            1 => fs::remove_dir(&place).expect("it is still empty"),
            _ => fs::remove_file(&place).unwrap(),
        }
    }
    fs::rename(&aside, &place).unwrap();
    assert_eq!(store.get(&key).await.unwrap(), body(1, 100));
    behaves(&store).await;
    store.sweep_leftovers().await.unwrap();
}
