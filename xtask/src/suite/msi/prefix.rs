//! Windows folders for Wine: one is made, the others are copies of it.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use winpv::process::{Output, Run};

/// The longest that one program may take in Wine.
const DEADLINE: Duration = Duration::from_secs(60);

/// Wine's server of a test stays for so many seconds after the last program, so that it outlives the pauses between them: Debian's
/// leaves with its last client and would be started again for the next.
const SERVER_STAYS: &str = "-p300";

/// Starts a program with nothing at a random address. Debian 12 has Wine without its preloader, which would keep addresses free: its
/// loader is linked to 0x7d00_0000, Linux puts the heap up to 1 GiB behind that (`arch_randomize_brk`), and one start in two
/// thousand finds it over 0x7ffe_0000, where Wine maps the page that Windows shares with programs. That process, be it one that
/// Windows Installer started, then ends with 1, without a word if Wine's own messages are off.
const FIXED_ADDRESSES: [&str; 2] = ["setarch", "--addr-no-randomize"];

/// What programs print, beside a prefix's drives.
const OUTPUT: &str = "output.txt";
/// What Wine itself has to say.
const ERRORS: &str = "errors.txt";

/// Wine's exit code is the low byte of Windows'.
pub mod exit {
    /// 0, ERROR_SUCCESS.
    pub const SUCCESS: i32 = 0;
    /// 1603, ERROR_INSTALL_FAILURE.
    pub const FAILURE: i32 = 1603 & 0xff;
    /// 1627, ERROR_FUNCTION_FAILED: what Wine says where Windows says 1603, when a deferred action fails.
    pub const ACTION_FAILED: i32 = 1627 & 0xff;
    /// 1633, ERROR_INSTALL_PLATFORM_UNSUPPORTED.
    pub const WRONG_PLATFORM: i32 = 1633 & 0xff;
    /// 3010, ERROR_SUCCESS_REBOOT_REQUIRED.
    pub const RESTART: i32 = 3010 & 0xff;
}

/// What Wine pretends to be.
#[derive(Clone, Copy, Debug)]
pub enum Windows {
    /// Build 7601.
    Seven,
    /// Build 18362 in Wine 8.
    Ten,
}

/// The prefixes that are copied.
pub struct Template {
    dir: PathBuf,
    copies: Cell<usize>,
}

impl Template {
    /// Makes a prefix for each Windows below `dir`.
    pub fn make(dir: &Path) -> Result<Template> {
        command(dir, "true").ok().context(
            "cannot switch random addresses off with setarch of util-linux; where personality(2) is not permitted, as in Docker, start the container with `--security-opt seccomp=unconfined`",
        )?;
        let template = Template {
            dir: dir.to_owned(),
            copies: Cell::new(0),
        };
        let seven = Prefix {
            dir: template.of(Windows::Seven),
        };
        fs::create_dir(&seven.dir)?;
        seven.set_up("wineboot", &["-i"])?;
        let ten = template.copy(Windows::Seven, &template.of(Windows::Ten))?;
        ten.set_up("winecfg", &["-v", "win10"])?;
        Ok(template)
    }

    fn of(&self, windows: Windows) -> PathBuf {
        self.dir.join(format!("{windows:?}").to_lowercase())
    }

    /// A prefix of its own for one test.
    pub fn prefix(&self, windows: Windows) -> Result<Prefix> {
        let number = self.copies.get();
        self.copies.set(number + 1);
        let prefix = self.copy(windows, &self.dir.join(format!("copy{number}")))?;
        // Not by a pipe, which the server would hold open.
        let start = format!("exec wineserver {SERVER_STAYS} > {ERRORS} 2>&1");
        let output = command(&prefix.dir, "sh")
            .dir(&prefix.dir)
            .args(["-c", &start])
            .output()?;
        ensure!(
            output.status.success(),
            "no Wine server: {}",
            prefix.wine_says()
        );
        Ok(prefix)
    }

    fn copy(&self, windows: Windows, to: &Path) -> Result<Prefix> {
        copy(&self.of(windows), to)
            .with_context(|| format!("cannot copy a Wine prefix to {}", to.display()))?;
        Ok(Prefix { dir: to.to_owned() })
    }
}

