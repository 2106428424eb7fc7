//! Opening a store: addresses, the marker, stores that do not arbitrate, secrets.

use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::*;
use crate::object::store::Parts;

/// A store that takes every create for a put, as some test servers and old clones of S3 do.
#[derive(Debug, Default)]
struct Careless(InMemory);

impl fmt::Display for Careless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("careless")
    }
}

#[async_trait]
impl ObjectStore for Careless {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        tokio::task::yield_now().await;
        self.0.put_opts(path, payload, PutOptions { mode: PutMode::Overwrite, ..options }).await
    }
    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(path, options).await
    }
    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        tokio::task::yield_now().await;
        self.0.get_opts(path, options).await
    }
    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.0.get_ranges(path, ranges).await
    }
    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(paths)
    }
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }
    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }
    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}

async fn settled(backend: Arc<dyn ObjectStore>) -> Result<Store, OpenError> {
    let url = backend.to_string();
    let store = Store::of(Parts { backend, url, limits: quick(), id: None, directory: None, faults: None });
    crate::object::format::settle(&store, false, &Expected::Any).await.map(|_| store)
}

#[tokio::test]
async fn a_store_that_does_not_arbitrate_is_found_out_and_served() {
    let backend = Arc::new(Careless::default());
    for round in 0..2 {
        let store = settled(Arc::clone(&backend) as Arc<dyn ObjectStore>).await.unwrap();
        assert!(!store.arbitrates(), "round {round}");
        behaves(&store).await;
        let racing = (0..16).map(|n| {
            let store = store.clone();
            async move { store.create(&named(&format!("race{round}")), body(n, 64)).await.unwrap() }
        });
        let won = futures_util::future::join_all(racing).await.into_iter().filter(|c| *c == Created::New);
        assert_eq!(won.count(), 1);
    }
    for seed in 0..20 {
        let plan = format!("seed={seed},error=20%,timeout_after_success=20%").parse().unwrap();
        let honest = FaultStore::new(Arc::new(InMemory::new()), plan);
        assert!(settled(Arc::new(honest)).await.unwrap().arbitrates(), "seed {seed}");
    }
}

#[tokio::test]
async fn the_marker_is_written_once_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/er").to_str().unwrap().to_owned();
    let reading = StoreOptions { read_only: true, ..StoreOptions::default() };
    assert!(matches!(Store::open(&path, reading.clone()).await, Err(OpenError::Directory { .. })));
    let first = Store::open(&path, StoreOptions::default()).await.unwrap().format().await.unwrap();
    let url = format!("file://{path}");
    let again = Store::open(&url, StoreOptions::default()).await.unwrap();
    assert!(again.arbitrates());
    assert_eq!(again.format().await.unwrap(), first);
    assert_eq!((first.format, first.product.as_str()), (key::FORMAT_VERSION, "dormouse"));
    assert_eq!(Store::open(&path, reading.clone()).await.unwrap().format().await.unwrap(), first);
    let empty = dir.path().to_str().unwrap();
    std::fs::rename(dir.path().join("deep"), dir.path().join("lost+found")).unwrap();
    std::fs::remove_dir_all(dir.path().join("lost+found")).unwrap();
    assert!(matches!(Store::open(empty, reading).await, Err(OpenError::Absent(_))));
}

#[tokio::test]
async fn an_expected_store_is_never_begun_and_another_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (place, copy) = (dir.path().join("store"), dir.path().join("copy"));
    let opened = async |place: &std::path::Path, expected: Expected| {
        let options = StoreOptions { expected, ..StoreOptions::default() };
        Store::open(place.to_str().unwrap(), options).await
    };
    for round in 0..2 {
        for expected in [Expected::Existing, Expected::This("one".to_owned())] {
            let refused = opened(&place, expected).await.unwrap_err();
            assert!(matches!(refused, OpenError::Gone(_)), "{refused}");
        }
        if round == 0 {
            assert!(!place.exists(), "nothing is made");
            std::fs::create_dir(&place).unwrap();
        }
    }
    assert_eq!(std::fs::read_dir(&place).unwrap().count(), 0, "nothing is begun");
    let store = opened(&place, Expected::Any).await.unwrap();
    let id = store.id().unwrap().to_owned();
    assert_eq!(store.format().await.unwrap().store, id);
    for expected in [Expected::Existing, Expected::This(id.clone())] {
        assert_eq!(opened(&place, expected).await.unwrap().id(), Some(&*id));
    }
    let refused = opened(&place, Expected::This("one".to_owned())).await.unwrap_err();
    assert!(matches!(&refused, OpenError::Other { found, .. } if *found == id), "{refused}");
    // A copy is the same store.
    std::fs::create_dir(&copy).unwrap();
    std::fs::copy(place.join("format"), copy.join("format")).unwrap();
    assert!(opened(&copy, Expected::This(id)).await.is_ok());
}

