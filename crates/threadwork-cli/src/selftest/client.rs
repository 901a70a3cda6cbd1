//! Programs that run scripts: Node and browsers, started without a window and with a
//! profile of their own, and ended when they are dropped.

use std::env;
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use tempfile::TempDir;

use super::exchange;
use crate::children::{self, Child};
use crate::run::node;

/// How long a display may take to end.
const GRACE: Duration = Duration::from_secs(5);
/// How often to look whether it has.
const LOOK: Duration = Duration::from_millis(5);

/// What can run the script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Node,
    Chromium,
    Firefox,
    Webkit,
    Deno,
    Bun,
}

/// Where Linux distributions keep WebKit's own small browser, which is in no PATH.
const MINI_BROWSERS: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser",
    "/usr/lib/aarch64-linux-gnu/webkit2gtk-4.1/MiniBrowser",
    "/usr/libexec/webkit2gtk-4.1/MiniBrowser",
    "/usr/lib/webkit2gtk-4.1/MiniBrowser",
];

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Chromium => "chromium",
            Self::Firefox => "firefox",
            Self::Webkit => "webkit",
            Self::Deno => "deno",
            Self::Bun => "bun",
        }
    }

    fn commands(self) -> &'static [&'static str] {
        match self {
            Self::Node => &["node"],
            Self::Chromium => &["chromium", "chromium-browser", "google-chrome"],
            Self::Firefox => &["firefox-esr", "firefox"],
            Self::Webkit => &["xvfb-run"],
            Self::Deno => &["deno"],
            Self::Bun => &["bun"],
        }
    }

    /// The program on this machine.
    pub(super) fn find(self) -> anyhow::Result<PathBuf> {
        let folders: Vec<PathBuf> = env::var_os("PATH")
            .map(|path| env::split_paths(&path).collect())
            .unwrap_or_default();
        let place = |name: &&str| {
            let file = format!("{name}{}", env::consts::EXE_SUFFIX);
            let mut files = folders.iter().map(|folder| folder.join(&file));
            files.find(|file| file.is_file())
        };
        let found = self.commands().iter().find_map(place);
        found.ok_or_else(|| {
            let names = self.commands().join("` and no `");
            let name = self.name();
            anyhow!("there is no `{names}` in PATH: install it, or leave --host {name} out")
        })
    }

    fn command(self, address: &str, folder: &Path) -> anyhow::Result<Command> {
        let mut command = Command::new(self.find()?);
        match self {
            Self::Node | Self::Deno | Self::Bun => {
                let name = self.name();
                let (script, text) = exchange::SCRIPT;
                node::write_scripts(folder)
                    .and_then(|()| fs::write(folder.join(script), text))
                    .with_context(|| format!("cannot write the scripts for {name}"))?;
                if self == Self::Deno {
                    command.args(["run", "--allow-all", "--no-config"]);
                }
                command
                    .args([node::entry(folder), script.into()])
                    .arg(address);
            }
            Self::Webkit => {
                let place = MINI_BROWSERS.iter().find(|file| Path::new(file).is_file());
                let browser = place.ok_or_else(|| {
                    anyhow!(
                        "there is no WebKit of GTK: install it (Debian: webkit2gtk-driver), or \
                         leave --host webkit out"
                    )
                })?;
                command
                    .args(["--auto-servernum", browser, "--private", address])
                    // Else isolated pages have no SharedArrayBuffer there.
                    .env("JSC_useSharedArrayBuffer", "1")
                    .env("HOME", folder)
                    .env("TMPDIR", folder)
                    .env("XDG_RUNTIME_DIR", folder);
            }
            Self::Chromium => {
                let profile = format!("--user-data-dir={}", folder.display());
                command
                    .args([
                        "--headless",
                        "--no-sandbox",
                        "--disable-gpu",
                        "--no-first-run",
                    ])
                    .args(["--disable-background-networking", "--disable-sync"])
                    .args(["--disable-component-update", "--disable-quic"])
                    .args([&profile, address]);
            }
            Self::Firefox => {
                // Else it opens pages of its own, and asks what to send home.
                let settings = "user_pref(\"browser.shell.checkDefaultBrowser\", false);\n\
                    user_pref(\"datareporting.policy.dataSubmissionEnabled\", false);\n\
                    user_pref(\"app.normandy.enabled\", false);\n";
                fs::write(folder.join("user.js"), settings).context("cannot write a profile")?;
                command
                    .args(["--headless", "--no-remote", "--profile"])
                    .arg(folder)
                    .arg(address);
            }
        }
        Ok(command)
    }
}

/// One that runs.
pub(super) struct Client {
    kind: Kind,
    child: Child,
    stderr: File,
    /// Its scripts or its profile; removed after it has ended.
    _folder: TempDir,
}

impl Client {
    /// Starts one that goes to this address.
    pub(super) fn start(kind: Kind, address: &str) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("threadwork-").tempdir()?;
        // A file, because nobody has time to read a pipe.
        let stderr = tempfile::tempfile()?;
        let mut command = kind.command(address, folder.path())?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr.try_clone()?);
        let child = children::spawn(&mut command)
            .with_context(|| format!("cannot start {}", kind.name()))?;
        Ok(Self {
            kind,
            child,
            stderr,
            _folder: folder,
        })
    }

    /// Fails if it has ended, with its last words.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        let Some(status) = self.child.try_wait()? else {
            return Ok(());
        };
        let mut words = String::new();
        // What cannot be read is not told.
        let _ = self.stderr.rewind();
        let _ = self.stderr.read_to_string(&mut words);
        let last = words.lines().rfind(|line| !line.trim().is_empty());
        let last = last.map(|line| format!(": {line}")).unwrap_or_default();
        bail!("{} has ended by itself ({status}){last}", self.kind.name())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if self.kind == Kind::Webkit {
            // Killed at once, the display would leave its lock behind.
            self.child.terminate();
            let deadline = Instant::now() + GRACE;
            while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
                thread::sleep(LOOK);
            }
        }
        // It may have ended by itself.
        self.child.kill();
        let _ = self.child.wait();
    }
}