/// Copies by hard links, except the registry, which Wine writes.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy(&path, &target)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(&path)?, &target)?;
        } else if path.extension().is_some_and(|extension| extension == "reg") {
            fs::copy(&path, &target)?;
        } else {
            fs::hard_link(&path, &target)?;
        }
    }
    Ok(())
}

/// One Windows folder. Its Wine server ends with it.
pub struct Prefix {
    dir: PathBuf,
}

impl Drop for Prefix {
    fn drop(&mut self) {
        // Nothing to do if none runs any more.
        let _ = server(&self.dir, "-k");
    }
}

fn command(dir: &Path, program: &str) -> Run {
    let [first, option] = FIXED_ADDRESSES;
    Run::new(first)
        .args([option, program])
        .env("WINEPREFIX", dir)
        .env("WINEARCH", "win64")
        // Errors stay: they are what `wine_says` tells.
        .env("WINEDEBUG", "fixme-all")
        // Neither .NET nor a browser is offered for download, and no window is tried.
        .env("WINEDLLOVERRIDES", "mscoree,mshtml=")
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .deadline(DEADLINE)
}

/// Runs a Windows program. Its output goes to a file: Wine's server, which outlives the program, would hold a pipe open.
fn wine(dir: &Path, program: &str, args: &[&str]) -> Result<(ExitStatus, String)> {
    let (file, errors) = (dir.join(OUTPUT), dir.join(ERRORS));
    for old in [&file, &errors] {
        // Not truncated: in a copied prefix it is a link to the template's.
        if old.exists() {
            fs::remove_file(old)?;
        }
    }
    let output = command(dir, "sh")
        .args([
            "-c",
            r#"out=$1; err=$2; shift 2; exec wine "$@" > "$out" 2> "$err""#,
            "sh",
        ])
        .arg(&file)
        .arg(&errors)
        .arg(program)
        .args(args)
        .output()?;
    let text = fs::read(&file).unwrap_or_default();
    Ok((output.status, String::from_utf8_lossy(&text).into_owned()))
}

fn server(dir: &Path, what: &str) -> Result<Output> {
    command(dir, "wineserver").arg(what).output()
}

impl Prefix {
    /// Runs a program, then waits until the server has written the registry and ended.
    fn set_up(&self, program: &str, args: &[&str]) -> Result<()> {
        let (code, text) = self.run(program, args)?;
        ensure!(
            code == 0,
            "{program} ended with {code}\n{text}\n{}",
            self.wine_says()
        );
        let output = server(&self.dir, "-w")?;
        ensure!(output.status.success(), "{}", output.text());
        Ok(())
    }

    /// Runs a Windows program and returns its exit code and output.
    pub fn run(&self, program: &str, args: &[&str]) -> Result<(i32, String)> {
        let (status, text) = wine(&self.dir, program, args)?;
        let code = status
            .code()
            .with_context(|| format!("{program} was killed\n{text}"))?;
        Ok((code, text))
    }

    /// Gives a folder a drive letter.
    pub fn drive(&self, letter: char, folder: &Path) -> Result<()> {
        Ok(symlink(
            folder,
            self.dir.join(format!("dosdevices/{letter}:")),
        )?)
    }

    /// Runs msiexec without windows, with a log, and returns its exit code.
    pub fn msiexec(&self, args: &[&str]) -> Result<i32> {
        let mut all = args.to_vec();
        all.extend(["/qn", "/l*v", r"C:\msi.log"]);
        if let Some(old) = self.find("msi.log") {
            fs::remove_file(old)?;
        }
        Ok(self.run("msiexec", &all)?.0)
    }

    /// Fails unless msiexec ends with this code.
    pub fn msiexec_ends(&self, args: &[&str], expected: i32) -> Result<()> {
        let code = self.msiexec(args)?;
        ensure!(
            code == expected,
            "msiexec {args:?} ended with {code}, not {expected}\n{}\n{}\n{}",
            self.log(),
            self.msi_log(),
            self.wine_says()
        );
        Ok(())
    }

