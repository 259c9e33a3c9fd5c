//! `/metrics` and `/healthz` over HTTP, from the watcher itself.
//!
//! A thread accepts, and one a connection answers; none of them is waited for, so a slow client or many hold nothing up: a
//! request has two seconds to come, an answer five to go, and with eight of them under way the next is closed at once. It
//! speaks as much of HTTP/1.1 as a scraper needs (RFC 9112: one request a connection, `Connection: close`), without TLS: it is
//! meant for the loopback interface.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long a request may take to come.
const REQUEST_LIMIT: Duration = Duration::from_secs(2);
/// How long an answer may take to go.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// The longest request, in bytes.
const LONGEST: usize = 8 << 10;
/// The type of an answer that is for people.
const TEXT: &str = "text/plain; charset=utf-8";
/// The most connections at a time.
const MOST: usize = 8;

/// What is answered. It is asked on threads of the server's own.
pub(super) trait Answers: Send + Sync + 'static {
    /// The metrics, in Prometheus' text format.
    fn metrics(&self) -> String;
    /// `Err` with a reason where the watcher has not come round for too long.
    fn health(&self) -> Result<(), String>;
}

/// Listens at an address, until the process ends.
pub(super) fn listen(address: SocketAddr, answers: Arc<dyn Answers>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(address)?;
    let bound = listener.local_addr()?;
    thread::Builder::new().name("metrics".to_owned()).spawn(move || accept(&listener, &answers))?;
    Ok(bound)
}

fn accept(listener: &TcpListener, answers: &Arc<dyn Answers>) {
    let busy = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        let Ok(stream) = stream else {
            // No descriptor is left, most likely: it passes.
            thread::sleep(Duration::from_millis(100));
            continue;
        };
        if busy.load(Ordering::Acquire) >= MOST {
            continue;
        }
        busy.fetch_add(1, Ordering::AcqRel);
        let (own, answers) = (Arc::clone(&busy), Arc::clone(answers));
        let answered = thread::Builder::new().spawn(move || {
            let mut stream = stream;
            let _ = answer(&mut stream, answers.as_ref());
            // Before the client sees the end.
            own.fetch_sub(1, Ordering::AcqRel);
        });
        if answered.is_err() {
            busy.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

fn answer(stream: &mut TcpStream, answers: &dyn Answers) -> io::Result<()> {
    let Some(line) = request(stream)? else { return Ok(()) };
    let mut words = line.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = path.split('?').next().unwrap_or_default();
    let (status, kind, body) = match (method, path) {
        ("GET" | "HEAD", "/metrics") => ("200 OK", "text/plain; version=0.0.4; charset=utf-8", answers.metrics()),
        ("GET" | "HEAD", "/healthz") => match answers.health() {
            Ok(()) => ("200 OK", TEXT, "ok\n".to_owned()),
            Err(why) => ("503 Service Unavailable", TEXT, format!("{why}\n")),
        },
        ("GET" | "HEAD", _) => ("404 Not Found", TEXT, "there are /metrics and /healthz\n".to_owned()),
        _ => ("405 Method Not Allowed", TEXT, "GET or HEAD\n".to_owned()),
    };
    let length = body.len();
    let mut text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nAllow: GET, HEAD\r\nConnection: close\r\n\r\n"
    );
    if method != "HEAD" {
        text.push_str(&body);
    }
    stream.set_write_timeout(Some(ANSWER_LIMIT))?;
    stream.write_all(text.as_bytes())
}

/// The first line of a request that has come whole; `None` where it is none.
fn request(stream: &mut TcpStream) -> io::Result<Option<String>> {
    let until = Instant::now() + REQUEST_LIMIT;
    let mut bytes = Vec::new();
    let mut part = [0; 1024];
    while !bytes.windows(4).any(|end| end == b"\r\n\r\n") {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || bytes.len() > LONGEST {
            return Ok(None);
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut part)? {
            0 => return Ok(None),
            count => bytes.extend(part.iter().take(count)),
        }
    }
    Ok(String::from_utf8_lossy(&bytes).lines().next().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Answers for Fixed {
        fn metrics(&self) -> String {
            "pgbackrest_guard_up 1\n".to_owned()
        }

        fn health(&self) -> Result<(), String> {
            Err("stuck".to_owned())
        }
    }

    fn asked(at: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(at).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    #[test]
    fn each_path_has_its_answer_and_slow_clients_hold_up_nobody() {
        let at = listen("127.0.0.1:0".parse().unwrap(), Arc::new(Fixed)).unwrap();
        let slow: Vec<TcpStream> = (0..MOST - 1).map(|_| TcpStream::connect(at).unwrap()).collect();
        let metrics = asked(at, "GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(metrics.starts_with("HTTP/1.1 200 OK\r\n") && metrics.ends_with("\r\n\r\npgbackrest_guard_up 1\n"));
        let head = asked(at, "HEAD /metrics HTTP/1.1\r\n\r\n");
        assert!(head.contains("Content-Length: 22\r\n") && head.ends_with("\r\n\r\n"), "{head}");
        let health = asked(at, "GET /healthz HTTP/1.1\r\n\r\n");
        assert!(health.starts_with("HTTP/1.1 503 ") && health.ends_with("stuck\n"), "{health}");
        assert!(asked(at, "GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
        assert!(asked(at, "POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
        assert_eq!(asked(at, &"x".repeat(LONGEST + 2_000)), "", "no request");
        drop(slow);
        assert!(listen(at, Arc::new(Fixed)).is_err(), "the port is in use");
    }
}
