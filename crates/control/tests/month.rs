//! A month of simulated use, compared with a ledger made by hand, and priced by every sheet: from state changes
//! and heartbeats, through crashes of the server, the roll-ups and the API, to money.

#![allow(missing_docs, clippy::unwrap_used, clippy::cast_precision_loss)]

mod scene;

use axum::http::StatusCode;
use dormouse_base::{BranchId, Cu, EndpointId, Timestamp, clock};
use dormouse_control::cost::Month;
use dormouse_control::db::Db;
use dormouse_control::db::usage;
use dormouse_control::metering::{Doing, Ledger, Moment, Traffic};
use dormouse_pricing::{Database, Period, Pricing, Project, Usage};
use scene::Scene;
use serde_json::Value;

const MINUTE: i64 = 60;
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
/// What a crash may lose, as in the product.
const HEARTBEAT_MS: u64 = 10_000;
const GB: u64 = 1_000_000_000;

/// A server's ledger and the metadata it writes to. Seconds count from the beginning of the month.
struct Book {
    db: Db,
    month: Month,
    ledger: Ledger,
}

impl Book {
    fn open(scene: &Scene, month: &Month) -> Self {
        let db = Db::open(scene.data()).unwrap();
        let loaded = db.read("load", usage::load).unwrap();
        let ledger = Ledger::resume(loaded.number, loaded.marks, loaded.levels, HEARTBEAT_MS);
        Self { db, month: month.clone(), ledger }
    }

    fn moment(&self, second: i64) -> Moment {
        let wall = Timestamp::from_second(self.month.from.as_second() + second).unwrap();
        Moment { wall, boot: 1, uptime_ms: u64::try_from(second * 1_000).unwrap() + 1 }
    }

    fn turn(&mut self, at: i64, endpoint: &EndpointId, doing: Doing, milli_cu: u32) {
        let now = self.moment(at);
        self.ledger.turn(endpoint, doing, Some(Cu::from_milli(milli_cu)), &now);
    }

    async fn beat(&mut self, at: i64) {
        let now = self.moment(at);
        self.ledger.settle(&now, true);
        let Some(batch) = self.ledger.take() else { return };
        let sent = batch.clone();
        // Sometimes the answer is lost, and it is sent again: that changes nothing.
        for _ in 0..=usize::from(batch.number % 7 == 0) {
            let sent = sent.clone();
            self.db.write("store", move |db| usage::store(db, &sent, now.wall)).await.unwrap();
        }
        self.ledger.done(&batch);
    }
}

struct Made {
    endpoint: EndpointId,
    branch: BranchId,
}

async fn project(scene: &Scene, name: &str) -> Made {
    let made = scene.project(name).await;
    Made { endpoint: scene::endpoint(&made), branch: made["branch"]["id"].as_str().unwrap().parse().unwrap() }
}

