//! Read-only endpoints: the past to look at, without a way to change it.

use super::{FILL, ROWS, Site};

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_reader_shows_the_past_and_refuses_writes() {
    let mut site = Site::new(&[]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    let place = site.place(&main).await;
    site.run(&main, "delete from t").await;
    let reader = site.server.read_only(&main, "main", &place);
    assert_eq!(site.number(&reader, ROWS).await, 1000);
    let client = site.open(&reader).await;
    for statement in ["insert into t values (0, '')", "create table x(n int)", "create temp table y(n int)"] {
        let error = client.batch_execute(statement).await.unwrap_err();
        assert_eq!(error.code().map(|c| c.code()), Some("25006"), "{statement}: {error:?}");
    }
    // Not even by asking for it.
    let error = client.batch_execute("set transaction_read_only = off; delete from t").await;
    assert!(error.is_err());
    drop(client);
    site.run(&main, "insert into t values (0, '')").await;
    assert_eq!(site.server.act(&reader, "suspend").0, 200);
    assert_eq!(site.number(&reader, ROWS).await, 1000, "it stays where it is");
    assert!(site.server.stop().1);
}
