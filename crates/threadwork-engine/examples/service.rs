//! A service on tokio that runs programs of strangers, and some clients of it.
//!
//! ```sh
//! cargo run --release -p threadwork-engine --example service
//! ```
//!
//! A client sends one module, with its length in front, and gets what the program prints,
//! while it prints, and then how it ended. At most [`AT_ONCE`] programs run at one time, each
//! within limits; a client that leaves takes its program along. No job has a thread of the
//! host's for itself.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use threadwork_engine::{Engine, Error, Limits, Module, Output, Process, ProcessBuilder};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader, copy_buf};
use tokio::net::unix::pipe;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// Programs that run at one time.
const AT_ONCE: usize = 4;

/// Bytes of the largest module.
const LARGEST: u32 = 1 << 20;

/// Bytes that a program may print.
const MOST_OUTPUT: u64 = 1 << 20;

/// What all jobs share.
struct Service {
    engine: Engine,
    turns: Semaphore,
}

impl Service {
    async fn serve(self: Arc<Self>, listener: TcpListener) -> io::Result<()> {
        loop {
            let (client, _) = listener.accept().await?;
            let service = Arc::clone(&self);
            tokio::spawn(async move {
                // A client that cannot be talked to any more is told nothing.
                let _ = service.job(client).await;
            });
        }
    }

    async fn job(&self, mut client: TcpStream) -> io::Result<()> {
        let length = client.read_u32_le().await?;
        if length > LARGEST {
            return client.write_all(b"-- the module is too large\n").await;
        }
        let mut wasm = vec![0; length as usize];
        client.read_exact(&mut wasm).await?;
        // Never closed.
        let Ok(_turn) = self.turns.acquire().await else {
            return Ok(());
        };
        // Compiling computes: it is not for a thread that serves others.
        let engine = self.engine.clone();
        let started = spawn_blocking(move || start(&engine, &wasm)).await?;
        let ending = match started {
            Ok(process) => follow(&process, &mut client).await?,
            Err(error) => error.to_string(),
        };
        client.write_all(format!("-- {ending}\n").as_bytes()).await
    }
}

/// Starts a program of a stranger's.
fn start(engine: &Engine, wasm: &[u8]) -> Result<Process, Error> {
    let limits = Limits::untrusted()
        .wall_time(Duration::from_secs(2))
        .threads(8);
    ProcessBuilder::new(&Module::new(engine, wasm)?)
        .stdout(Output::Pipe)
        .limits(limits)
        .spawn()
}

/// Sends what the program prints until it has ended, and tells how.
async fn follow(process: &Process, client: &mut TcpStream) -> io::Result<String> {
    let (mut from_client, mut to_client) = client.split();
    let printed = process.take_stdout().ok_or(io::ErrorKind::NotFound)?;
    // The system's descriptor is tokio's from here on.
    let printed = pipe::Receiver::from_owned_fd(printed.into())?;
    let mut printed = BufReader::new(printed.take(MOST_OUTPUT));
    let mut more = [0];
    tokio::select! {
        sent = copy_buf(&mut printed, &mut to_client) => {
            // If it is less, the program has ended, or is about to.
            if sent? == MOST_OUTPUT {
                process.kill_with("it prints too much");
            }
        }
        // The client has nothing more to say: this is its leaving.
        _ = from_client.read(&mut more) => process.kill_with("the client has gone"),
    }
    Ok(process.exited().await.to_string())
}

// ---- The clients ----

/// What each client sends, and whether it waits for the answer.
const JOBS: [(&str, &str, bool); 6] = [
    ("prints", PRINTS, true),
    (
        "endless",
        r#"(module (func (export "_start") (loop (br 0))))"#,
        true,
    ),
    (
        "traps",
        r#"(module (func (export "_start") unreachable))"#,
        true,
    ),
    ("floods", FLOODS, true),
    ("no module", "Dear diary,", true),
    (
        "leaves",
        r#"(module (func (export "_start") (loop (br 0))))"#,
        false,
    ),
];

const PRINTS: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\08\00\00\00\06\00\00\00hello\n")
    (func (export "_start")
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 100)))))"#;

const FLOODS: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\08\00\00\00\00\f0\00\00")
    (func (export "_start")
      (loop (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 100))) (br 0))))"#;

/// Sends one job, and returns the last line of the answer.
async fn client(address: std::net::SocketAddr, module: &str, waits: bool) -> io::Result<String> {
    let mut service = TcpStream::connect(address).await?;
    service.write_u32_le(module.len() as u32).await?;
    service.write_all(module.as_bytes()).await?;
    if !waits {
        tokio::time::sleep(Duration::from_millis(100)).await;
        return Ok("-- (it did not wait)".to_owned());
    }
    let mut answer = Vec::new();
    service.read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let last = answer.rsplit("-- ").next().unwrap_or_default();
    Ok(last.lines().next().unwrap_or_default().to_owned())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let service = Arc::new(Service {
        engine: Engine::builder().untrusted().build()?,
        turns: Semaphore::new(AT_ONCE),
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(Arc::clone(&service).serve(listener));
        let clients: Vec<_> = JOBS
            .iter()
            .cycle()
            .take(3 * JOBS.len())
            .map(|(name, module, waits)| {
                let begun = Instant::now();
                let client = tokio::spawn(client(address, module, *waits));
                (*name, begun, client)
            })
            .collect();
        for (name, begun, client) in clients {
            let ending = client.await??;
            println!(
                "{name:<10} {:>6.2} s  {ending}",
                begun.elapsed().as_secs_f64()
            );
        }
        Ok(())
    })
}
