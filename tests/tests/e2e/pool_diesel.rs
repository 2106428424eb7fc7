//! Diesel through the pool: libpq under it, statements of its query builder cached under names,
//! `sql_query` with the unnamed statement prepared in one series and used in another.

use diesel::connection::{Connection, SimpleConnection};
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error};
use diesel::sql_types::{Integer, Text};

use crate::pool_house::{House, skipped};
use crate::pool_rust::{Driver, elsewhere, everything};

/// Diesel keeps the SQLSTATE to itself; these are what its texts begin with.
const STATES: [(&str, &str); 4] = [
    ("division by zero", "22012"),
    ("current transaction is aborted", "25P02"),
    ("relation \"no_such_table\" does not exist", "42P01"),
    ("relation \"pool_rust_tx\" does not exist", "42P01"),
];

struct Diesel(PgConnection);

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    v: String,
}

fn state(error: &Error) -> String {
    if let Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _) = error {
        return "23505".to_owned();
    }
    let text = error.to_string();
    STATES
        .iter()
        .find(|(start, _)| text.starts_with(start))
        .map_or_else(|| text.clone(), |(_, code)| (*code).to_owned())
}

impl Driver for Diesel {
    fn ask(&mut self, text: &str, n: i32) -> Result<String, String> {
        let asked = diesel::sql_query(text).bind::<Integer, _>(n).get_result::<Row>(&mut self.0);
        asked.map(|row| row.v).map_err(|e| state(&e))
    }

    fn plain(&mut self, text: &str) -> Result<(), String> {
        self.0.batch_execute(text).map_err(|e| state(&e))
    }
}

diesel::table! {
    pool_diesel (id) {
        id -> Integer,
        name -> Text,
    }
}

#[test]
fn diesel() {
    if skipped("rust", "diesel") {
        return;
    }
    let house = House::new();
    let connect = || Diesel(PgConnection::establish(&house.dsn()).unwrap());
    everything(&house, connect);
    let (mut a, mut b) = (connect(), connect());
    a.plain("create table pool_diesel (id int primary key, name text not null)").unwrap();
    builder(&mut a, &mut b);
    a.plain("drop table pool_diesel").unwrap();
    drop((a, b));
    house.assert_clean_log();
}

fn builder(a: &mut Diesel, b: &mut Diesel) {
    use self::pool_diesel::dsl::{id, name, pool_diesel};
    for round in 0..6 {
        let add = |c: &mut PgConnection, n: i32| {
            diesel::insert_into(pool_diesel).values((id.eq(n), name.eq(format!("n{n}")))).execute(c)
        };
        elsewhere(b, || add(&mut a.0, round).unwrap());
        assert!(matches!(
            add(&mut b.0, round),
            Err(Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _))
        ));
        let failed = a.0.transaction::<(), Error, _>(|c| {
            add(c, 1000)?;
            // A transaction inside of a transaction is a savepoint.
            let inner = c.transaction::<(), Error, _>(|c| add(c, round).map(|_| ()));
            assert!(inner.is_err());
            assert_eq!(pool_diesel.count().get_result::<i64>(c)?, i64::from(round) + 2);
            Err(Error::RollbackTransaction)
        });
        assert!(matches!(failed, Err(Error::RollbackTransaction)));
        let find =
            |c: &mut PgConnection| pool_diesel.filter(id.le(round)).order(id).select(name).load::<String>(c);
        let wanted: Vec<String> = (0..=round).map(|n| format!("n{n}")).collect();
        assert_eq!(elsewhere(b, || find(&mut a.0).unwrap()), wanted);
        assert_eq!(find(&mut b.0).unwrap(), wanted);
    }
    let serializable = a.0.build_transaction().serializable().read_only().run(|c| {
        diesel::sql_query("select current_setting('transaction_isolation') as v").get_result::<Row>(c)
    });
    assert_eq!(serializable.unwrap().v, "serializable");
}
