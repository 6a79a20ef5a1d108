use super::*;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};

/// Answers every request with `answer` until the process ends.
fn server(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                for line in lines.map_while(Result::ok) {
                    if line.is_empty() && stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn plan(url: &str, rate: u32) -> Plan {
    let schedule = Schedule { rate, seconds: 1 };
    Plan { url: url.parse().unwrap(), schedule, connections: 4, timeout: Duration::from_secs(20) }
}

#[tokio::test]
async fn every_request_is_sent_and_counted_once() {
    let address =
        server("HTTP/1.1 302 Found\r\nlocation: http://elsewhere.invalid/\r\ncontent-length: 2\r\n\r\nok");
    let outcome = run(plan(&format!("http://{address}/c/x?y=1"), 200)).await.unwrap();
    assert_eq!(outcome.statuses, BTreeMap::from([(302, 200)]));
    assert_eq!((outcome.answered(), outcome.latency.len(), outcome.delay.len()), (200, 200, 200));
    assert!(outcome.errors.is_empty(), "{:?}", outcome.errors);
    assert!(outcome.latency.max() >= outcome.delay.min());
}

#[tokio::test]
async fn failures_are_counted_by_kind() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let outcome = run(plan(&format!("http://{closed}/"), 20)).await.unwrap();
    assert_eq!(outcome.errors, BTreeMap::from([("connect", 20)]));

    let garbage = server("this is not HTTP\r\n\r\n");
    let outcome = run(plan(&format!("http://{garbage}/"), 20)).await.unwrap();
    assert_eq!(outcome.errors, BTreeMap::from([("send", 20)]));

    let silent = server("");
    let hasty = Plan { timeout: Duration::from_millis(1), ..plan(&format!("http://{silent}/"), 20) };
    let outcome = run(hasty).await.unwrap();
    assert_eq!((outcome.errors.values().sum::<u64>(), outcome.answered()), (20, 0));
}

#[tokio::test]
async fn what_cannot_be_run_is_refused() {
    for url in ["https://localhost/", "/c/x", "ftp://localhost/"] {
        assert!(matches!(run(plan(url, 1)).await, Err(LoadError::Url(_))), "{url}");
    }
    assert!(matches!(run(plan("http://localhost/", 0)).await, Err(LoadError::Nothing)));
}