/// A shop that works every day, and a blog where three things happen.
async fn simulate(scene: &Scene, month: &Month, shop: &Made, blog: &Made) {
    let days = i64::try_from(month.seconds()).unwrap() / DAY;
    let mut book = Book::open(scene, month);
    for endpoint in [&shop.endpoint, &blog.endpoint] {
        book.turn(0, endpoint, Doing::Off, 250);
    }
    let start = book.moment(0);
    book.ledger.level(&shop.branch, 10 * GB, 2 * GB, &start);
    for day in 0..days {
        let at = |hour: i64, minute: i64| day * DAY + hour * HOUR + minute * MINUTE;
        if day == 2 {
            // 06:15:30 to 06:45:00; the server dies at 06:30 and the next one finds it at work at 06:31.
            book.turn(at(6, 15) + 30, &blog.endpoint, Doing::Active, 250);
            book.beat(at(6, 29) + 50).await;
            book = Book::open(scene, month);
            book.turn(at(6, 31), &blog.endpoint, Doing::Active, 250);
            book.turn(at(6, 31), &shop.endpoint, Doing::Off, 500);
            book.turn(at(6, 45), &blog.endpoint, Doing::Off, 250);
        }
        if day == 9 {
            // It works from midnight; the server dies at 00:10, its last word is of 00:09:55, and the next one
            // finds it stopped.
            book.turn(at(0, 0), &blog.endpoint, Doing::Active, 250);
            book.beat(at(0, 9) + 55).await;
            book = Book::open(scene, month);
            book.turn(at(0, 30), &blog.endpoint, Doing::Off, 250);
            book.turn(at(0, 30), &shop.endpoint, Doing::Off, 500);
        }
        if day == 15 {
            let now = book.moment(at(0, 0));
            book.ledger.level(&blog.branch, GB, 0, &now);
        }
        // 09:00 half a CU, from 10:00 to 10:30 two, asleep with memory from 12:00 to 13:00.
        book.turn(at(9, 0), &shop.endpoint, Doing::Active, 500);
        let (larger, smaller) = (book.moment(at(10, 0)), book.moment(at(10, 30)));
        book.ledger.size(&shop.endpoint, Cu::from_milli(2_000), &larger);
        let sold = Traffic { egress: GB, ingress: 1_000_000, queries: 1_000 };
        book.ledger.traffic(&shop.endpoint, sold, &larger);
        book.beat(at(10, 13)).await;
        book.ledger.size(&shop.endpoint, Cu::from_milli(500), &smaller);
        book.turn(at(12, 0), &shop.endpoint, Doing::Paused, 500);
        book.turn(at(13, 0), &shop.endpoint, Doing::Off, 500);
        for hour in 14..24 {
            book.beat(at(hour, 0)).await;
        }
    }
    // Half an hour of this month, and half an hour of the next.
    book.turn(days * DAY - HOUR / 2, &blog.endpoint, Doing::Active, 250);
    book.beat(days * DAY + 5 * MINUTE).await;
    book.turn(days * DAY + HOUR / 2, &blog.endpoint, Doing::Off, 250);
    book.beat(days * DAY + HOUR).await;
    // The branches had their endpoints before the month began, and the ledger knows all of it.
    let before = month.from.as_microsecond();
    let old = move |db: &rusqlite::Transaction<'_>| {
        db.execute("UPDATE endpoints SET created_at = ?1", [before - 1])?;
        db.execute("UPDATE usage_book SET since = ?1", [before])
    };
    book.db.write("make it old", old).await.unwrap();
}

/// By hand. Hours and CU-hours of `days` days.
struct Paper {
    shop_hours: f64,
    shop_cu: f64,
    blog_hours: f64,
    days: f64,
}

fn paper(days: f64) -> Paper {
    Paper {
        // 1 h × 0.5 + 0.5 h × 2 + 1.5 h × 0.5 = 2.25 CU-hours in 3 hours.
        shop_hours: 3.0 * days,
        shop_cu: 2.25 * days,
        // 29.5 min through a crash; 9 min 55 s, of which the last five seconds are lost; 30 min before the next month.
        blog_hours: (1_770.0 + 595.0 + 1_800.0) / 3_600.0,
        days,
    }
}

fn near(told: &Value, expected: f64, what: &str) {
    let told = told.as_f64().unwrap();
    assert!((told - expected).abs() <= 2e-6 * expected.abs().max(1.0), "{what}: {told}, by hand {expected}");
}

/// The same as what is priced, made from the paper and not from the ledger.
fn by_hand(paper: &Paper, month_seconds: u64) -> Usage {
    let whole = |number: f64| number.round() as u64;
    let held = |gb: f64, days: f64| u128::from(whole(gb * 1e9)) * u128::from(whole(days * 86_400.0));
    let shop = Database {
        exists_seconds: month_seconds,
        active_seconds: whole(paper.shop_hours * 3_600.0),
        milli_cu_seconds: whole(paper.shop_cu * 3_600.0 * 1e3).into(),
        peak_milli_cu: Some(750),
        storage_byte_seconds: held(10.0, paper.days),
        history_byte_seconds: held(2.0, paper.days),
        egress_bytes: whole(paper.days) * GB,
        io_requests: None,
        wakes: whole(paper.days),
    };
    let blog = Database {
        exists_seconds: month_seconds,
        active_seconds: whole(paper.blog_hours * 3_600.0),
        milli_cu_seconds: whole(paper.blog_hours * 3_600.0 * 250.0).into(),
        peak_milli_cu: Some(250),
        storage_byte_seconds: held(1.0, paper.days - 15.0),
        wakes: 3,
        ..Database::default()
    };
    let projects = vec![Project { databases: vec![shop] }, Project { databases: vec![blog] }];
    Usage { period: Period { seconds: month_seconds, month_seconds }, projects }
}

