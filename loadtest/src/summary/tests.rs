use super::*;

fn spread(median: f64, ratio: Option<f64>) -> Value {
    let ratio = ratio.map(|r| object!({ "least": r / 2.0, "median": r, "most": r * 2.0 }));
    object!({ "median": median, "ratio": ratio, "rounds": [median, median * 1.5] })
}

/// As `compare` writes it.
fn comparison(peer: &str, cpu: f64, p99: f64) -> Value {
    let figures = |ratio: bool| {
        let of = |median: f64, other: f64| match ratio {
            true => spread(median, Some(other)),
            false => spread(median, None),
        };
        object!({
            "peak": { "cpu_us": of(cpu, 0.5), "rate": of(1e3, 0.9), "resident_mib": { "rounds": [10.0, 11.0] } },
            "open": [
                { "p99_us": of(1.0, 1.0) },
                { "p99_us": of(p99, 1.5), "resident_mib": { "rounds": [11.0, 12.0] } },
            ],
        })
    };
    let mut peers = [figures(false), figures(true)];
    peers[0]["name"] = "edge".into();
    peers[1]["name"] = peer.into();
    object!({
        "peers": peers,
        "loads": [{ "part": 0.25 }, { "part": 0.5 }],
        "fdatasync_us": { "p99": 100 },
        "doubts": ["one"],
    })
}

fn of(file: &str, content: &Value) -> Summary {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(format!("{file}.json")), content.to_string()).unwrap();
    Summary::read(dir.path(), "here".to_owned()).unwrap()
}

#[test]
fn what_was_measured_has_a_line_and_the_rest_is_named() {
    let summary = of("redirect", &comparison("nginx", 20.0, 500.0));
    let names: Vec<&str> = summary.lines.iter().map(|line| line.name.as_str()).collect();
    assert_eq!(names, ["redirect, CPU-us", "redirect, answers/s"]);
    assert_eq!(summary.lines[0].ratio, Some([0.25, 0.5, 1.0]));
    assert_eq!((summary.lines[0].met, summary.lines[1].met), (Some(true), None));
    let table = summary.table();
    assert!(table.contains("<= 0.80: met (?)\n"), "{table}");
    assert!(table.contains("not measured: redirect, CPU-us, log buffered; "), "{table}");
    let json = summary.json();
    assert_eq!((&json["about"], &json["measures"][0]["met"]), (&"here".into(), &true.into()));
    assert_eq!(json["not_measured"].as_array().unwrap().len(), ROWS.len() - 2);
}

#[test]
fn goals_are_held_against_ratios_figures_and_the_disk() {
    // A ratio of CPU times turns round in answers for each second of them.
    let h2 = of("h2", &comparison("nginx", 20.0, 0.0));
    assert_eq!((h2.lines[0].ours, h2.lines[0].ratio), (50_000.0, Some([1.0, 2.0, 4.0])));
    assert_eq!((h2.lines[0].met, h2.lines[0].goal.as_str()), (Some(true), ">= 1.20"));

    let sweep = of("sweep", &comparison("nginx", 1.0, 500.0));
    assert_eq!(sweep.lines.len(), 2);
    assert_eq!(
        (sweep.lines[1].met, sweep.lines[1].goal.as_str()),
        (Some(true), "<= peer + 2 fdatasync = 700")
    );

    let flood = of("flood", &comparison("clean", 1.0, 500.0));
    assert_eq!((flood.lines[0].ours, flood.lines[0].met), (500.0, Some(true)));
    assert_eq!(
        (flood.lines[1].ours, flood.lines[1].theirs, flood.lines[1].met),
        (12.0, Some(10.0), Some(false))
    );

    let idle = of(
        "idle",
        &object!({ "peers": [{ "name": "edge", "bytes_each": 13 }, { "name": "bare", "bytes_each": 10 }] }),
    );
    assert_eq!((idle.lines[0].ratio, idle.lines[0].met), (Some([1.3; 3]), Some(false)));

    let start = of("start", &object!({ "ms": { "median": 100.5 } }));
    assert_eq!((start.lines[0].ours, start.lines[0].met), (100.5, Some(false)));
}

#[test]
fn a_file_that_cannot_be_read_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("pixel.json"), "{").unwrap();
    assert!(Summary::read(dir.path(), String::new()).is_err());
    assert!(Summary::read(&dir.path().join("none"), String::new()).unwrap().lines.is_empty());
}
