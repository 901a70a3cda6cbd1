//! `threadwork serve`: a program in a browser on this machine.
//!
//! The server is for one person who looks at one program: it listens to this machine
//! only, and answers GET and HEAD.
//!
//! ```text
//! serve ── server     connections, each on a thread of its own
//!   │        ├─────── request    bytes to a request, or what is wrong with it
//!   │        └─────── answer     a request to status, headers, body
//!   │                   └─────── encoding   gzip and brotli
//!   ├──── browser     --open
//!   └──── site        what there is to serve (with `bundle`)
//! ```

pub(crate) mod answer;
mod browser;
mod encoding;
mod request;
mod server;

use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::thread;

use anyhow::{Context, bail};
use clap::Args;

use crate::serve::answer::Answerer;
pub(crate) use crate::serve::answer::{Answer, Answers};
pub(crate) use crate::serve::request::{Method, Request};
pub(crate) use crate::serve::server::start;
use crate::site::{Site, SiteArgs};
use crate::{report, signals};

/// The port that is tried first if the user does not name one.
const USUAL_PORT: u16 = 8080;

/// The command line of `threadwork serve`.
#[derive(Args)]
#[command(override_usage = "threadwork serve [OPTIONS] <FILE> [-- <ARGS>...]")]
pub(crate) struct ServeArgs {
    /// Listen on this port; without it on 8080, or any other if that is taken
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,

    /// Open the page in a browser
    #[arg(long)]
    open: bool,

    #[command(flatten)]
    site: SiteArgs,
}

/// Serves until Ctrl-C, which is the way to end it and no error.
pub(crate) fn serve(args: &ServeArgs) -> anyhow::Result<i32> {
    let site = Site::new(&args.site)?;
    let name = site.name().into_owned();
    let listener = listen(args.port)?;
    let address = listener.local_addr().context("cannot listen")?;
    signals::end_as_wished();
    start(listener, Arc::new(Answerer::new(site))).context("cannot start the server")?;
    let address = format!("http://{address}/");
    // A server without a terminal still serves.
    let _ = writeln!(io::stdout(), "Serving {name} at {address}\nCtrl-C ends it");
    if args.open {
        browser::open(&address);
    }
    loop {
        thread::park();
    }
}

/// Binds to this machine only: a page that other machines load without TLS has no
/// threads, and the files of `--dir` are nobody else's.
fn listen(port: Option<u16>) -> anyhow::Result<TcpListener> {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let outcome = match port {
        Some(port) => bind(port),
        None => bind(USUAL_PORT).or_else(|_| bind(0)),
    };
    outcome.or_else(|error| match (error.kind(), port) {
        (io::ErrorKind::AddrInUse, Some(port)) => {
            bail!("port {port} is in use: give another, or leave --port out to have one chosen")
        }
        (io::ErrorKind::PermissionDenied, Some(port)) => {
            bail!("port {port} needs more rights: give one above 1023")
        }
        _ => Err(report::explain("cannot listen on this machine", error)),
    })
}
