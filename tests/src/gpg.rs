//! GnuPG in a home of its own: the OpenPGP of people who have never heard of Countersign.

use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use tempfile::TempDir;

use crate::process::ending;

pub struct Gpg {
    home: TempDir,
}

impl Gpg {
    pub fn new() -> Result<Gpg> {
        let home = tempfile::Builder::new().prefix("countersign-gpg-").tempdir()?;
        Ok(Gpg { home })
    }

    /// The folder of its keys.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Makes a key without passphrase and returns the armored public half.
    pub fn generate(&self, name: &str) -> Result<String> {
        let arguments =
            ["--pinentry-mode", "loopback", "--passphrase", "", "--quick-gen-key", name, "rsa3072"];
        self.run(&[&arguments[..], &["default", "never"]].concat(), b"")?;
        let fingerprint = self.fingerprint(name)?;
        let arguments = ["--pinentry-mode", "loopback", "--passphrase", "", "--quick-add-key", &fingerprint];
        self.run(&[&arguments[..], &["rsa3072", "encr", "never"]].concat(), b"")?;
        self.run(&["--armor", "--export", name], b"")
    }

    /// The same on curves, for so many seconds from now.
    pub fn generate_expiring(&self, name: &str, seconds: u32) -> Result<String> {
        let expiry = format!("seconds={seconds}");
        let silent = ["--pinentry-mode", "loopback", "--passphrase", ""];
        self.run(&[&silent[..], &["--quick-gen-key", name, "ed25519", "default", &expiry]].concat(), b"")?;
        let fingerprint = self.fingerprint(name)?;
        let subkey = ["--quick-add-key", &fingerprint, "cv25519", "encr", &expiry];
        self.run(&[&silent[..], &subkey].concat(), b"")?;
        self.run(&["--armor", "--export", name], b"")
    }

    /// As GnuPG prints it: 40 upper-case hex digits.
    pub fn fingerprint(&self, name: &str) -> Result<String> {
        let listed = self.run(&["--with-colons", "--list-keys", name], b"")?;
        let line = listed.lines().find(|line| line.starts_with("fpr")).context("no fingerprint")?;
        Ok(line.split(':').nth(9).context("no fingerprint")?.to_owned())
    }

    pub fn import(&self, armored: &str) -> Result<()> {
        self.run(&["--import"], armored.as_bytes()).map(drop)
    }

    /// An armored detached signature.
    pub fn sign(&self, text: &str, name: &str) -> Result<String> {
        self.run(&["--armor", "--local-user", name, "--detach-sign"], text.as_bytes())
    }

    /// An armored message for `recipient`, with whatever further arguments say.
    pub fn encrypt(&self, text: &str, recipient: &str, more: &[&str]) -> Result<String> {
        let arguments = [&["--armor", "--trust-model", "always", "-r", recipient][..], more, &["--encrypt"]];
        self.run(&arguments.concat(), text.as_bytes())
    }

    fn run(&self, arguments: &[&str], input: &[u8]) -> Result<String> {
        let mut child = ending("gpg")
            .arg("--homedir")
            .arg(self.home.path())
            .args(["--batch", "--quiet", "--yes"])
            .args(arguments.iter().map(OsStr::new))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run gpg: run deploy/setup test")?;
        let mut stdin = child.stdin.take().context("no standard input")?;
        // Beside reading: GnuPG writes before it has read everything.
        let output = thread::scope(|scope| {
            let written = scope.spawn(move || stdin.write_all(input));
            let output = child.wait_with_output()?;
            written.join().map_err(|_| anyhow!("writing to gpg panicked"))??;
            anyhow::Ok(output)
        })?;
        ensure!(output.status.success(), "gpg failed: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }
}

impl Drop for Gpg {
    /// GnuPG leaves an agent behind that watches the home.
    fn drop(&mut self) {
        let _ = ending("gpgconf").arg("--homedir").arg(self.home.path()).args(["--kill", "all"]).status();
    }
}
