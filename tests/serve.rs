//! `nmt serve` over real connections.
mod common;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use common::command::Lab;
use serde_json::{Value, json};

/// A service that is stopped with the test.
struct Service {
    child: Child,
    address: String,
}

impl Service {
    fn start(lab: &Lab, further: &[&str]) -> Service {
        let arguments = [&["--threads=2", "serve", "--model", "run", "--port=0"], further].concat();
        let mut child = lab.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("http://").unwrap_or_else(|| panic!("{line:?}")).to_string();
        Service { child, address }
    }

    fn connect(&self) -> Connection {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(600))).unwrap();
        Connection(BufReader::new(stream))
    }

    /// Ask it to stop; its exit code.
    fn stop(&mut self) -> Option<i32> {
        std::process::Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection that is kept for several requests.
struct Connection(BufReader<TcpStream>);

impl Connection {
    fn send(&mut self, text: &str) {
        // Whoever is refused early does not read to the end.
        let _ = self.0.get_mut().write_all(text.as_bytes());
    }

    /// Status, headers with names in small letters, body.
    fn receive(&mut self) -> (u16, HashMap<String, String>, String) {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        let status = line.split(' ').nth(1).unwrap_or_else(|| panic!("{line:?}")).parse().unwrap();
        let mut headers = HashMap::new();
        loop {
            line.clear();
            self.0.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim().split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_string());
        }
        let mut body = vec![0; headers.get("content-length").map_or(0, |length| length.parse().unwrap())];
        self.0.read_exact(&mut body).unwrap();
        (status, headers, String::from_utf8(body).unwrap())
    }

    fn post(&mut self, body: &str) -> (u16, Value) {
        self.send(&format!("POST /translate HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        let (status, _, text) = self.receive();
        (status, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
    }

    fn get(&mut self, path: &str) -> (u16, String) {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
        let (status, _, text) = self.receive();
        (status, text)
    }
}

fn trained() -> Lab {
    let lab = Lab::new();
    lab.preprocess().train("run", &["--max-updates=40"]).ok();
    lab
}

/// The sentences of the test split, and what `nmt translate` makes of them.
fn expected(lab: &Lab) -> Vec<(String, String)> {
    let source = std::fs::read_to_string(lab.path("test.de")).unwrap();
    let target = lab.nmt(&["--threads=1", "translate", "--model", "run", "--input", "test.de"]).ok();
    source.lines().map(String::from).zip(target.lines().map(String::from)).collect()
}

#[test]
fn answers_are_those_of_translate_and_nobody_gets_anothers() {
    let lab = trained();
    let pairs = expected(&lab);
    let mut service = Service::start(&lab, &["--batch-sentences=16"]);
    std::thread::scope(|scope| {
        for client in 0..8usize {
            let (service, pairs) = (&service, &pairs);
            scope.spawn(move || {
                let mut connection = service.connect();
                for request in 0..40 {
                    // One to five sentences, others for every client and request.
                    let chosen: Vec<&(String, String)> = (0..1 + (client + request) % 5)
                        .map(|i| &pairs[(client * 7 + request * 3 + i * 11) % pairs.len()])
                        .collect();
                    let sentences: Vec<&str> = chosen.iter().map(|(source, _)| source.as_str()).collect();
                    let (status, found) = connection.post(&json!({"sentences": sentences}).to_string());
                    assert_eq!(status, 200, "{found}");
                    let texts: Vec<&str> = found["translations"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|translations| translations[0]["text"].as_str().unwrap())
                        .collect();
                    let wanted: Vec<&str> = chosen.iter().map(|(_, target)| target.as_str()).collect();
                    assert_eq!(texts, wanted);
                }
            });
        }
    });
    let mut connection = service.connect();
    let (_, metrics) = connection.get("/metrics");
    assert!(metrics.contains("nmt_answers_total{status=\"200\"} 320\n"), "{metrics}");
    let of = |metrics: &str, name: &str| -> f64 {
        metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap()
    };
    let (batches, sentences) = (of(&metrics, "nmt_batches_total"), of(&metrics, "nmt_sentences_total"));
    assert!(batches < 0.75 * sentences, "little was translated together: {metrics}");
    assert_eq!(of(&metrics, "nmt_requests_waiting"), 0.0);

    // Both threads at a time, each by its own clock.
    let many: Vec<&str> = pairs.iter().cycle().take(1000).map(|(source, _)| source.as_str()).collect();
    let start = Instant::now();
    assert_eq!(connection.post(&json!({"sentences": many}).to_string()).0, 200);
    let waited = start.elapsed().as_secs_f64();
    let seconds = |metrics: &str| of(metrics, "nmt_translation_seconds_total");
    let worked = seconds(&connection.get("/metrics").1) - seconds(&metrics);
    assert!(worked > 1.3 * waited, "{worked} s of two threads in {waited} s");

    let (status, found) = connection.post(&json!({"sentences": [pairs[0].0], "n_best": 3}).to_string());
    let of_first = found["translations"][0].as_array().unwrap();
    assert!(status == 200 && of_first.len() == 2 || of_first.len() == 3, "{found}");
    assert!(of_first[0]["score"].as_f64().unwrap() >= of_first[1]["score"].as_f64().unwrap());
    assert_eq!(connection.post("{\"sentences\": []}"), (200, json!({"translations": []})));
    assert_eq!(connection.get("/health"), (200, "{\"status\":\"ok\"}\n".to_string()));
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn what_is_malformed_is_refused_and_the_next_request_answered() {
    let lab = trained();
    let service = Service::start(&lab, &["--max-bytes=2000", "--max-sentences=3", "--beam=2", "--timeout=1"]);
    let mut connection = service.connect();
    let long = "a ".repeat(1500);
    for (body, status, part) in [
        ("", 400, "expected {\"sentences\""),
        ("{", 400, "EOF"),
        ("[1, 2]", 400, "expected {\"sentences\""),
        ("{\"sentence\": \"a\"}", 400, "unknown field `sentence`"),
        ("{\"sentences\": \"a\"}", 400, "a sequence"),
        ("{\"sentences\": [\"\\ud800\"]}", 400, "expected {\"sentences\""),
        ("{\"sentences\": [\"a\", \"b\", \"c\", \"d\"]}", 422, "at most 3 sentences, found 4"),
        ("{\"sentences\": [\"a\"], \"n_best\": 3}", 422, "from 1 to the beam, 2, found 3"),
        ("{\"sentences\": [\"a\"], \"n_best\": 0}", 422, "from 1 to the beam"),
        ("{\"sentences\": [\"a\"], \"n_best\": -1}", 400, "invalid value"),
        ("{\"sentences\": [\"a\", \"b\\nc\"]}", 422, "sentence 2: expected one line"),
        (&format!("{{\"sentences\": [\"{long}\"]}}"), 413, "at most 2000 bytes"),
    ] {
        let mut connection = service.connect();
        let (found, answer) = connection.post(body);
        assert!(found == status && answer["error"].as_str().unwrap().contains(part), "{body}: {found} {answer}");
    }
    let many = "a ".repeat(600); // 1,200 bytes, but more subwords than the model takes at a time
    let (status, answer) = connection.post(&format!("{{\"sentences\": [\"{many}\"]}}"));
    assert!(status == 200 || status == 422, "{answer}");
    assert_eq!(connection.get("/translate").0, 405);
    assert_eq!(connection.get("/nowhere").0, 404);
    let mut raw = service.connect();
    raw.send("POST /translate HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"sen");
    assert_eq!(raw.receive().0, 408, "a body that does not come");
    let mut raw = service.connect();
    raw.send("\u{1}\u{2} nonsense\r\n\r\n");
    assert_eq!(raw.receive().0, 400);
    let mut raw = service.connect();
    raw.send(&format!("GET / HTTP/1.1\r\n{}\r\n", "X-Header: y\r\n".repeat(10_000)));
    assert_eq!(raw.receive().0, 431);
    // The first connection was idle for longer than a request may take.
    assert_eq!(service.connect().post("{\"sentences\": [\"a b\"]}").0, 200);
}

/// One waits, one is translated, and others are told to come later; the service stops when both have their answers.
#[test]
fn a_full_queue_is_said_and_a_stop_answers_what_was_accepted() {
    let lab = trained();
    let pairs = expected(&lab);
    let mut service =
        Service::start(&lab, &["--queue=1", "--batch-sentences=1", "--max-sentences=2000", "--timeout=600"]);
    let many: Vec<&str> = pairs.iter().cycle().take(2000).map(|(source, _)| source.as_str()).collect();
    let body = json!({"sentences": many}).to_string();
    let answered = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..6)
            .map(|_| {
                let mut connection = service.connect();
                let body = &body;
                scope.spawn(move || connection.post(body))
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect::<Vec<_>>()
    });
    let of = |status: u16| answered.iter().filter(|(found, _)| *found == status).count();
    assert!(of(200) >= 1 && of(429) >= 1 && of(200) + of(429) == 6, "{} and {}", of(200), of(429));
    let refused = answered.iter().find(|(status, _)| *status == 429).unwrap();
    assert!(refused.1["error"].as_str().unwrap().contains("1 requests are waiting"), "{}", refused.1);

    let mut connection = service.connect();
    connection.send(&format!("POST /translate HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    std::thread::sleep(Duration::from_millis(300));
    let code = std::thread::scope(|scope| {
        let answer = scope.spawn(move || connection.receive());
        let code = service.stop();
        let (status, _, text) = answer.join().unwrap();
        let found: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status, found["translations"].as_array().unwrap().len()), (200, 2000));
        code
    });
    assert_eq!(code, Some(0));
}