#[tokio::test]
async fn other_peoples_and_newer_stores_are_refused() {
    let backend = Arc::new(InMemory::new());
    let store = Store::new(Arc::clone(&backend) as Arc<dyn ObjectStore>);
    store.put(&named("photos/cat"), body(0, 5)).await.unwrap();
    let refused = settled(Arc::clone(&backend) as Arc<dyn ObjectStore>).await.unwrap_err();
    assert!(refused.to_string().contains("`photos/cat`"), "{refused}");
    for (text, wanted) in [
        (r#"{"format":2,"product":"dormouse","other":[]}"#, "upgrade Dormouse"),
        (r#"{"format":1,"product":"dormice"}"#, "empty bucket"),
        ("not json", "empty bucket"),
    ] {
        store.put(&key::format(), Bytes::from(text)).await.unwrap();
        let refused = settled(Arc::clone(&backend) as Arc<dyn ObjectStore>).await.unwrap_err();
        assert!(refused.to_string().contains(wanted), "{refused}");
        assert_eq!(store.get(&key::format()).await.unwrap(), text);
    }
}

#[tokio::test]
async fn secrets_are_never_shown() {
    let secret = "hunter2hunter2";
    let variables = [
        ("AWS_ACCESS_KEY_ID", "someone"),
        ("AWS_SECRET_ACCESS_KEY", secret),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
        ("AWS_ALLOW_HTTP", "true"),
        ("AZURE_STORAGE_ACCOUNT_NAME", "a"),
        ("AZURE_STORAGE_ACCOUNT_KEY", secret),
        ("GOOGLE_SERVICE_ACCOUNT_KEY", secret),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), Secret::new(value.to_owned())));
    let limits = Limits { attempts: 2, ..quick() };
    let options = StoreOptions { variables: variables.into(), limits, ..StoreOptions::default() };
    assert!(!format!("{options:?}").contains(secret));
    let with_password = format!("s3://user:{secret}@bucket/x");
    let with_query = format!("az://container/x?sig={secret}");
    let no_url = format!("s3://bucket:{secret}/x");
    for url in ["s3://bucket/x", "az://container/x", "gs://bucket/x", &with_password, &with_query, &no_url] {
        let refused = Store::open(url, options.clone()).await.unwrap_err();
        let text = format!("{} {refused:?}", with_causes(&refused));
        assert!(!text.contains(secret), "{url}: {text}");
    }
    // Over TLS too, where the client must be able to set up its cryptography.
    let mut encrypted = options.clone();
    let endpoint = Secret::new("https://127.0.0.1:1".to_owned());
    encrypted.variables.insert("AWS_ENDPOINT_URL".to_owned(), endpoint);
    let refused = Store::open("s3://bucket/x", encrypted).await.unwrap_err();
    let text = format!("{} {refused:?}", with_causes(&refused));
    assert!(text.contains("127.0.0.1:1") && !text.contains(secret), "{text}");
    let refused = Store::open(&with_query, options).await.unwrap_err();
    assert!(refused.to_string().contains("environment"), "{refused}");
}

#[tokio::test]
async fn wrong_addresses_are_explained() {
    for (url, wanted) in [
        ("", "write a directory"),
        ("ftp://host/x", "s3://bucket/prefix"),
        ("s3://", "s3://bucket/prefix"),
        ("az://container/x", "AZURE_…"),
        ("/dev/null/x", "/dev/null/x"),
        ("file://host/x", "file:///absolute/path"),
    ] {
        let options = StoreOptions { limits: Limits { attempts: 1, ..quick() }, ..StoreOptions::default() };
        let refused = Store::open(url, options).await.unwrap_err();
        let text = with_causes(&refused);
        assert!(text.contains(wanted), "{url}: {text}");
    }
}

/// A register's version must be on a directory within 2 ms where the disk syncs in half of one. How long
/// that takes depends on the disk and on who else uses it, so what is tested is the distance to bare calls.
#[tokio::test]
async fn a_small_durable_create_costs_little_more_than_its_syncs() {
    let (dir, store) = local().await;
    let (mut ours, mut bare): (Vec<Duration>, Vec<Duration>) = (Vec::new(), Vec::new());
    for n in 0..60 {
        let start = clock::Mono::now();
        store.create(&named(&format!("register/{n:016x}")), body(n, 1500)).await.unwrap();
        ours.push(start.elapsed());
        let start = clock::Mono::now();
        let path = dir.path().join(format!("bare{n}"));
        std::fs::write(&path, body(n, 1500)).unwrap();
        std::fs::File::open(&path).unwrap().sync_all().unwrap();
        std::fs::File::open(dir.path()).unwrap().sync_all().unwrap();
        bare.push(start.elapsed());
    }
    ours.sort();
    bare.sort();
    println!("create: median {:?}, bare calls {:?}", ours[30], bare[30]);
    assert!(ours[30] < bare[30] * 10 + Duration::from_millis(30), "{:?}, {:?}", ours[30], bare[30]);
}
