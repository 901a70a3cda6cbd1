//! Runs a program given on the command line: the smallest embedding.

use threadwork_engine::{Engine, Module, Output, ProcessBuilder, Stdin};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let file = args.next().ok_or("usage: run FILE.wasm [ARGS]...")?;
    let engine = Engine::new()?;
    let module = Module::from_file(&engine, &file)?;
    let process = ProcessBuilder::new(&module)
        .arg0(file)
        .args(args)
        .stdin(Stdin::Inherit)
        .stdout(Output::Inherit)
        .stderr(Output::Inherit)
        .spawn()?;
    let status = process.wait();
    eprintln!("{status}\n{:?}", process.stats());
    std::process::exit(status.code());
}
