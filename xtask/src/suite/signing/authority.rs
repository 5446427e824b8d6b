//! A time stamp authority on this machine (RFC 3161 over HTTP), whose tokens OpenSSL makes; it also knows how to misbehave.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use driver_catalog::der;
use winpv::process::Run;

/// The longest that a request may take to arrive.
const READ_DEADLINE: Duration = Duration::from_secs(10);
/// The longest that the slow answer is held back; whoever asked has given up before.
const SLOW: Duration = Duration::from_secs(120);
/// A request is a few dozen bytes.
const REQUEST_LIMIT: usize = 64 << 10;

/// Answers requests at `/MANNER` until it is dropped.
pub struct Authority {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    address: SocketAddr,
    dir: PathBuf,
    stop: AtomicBool,
    asked: AtomicUsize,
}

impl Authority {
    /// Starts it in `dir`, which holds `tsa.pem` and `tsa.key`, those of another kind (`tsa-ended`, `tsa-no-usage`) and `root.pem`.
    pub fn start(dir: &Path) -> Result<Authority> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let shared = Arc::new(Shared {
            address: listener.local_addr()?,
            dir: dir.to_owned(),
            stop: AtomicBool::new(false),
            asked: AtomicUsize::new(0),
        });
        let server = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                if server.stop.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(stream) = stream else { continue };
                let server = Arc::clone(&server);
                // Whoever asked sees the connection close if the answer fails.
                thread::spawn(move || server.answer(stream, number));
            }
        });
        Ok(Authority {
            shared,
            thread: Some(thread),
        })
    }

    /// The address at which it answers in one manner.
    pub fn url(&self, manner: &str) -> String {
        format!("http://{}/{manner}", self.shared.address)
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // Wakes the listener, which then sees that it is over.
        let _ = TcpStream::connect(self.shared.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn answer(&self, mut stream: TcpStream, number: usize) -> Result<()> {
        stream.set_read_timeout(Some(READ_DEADLINE))?;
        let (manner, request) = read(&stream)?;
        let (status, body) = match manner.as_str() {
            "good" => ("200 OK", self.stamp(&request, number, "tsa", "sha256")?),
            "ended" => (
                "200 OK",
                self.stamp(&request, number, "tsa-ended", "sha256")?,
            ),
            "no-usage" => ("200 OK", self.stamp_without_usage(&request, number)?),
            "refuses" => ("200 OK", self.stamp(&request, number, "tsa", "sha512")?),
            "damages" => {
                let mut body = self.stamp(&request, number, "tsa", "sha256")?;
                // A byte of the token's signature, which stands at the end.
                let at = body.len() - 10;
                body[at] ^= 1;
                ("200 OK", body)
            }
            "repeats" => {
                let old = self.dir.join("old.tsr");
                ("200 OK", fs::read(old)?)
            }
            "text" => ("200 OK", b"<html>Sign in first</html>".to_vec()),
            "error" => ("503 Service Unavailable", b"later".to_vec()),
            "fails-later" => {
                if self.asked.fetch_add(1, Ordering::SeqCst) < 4 {
                    ("200 OK", self.stamp(&request, number, "tsa", "sha256")?)
                } else {
                    ("503 Service Unavailable", b"enough".to_vec())
                }
            }
            "slow" => {
                let start = Instant::now();
                while start.elapsed() < SLOW && !self.stop.load(Ordering::SeqCst) {
                    thread::sleep(Duration::from_millis(50));
                }
                return Ok(());
            }
            other => bail!("no manner {other}"),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/timestamp-reply\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), &body].concat())?;
        Ok(())
    }

    /// Makes a token with one of the certificates, if the request uses the digest that the authority accepts.
    fn stamp(
        &self,
        request: &[u8],
        number: usize,
        certificate: &str,
        accepts: &str,
    ) -> Result<Vec<u8>> {
        let name = |what: &str| format!("{number}.{what}");
        let write = |what: &str, bytes: &[u8]| fs::write(self.dir.join(name(what)), bytes);
        write("tsq", request)?;
        write(
            "cnf",
            format!(
                "[tsa]\ndefault_tsa = us\n[us]\nserial = {}\ndefault_policy = 1.2.3.4\nsigner_digest = sha256\n\
                 digests = {accepts}\ness_cert_id_alg = sha256\n",
                name("serial")
            )
            .as_bytes(),
        )?;
        write("serial", format!("{:04X}\n", number + 1).as_bytes())?;
        Run::new("openssl")
            .dir(&self.dir)
            .args([
                "ts",
                "-reply",
                "-config",
                &name("cnf"),
                "-queryfile",
                &name("tsq"),
            ])
            .args(["-signer", &format!("{certificate}.pem")])
            .args(["-inkey", &format!("{certificate}.key")])
            .args(["-chain", "root.pem", "-out", &name("tsr")])
            .ok()?;
        Ok(fs::read(self.dir.join(name("tsr")))?)
    }
}

impl Shared {
    /// Makes a token whose certificate is not for time stamps, which `openssl ts` itself refuses to do.
    fn stamp_without_usage(&self, request: &[u8], number: usize) -> Result<Vec<u8>> {
        self.stamp(request, number, "tsa", "sha256")?;
        let name = |what: &str| format!("{number}.{what}");
        let openssl = |args: &[&str]| Run::new("openssl").dir(&self.dir).args(args).ok();
        let (answer, token) = (name("tsr"), name("token"));
        openssl(&["ts", "-reply", "-in", &answer, "-token_out", "-out", &token])?;
        let content = name("content");
        openssl(&[
            "cms",
            "-verify",
            "-noverify",
            "-inform",
            "DER",
            "-in",
            &token,
            "-out",
            &content,
        ])?;
        // id-ct-TSTInfo, and -cades for the attribute that names the certificate. // RFC 3161 §2.4.2
        openssl(&[
            "cms",
            "-sign",
            "-binary",
            "-nodetach",
            "-cades",
            "-md",
            "sha256",
            "-econtent_type",
            "1.2.840.113549.1.9.16.1.4",
            "-signer",
            "tsa-no-usage.pem",
            "-inkey",
            "tsa-no-usage.key",
            "-in",
            &content,
            "-outform",
            "DER",
            "-out",
            &token,
        ])?;
        let granted = der::sequence([der::element(der::INTEGER, &[0])]);
        Ok(der::sequence([granted, fs::read(self.dir.join(token))?]))
    }
}

/// The path, without its slash, and the body of a POST request. // RFC 3161 §3.4
fn read(stream: &TcpStream) -> Result<(String, Vec<u8>)> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut words = first.split(' ');
    ensure!(words.next() == Some("POST"), "not a POST: {first}");
    let path = words.next().context("no path")?;
    let path = path.trim_start_matches('/').to_owned();
    let mut length = None;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end().to_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = Some(value.trim().parse::<usize>()?);
        }
    }
    let length = length.context("no Content-Length")?;
    ensure!(length <= REQUEST_LIMIT, "{length} bytes are no request");
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok((path, body))
}
