use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::*;

/// The files of one control group, as they were recorded, in a directory of their own.
fn recorded(root: &Path, files: &[(&str, &str)]) -> PathBuf {
    fs::create_dir_all(root).unwrap();
    for (name, text) in files {
        fs::write(root.join(name), text).unwrap();
    }
    root.to_owned()
}

fn net_dev(root: &Path) -> File {
    let path = root.join("net_dev");
    fs::write(&path, include_str!("fixtures/net_dev")).unwrap();
    File::open(path).unwrap()
}

fn v1(root: &Path) -> Group {
    let path = recorded(
        root,
        &[
            ("cpuacct.usage", "61000000\n"),
            ("cpuacct.stat", "user 4\nsystem 2\n"),
            ("memory.limit_in_bytes", "134217728\n"),
            ("memory.usage_in_bytes", "1433600\n"),
            ("blkio.throttle.io_service_bytes_recursive", include_str!("fixtures/blkio_v1")),
        ],
    );
    Group::V1 { cpuacct: path.clone(), memory: path.clone(), blkio: Some(path) }
}

fn v2(root: &Path) -> Group {
    let path = recorded(
        root,
        &[
            ("cpu.stat", "usage_usec 61000\nuser_usec 40000\nsystem_usec 20000\nnr_periods 0\n"),
            ("memory.max", "max\n"),
            ("memory.current", "1433600\n"),
            ("io.stat", "252:0 rbytes=4096 wbytes=512 rios=1 wios=1 dbytes=0 dios=0\n"),
        ],
    );
    Group::V2 { path }
}

#[tokio::test(start_paused = true)]
async fn recorded_groups_of_both_versions_give_all_nine_figures() {
    for make in [v1, v2] {
        let root = tempfile::tempdir().unwrap();
        let group = make(root.path());
        let mut sampler = CgroupSampler::open_with(&group, net_dev(root.path())).unwrap();
        tokio::time::advance(Duration::from_millis(100)).await;
        if let Group::V1 { cpuacct, .. } = &group {
            fs::write(cpuacct.join("cpuacct.usage"), "111000000\n").unwrap();
            fs::write(cpuacct.join("cpuacct.stat"), "user 7\nsystem 4\n").unwrap();
        } else {
            let stat = "usage_usec 111000\nuser_usec 70000\nsystem_usec 40000\n";
            fs::write(root.path().join("cpu.stat"), stat).unwrap();
        }
        let stat = sampler.sample().unwrap().metrics;
        assert_eq!((stat.cpu_total, stat.cpu_user, stat.cpu_kernel), (50, 30, 20));
        assert_eq!((stat.disk_read, stat.disk_write), (4096, 512));
        assert_eq!((stat.net_rx, stat.net_tx), (1006, 70));
        assert_eq!(stat.mem_usage, 1_433_600);
        let limited = matches!(group, Group::V1 { .. });
        assert_eq!(stat.mem_limit == 134_217_728, limited);
        assert!(stat.mem_limit > 0, "without a limit it is the machine's memory");

        tokio::time::advance(Duration::from_millis(100)).await;
        assert_eq!(sampler.sample().unwrap().metrics.cpu_total, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_mark_begins_a_new_interval() {
    let root = tempfile::tempdir().unwrap();
    let group = v2(root.path());
    let mut sampler = CgroupSampler::open_with(&group, net_dev(root.path())).unwrap();
    let use_cpu = |micros: u64| {
        let stat = format!("usage_usec {micros}\nuser_usec {micros}\nsystem_usec 0\n");
        fs::write(root.path().join("cpu.stat"), stat).unwrap();
    };
    use_cpu(10_000_000);
    tokio::time::advance(Duration::from_secs(1)).await;
    sampler.mark();
    use_cpu(10_150_000);
    tokio::time::advance(Duration::from_millis(100)).await;
    let stat = sampler.sample().unwrap().metrics;
    assert_eq!((stat.cpu_total, stat.cpu_user, stat.cpu_kernel), (150, 150, 0));
}

#[test]
fn figures_that_run_backwards_or_take_no_time_are_zero() {
    assert_eq!(percent(5, 3, 100), 0);
    assert_eq!(percent(0, 100, 0), 0);
    assert_eq!(percent(0, 200, 100), 200);
    assert_eq!(percent(0, u64::MAX, 1), u64::MAX);
}

#[test]
fn long_files_are_read_to_the_end() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("io.stat");
    let lines = (0..2000).map(|n| format!("8:{n} rbytes=1 wbytes=2 rios=1 wios=1\n"));
    fs::write(&path, lines.collect::<String>()).unwrap();
    let mut buffer = vec![0; BUFFER_BYTES];
    let text = read(&File::open(path).unwrap(), &mut buffer).unwrap();
    let traffic = parse::disk_v2(text);
    assert_eq!((traffic.inward, traffic.outward), (2000, 4000));
}

#[test]
fn a_group_without_processes_has_no_sampler() {
    let root = tempfile::tempdir().unwrap();
    let group = v2(root.path());
    fs::write(root.path().join("cgroup.procs"), "").unwrap();
    assert_eq!(CgroupSampler::open(&group).unwrap_err().kind(), io::ErrorKind::NotFound);
}