#[tokio::test]
async fn a_month_is_what_paper_says_by_every_sheet() {
    let scene = Scene::new();
    let this = Month::of(clock::now());
    let month = Month::of(Timestamp::from_second(this.from.as_second() - 1).unwrap());
    let (shop, blog) = (project(&scene, "shop").await, project(&scene, "blog").await);
    simulate(&scene, &month, &shop, &blog).await;
    let (status, told) = scene.get(&format!("/cost?month={}", month.name)).await;
    assert_eq!(status, StatusCode::OK, "{told}");

    let paper = paper(month.seconds() as f64 / DAY as f64);
    let Paper { shop_hours, shop_cu, blog_hours, days } = paper;
    let cu_hours = shop_cu + blog_hours * 0.25;
    let used = &told["usage"];
    near(&used["active_seconds"], (shop_hours + blog_hours) * 3_600.0, "active");
    near(&used["cu_seconds"], cu_hours * 3_600.0, "CU");
    near(&used["paused_seconds"], days * 3_600.0, "paused");
    near(&used["storage_byte_hours"], (10.0 * days + (days - 15.0)) * 24.0 * 1e9, "storage");
    near(&used["history_byte_hours"], 2.0 * days * 24.0 * 1e9, "history");
    near(&used["egress_bytes"], days * 1e9, "egress");
    near(&used["ingress_bytes"], days * 1e6, "ingress");
    near(&used["queries"], days * 1e3, "queries");
    near(&used["wakes"], days + 3.0, "wakes");

    // Every sheet asks the same for the ledger's month and for the paper's.
    let hand = by_hand(&paper, month.seconds());
    let pricing = Pricing::default();
    assert_eq!(told["sheets"].as_array().unwrap().len(), pricing.sheets().len());
    let total = |id: &str, which: &str| {
        let sheets = told["sheets"].as_array().unwrap();
        sheets.iter().find(|sheet| sheet["id"] == id).unwrap()[which].clone()
    };
    for sheet in pricing.sheets() {
        let bill = sheet.bill(&hand);
        near(&total(&sheet.id, "total"), bill.total.to_f64(), &sheet.id);
        near(&total(&sheet.id, "always_on_total"), bill.always_on_total.to_f64(), &sheet.id);
    }

    // And some of them without any code of ours. GB-months: 10 of the shop, (days − 15) / days of the blog.
    let blog_gb = (days - 15.0) / days;
    let gib = 1e9 / f64::from(1 << 30);
    let hours = 24.0 * days;
    let neon = cu_hours * 0.106 + (10.0 + blog_gb) * 0.35 + 2.0 * 0.20;
    near(&total("neon-launch", "total"), neon, "Neon");
    let awake = (0.75 + 0.25) * hours * 0.106 + (10.0 + blog_gb) * 0.35 + 2.0 * 0.20;
    near(&total("neon-launch", "always_on_total"), awake, "Neon, always on");
    let aurora = cu_hours * 2.0 * 0.12 + (10.0 + blog_gb) * gib * 0.10 + 2.0 * gib * 0.021;
    near(&total("aurora-v2", "total"), aurora, "Aurora");
    // 0.75 CU need Medium, 0.25 CU Micro; of each disk 8 GB are included.
    let supabase = 25.0 + hours * (0.0822 + 0.013_44) - 10.0 + 2.0 * 0.125;
    near(&total("supabase-pro", "total"), supabase, "Supabase");
    // Disks of 10 GB and of at least 8 GiB; less than 100 GB to clients.
    let machines = hours * (0.0408 + 0.0084) + (10.0 * gib + 8.0) * 0.08;
    near(&total("vm-always-on", "total"), machines, "machines");

    // The half hour after the month's end is in the next one.
    let (_, next) = scene.get("/usage").await;
    near(&next["totals"]["active_seconds"], 1_800.0, "the next month");
}
