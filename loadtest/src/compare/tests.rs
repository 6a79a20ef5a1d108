use super::*;

fn comparison(peers: &[String]) -> Comparison {
    Comparison {
        peers: peers.iter().map(|peer| peer.parse().unwrap()).collect(),
        rounds: 2,
        seconds: 1,
        connections: 4,
        streams: 1,
        loads: vec![0.1],
        timeout: Duration::from_secs(20),
        crowd: Crowd::Passing,
        expect: Expect::Redirect,
        ca: None,
        sync_dir: None,
    }
}

#[test]
fn two_ways_to_ask_one_server_are_compared() {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        crate::serve_bare(([127, 0, 0, 1], 0).into(), "https://shop.example/", |at| tell.send(at).unwrap())
    });
    let (address, pid) = (told.recv().unwrap(), std::process::id());
    let peers = ["kept", "new:each"].map(|name| format!("{name}=http://{address}/302,{pid}"));
    let mut told = Vec::new();
    let mut measured = compare(comparison(&peers), |line| told.push(line.to_owned())).unwrap();
    let turns: Vec<_> = told.iter().map(|line| line.split_whitespace().nth(2).unwrap()).collect();
    assert_eq!(turns[..4], ["kept", "new", "new", "kept"]);
    assert!(measured.errors().is_empty(), "{:?}", measured.errors());
    assert_eq!((measured.open.len(), measured.open[0].load), (1, 0.1));

    let json = json(&measured);
    for (number, name) in ["kept", "new"].into_iter().enumerate() {
        let peer = &json["peers"][number];
        assert_eq!(peer["name"], name);
        assert_eq!(peer["answered"], measured.answered(number));
        for figures in [&peer["peak"], &peer["open"][0]] {
            assert_eq!(figures["cpu_us"]["rounds"].as_array().unwrap().len(), 2);
            assert!(figures["resident_mib"]["median"].as_f64().unwrap() > 0.0);
        }
    }
    assert!(json["peers"][1]["open"][0]["p99_us"]["ratio"]["median"].is_number());
    assert!(table(&measured).contains("10 % of the slowest peak"));
    doubts_are_raised(&mut measured);
}

fn doubts_are_raised(measured: &mut Measured) {
    let sane = |sample: &mut Sample| {
        (sample.outcome.cpu, sample.server_share) = (Some(Duration::ZERO), 50.0);
        sample.outcome.lag.reset();
    };
    let open = measured.open.iter_mut().flat_map(|open| &mut open.samples);
    measured.peak.iter_mut().chain(open).flatten().for_each(sane);
    assert_eq!(doubts::doubts(measured), [""; 0]);

    measured.peak[0][1].outcome.cpu = Some(measured.peak[0][1].outcome.elapsed);
    measured.open[0].samples[1][0].outcome.lag.record(2_000).unwrap();
    measured.comparison.peers[1].transport = crate::run::Transport::Resumed;
    let found = doubts::doubts(measured);
    let begins = [
        "kept: the generator was the limit in 1 of 2",
        "new: too many full handshakes in 2 of 2",
        "new: at ",
    ];
    assert_eq!(found.len(), 3, "{found:?}");
    for (doubt, begin) in found.iter().zip(begins) {
        assert!(doubt.starts_with(begin), "{doubt}");
    }
}

#[test]
fn one_server_alone_is_not_compared() {
    let alone = comparison(&["alone=http://127.0.0.1:1/,1".to_owned()]);
    assert!(matches!(compare(alone, |_| ()), Err(CompareError::Nothing)));
}
