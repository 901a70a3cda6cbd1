//! A request to its answer: status, headers, body.

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;
use std::time::SystemTime;

use crate::serve::encoding::{Compressor, Encoding};
use crate::serve::request::{Method, Request};
use crate::site::{Missing, Page, Site};

/// What the page may do: load its own scripts and styles, compile WebAssembly, and
/// fetch from its own site. The page itself says the same, for hosts that cannot.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; \
    style-src 'self'; img-src 'self'; connect-src 'self'; worker-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Headers of every answer. The first three isolate the page from other sites, which is
/// what browsers ask in return for shared memory.
const ALWAYS: [(&str, &str); 8] = [
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Embedder-Policy", "require-corp"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-cache"),
    ("Vary", "Accept-Encoding"),
];

/// The statuses of this server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Status {
    Ok = 200,
    NotModified = 304,
    BadRequest = 400,
    Forbidden = 403,
    NotFound = 404,
    MethodNotAllowed = 405,
    MisdirectedRequest = 421,
    HeadersTooLarge = 431,
    InternalError = 500,
    Unavailable = 503,
}

impl Status {
    fn reason(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::NotModified => "Not Modified",
            Self::BadRequest => "Bad Request",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "Not Found",
            Self::MethodNotAllowed => "Method Not Allowed",
            Self::MisdirectedRequest => "Misdirected Request",
            Self::HeadersTooLarge => "Request Header Fields Too Large",
            Self::InternalError => "Internal Server Error",
            Self::Unavailable => "Service Unavailable",
        }
    }
}

/// What goes back to the client.
pub(crate) struct Answer {
    pub(super) head: String,
    pub(super) body: Body,
}

/// The bytes after the head; empty for HEAD.
pub(crate) enum Body {
    Plain(Cow<'static, [u8]>),
    Shared(Arc<[u8]>),
}

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Plain(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

/// What a server answers from.
pub(crate) trait Answers: Send + Sync + 'static {
    /// How much of a request's body is read.
    const LONGEST_BODY: usize = 0;

    /// The answer to a request.
    fn answer(&self, request: &Request, body: &[u8]) -> Answer;
}

/// A site, and what it takes to send it.
pub(super) struct Answerer {
    site: Site,
    compressor: Compressor,
}

impl Answerer {
    pub(super) fn new(site: Site) -> Self {
        let compressor = Compressor::default();
        Self { site, compressor }
    }

    fn page(&self, request: &Request) -> Answer {
        let path = match path(request) {
            Ok(path) => path,
            Err(refusal) => return refusal,
        };
        let mut answer = match self.site.get(&path) {
            Ok(page) => self.found(request, &path, page),
            Err(missing) => absent(&missing, request.keep_alive),
        };
        if request.method == Method::Head {
            answer.body = Body::Plain(Cow::Borrowed(b""));
        }
        answer
    }

