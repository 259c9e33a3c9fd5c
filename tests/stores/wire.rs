//! HTTP by hand: what the test asks of a store itself, and the answers that a proxy gives in its place.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

/// An answer with its head.
pub(crate) fn answer(status: &str, content_type: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

/// A request that must succeed; `head` is whole lines.
#[track_caller]
pub(crate) fn ok(store: SocketAddr, verb: &str, path: &str, head: &str, body: &str) {
    let mut stream = TcpStream::connect(store).unwrap();
    let length = body.len();
    let request = format!(
        "{verb} {path} HTTP/1.1\r\nhost: {store}\r\n{head}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    assert!(said.starts_with("HTTP/1.1 2"), "{verb} {path}: {said}");
}

/// The signed head of a request without a body for a container ("Authorize with Shared Key", Azure's reference).
pub(crate) fn azure_head(verb: &str, path: &str, account: &str, key: &str) -> String {
    let date = shell("LC_ALL=C date -u '+%a, %d %b %Y %H:%M:%S GMT'", "");
    let own = format!("x-ms-date:{date}\nx-ms-version:2021-06-08\n");
    let signed = format!("{verb}\n\n\n\n\n\n\n\n\n\n\n\n{own}/{account}{path}\nrestype:container");
    let sign = "key=$(printf %s \"$0\" | base64 -d | od -An -vtx1 | tr -d ' \\n'); \
                openssl dgst -sha256 -mac HMAC -macopt hexkey:$key -binary | base64 -w0";
    let signature = shell_with(sign, key, &signed);
    format!("x-ms-date: {date}\r\nx-ms-version: 2021-06-08\r\nauthorization: SharedKey {account}:{signature}\r\n")
}

fn shell(script: &str, input: &str) -> String {
    shell_with(script, "sh", input)
}

fn shell_with(script: &str, argument: &str, input: &str) -> String {
    let mut command = Command::new("sh");
    command.args(["-c", script, argument]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{script}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