    /// What Wine said of the last program, and of those that it started, on its own behalf.
    fn wine_says(&self) -> String {
        let bytes = fs::read(self.dir.join(ERRORS)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Windows Installer's log of the last msiexec.
    pub fn msi_log(&self) -> String {
        self.read(r"msi.log")
    }

    /// The helper program's log.
    pub fn log(&self) -> String {
        self.read(r"windows\Logs\WinPV\setup.log")
    }

    /// Fails unless the helper's log has a line with this text.
    pub fn logged(&self, part: &str) -> Result<()> {
        let log = self.log();
        ensure!(log.contains(part), "no line with {part:?}:\n{log}");
        Ok(())
    }

    fn read(&self, path: &str) -> String {
        let Some(path) = self.find(path) else {
            return String::new();
        };
        fs::read(path).map_or_else(
            |_| String::new(),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        )
    }

    /// A file or folder on drive C, whatever the case of its name.
    pub fn find(&self, path: &str) -> Option<PathBuf> {
        let mut at = self.dir.join("drive_c");
        for part in path.split('\\') {
            at = fs::read_dir(&at)
                .ok()?
                .filter_map(|entry| Some(entry.ok()?.path()))
                .find(|entry| {
                    entry
                        .file_name()
                        .is_some_and(|name| name.to_string_lossy().eq_ignore_ascii_case(part))
                })?;
        }
        Some(at)
    }

    /// Fails unless the file is there and holds these bytes.
    pub fn holds(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let found = self
            .find(path)
            .with_context(|| format!("{path} is not there"))?;
        ensure!(fs::read(&found)? == bytes, "{path} has other bytes");
        Ok(())
    }

    /// Fails if the file or folder is there.
    pub fn lacks(&self, path: &str) -> Result<()> {
        ensure!(self.find(path).is_none(), "{path} is there");
        Ok(())
    }

    /// The values of a key and of those below it, as `name    type    value` lines; empty if there is no such key.
    pub fn registry(&self, key: &str) -> Result<String> {
        let (code, text) = self.run("reg", &["query", key, "/s"])?;
        match code {
            0 => Ok(text),
            // `reg` has one code for all that goes wrong.
            1 if text.contains("Unable to find the specified registry") => Ok(String::new()),
            _ => bail!(
                "reg query {key} ended with {code}: {text:?} {}",
                self.wine_says()
            ),
        }
    }

    /// Fails unless the key, or one below it, has these values.
    pub fn registered(&self, key: &str, values: &[(&str, &str)]) -> Result<()> {
        let text = self.registry(key)?;
        for (name, value) in values {
            let found = text.lines().any(|line| {
                let mut words = line.trim().splitn(3, "    ");
                words.next() == Some(name) && words.nth(1) == Some(value)
            });
            ensure!(found, "{key}: no {name} = {value:?}:\n{text}");
        }
        Ok(())
    }

    /// Fails if the key is there.
    pub fn unregistered(&self, key: &str) -> Result<()> {
        let text = self.registry(key)?;
        ensure!(text.trim().is_empty(), "{key} is there:\n{text}");
        Ok(())
    }

    /// Brings in keys and values, written as regedit writes them.
    pub fn import(&self, keys: &str) -> Result<()> {
        let file = self.dir.join("drive_c/import.reg");
        // With a byte order mark: in other files, lists of texts are not UTF-16.
        let text = format!("\u{feff}Windows Registry Editor Version 5.00\r\n\r\n{keys}");
        let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        fs::write(&file, bytes)?;
        let (code, text) = self.run("reg", &["import", r"C:\import.reg"])?;
        ensure!(code == 0, "reg import: {text} {}", self.wine_says());
        Ok(())
    }

    /// Sets a value.
    pub fn set(&self, key: &str, name: &str, kind: &str, value: &str) -> Result<()> {
        let (code, text) = self.run(
            "reg",
            &["add", key, "/v", name, "/t", kind, "/d", value, "/f"],
        )?;
        ensure!(
            code == 0,
            "reg add {key} {name}: {text} {}",
            self.wine_says()
        );
        Ok(())
    }
}
