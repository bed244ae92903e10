//! Load on `nmt serve`: so many clients, each with one request at a time, and every answer is compared.
//!
//!     nmt serve --model RUN --port 8080 &
//!     nmt translate --model RUN --input source.txt > expected.txt
//!     cargo bench --bench serve_load -- 127.0.0.1:8080 source.txt expected.txt [CLIENTS] [REQUESTS]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Translate `sentence` over a connection that is kept: the translation, or what went wrong.
fn ask(connection: &mut BufReader<TcpStream>, sentence: &str) -> std::io::Result<Result<String, String>> {
    let body = serde_json::json!({"sentences": [sentence]}).to_string();
    let request = format!("POST /translate HTTP/1.1\r\nHost: load\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    connection.get_mut().write_all(request.as_bytes())?;
    let (mut line, mut length, mut status) = (String::new(), 0, String::new());
    loop {
        line.clear();
        connection.read_line(&mut line)?;
        if status.is_empty() {
            status = line.split(' ').nth(1).unwrap_or_default().to_string();
        }
        match line.trim().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().unwrap_or(0),
            None if line.trim().is_empty() => break,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body)?;
    let found: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    Ok(match found["translations"][0][0]["text"].as_str() {
        Some(text) if status == "200" => Ok(text.to_string()),
        _ => Err(status),
    })
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let [address, source, expected, rest @ ..] = arguments.as_slice() else {
        println!("usage: cargo bench --bench serve_load -- ADDRESS SOURCE EXPECTED [CLIENTS] [REQUESTS]");
        return;
    };
    let number = |at: usize, otherwise: usize| rest.get(at).and_then(|text| text.parse().ok()).unwrap_or(otherwise);
    let (clients, requests) = (number(0, 32), number(1, 10_000));
    let read = |path: &String| std::fs::read_to_string(path).expect("a file of lines");
    let (source, expected) = (read(source), read(expected));
    let pairs: Vec<(&str, &str)> = source.lines().zip(expected.lines()).collect();
    let (next, wrong, refused, lost) =
        (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let start = Instant::now();
    let mut times: Vec<Duration> = std::thread::scope(|scope| {
        let client = || {
            let connect = || {
                let stream = TcpStream::connect(address).expect("the service listens");
                stream.set_read_timeout(Some(Duration::from_secs(120))).expect("a timeout above 0");
                BufReader::new(stream)
            };
            let (mut connection, mut times) = (connect(), Vec::new());
            loop {
                let request = next.fetch_add(1, Ordering::Relaxed);
                if request >= requests {
                    return times;
                }
                let (sentence, translation) = pairs[request % pairs.len()];
                let asked = Instant::now();
                match ask(&mut connection, sentence) {
                    Ok(Ok(found)) if found == translation => times.push(asked.elapsed()),
                    Ok(Ok(_)) => _ = wrong.fetch_add(1, Ordering::Relaxed),
                    Ok(Err(_)) => _ = refused.fetch_add(1, Ordering::Relaxed),
                    Err(_) => {
                        lost.fetch_add(1, Ordering::Relaxed);
                        connection = connect();
                    }
                }
            }
        };
        let threads: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a client")).collect()
    });
    let seconds = start.elapsed().as_secs_f64();
    times.sort();
    let quantile = |part: f64| {
        let at = ((times.len() as f64 * part) as usize).min(times.len().saturating_sub(1));
        times.get(at).map_or(f64::NAN, Duration::as_secs_f64) * 1e3
    };
    println!(
        "{clients} clients, {requests} requests of a sentence: {} right, {} other than expected, {} refused, {} lost",
        times.len(),
        wrong.load(Ordering::Relaxed),
        refused.load(Ordering::Relaxed),
        lost.load(Ordering::Relaxed)
    );
    println!(
        "{seconds:.1} s, {:.0} requests/s; latency in ms: median {:.0}, 95 % {:.0}, 99 % {:.0}, longest {:.0}",
        times.len() as f64 / seconds,
        quantile(0.5),
        quantile(0.95),
        quantile(0.99),
        quantile(1.0)
    );
}
