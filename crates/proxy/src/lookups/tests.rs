//! Questions are counted and answered when the test allows it.

use std::net::IpAddr;
use std::sync::atomic::AtomicU32;

use dormouse_pgwire::sqlstate::SqlState;
use tokio::sync::Semaphore;

use super::*;
use crate::route::Route;
use crate::wake::{Backend, Claim, TokenRefusal};

/// Counts questions; each is answered when the test allows it, with its number.
#[derive(Debug)]
struct Counting {
    asked: AtomicU32,
    allowed: Semaphore,
}

fn refused() -> ClientError {
    ClientError::fatal(SqlState::INTERNAL_ERROR, "not asked here")
}

#[async_trait::async_trait]
impl Wake for Counting {
    fn locate(&self, _: &Route) -> Result<EndpointId, ClientError> {
        Err(refused())
    }

    fn admit(&self, _: &EndpointId, _: IpAddr) -> Result<(), ClientError> {
        Ok(())
    }

    fn expects_token(&self, _: &EndpointId) -> bool {
        false
    }

    fn check_token(&self, _: &[u8], _: Claim<'_>) -> Result<(), TokenRefusal> {
        Err(TokenRefusal::NotOne)
    }

    async fn stored_password(&self, _: &EndpointId, _: &str) -> Answer {
        let number = self.asked.fetch_add(1, Ordering::AcqRel) + 1;
        self.allowed.acquire().await.unwrap().forget();
        Ok(Some(StoredRole {
            password: Some(number.to_string()),
            can_login: true,
            valid_until: None,
            oid: None,
        }))
    }

    fn knows_key(&self, _: &str) -> bool {
        false
    }

    async fn keep_pool_settings(&self, _: &[(&'static str, Option<String>)]) -> Result<(), ClientError> {
        Err(refused())
    }

    async fn acquire(&self, _: &EndpointId) -> Result<Backend, ClientError> {
        Err(refused())
    }
}

#[tokio::test]
async fn who_comes_later_never_gets_an_older_answer() {
    let wake = Counting { asked: AtomicU32::new(0), allowed: Semaphore::new(0) };
    let (lookups, endpoint) = (Lookups::default(), "ep-a-a-a".parse().unwrap());
    let ask = || async {
        let stored = lookups.stored(&wake, &endpoint, "anna").await.unwrap().unwrap();
        stored.password.unwrap()
    };
    let late = async {
        while wake.asked.load(Ordering::Acquire) == 0 {
            tokio::task::yield_now().await;
        }
        // The first question is under way: these three share the second.
        let shared = async { tokio::join!(ask(), ask(), ask()) };
        let allow = async {
            tokio::task::yield_now().await;
            wake.allowed.add_permits(10);
        };
        tokio::join!(shared, allow).0
    };
    let (first, later) = tokio::join!(ask(), late);
    assert_eq!((first.as_str(), later), ("1", ("2".to_owned(), "2".to_owned(), "2".to_owned())));
    assert_eq!(wake.asked.load(Ordering::Acquire), 2);
}

#[tokio::test]
async fn another_takes_over_from_one_that_leaves() {
    let wake = Counting { asked: AtomicU32::new(0), allowed: Semaphore::new(0) };
    let (lookups, endpoint) = (Lookups::default(), "ep-a-a-a".parse().unwrap());
    let leaves =
        tokio::time::timeout(std::time::Duration::from_millis(10), lookups.stored(&wake, &endpoint, "anna"));
    assert!(leaves.await.is_err());
    wake.allowed.add_permits(1);
    let stored = lookups.stored(&wake, &endpoint, "anna").await.unwrap().unwrap();
    assert_eq!(stored.password.as_deref(), Some("2"));
}