    fn found(&self, request: &Request, path: &str, page: Page) -> Answer {
        let encoding = Encoding::choose(&request.accept_encoding, page.kind, page.bytes.len());
        let hash = blake3::hash(&page.bytes);
        let tag = tag(&hash, encoding);
        if matches(&request.if_none_match, &tag) {
            let head = Head::new(Status::NotModified, request.keep_alive).with("ETag", &tag);
            return head.end(Body::Plain(Cow::Borrowed(b"")));
        }
        let body = match encoding {
            Encoding::Identity => Body::Plain(page.bytes),
            _ => Body::Shared(self.compressor.compress(path, hash, &page.bytes, encoding)),
        };
        let mut head = Head::new(Status::Ok, request.keep_alive)
            .with("ETag", &tag)
            .with("Content-Type", page.kind);
        if let Some(name) = encoding.name() {
            head = head.with("Content-Encoding", name);
        }
        head.with_length(body)
    }
}

impl Answers for Answerer {
    fn answer(&self, request: &Request, _body: &[u8]) -> Answer {
        match request.method {
            _ if is_foreign(request) => misdirected(request),
            Method::Get | Method::Head => self.page(request),
            Method::Post | Method::Other => refusal(
                Status::MethodNotAllowed,
                request.keep_alive,
                "this server knows GET and HEAD only",
            ),
        }
    }
}

/// A page as it is, or why there is none.
pub(crate) fn whole(page: Result<Page, Missing>, keep_alive: bool) -> Answer {
    match page {
        Ok(page) => Head::new(Status::Ok, keep_alive)
            .with("Content-Type", page.kind)
            .with_length(Body::Plain(page.bytes)),
        Err(missing) => absent(&missing, keep_alive),
    }
}

fn absent(missing: &Missing, keep_alive: bool) -> Answer {
    let (status, text) = match missing {
        Missing::Unknown => (Status::NotFound, "there is no such file"),
        Missing::Forbidden => (
            Status::Forbidden,
            "this file is outside of the directory that was given",
        ),
        Missing::Broken(text) => (Status::InternalError, text.as_str()),
    };
    refusal(status, keep_alive, text)
}

/// The path that is asked for, as the site has it, or the answer if there can be none.
pub(crate) fn path(request: &Request) -> Result<String, Answer> {
    if is_foreign(request) {
        return Err(misdirected(request));
    }
    clean(&request.path).ok_or_else(|| {
        let text = "no such path can be";
        refusal(Status::BadRequest, request.keep_alive, text)
    })
}

/// A name of somebody else's that leads here is how a foreign page would read the files of
/// this machine (DNS rebinding).
fn is_foreign(request: &Request) -> bool {
    !request.host.as_deref().is_some_and(is_this_machine)
}

fn misdirected(request: &Request) -> Answer {
    let text = "this server answers to localhost only";
    refusal(Status::MisdirectedRequest, request.keep_alive, text)
}

/// An answer of one line.
pub(super) fn refusal(status: Status, keep_alive: bool, text: &str) -> Answer {
    let head = Head::new(status, keep_alive).with("Content-Type", "text/plain; charset=utf-8");
    let head = match status {
        Status::MethodNotAllowed => head.with("Allow", "GET, HEAD"),
        _ => head,
    };
    head.with_length(Body::Plain(format!("{text}\n").into_bytes().into()))
}

/// A head as it grows.
struct Head(String);

impl Head {
    fn new(status: Status, keep_alive: bool) -> Self {
        let head = Self(format!(
            "HTTP/1.1 {} {}\r\n",
            status as u16,
            status.reason()
        ));
        let head = head.with("Date", &httpdate::fmt_http_date(SystemTime::now()));
        let head = head.with(
            "Connection",
            if keep_alive { "keep-alive" } else { "close" },
        );
        ALWAYS
            .iter()
            .fold(head, |head, (name, value)| head.with(name, value))
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "{name}: {value}\r\n");
        self
    }

    fn with_length(self, body: Body) -> Answer {
        let length = body.as_ref().len().to_string();
        self.with("Content-Length", &length).end(body)
    }

    fn end(self, body: Body) -> Answer {
        let head = self.0 + "\r\n";
        Answer { head, body }
    }
}

fn is_this_machine(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "[::1]") || host.ends_with(".localhost")
}

/// Bytes that differ have tags that differ, and so have their encodings.
fn tag(hash: &blake3::Hash, encoding: Encoding) -> String {
    let hash = &hash.to_hex()[..32];
    match encoding.name() {
        Some(encoding) => format!("\"{hash}-{encoding}\""),
        None => format!("\"{hash}\""),
    }
}

/// Whether an If-None-Match header names the tag.
fn matches(if_none_match: &str, tag: &str) -> bool {
    let mut tags = if_none_match.split(',').map(str::trim);
    tags.any(|known| known == "*" || known.trim_start_matches("W/") == tag)
}

/// The path without its escapes and its first slash, or `None` if it leads anywhere but
/// down: no site has such a path.
fn clean(path: &str) -> Option<String> {
    let path = unescape(path.strip_prefix('/')?)?;
    let leads_down = |part: &str| !matches!(part, "" | "." | "..");
    let fine = path.is_empty() || path.split('/').all(leads_down);
    (fine && !path.contains(['\0', '\\'])).then_some(path)
}

fn unescape(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? << 4 | digit()?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let clean = |path| clean(path);
        assert_eq!(clean("/"), Some(String::new()));
        assert_eq!(clean("/a/b.js"), Some("a/b.js".into()));
        assert_eq!(clean("/%41%2e%C3%A9"), Some("A.é".into()));
        for path in [
            "",
            "a",
            "*",
            "//",
            "/a//b",
            "/..",
            "/../x",
            "/a/../b",
            "/%2e%2e/x",
            "/a%2f..%2fb",
            "/.",
            "/a/",
            "/%",
            "/%2",
            "/%zz",
            "/%00",
            "/a\\b",
            "/%5c",
            "/%ff",
        ] {
            assert_eq!(clean(path), None, "{path}");
        }
    }

    #[test]
    fn tags() {
        assert!(matches("\"a\", W/\"b\"", "\"b\""));
        assert!(matches("*", "\"b\""));
        assert!(!matches("\"a\"", "\"b\""));
        assert!(!matches("", "\"b\""));
    }
}
