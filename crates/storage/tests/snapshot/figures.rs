//! Measurements: `cargo test --release -p dormouse-storage --test snapshot figures -- --ignored --nocapture`.
//! `FIGURES_SCALE` is pgbench's scale; 70 makes a database of about 1 GiB.

use std::process::Stdio;

use dormouse_base::clock::Mono;
use dormouse_storage::restore::{self, Mode};
use dormouse_storage::snapshot::{self, Options, Taken};

use crate::cluster::{Cluster, bin, copy, own, program};
use crate::lab::{Lab, template_owner};

fn show(what: &str, taken: &Taken) {
    let stats = taken.stats;
    println!(
        "{what}: {:.3} s, read {} MB ({:.0} MB/s), written {} KB (packs {} KB in {}, boot {} KB, manifest {} KB), chunks {} new, {} kept; files {}, {} kept",
        stats.time.as_secs_f64(),
        stats.read_bytes / 1_000_000,
        stats.mb_per_second(),
        stats.written_bytes() / 1000,
        stats.pack_bytes / 1000,
        stats.packs,
        stats.boot_bytes / 1000,
        stats.manifest_bytes / 1000,
        stats.new_chunks,
        stats.kept_chunks,
        stats.files,
        stats.kept_files
    );
}

fn pgbench(cluster: &Cluster, args: &[&str]) {
    let mut command = program(&bin(15).unwrap().join("pgbench"));
    command.args(args).args(["-U", "postgres", "-h"]).arg(cluster.sockets()).arg("postgres");
    assert!(command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement of minutes"]
async fn figures() {
    let scale = std::env::var("FIGURES_SCALE").unwrap_or_else(|_| "70".to_owned());
    let mut lab = Lab::new();
    let Some(pristine) = Cluster::new(18, lab.path(), "template") else { return };
    let branch = std::mem::replace(&mut lab.owner, template_owner());
    let template = lab.clean(&pristine, None).await;
    lab.owner = branch;
    show("template", &template);
    let dir = lab.path().join("c");
    copy(&pristine.data, &dir);
    own(&dir);
    let mut cluster = Cluster::at(pristine.bin.clone(), dir);
    cluster.start();
    pgbench(&cluster, &["-i", "-q", "-s", &scale]);
    cluster.stop();
    let mut request = lab.request(&cluster, Some(template.base()));
    request.state = None;
    for (epoch, level, threads) in [(10, 1, 1), (11, 1, 2), (12, 3, 1)] {
        request.epoch = dormouse_base::Epoch(epoch);
        request.options = Options { level, threads };
        let taken = snapshot::clean(request.clone()).await.unwrap();
        show(&format!("first, level {level}, {threads} threads"), &taken);
    }
    let first = snapshot::clean(lab.request(&cluster, Some(template.base()))).await.unwrap();
    show("first", &first);
    // One page of each hundredth chunk: 61 rows fill a page, 32 pages a chunk.
    cluster.start();
    cluster.sql("update pgbench_accounts set abalance = 1 where aid % (61 * 32 * 100) = 5; checkpoint");
    cluster.stop();
    let second = snapshot::clean(lab.request(&cluster, Some(first.base()))).await.unwrap();
    show("one per cent", &second);
    let faster = first.stats.time.as_secs_f64() / second.stats.time.as_secs_f64();
    let smaller = first.stats.written_bytes() as f64 / second.stats.written_bytes() as f64;
    println!("one per cent: {faster:.1} times faster, {smaller:.1} times smaller");
    let reader = dormouse_storage::pack::PackReader::new(lab.store.clone());
    let started = Mono::now();
    let verified = dormouse_storage::manifest::verify::verify(&second.manifest, &reader).await;
    println!(
        "verify: {:.3} s, {} chunks, {} MB",
        started.elapsed().as_secs_f64(),
        verified.chunks,
        verified.bytes / 1_000_000
    );
    materialise(&lab, &template, &pristine, &second).await;
    // At a smaller scale the fixed parts weigh more.
    assert!(scale != "70" || (faster >= 10.0 && smaller >= 20.0));
}

async fn materialise(lab: &Lab, template: &Taken, pristine: &Cluster, taken: &Taken) {
    for round in 0..5 {
        let mut spare = lab.order(taken, Mode::Lazy);
        copy(&pristine.data, &spare.dir);
        own(&spare.dir);
        spare.base = Some(template.manifest.clone());
        let bare = lab.order(taken, Mode::Lazy);
        let mut dirs = Vec::new();
        for (what, order) in [("with a spare", spare), ("without", bare)] {
            dirs.push(order.dir.clone());
            let made = restore::materialise(order).await.unwrap();
            let s = made.stats;
            println!(
                "lazy {what} {round}: {:.1} ms (read {:.1}, make {:.1}); {} kept, {} lazy, {} KB written, {} KB boot, {} KB fetched",
                s.time.as_secs_f64() * 1e3,
                s.read_time.as_secs_f64() * 1e3,
                s.make_time.as_secs_f64() * 1e3,
                s.kept_files,
                s.lazy_files,
                s.written_bytes / 1000,
                s.boot_bytes / 1000,
                s.fetched_bytes / 1000
            );
        }
        dirs.iter().for_each(|dir| std::fs::remove_dir_all(dir).unwrap());
    }
    let made = restore::materialise(lab.order(taken, Mode::Eager)).await.unwrap();
    let s = made.stats;
    println!(
        "eager: {:.3} s, {} MB written, {} requests",
        s.time.as_secs_f64(),
        s.written_bytes / 1_000_000,
        s.requests
    );
}
