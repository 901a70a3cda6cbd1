//! The head of a request: bytes to what the server answers from.

/// What a head may take; browsers send less than 2 KiB.
pub(super) const LONGEST_HEAD: usize = 16 << 10;
/// How many headers a head may have.
const MOST_HEADERS: usize = 64;

/// What is asked for.
#[derive(Debug, PartialEq)]
pub(crate) enum Method {
    Get,
    Head,
    Post,
    /// Anything else, which the server does not do.
    Other,
}

/// One request, as far as the server looks at it.
#[derive(Debug, PartialEq)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// As sent, with escapes, without the query.
    pub(super) path: String,
    /// The host's name, without the port.
    pub(super) host: Option<String>,
    pub(super) accept_encoding: String,
    pub(super) if_none_match: String,
    /// The bytes of the body, if the client says how many.
    pub(super) length: usize,
    /// Whether the connection is good for another request: not if a body follows, which
    /// the server may not read.
    pub(crate) keep_alive: bool,
}

/// What a prefix of a connection's bytes is.
#[derive(Debug, PartialEq)]
pub(super) enum Parsed {
    /// A request, and how many bytes it took.
    Whole(Request, usize),
    /// The beginning of one.
    Partial,
    /// No HTTP.
    Malformed,
    /// More than the server is ready to read.
    TooLarge,
}

/// Reads the request that `bytes` begin with.
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut head = httparse::Request::new(&mut headers);
    match head.parse(bytes) {
        Ok(httparse::Status::Complete(taken)) => Parsed::Whole(request(&head), taken),
        Ok(httparse::Status::Partial) if bytes.len() < LONGEST_HEAD => Parsed::Partial,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => Parsed::TooLarge,
        Err(_) => Parsed::Malformed,
    }
}

fn request(head: &httparse::Request<'_, '_>) -> Request {
    let header = |name: &str| {
        let mut all = head.headers.iter();
        let found = all.find(|header| header.name.eq_ignore_ascii_case(name))?;
        Some(String::from_utf8_lossy(found.value).into_owned())
    };
    let has_body = header("transfer-encoding").is_some()
        || header("content-length").is_some_and(|length| length.trim() != "0");
    let connection = header("connection")
        .unwrap_or_default()
        .to_ascii_lowercase();
    let stays = head.version == Some(1) && !connection.contains("close");
    Request {
        method: match head.method {
            Some("GET") => Method::Get,
            Some("HEAD") => Method::Head,
            Some("POST") => Method::Post,
            _ => Method::Other,
        },
        path: path(head.path.unwrap_or_default()),
        host: header("host").map(|host| host_name(&host)),
        accept_encoding: header("accept-encoding").unwrap_or_default(),
        if_none_match: header("if-none-match").unwrap_or_default(),
        length: header("content-length")
            .and_then(|length| length.trim().parse().ok())
            .unwrap_or(0),
        keep_alive: stays && !has_body,
    }
}

/// The path of a target in origin form, or in absolute form, as proxies send it.
fn path(target: &str) -> String {
    let path = match target.strip_prefix("http://") {
        Some(rest) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => target,
    };
    path.split(['?', '#']).next().unwrap_or_default().to_owned()
}

/// `localhost` of `localhost:8080`, `[::1]` of `[::1]:8080`.
fn host_name(host: &str) -> String {
    let port = host
        .rfind(':')
        .filter(|colon| !host[*colon..].contains(']'));
    host[..port.unwrap_or(host.len())]
        .trim()
        .to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str) -> Request {
        match parse(text.as_bytes()) {
            Parsed::Whole(request, taken) => {
                assert_eq!(taken, text.len());
                request
            }
            other => panic!("{text:?} is {other:?}"),
        }
    }

    #[test]
    fn what_browsers_send() {
        let text = "GET /a%20b?c=d HTTP/1.1\r\nHost: LocalHost:8080\r\nACCEPT-encoding: gzip, br\r\n\
                    If-None-Match: \"x\"\r\n\r\n";
        let expected = Request {
            method: Method::Get,
            path: "/a%20b".into(),
            host: Some("localhost".into()),
            accept_encoding: "gzip, br".into(),
            if_none_match: "\"x\"".into(),
            length: 0,
            keep_alive: true,
        };
        assert_eq!(whole(text), expected);
    }

    #[test]
    fn absolute_targets() {
        assert_eq!(whole("GET http://localhost/x HTTP/1.1\r\n\r\n").path, "/x");
        assert_eq!(whole("GET http://localhost HTTP/1.1\r\n\r\n").path, "/");
    }

    #[test]
    fn host_names() {
        for (host, name) in [
            ("localhost", "localhost"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("[::1]", "[::1]"),
            ("[::1]:80", "[::1]"),
        ] {
            assert_eq!(host_name(host), name);
        }
    }

    #[test]
    fn connections_that_end() {
        for head in [
            "GET / HTTP/1.0",
            "GET / HTTP/1.1\r\nConnection: Close",
            "POST / HTTP/1.1\r\nContent-Length: 3",
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked",
        ] {
            assert!(!whole(&format!("{head}\r\n\r\n")).keep_alive, "{head}");
        }
        assert!(whole("GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n").keep_alive);
    }

    #[test]
    fn what_is_no_request() {
        assert_eq!(parse(b"GET / HT"), Parsed::Partial);
        assert_eq!(parse(b"\x16\x03\x01\x02\0\x01"), Parsed::Malformed);
        assert_eq!(parse(&[b'A'; LONGEST_HEAD]), Parsed::TooLarge);
        let headers = "a: b\r\n".repeat(MOST_HEADERS + 1);
        let request = format!("GET / HTTP/1.1\r\n{headers}\r\n");
        assert_eq!(parse(request.as_bytes()), Parsed::TooLarge);
    }
}
